"""A lock file is held by one at a time, is freed by death, follows no link, and is told where there are no locks."""

import errno
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from audio_gen import locks
from audio_gen.locks import HeldError, exclusive

HOLD = """
import sys, time
from pathlib import Path
from audio_gen.locks import exclusive
with exclusive(Path(sys.argv[1]), wait=False):
    print("held", flush=True)
    time.sleep(60)
"""


def test_one_process_at_a_time_and_none_after_a_kill(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, tmp_path / "x"], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        with pytest.raises(HeldError), exclusive(tmp_path / "x", wait=False):
            pass
        other.kill()
    with exclusive(tmp_path / "x", wait=False) as reason:
        assert reason is None


def test_who_waits_gets_it_when_it_is_free(tmp_path: Path) -> None:
    order = []

    def second() -> None:
        with exclusive(tmp_path / "x", wait=True):
            order.append("second")

    thread = threading.Thread(target=second)
    with exclusive(tmp_path / "x", wait=True):
        thread.start()
        time.sleep(0.1)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]


@pytest.mark.parametrize("wait", [True, False])
@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL, errno.EIO])
def test_a_file_system_without_locks_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wait: bool, code: int
) -> None:
    def refuse(file: int, wait: bool) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(locks, "_try_lock", refuse)
    with exclusive(tmp_path / "x", wait=wait) as reason:
        assert reason == os.strerror(code)


@pytest.mark.posix
def test_no_link_is_followed_and_nothing_is_written(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / "link").symlink_to(victim)
    (tmp_path / "dangling").symlink_to(tmp_path / "new")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("link", "dangling", "pipe", "folder"):
        with pytest.raises(OSError), exclusive(tmp_path / name, wait=False):
            pass
    with exclusive(victim, wait=False):
        pass
    assert victim.read_bytes() == b"precious" and not (tmp_path / "new").exists()
