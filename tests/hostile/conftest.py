"""A small run with all that one leaves, made once."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from audio_gen.cli import app
from tests.sounds import write_notes

ROOT = Path(__file__).parents[2]
TINY = ROOT / "configs" / "vae" / "tiny.yaml"
FAST = ["--device", "cpu", "--vocoder", "griffinlim:2"]


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `notes`, `run`, `clips` and `ref.safetensors`."""
    torch.set_num_threads(1)
    place = tmp_path_factory.mktemp("trained")
    os.environ["AUDIO_GEN_CACHE"] = str(place / "kept")
    write_notes(place / "notes", count=12)
    train = ["train", place / "notes", "--run", place / "run", "--config", TINY, "--device", "cpu"]
    for line in (
        [*train, "--set", "train.compact=false"],
        ["sample", place / "run", "-n", "2", "--out", place / "clips", *FAST],
        ["evaluate", place / "notes", "--save-reference", place / "ref.safetensors", "--pitch", "none"],
    ):
        assert app.run([str(part) for part in line]) == 0
    return place


@pytest.fixture
def own(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, in which a test works."""
    shutil.copytree(trained, tmp_path / "own")
    monkeypatch.chdir(tmp_path / "own")
    monkeypatch.setenv("AUDIO_GEN_CACHE", str(tmp_path / "own" / "kept"))
    return tmp_path / "own"


Attempt = Callable[..., str]


@pytest.fixture
def attempt(capfd: pytest.CaptureFixture[str]) -> Attempt:
    """Run a command that may fail, as a user's fault does and no other way; returns its error line, empty if none."""

    def attempt(*args: str | Path) -> str:
        capfd.readouterr()
        status = app.run([str(arg) for arg in args])
        out, err = capfd.readouterr()
        assert status in (0, 1, 2), f"{args}: {status}"
        assert "Traceback" not in out + err, err
        if status == 0:
            return ""
        line = err.strip().splitlines()[-1]
        assert line.startswith("error: ") and line.isprintable() and len(line) < 1000, line
        return line

    return attempt
