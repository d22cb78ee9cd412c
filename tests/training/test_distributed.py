"""Several processes on one run: the same result as one, the same line for what is wrong, an end when one has gone."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from audio_gen.artefacts.checkpoint import load_checkpoint
from audio_gen.distributed import World
from audio_gen.errors import ConfigError
from audio_gen.training.metrics import read_metrics
from tests.sounds import write_notes

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_notes(tmp_path_factory.mktemp("notes"), count=12)


def command(notes: Path, run: Path, model: str, *settings: str) -> list[str]:
    rest = ["train.previews=0", "train.validations=0", "train.log_every=1", "train.compact=false", *settings]
    overrides = [part for setting in rest for part in ("--set", setting)]
    return [
        sys.executable, "-m", "audio_gen", "train", str(notes), "--model", model, "--run", str(run), "--device", "cpu",
        "--config", str(CONFIGS / model / "tiny.yaml"), *overrides,
    ]  # fmt: skip


def start(args: list[str], size: int) -> list[subprocess.Popen[str]]:
    """The processes of one run, as a launcher starts them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    return [
        subprocess.Popen(
            args, env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for rank in range(size)
    ]  # fmt: skip


def ended(processes: list[subprocess.Popen[str]], seconds: float = 300) -> list[tuple[int, str]]:
    """Exit status and lines on standard error of each, but for how far the cache is."""
    lines = [p.communicate(timeout=seconds)[1].splitlines(keepends=True) for p in processes]
    told = ["".join(line for line in some if not line.startswith(("Reading", "Storing"))) for some in lines]
    return [(p.returncode, text) for p, text in zip(processes, told, strict=True)]


def newest(run: Path) -> dict:
    return load_checkpoint(sorted((run / "checkpoints").glob("step-*.pt"))[-1])


def furthest(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    assert a.keys() == b.keys()
    return max(float((a[key].double() - b[key].double()).abs().max()) for key in a)


def same_of_one_and_two(notes: Path, place: Path, model: str, steps: int) -> None:
    settings = ("train.micro_batches=2", f"train.steps={steps}")
    for size in (1, 2):
        assert ended(start(command(notes, place / str(size), model, *settings), size)) == [(0, "")] * size
    one, two = (newest(place / str(size)) for size in (1, 2))
    assert one["step"] == two["step"] == steps
    assert furthest(one["modules"], two["modules"]) < 1e-5
    assert furthest(one["ema"], two["ema"]) < 1e-5
    logged = [[row["loss/mel"] for row in read_metrics(place / str(size)) if "loss/mel" in row] for size in (1, 2)]
    assert logged[0] == pytest.approx(logged[1], rel=1e-4)


def test_two_processes_train_what_one_does(notes: Path, tmp_path: Path) -> None:
    same_of_one_and_two(notes, tmp_path, "vae", steps=4)


@pytest.mark.faults
@pytest.mark.parametrize("model", ["vae", "gan", "vocoder"])
def test_two_processes_train_what_one_does_for_twenty_steps(notes: Path, tmp_path: Path, model: str) -> None:
    same_of_one_and_two(notes, tmp_path, model, steps=20)


@pytest.mark.posix
@pytest.mark.faults
def test_when_one_is_killed_the_other_ends_and_the_run_goes_on_alone(notes: Path, tmp_path: Path) -> None:
    args = command(notes, tmp_path / "run", "vae", "train.steps=100000", "train.checkpoint_minutes=0.01")
    lead, other = start(args, 2)
    deadline = time.monotonic() + 120
    while len(list((tmp_path / "run" / "checkpoints").glob("step-*.pt"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    other.send_signal(signal.SIGKILL)
    killed = time.monotonic()
    (status, lines), _ = ended([lead, other], 60)
    assert time.monotonic() - killed < 60
    assert status == 2
    assert "process 0 lost contact with the other processes; start all of them again" in lines
    assert len(lines.strip().splitlines()) == 1
    step = newest(tmp_path / "run")["step"]
    again = command(notes, tmp_path / "run", "vae", "train.checkpoint_minutes=0.01", f"train.steps={step + 2}")
    assert ended(start(again, 1)) == [(0, "")]
    assert newest(tmp_path / "run")["step"] == step + 2


@pytest.mark.faults
def test_a_signal_to_one_stops_all_and_the_state_is_saved(notes: Path, tmp_path: Path) -> None:
    processes = start(command(notes, tmp_path / "run", "vae", "train.steps=100000"), 2)
    deadline = time.monotonic() + 120
    while len(read_metrics(tmp_path / "run")) < 3 and time.monotonic() < deadline:
        time.sleep(0.1)
    processes[1].send_signal(signal.SIGTERM)
    assert ended(processes, 60) == [(0, "")] * 2
    assert newest(tmp_path / "run")["step"] == read_metrics(tmp_path / "run")[-1]["step"] >= 3


@pytest.mark.faults
@pytest.mark.parametrize(
    ("setting", "line"),
    [("train.batch_size=3", "cannot be split into 2 equal micro-batches"), ("train.lr=-1", "train.lr"),
     ("train.micro_batches=3", "cannot be spread over 2 processes")],
)  # fmt: skip
def test_what_is_wrong_is_told_once(notes: Path, tmp_path: Path, setting: str, line: str) -> None:
    (first, told), (second, silent) = ended(start(command(notes, tmp_path / "run", "vae", setting), 2))
    assert first == second == 2
    assert line in told
    assert silent == ""


@pytest.mark.parametrize(
    ("size", "batch", "count", "own"),
    [(1, 32, None, [(0, 1, 32)]), (2, 32, None, [(0, 2, 16), (1, 2, 16)]), (1, 32, 4, [(i, 4, 8) for i in range(4)])],
)
def test_every_micro_batch_is_one_process_s(size: int, batch: int, count: int | None, own: list[tuple]) -> None:
    found = [World(rank, size).micro_batches(batch, count) for rank in range(size)]
    assert [(number, parts, clips) for numbers, parts, clips in found for number in numbers] == own


@pytest.mark.parametrize(("batch", "count"), [(33, None), (32, 3)])
def test_batches_that_cannot_be_spread_are_refused_with_a_number_that_can(batch: int, count: int | None) -> None:
    with pytest.raises(ConfigError, match=r"give --set train\.") as told:
        World(0, 2).micro_batches(batch, count)
    key, value = str(told.value).rsplit("--set train.", 1)[1].split("=")
    if key == "micro_batches":
        World(0, 2).micro_batches(12 * int(value), int(value))
    else:
        World(0, 2).micro_batches(int(value), count)


def test_more_micro_batches_than_clips_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"train\.micro_batches \(4\) is above train\.batch_size \(2\)"):
        World(0, 2).micro_batches(2, 4)
