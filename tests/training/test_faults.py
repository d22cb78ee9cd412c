"""Runs that are killed, and disks that are full: what a run has at its end is what it would have had undisturbed.

`python -m pytest -m faults` runs these; they take minutes. Sixty kills at random moments, each model a third of them.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from audio_gen.artefacts.checkpoint import load_checkpoint
from audio_gen.training.metrics import read_metrics
from tests.sounds import write_notes

resource = pytest.importorskip("resource", reason="has no such limits")

pytestmark = [pytest.mark.faults, pytest.mark.skipif(os.name == "nt", reason="has no such signals")]

ROOT = Path(__file__).parents[2]
STEPS, KILLS, SIGNALS = 150, 20, (signal.SIGTERM, signal.SIGINT, signal.SIGKILL)
SETTINGS = ["train.previews=3", "train.validations=5", "train.checkpoint_minutes=0.002", "train.warmup_steps=5",
            "train.compact=false"]  # fmt: skip


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_notes(tmp_path_factory.mktemp("notes"), count=12)


def command(notes: Path, run: Path, model: str) -> list[str]:
    config = ROOT / "configs" / model / "tiny.yaml"
    line = [sys.executable, "-m", "audio_gen", "train", str(notes), "--run", str(run), "--model", model]
    line += ["--config", str(config), "--steps", str(STEPS), "--device", "cpu"]
    return line + [part for setting in SETTINGS for part in ("--set", setting)]


def started(notes: Path, run: Path, model: str, *, largest_file: int | None = None) -> subprocess.Popen[str]:
    """Train in a process of its own; with `largest_file` no file can have more bytes, as on a disk that is full."""

    def limit() -> None:
        if largest_file is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command(notes, run, model), cwd=ROOT, env=environment, text=True, preexec_fn=limit,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def finish(notes: Path, run: Path, model: str) -> str:
    """Train to the end; what it said."""
    process = started(notes, run, model)
    out, error = process.communicate(timeout=600)
    assert process.returncode == 0, error
    return out + error


def end_of(run: Path) -> dict[str, torch.Tensor]:
    """All weights, averaged ones, and the optimisers' state."""
    state = load_checkpoint(run / "checkpoints" / f"step-{STEPS:08d}.pt")
    flat = {f"module.{key}": value for key, value in state["modules"].items()}
    flat |= {f"ema.{key}": value for key, value in state["ema"].items()}
    for name, optimiser in state["optimisers"].items():
        for number, values in optimiser["state"].items():
            flat |= {f"{name}.{number}.{key}": value for key, value in values.items()}
    return flat


def assert_same(run: Path, reference: Path) -> None:
    mine, theirs = end_of(run), end_of(reference)
    assert mine.keys() == theirs.keys()
    different = [key for key in mine if mine[key].numpy().tobytes() != theirs[key].numpy().tobytes()]
    assert different == []
    steps = [line["step"] for line in read_metrics(run) if "lr" in line]
    assert steps == list(range(1, STEPS + 1))


@pytest.fixture(scope="module")
def references(notes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of each model that nothing disturbed, and how long it took from its first checkpoint on."""
    folder = tmp_path_factory.mktemp("references")
    for model in ("vae", "gan", "vocoder"):
        began = time.monotonic()
        finish(notes, folder / model, model)
        (folder / f"{model}.json").write_text(json.dumps(time.monotonic() - began))
    return folder


@pytest.mark.parametrize("model", ["vae", "gan", "vocoder"])
def test_kills_at_any_moment_change_nothing(notes: Path, tmp_path: Path, references: Path, model: str) -> None:
    chance, took = random.Random(model), json.loads((references / f"{model}.json").read_text())
    kills, runs = 0, 0
    while kills < KILLS:
        run, runs = tmp_path / f"run-{runs}", runs + 1
        while kills < KILLS:
            process = started(notes, run, model)
            try:
                process.communicate(timeout=chance.uniform(0.2, 1.1) * took)
                break  # it came to its end before the kill
            except subprocess.TimeoutExpired:
                process.send_signal(chance.choice(SIGNALS))
                _, error = process.communicate(timeout=120)
                kills += 1
                assert "Traceback" not in error, error
        finish(notes, run, model)
        assert_same(run, references / model)


def test_a_full_disk_loses_no_run(notes: Path, tmp_path: Path, references: Path) -> None:
    """Files may become so large that a first checkpoint fits in, and not those with an optimiser's state."""
    run = tmp_path / "run"
    sizes = [path.stat().st_size for path in (references / "vae/checkpoints").glob("step-*.pt")]
    process = started(notes, run, "vae", largest_file=max(sizes) - 1000)
    out, error = process.communicate(timeout=600)
    assert process.returncode == 2, error
    assert "cannot be written" in error
    assert len(error.splitlines()) == 1
    assert "training continues" in out
    assert not list(run.rglob("*.tmp*"))
    finish(notes, run, "vae")
    assert_same(run, references / "vae")


@pytest.mark.parametrize("damage", ["cut off", "flipped"])
def test_damaged_checkpoints_are_passed_over(notes: Path, tmp_path: Path, references: Path, damage: str) -> None:
    run = tmp_path / "run"
    shutil.copytree(references / "vae", run)
    newest = max((run / "checkpoints").glob("step-*.pt"))
    data = bytearray(newest.read_bytes())
    data[len(data) // 3] ^= 1
    newest.write_bytes(data[: len(data) // 2] if damage == "cut off" else data)
    assert newest.name in finish(notes, run, "vae")
    assert_same(run, references / "vae")


def test_two_trainers_are_not_in_one_folder(notes: Path, tmp_path: Path, references: Path) -> None:
    run = tmp_path / "run"
    first = started(notes, run, "vae")
    while not (run / ".lock").exists():
        time.sleep(0.05)
    second = started(notes, run, "vae")
    _, error = second.communicate(timeout=120)
    assert second.returncode == 2
    assert "another process trains here" in error
    first.communicate(timeout=600)
    assert first.returncode == 0
    assert_same(run, references / "vae")


def test_files_that_vanish_or_change_do_not_end_a_run(notes: Path, tmp_path: Path) -> None:
    """The sounds are in the run's cache by then; the next session says that the folder has changed."""
    folder, run = tmp_path / "notes", tmp_path / "run"
    shutil.copytree(notes, folder)
    process = started(folder, run, "vae")
    while not (run / "checkpoints").is_dir():
        time.sleep(0.05)
    files = sorted(folder.rglob("*.wav"))
    files[0].unlink()
    files[1].write_bytes(b"RIFF rot")
    _, error = process.communicate(timeout=600)
    assert process.returncode == 0, error
    assert "files were changed" in finish(folder, run, "vae")
