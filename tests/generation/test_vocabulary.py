"""Names of classes as users type them."""

import math
import unicodedata
from typing import Any

import pytest

from audio_gen.errors import ConfigError
from audio_gen.generation.vocabulary import Vocabulary, matched
from audio_gen.models.contract import Conditions

KNOWN = ("Kick", "snares", "Hi-Hat", "Café", "808")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("Kick", "Kick"),
        ("kick", "Kick"),
        ("KICKS", "Kick"),
        ("snare", "snares"),
        ("Snares", "snares"),
        ("hi hats", "Hi-Hat"),
        ("hihat", "Hi-Hat"),
        (unicodedata.normalize("NFD", "Café"), "Café"),
        (unicodedata.normalize("NFD", "cafés").upper(), "Café"),
        ("808s", "808"),
        ("kic", None),
        ("cafe", "Café"),
        ("", None),
        ("s", None),
    ],
)
def test_what_is_meant(name: str, meant: str | None) -> None:
    assert matched(name, KNOWN) == meant


@pytest.mark.parametrize(
    ("name", "classes", "meant"),
    [
        ("djembe", ["djembé", "conga"], "djembé"),
        ("DJEMBES", ["djembé", "conga"], "djembé"),
        ("smorrebrod", ["smørrebrød"], "smørrebrød"),
        ("c #", ["C", "C#"], "C#"),
        ("c", ["C", "C#"], "C"),
        ("क", ["कि", "की"], None),  # vowel signs are no accents
        ("!!", ["??", "🥁"], None),
        ("kick_drum", ["Kick Drum", "Kick"], "Kick Drum"),
        ("kick.drum", ["Kick-Drum", "Kick Drum!"], None),
        ("Kick-Drum", ["Kick-Drum", "Kick Drum"], "Kick-Drum"),
    ],
)
def test_separators_and_accents(name: str, classes: list[str], meant: str | None) -> None:
    assert matched(name, classes) == meant


def test_a_name_of_several_classes_is_called_ambiguous() -> None:
    vocabulary = Vocabulary("the model", ("Kick", "kick", "Snare"), None)
    with pytest.raises(ConfigError, match=r"\(KICK\) is ambiguous: the model knows 'Kick', 'kick'; write"):
        vocabulary.class_id("KICK")
    assert vocabulary.known_class(["KICK", "snare"]) == 2


def test_both_ways_to_store_an_accent_are_one() -> None:
    decomposed = unicodedata.normalize("NFD", "Café")
    assert matched("Café", [decomposed]) == decomposed
    assert matched("Café", ["Café", decomposed]) == "Café"


def test_what_may_mean_two_is_not_guessed() -> None:
    assert matched("kick", ["Kick", "KICK"]) is None and matched("kicks", ["Kick", "kick"]) is None
    assert matched("kick", ["Kick", "kick", "kicks"]) == "kick"  # the very name
    assert matched("!", ["?", "!!"]) is None and matched("!", ["?", "!"]) == "!"


def test_numbers_of_classes() -> None:
    vocabulary = Vocabulary("run", KNOWN, None)
    assert vocabulary.class_id("SNARE") == 1 and vocabulary.class_id(None) == -1
    assert vocabulary.known_class([None, "tuba", "hi-hats", "kick"]) == 2 and vocabulary.known_class(["tuba"]) == -1
    with pytest.raises(ConfigError, match=r"class \(snaer\) is unknown to run; it knows snares, Kick"):
        vocabulary.class_id("snaer")


@pytest.mark.parametrize(
    ("pitch", "outside", "taken"),
    [
        (60, "refuse", 60), (60, "fold", 60), (60, "clamp", 60), (30, "clamp", 48), (90, "clamp", 72),
        (30, "fold", 54), (36, "fold", 48), (90, "fold", 66), (84.5, "fold", 60.5), (127, "fold", 67),
    ],
)  # fmt: skip
def test_what_becomes_of_a_pitch_outside_the_range(pitch: float, outside: Any, taken: float) -> None:
    vocabulary = Vocabulary("run", (), (48.0, 72.0))
    assert vocabulary.pitch(pitch, outside) == taken
    assert vocabulary.requested(pitch=pitch, outside=outside).pitch.tolist() == [taken]


def test_a_fold_into_less_than_an_octave_takes_the_nearest_end() -> None:
    vocabulary = Vocabulary("run", (), (60.0, 64.0))
    assert vocabulary.pitch(50, "fold") == 62 and vocabulary.pitch(66, "fold") in (60, 64)


@pytest.mark.parametrize("outside", ["refuse", "clamp", "fold"])
def test_no_number_is_no_pitch(outside: Any) -> None:
    for pitch in (math.nan, math.inf):
        with pytest.raises(ConfigError, match="trained range"):
            Vocabulary("run", (), (48.0, 72.0)).pitch(pitch, outside)
    with pytest.raises(ConfigError, match="without pitches"):
        Vocabulary("run", (), None).pitch(60, outside)


def test_velocities() -> None:
    vocabulary = Vocabulary("run", (), None, (20.0, 100.0))
    assert [vocabulary.velocity(v) for v in (0, 20, 64.5, 127)] == [20, 20, 64.5, 100]
    assert math.isnan(vocabulary.velocity(None)) and vocabulary.known(velocities=[None, 30]).velocity.tolist() == [30]
    for wrong in (-1, 128, math.nan):
        with pytest.raises(ConfigError, match=r"must be a MIDI velocity from 0 to 127"):
            vocabulary.velocity(wrong)
    with pytest.raises(ConfigError, match=r"velocity \(64\): run was trained without velocities; remove the velocity"):
        Vocabulary("run", (), None).velocity(64)
    assert Vocabulary("run", (), None).known(velocities=[30]).values == {}


def test_labels_name_what_a_model_has() -> None:
    assert Vocabulary("run", KNOWN, None).labels(Conditions.one({"class": 1})) == {"class": "snares", "pitch": None}
    struck = Vocabulary("run", (), (48.0, 72.0), (1.0, 127.0)).labels(Conditions.one({"pitch": 50, "velocity": 9}))
    assert struck == {"class": None, "pitch": 50.0, "velocity": 9.0}


@pytest.mark.parametrize("outside", ["clip", "", None, ["fold"]])
@pytest.mark.parametrize("pitch", [None, 60, 90])
def test_an_unknown_treatment_of_pitches_is_refused(outside: Any, pitch: float | None) -> None:
    vocabulary = Vocabulary("run", (), (48.0, 72.0))
    with pytest.raises(ConfigError, match=r"outside \(.*unknown; use refuse, clamp, fold$"):
        vocabulary.requested(pitch=pitch, outside=outside)
