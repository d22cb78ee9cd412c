"""Labels of each kind, and which one wins."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from audio_gen.data.labels import Label, read_labels
from audio_gen.data.pitch import estimate_midi
from audio_gen.errors import ConfigError, DataError
from tests import sounds


def labels(folder: Path, *names: str, **how: str) -> list[Label]:
    found, _ = read_labels(folder, names, **how)
    return [found[name] for name in names]


def test_classes_from_folders(tmp_path: Path) -> None:
    assert labels(tmp_path, "kick/a.wav", "snare/deep/b.wav", "c.wav") == [Label("kick"), Label("snare"), Label()]
    assert labels(tmp_path, "kick/a.wav", "kick/b.wav") == [Label(), Label()]


def test_everything_from_names(tmp_path: Path) -> None:
    assert labels(tmp_path, "violin-060-110.flac", "a b-c-000-127.wav") == [
        Label("violin", 60.0, 110),
        Label("a b-c", 0.0, 127),
    ]
    assert labels(tmp_path, "take 3.wav", "violin-200-110.wav") == [Label(), Label()]


def test_a_pattern_of_ones_own(tmp_path: Path) -> None:
    assert labels(tmp_path, "kick_C_36.wav", pattern=r"(?P<class>[a-z]+)_\w_(?P<pitch>\d+)") == [Label("kick", 36.0)]
    with pytest.raises(ConfigError, match="not a regular expression"):
        read_labels(tmp_path, [], pattern="(")


def test_a_csv_wins_field_by_field(tmp_path: Path) -> None:
    text = "file,Instrument,pitch\nviolin-060-110.wav,fiddle,\nx/b,,61.5\ngone.wav,x,1\n"
    (tmp_path / "metadata.csv").write_text("\ufeff" + text, encoding="utf-8")
    found, notes = read_labels(tmp_path, ["x/violin-060-110.wav", "x/b.wav", "y/c.wav"])
    assert found["x/violin-060-110.wav"] == Label("fiddle", 60.0, 110)
    assert found["y/c.wav"] == Label("y")
    assert "gone.wav" in notes[0]


def test_a_csv_names_files_by_path_name_or_stem(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("file,class\nx/a.wav,first\nb.wav,second\nc,third\n")
    found = labels(tmp_path, "x/a.wav", "x/b.wav", "x/c.wav", "y/a.wav", source=str(tmp_path / "labels.csv"))
    assert [label.class_name for label in found] == ["first", "second", "third", None]


def test_nsynth(tmp_path: Path) -> None:
    fields = {"pitch": 60, "velocity": 75, "instrument_family_str": "guitar", "instrument_str": "guitar_acoustic_001"}
    (tmp_path / "examples.json").write_text(json.dumps({"guitar_acoustic_001-060-075": fields}))
    assert labels(tmp_path, "audio/guitar_acoustic_001-060-075.wav") == [Label("guitar", 60.0, 75)]


def test_sources_can_be_chosen(tmp_path: Path) -> None:
    names = ("x/violin-060-110.wav", "y/b.wav")
    assert labels(tmp_path, *names)[0] == Label("x", 60.0, 110)
    assert labels(tmp_path, *names, source="none")[0] == Label()
    assert labels(tmp_path, *names, source="folders")[0] == Label("x")
    assert labels(tmp_path, *names, source="names")[0] == Label("violin", 60.0, 110)


BAD_FILES = [
    ("metadata.csv", "name,class\na.wav,x\n", "no column 'file'"),
    ("metadata.csv", "file,pitch\na.wav,high\n", "line 2: pitch .high. is not a number"),
    ("labels.csv", "file,pitch\na.wav,1\na.wav,128\n", "line 3: pitch .128. is outside"),
    ("examples.json", "[1]", "NSynth"),
    ("examples.json", "{", "cannot be read"),
]


@pytest.mark.parametrize(("name", "text", "message"), BAD_FILES)
def test_bad_label_files_are_told(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message):
        read_labels(tmp_path, ["a.wav"], source=str(tmp_path / name))


@pytest.mark.parametrize(("name", "text", "message"), BAD_FILES)
def test_files_of_another_kind_are_told_and_wrong_values_end_it(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    (tmp_path / name).write_text(text)
    if not message.startswith("line"):
        found, notes = read_labels(tmp_path, ["x/a.wav", "y/a.wav"])
        assert found["x/a.wav"] == Label("x")
        assert re.search(message, notes[0]) and notes[0].startswith(f"{name}: ")
    else:
        with pytest.raises(DataError, match=message):
            read_labels(tmp_path, ["a.wav"])


@pytest.mark.parametrize("midi", [40, 57, 69, 84])
def test_estimated_pitch(midi: int) -> None:
    wav = sounds.pluck(440 * 2 ** ((midi - 69) / 12), sec=0.6)
    assert estimate_midi(wav, sounds.RATE) == pytest.approx(midi, abs=0.2)


def test_noise_has_no_pitch() -> None:
    assert estimate_midi(sounds.noise(), sounds.RATE) is None
    assert estimate_midi(np.zeros(300, np.float32) + sounds.noise(sec=300 / sounds.RATE), sounds.RATE) is None


def test_files_that_a_table_leaves_to_their_folders_are_told(tmp_path: Path) -> None:
    names = ["Hats/1.wav", "Hats/2.wav", "Kicks/1.wav"]
    (tmp_path / "labels.csv").write_text("file,class\nHats/1.wav,hat\nKicks/1.wav,kick\n")
    labels, notes = read_labels(tmp_path, names)
    assert [labels[name].class_name for name in names] == ["hat", "Hats", "kick"]
    (told,) = [note for note in notes if "no label file" in note]
    assert "1 file of 3, such as Hats/2.wav" in told and "(Hats)" in told
    (tmp_path / "labels.csv").write_text("file,class\nHats/1.wav,hat\nHats/2.wav,hat\nKicks/1.wav,kick\n")
    assert not [note for note in read_labels(tmp_path, names)[1] if "no label file" in note]
