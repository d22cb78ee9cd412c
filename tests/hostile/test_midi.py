"""Damaged MIDI files: each is read, or refused in one line."""

from pathlib import Path

import pytest

from audio_gen.errors import AudioGenError
from audio_gen.midi.read import read_score
from audio_gen.midi.score import Note, Score
from audio_gen.midi.write import write_score
from tests.hostile.mutate import mutated


def midi(folder: Path) -> bytes:
    notes = tuple(Note(0.2 * i, 40 + i, 0.3, 60 + i, i % 3, i) for i in range(20))
    write_score(folder / "a.mid", Score(notes, tempos=((0.0, 90.0), (1.0, 130.0))))
    return (folder / "a.mid").read_bytes()


def faults(folder: Path, seeds: range) -> list[str]:
    found = []
    data, path = midi(folder), folder / "b.mid"
    for seed in seeds:
        path.write_bytes(mutated(data, seed))
        try:
            score = read_score(path)
            if not all(0 <= n.pitch <= 127 and 1 <= n.velocity <= 127 and n.length_sec > 0 for n in score.notes):
                found.append(f"{seed}: a note out of range")
        except AudioGenError as e:
            if len(str(e).splitlines()) != 1 or len(str(e)) > 1000:
                found.append(f"{seed}: {e}")
        except Exception as e:
            found.append(f"{seed}: {type(e).__name__} {e}")
    return found


def test_some_damaged_files(tmp_path: Path) -> None:
    assert faults(tmp_path, range(150)) == []


@pytest.mark.hostile
def test_many_damaged_files(tmp_path: Path) -> None:
    assert faults(tmp_path, range(150, 6000)) == []
