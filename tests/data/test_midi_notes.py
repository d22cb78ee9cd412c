"""Notes cut out of recordings by their MIDI files."""

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from audio_gen.data.midi_notes import cut_notes, find_pairs
from audio_gen.errors import DataError, OutputError
from audio_gen.midi.score import Score
from audio_gen.midi.write import write_score
from tests.midi.test_alignment import RATE, drifted, melody, played


def pair(folder: Path, name: str = "take", seed: int = 0, offset: float = 1.2) -> Score:
    """A recording that begins later than its score; the true notes."""
    folder.mkdir(parents=True, exist_ok=True)
    score = melody(seed)
    true = drifted(score, offset)
    write_score(folder / f"{name}.mid", Score(score.notes, track_names={0: "Lead"}))
    sf.write(folder / f"{name}.wav", played(true), RATE)
    return true


def test_notes_are_cut_and_labelled(tmp_path: Path) -> None:
    true = pair(tmp_path / "in")
    found = cut_notes(tmp_path / "in", tmp_path / "notes")
    rows = list(csv.DictReader((tmp_path / "notes/metadata.csv").open()))
    assert found.count == len(rows) > 0.7 * len(true.notes) and found.pairs == 1
    starts = np.array([note.start_sec for note in true.notes])
    right = 0
    for row in rows:
        nearest = int(np.argmin(np.abs(starts - float(row["start_sec"]))))
        right += (
            abs(starts[nearest] - float(row["start_sec"])) < 0.03 and int(row["pitch"]) == true.notes[nearest].pitch
        )
        x, rate = sf.read(tmp_path / "notes" / row["file"])
        assert rate == RATE and len(x) > 0.1 * RATE and row["class"] == "Lead" and row["velocity"] == "100"
        assert abs(x[-1]) < 1e-3
    assert right > 0.9 * len(rows)


def test_a_score_that_does_not_fit_is_named_with_its_figure(tmp_path: Path) -> None:
    pair(tmp_path / "in", "right")
    pair(tmp_path / "in", "wrong")
    write_score(tmp_path / "in/wrong.mid", melody(7))
    found = cut_notes(tmp_path / "in", tmp_path / "notes")
    assert [path.name for path in found.refused] == ["wrong.wav"] and found.pairs == 1
    (tmp_path / "in/right.mid").unlink()
    with pytest.raises(DataError, match=r"wrong.wav with an F1 of onsets of 0\.\d\d"):
        cut_notes(tmp_path / "in", tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_folders_without_pairs_and_used_outputs_are_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write_score(tmp_path / "in/a.mid", melody())
    with pytest.raises(DataError, match="1 MIDI files and no pair"):
        find_pairs(tmp_path / "in")
    with pytest.raises(DataError, match="not a folder"):
        find_pairs(tmp_path / "in/a.mid")
    pair(tmp_path / "in", "b")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("x")
    with pytest.raises(OutputError, match="holds files"):
        cut_notes(tmp_path / "in", tmp_path / "out")
