"""What commands import before they begin: torch alone takes seconds, and what comes on top of it is felt."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

# Each takes a noticeable part of a second to import, and few commands need them at once.
SLOW = {"torchaudio", "librosa", "scipy.stats", "sklearn", "matplotlib", "torch._dynamo", "tensorboard", "onnx"}
TOLD = (
    "import sys; from audio_gen.cli.app import run; run(sys.argv[1:]); print(*sys.modules, sep='\\n', file=sys.stderr)"
)


def _imported(*arguments: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", TOLD, *arguments], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["inspect"], ["status"], ["preprocess", "--help"]])
def test_help_and_what_only_reads_start_without_torch(tmp_path: Path, arguments: list[str]):
    sf.write(tmp_path / "a.wav", np.full(4410, 0.1, np.float32), 44100)
    if arguments in (["inspect"], ["status"]):
        arguments = [*arguments, str(tmp_path)]
    assert not _imported(*arguments) & {"torch", *SLOW}


def test_sample_starts_with_torch_and_little_else():
    parts = ["directions", "distinct", "finish", "grid", "clip_file"]
    own = ["audio_gen.cli.sample", "audio_gen.generation.operations.sample"]
    slow = _imported_by(", ".join([*own, *(f"audio_gen.generation.{part}" for part in parts)]))
    assert "torch" in slow and not slow & {*SLOW, "numba", "scipy"}


def _imported_by(modules: str) -> set[str]:
    code = f"import sys, {modules}; from audio_gen.audio.mel import *; mel_filters(PRESETS[DEFAULT_PRESET]); "
    command = [sys.executable, "-c", code + "print(*sys.modules)"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
