"""`audio-gen train` as a user meets it."""

import json
from pathlib import Path

from tests.cli.conftest import Run
from tests.conftest import RunCli
from tests.sounds import write_notes

TINY = Path(__file__).parents[2] / "configs" / "vae" / "tiny.yaml"


def test_train_then_more_then_json(tmp_path: Path, run_cli: RunCli) -> None:
    notes = write_notes(tmp_path / "notes")
    first = run_cli("train", notes, "--run", "run", "--config", TINY, "--steps", "2")
    assert first.returncode == 0, first.stderr
    assert "error on held-out files" in first.stdout and "mel_l1" not in first.stdout
    assert first.stdout.splitlines()[-1] == "finished at step 2; now: audio-gen sample run -n 16 --out clips"
    more = run_cli("train", notes, "--run", "run", "--steps", "3", "--json")
    assert "resuming from step 2" in more.stderr
    told = json.loads(more.stdout)
    assert (told["step"], told["stopped_by"], told["bundle"]) == (3, None, "run/bundle")
    assert told["mel_l1"] > 0


def test_what_a_user_can_mend_is_one_line(tmp_path: Path, run: Run) -> None:
    notes = write_notes(tmp_path / "notes")
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "readme.txt").write_text("no sound")
    for folder, more, told in (
        (notes, ["--set", "train.stepz=3"], "did you mean train.steps?"),
        (notes, ["--set", "mel=44khz"], "no mel preset is called '44khz'"),
        (notes, ["--minutes", "1", "--steps", "2"], "--minutes 1.0 and --steps 2: give one of them"),
        (notes, ["--until", "2020-01-01 07:00"], "until (2020-01-01 07:00) has passed"),
        (notes, ["--until", "soon"], "train.until"),
        (notes, ["--images", "0"], "train.images"),
        (notes, ["--model", "gann"], "--model gann: unknown"),
        (notes, ["--config", "none.yaml"], "none.yaml: cannot be read"),
        (tmp_path / "nowhere", [], "no such folder"),
        (tmp_path / "text", [], "no audio files"),
    ):
        _, error = run("train", folder, "--run", "run", *more, status=2)
        assert error.startswith("error: ")
        assert told in error
        assert error.count("\n") == 1


def test_what_a_run_starts_from_and_that_a_finished_one_learns_no_more(tmp_path: Path, run: Run) -> None:
    for name in ("Kick", "snare"):
        write_notes(tmp_path / "notes" / name, 5)
    train = ("--config", TINY, "--steps", "2", "--device", "cpu")
    run("train", "notes", "--run", "run", *train)
    out, _ = run("train", "notes", "--run", "run", *train)
    assert "nothing was trained: the run was finished at step 2" in out
    (tmp_path / "notes" / "Kick").rename(tmp_path / "notes" / "kicks")
    (tmp_path / "notes" / "snare").rename(tmp_path / "notes" / "bell")
    out, _ = run("train", "notes", "--run", "new", *train, "--init", "run")
    (told,) = [line for line in out.splitlines() if line.startswith("starts from the weights of run")]
    assert told.endswith("known classes: kicks; new classes: bell; dropped classes: snare")
