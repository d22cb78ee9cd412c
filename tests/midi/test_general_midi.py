"""Names of drums and instruments."""

import pytest

from audio_gen.midi.general_midi import DRUMS, ORDER, drum_kind, kinds_for, program_class


@pytest.mark.parametrize(
    ("name", "kind"),
    [("kick", "kick"), ("Kicks", "kick"), ("Bass Drum", "kick"), ("BD 808", "kick"), ("Closed Hats", "hihat"),
     ("hi-hat", "hihat"), ("OpenHiHat", "hihat"), ("Snare_Drum", "snare"), ("rimshot", "rim"), ("tabla", "tabla"),
     ("hand-drum", "hand"), ("Toms", "tom"), ("violin", None), (None, None), ("percussion", "perc")],
)  # fmt: skip
def test_a_name_means_a_kind(name: str | None, kind: str | None) -> None:
    assert drum_kind(name) == kind


def test_every_drum_has_a_kind_that_a_kit_may_have() -> None:
    assert all(set(kinds_for(key)) & set(ORDER) for key in DRUMS)
    assert kinds_for(36)[0] == "kick" and kinds_for(46)[0] == "hihat"


@pytest.mark.parametrize(
    ("program", "wanted"),
    [(0, "grand_piano"), (1, "grand_piano"), (4, "electric_piano"), (33, "fingered_bass"), (40, "violin"),
     (48, "string_ensemble"), (19, "church_organ"), (127, None)],
)  # fmt: skip
def test_a_programme_chooses_the_nearest_class(program: int, wanted: str | None) -> None:
    known = ("church_organ", "electric_piano", "fingered_bass", "grand_piano", "string_ensemble", "violin")
    assert program_class(program, known) == wanted
