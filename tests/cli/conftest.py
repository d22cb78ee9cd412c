"""What tests of commands share."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from audio_gen.cli import app

Run = Callable[..., tuple[str, str]]
WHOLE = ["--length", "model", "--normalize", "none"]  # clips as long and as loud as the model makes them


def clip_of(folder: str, seed: int) -> Path:
    """The WAV that `sample` made of a seed, whatever its class and note."""
    (path,) = Path(folder).rglob(f"*-{seed:04d}.wav")
    return path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run a command in this process; returns what it printed, and expects `status`."""
    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUDIO_GEN_CACHE", str(tmp_path / "kept"))

    def run(*args: str | Path, status: int = 0) -> tuple[str, str]:
        monkeypatch.setattr("sys.argv", ["audio-gen", *map(str, args)])
        assert app.run([str(arg) for arg in args]) == status
        return capsys.readouterr()

    return run
