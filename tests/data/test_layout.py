"""Folders as packs and data sets have them: classes, splits, and what only holds the others."""

from pathlib import Path

import pytest

from audio_gen.data.labels import read_labels
from audio_gen.data.layout import read_layout, split_folders

KS = {"kick", "snare"}


def both(form: str) -> list[str]:
    """Four files for each class and part in a form such as "{part}/{class}/{i}.wav"."""
    parts = ("train", "test") if "{p" in form.lower() else ("",)
    return sorted({form.format(p=p, P=p.title(), c=c, i=i) for p in parts for c in sorted(KS) for i in range(4)})


@pytest.mark.parametrize(
    ("names", "classes", "sides"),
    [
        (both("{c}/{i}.wav"), KS, {}),
        ([*both("{c}/{i}.wav"), "loops/deep/1.wav", "loose.wav"], {*KS, "loops"}, {}),
        (both("kick/{i}.wav"), set(), {}),
        (["a.wav", "kick/a.wav"], set(), {}),
        (both("My Pack/{c}/{i}.wav"), KS, {}),
        (both("a/b/c/{c}/{i}.wav"), KS, {}),
        ([*both("My Pack/{c}/{i}.wav"), "demo.wav", "My Pack/demo.wav"], KS, {}),
        ([*both("My Pack/{c}/{i}.wav"), "__MACOSX/My Pack/kick/1.wav"], KS, {}),
        (both("train/{c}/{i}.wav"), KS, {}),
        (both("{p}/{c}/{i}.wav"), KS, {"train", "val"}),
        ([*both("{p}/{c}/{i}.wav"), "loose.wav"], KS, {"train", "val"}),
        (both("Set/{P}/{c}/{i}.wav"), KS, {"train", "val"}),
        (both("Set/{p}/audio/{c}/{i}.wav"), KS, {"train", "val"}),
        (both("nsynth-{p}/{c}/{i}.wav"), KS, {"train", "val"}),
        (both("{p}/{p}_audio/{c}/{i}.wav"), KS, {"train", "val"}),
        (both("{c}/{p}/{i}.wav"), KS, {"train", "val"}),
        (both("Pack/{c}/{p}/{i}.wav"), KS, {"train", "val"}),
        (both("{p}/{i}.wav"), set(), {"train", "val"}),
        (both("{p}/kick/{i}.wav"), set(), {"train", "val"}),
        ([*both("{p}/{c}/{i}.wav"), "extras/1.wav"], {"train", "test", "extras"}, {}),
        (["train/1.wav", "car/2.wav"], {"train", "car"}, {}),
        ([*both("WAV/{c}/{i}.wav"), *both("MP3/{c}/{i}.mp3")], KS, {}),
        (["wav/1.wav", "mp3/1.mp3"], {"wav", "mp3"}, {}),
    ],
)
def test_the_level_that_tells_sounds_apart(names: list[str], classes: set[str], sides: set[str]) -> None:
    layout = read_layout(names)
    assert set(layout.classes.values()) == classes
    assert set(layout.splits.values()) == set(sides)
    assert bool(layout.split_notes) == bool(sides)
    for name, side in layout.splits.items():
        assert name == "loose.wav" or ("train" in name.lower()) == (side == "train")


@pytest.mark.parametrize(
    ("folders", "sides"),
    [
        (["train", "val", "test"], ["train", "val", "val"]),
        (["Training", "VALIDATION"], ["train", "val"]),
        (["dev", "eval"], ["train", "val"]),
        (["train", "dev"], ["train", "val"]),
        (["FSD50K.dev_audio", "FSD50K.eval_audio"], ["train", "val"]),
        (["1_train", "2_val", "03 test"], ["train", "val", "val"]),
        (["train", "holdout"], ["train", "val"]),
        (["train horn", "test tone"], []),
        (["train", "kick"], []),
        (["train"], []),
        (["train", "Train"], []),
        (["contrain", "contest"], []),
        ([], []),
    ],
)
def test_names_of_splits(folders: list[str], sides: list[str]) -> None:
    assert list(split_folders(folders).values()) == sides


def test_classes_of_two_splits_are_one_however_they_are_spelled(tmp_path: Path) -> None:
    names = ["train/Kick/1.wav", "train/Djembé/1.wav", "test/kick/2.wav", "test/Djembe\u0301/2.wav"]
    found, notes = read_labels(tmp_path, names)
    assert [label.class_name for label in found.values()] == ["Kick", "Djembé", "Kick", "Djembé"]
    assert len(notes) == 2 and all("one class" in note for note in notes)


def test_folders_side_by_side_stay_apart_but_for_how_accents_are_stored(tmp_path: Path) -> None:
    found, notes = read_labels(tmp_path, ["Kick/1.wav", "kick/1.wav", "Djembé/1.wav", "Djembe\u0301/2.wav"])
    assert [label.class_name for label in found.values()] == ["Kick", "kick", "Djembé", "Djembé"]
    assert any("separate classes" in note for note in notes)


def test_label_files_lie_where_the_sounds_do(tmp_path: Path) -> None:
    for part, which in (("train", "kick"), ("test", "snare")):
        (tmp_path / "Set" / part).mkdir(parents=True)
        (tmp_path / "Set" / part / "metadata.csv").write_text(f"file_name,label\n1.wav,{which}\n")
    found, notes = read_labels(tmp_path, ["Set/train/1.wav", "Set/test/1.wav"])
    assert [label.class_name for label in found.values()] == ["kick", "snare"] and notes == []
    named = read_labels(tmp_path, ["Set/train/1.wav", "Set/test/1.wav"], source="Set/test/metadata.csv")[0]
    assert [label.class_name for label in named.values()] == [None, "snare"]


@pytest.mark.parametrize("formats", [("16bit", "24bit"), ("WAV 24-bit 48kHz", "MP3"), ("44.1 kHz", "96 kHz")])
def test_the_same_in_several_formats_has_the_classes_below(formats: tuple[str, str]) -> None:
    names = [f"{top}/{which}/1.wav" for top in formats for which in ("Kick", "Snare")]
    assert list(read_layout(names).classes.values()) == ["Kick", "Snare"] * 2


def test_packs_side_by_side_are_classes_and_it_is_told_what_they_share() -> None:
    names = [f"{top}/{which}/{i}.wav" for top in ("Pack A", "Pack B") for which in ("Kick", "Snare") for i in range(2)]
    layout = read_layout(names)
    assert set(layout.classes.values()) == {"Pack A", "Pack B"}
    assert len(layout.class_notes) == 1 and "each holds Kick/, Snare/" in layout.class_notes[0]
    assert read_layout([*names, "Pack B/Tom/1.wav"]).class_notes == []
