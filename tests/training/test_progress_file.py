"""progress.json: seldom, whole, and never in the way of training."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from audio_gen.training import progress
from audio_gen.training.progress import ProgressFile, is_running, read_progress


class Clock:
    """A clock that moves when told."""

    now_sec = 0.0

    def __call__(self) -> float:
        return self.now_sec


def read(run: Path) -> dict[str, Any]:
    entry = read_progress(run)
    assert entry is not None
    return entry


def test_it_is_written_at_once_then_seldom_and_at_the_end(tmp_path: Path) -> None:
    clock = Clock()
    file = ProgressFile(tmp_path, clock)
    assert read_progress(tmp_path) is None
    for step in range(1, 8):
        file.update(step, step / 10, 10.0 - step, float(step))
        assert read(tmp_path)["step"] == (1 if step < 6 else 6)
        clock.now_sec += 1
    entry = read(tmp_path)
    assert entry["updated"] == pytest.approx(time.time(), abs=60)
    del entry["updated"]
    assert entry == {
        "state": "running", "step": 6, "progress": 0.6, "left_sec": 4.0, "elapsed_sec": 6.0, "pid": os.getpid(),
        "host": socket.gethostname(), "error": None,
    }  # fmt: skip
    file.end("failed", "no room\n left")
    entry = read(tmp_path)
    assert (entry["state"], entry["step"], entry["error"]) == ("failed", 7, "no room left")
    file.update(8, 0.8, None, 8.0)  # a session that goes on after all
    assert read(tmp_path)["state"] == "running"


def test_what_is_not_finite_is_null(tmp_path: Path) -> None:
    ProgressFile(tmp_path).update(1, 0.1, float("inf"), float("nan"))
    assert (read(tmp_path)["left_sec"], read(tmp_path)["elapsed_sec"]) == (None, None)


def test_a_disk_that_cannot_be_written_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    file = ProgressFile(tmp_path / "file")
    file.update(1, 0.1, 1.0, 1.0)
    file.end("finished")

    def full(path: Path, value: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(progress, "write_json", full)
    ProgressFile(tmp_path).update(1, 0.1, 1.0, 1.0)
    assert read_progress(tmp_path) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"step": 1}', "\x00\x00", '{"state": 3}'])
def test_a_damaged_file_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "progress.json").write_text(text)
    assert read_progress(tmp_path) is None
    (tmp_path / "progress.json").write_bytes(b"\xff\xfe")
    assert read_progress(tmp_path) is None


def test_a_killed_process_is_not_running(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from audio_gen.training.progress import ProgressFile\n"
        "ProgressFile(Path(sys.argv[1])).update(3, 0.3, 7.0, 3.0); print('ready', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    assert is_running(read(tmp_path))
    process.kill()
    process.wait()
    process.stdout.close()
    assert read(tmp_path)["state"] == "running" and not is_running(read(tmp_path))


def test_who_is_running() -> None:
    here = {"state": "running", "host": socket.gethostname(), "pid": os.getpid(), "updated": time.time()}
    there = {**here, "host": "another", "pid": 1}
    assert is_running(here) and is_running(there)
    assert not is_running({**here, "state": "finished"})
    assert not is_running({**there, "updated": time.time() - 90})
    assert not is_running({**here, "updated": time.time() - 7200})  # another process has the number by now
    for pid in (None, "x", 0, -1, 2**80):
        assert not is_running({**here, "pid": pid})
    assert not is_running({"state": "running"})


def test_a_deleted_run_is_not_made_again(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    file = ProgressFile(run)
    shutil.rmtree(run)
    file.update(1, 0.1, 1.0, 1.0)
    assert not run.exists()
    assert json.dumps(read_progress(run)) == "null"
