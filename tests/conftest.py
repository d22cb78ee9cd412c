"""What all tests share. Small tensors are fastest on few threads, and plots need no window."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

RunCli = Callable[..., subprocess.CompletedProcess[str]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a POSIX system on others."""
    if os.name == "nt":
        for item in items:
            if item.get_closest_marker("posix"):
                item.add_marker(pytest.mark.skip(reason="needs links, pipes and signals as POSIX has them"))


@pytest.fixture
def run_cli(tmp_path: Path) -> RunCli:
    """Run `audio-gen ARGS` as a process of its own in an empty folder; the result has returncode, stdout, stderr."""

    def run(*args: str | Path, cwd: Path = tmp_path, timeout_sec: float = 120) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "audio_gen", *map(str, args)]
        return subprocess.run(
            command, cwd=cwd, timeout=timeout_sec, capture_output=True, text=True, stdin=subprocess.DEVNULL
        )

    return run
