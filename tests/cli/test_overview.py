"""What `inspect` tells of a folder, and `sample` and `train` of what they do."""

import math
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from audio_gen.cli.train_printer import TrainPrinter
from audio_gen.data.overview import aligned, dbfs, one_of
from audio_gen.generation.grid import MAX_CLIPS, grid_note
from audio_gen.training.events import Evaluated, StepDone, StepLogged, Validated
from audio_gen.training.narration import step_line
from tests.cli.conftest import Run


def test_equal_notes_are_one_line_and_classes_are_counted(run: Run, tmp_path: Path) -> None:
    tone = 0.5 * np.sin(np.arange(4410) * 0.1).astype(np.float32)
    for i in range(14):
        path = tmp_path / "set" / ("bell" if i % 2 else "drum") / f"{i}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        sf.write(path, np.stack([tone * (1 - i / 20)] * 2, axis=1), 44100)
    sf.write(tmp_path / "set" / "drum" / "silent.wav", np.zeros(4410, np.float32), 44100)
    out, _ = run("inspect", "set")
    lines = out.splitlines()
    assert [line for line in lines if "stereo mixed to mono" in line] == [
        "used     14 files:  stereo mixed to mono  bell/1.wav, bell/11.wav, bell/13.wav, .."
    ]
    assert lines[0].startswith("skipped  1 file: ") and "drum/silent.wav" in lines[0]
    (header,) = [i for i, line in enumerate(lines) if line.split()[:2] == ["class", "clips"]]
    assert [line.split()[:3] for line in lines[header + 1 : header + 4]] == [
        ["bell", "7", "0.7"], ["drum", "7", "0.7"], ["all", "14", "1.4"],
    ]  # fmt: skip
    assert "-6.0, median" in lines[header + 2]  # the loudest drum
    assert "14 different sounds are too few" in out and "2 classes have fewer than 10 clips" in out


def test_long_sounds_are_for_a_sequence_model(run: Run, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    for i in range(2):
        tone = 0.1 * np.sin(np.arange(40 * 8000) * (0.2 + 0.1 * i))
        sf.write(tmp_path / "set" / f"{i}.wav", tone, 8000)
    out, _ = run("inspect", "set")
    assert "2 are longer than 10 s, 1.33 minutes in all: train --model sequence learns from passages" in out


def test_a_damaged_label_file_is_told_and_the_rest_is_shown(run: Run, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    sf.write(tmp_path / "set" / "a.wav", 0.1 * np.sin(np.arange(4410)), 44100)
    (tmp_path / "set" / "labels.csv").write_text("no such column\n")
    out, _ = run("inspect", "set")
    assert "labels.csv" in out and "(no class)" in out


def test_notes_that_differ_in_numbers_alone_are_given_as_ranges() -> None:
    assert one_of(["clipped in 3 places", "clipped in 12 places"]) == "clipped in 3 to 12 places"
    assert one_of(["peak -60 dBFS", "peak -60 dBFS"]) == "peak -60 dBFS"
    assert aligned([("a", "1"), ("bcd", "10")], right=frozenset({1})) == ["a     1", "bcd  10"]


def test_levels_are_below_full_scale() -> None:
    assert [dbfs(x) for x in (1.0, 0.5, 0.0)] == [0.0, -6.0, -120.0]
    assert math.copysign(1, dbfs(0.9999)) == 1


def test_progress_is_told_in_words() -> None:
    event = StepDone(840, progress=0.1201, step_sec=1 / 2.4, left_sec=554.0, elapsed_sec=1.0)
    assert step_line(event) == "step 840 of about 7,000  9:14 left  (2.4 steps/s)"
    event = StepDone(3, progress=0.1, step_sec=4.0, left_sec=108.0, elapsed_sec=12.0)
    assert step_line(event) == "step 3 of 30  1:48 left  (0.25 steps/s)"


@pytest.mark.parametrize("verbose", [False, True])
def test_losses_are_shown_to_those_who_ask(capsys: pytest.CaptureFixture[str], verbose: bool) -> None:
    printer = TrainPrinter(verbose=verbose)
    printer(StepLogged(1, {"loss/adv_d": 0.69}, step_sec=1.0, elapsed_sec=1.0))
    printer(Validated(1, {"guess_l1": 0.5}))
    figures = {"kad": 1.25, "kad_floor": 0.2, "memorised": 0.0}
    printer(Evaluated(1, figures, evaluation_sec=1.0, elapsed_sec=1.0))
    out = capsys.readouterr().out
    assert ("guess_l1" in out) == verbose and ("kad" in out) == verbose and "1.25" in out
    assert printer.values == {"guess_l1": 0.5}
    assert ("adv_d" in printer._latest) == verbose


def test_a_picture_of_some_clips_says_of_how_many() -> None:
    assert grid_note(MAX_CLIPS) == "grid.png"
    assert grid_note(100) == "grid.png (the first 64 of 100 clips)"


def test_a_file_with_two_repairs_is_one_line(run: Run, tmp_path: Path) -> None:
    tone = 0.5 * np.sin(np.arange(4410) * 0.1)
    (tmp_path / "set").mkdir()
    sf.write(tmp_path / "set" / "a.wav", np.concatenate([np.zeros(88200), tone, np.zeros(88200)]), 44100)
    sf.write(tmp_path / "set" / "b.wav", tone, 44100)
    sf.write(tmp_path / "set" / "c.wav", tone, 44100)
    out, _ = run("inspect", "set")
    (line,) = [line for line in out.splitlines() if "a.wav" in line]
    assert "at its start cut" in line and "at its end cut" in line
    assert "1 duplicate;" in out


def test_inspect_does_not_send_the_user_to_itself(run: Run, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    sf.write(tmp_path / "set" / "a.wav", np.zeros(4410), 44100)
    _, error = run("inspect", "set", status=1)
    assert "none of its 1 audio files can be used" in error and "inspect" not in error
