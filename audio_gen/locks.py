"""Lock files that the system releases when a process ends in any way, and file systems without locks.

The filelock package does not guarantee this: without flock it uses a marker file, which SIGKILL leaves
behind, and some of its releases truncate the file or follow a link.
"""

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from audio_gen.files import open_no_link

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

HELD = {errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK}  # the last two from Windows
WAIT_SEC = 0.1


class HeldError(Exception):
    """Another process holds the lock."""


@contextmanager
def exclusive(path: Path, *, wait: bool) -> Iterator[str | None]:
    """Hold a lock file; it is created if missing, stays empty, and is not deleted.

    Args:
        path: The file; its folder exists.
        wait: Wait until it is free.

    Yields:
        None, or the reason why nothing is held (some network file systems have no locks). Continue then, with a note.

    Raises:
        HeldError: Another process or thread holds it, and `wait` is false.
        OSError: The file cannot be created, or it is a link.
    """
    file = open_no_link(str(path), os.O_RDWR | os.O_CREAT)
    try:
        reason = _lock(file, wait)
        yield reason
    finally:
        os.close(file)  # releases the lock


def _lock(file: int, wait: bool) -> str | None:
    while True:
        try:
            _try_lock(file, wait)
            return None
        except OSError as e:
            if e.errno not in HELD:
                return e.strerror or str(e)
            if not wait:
                raise HeldError from None
        time.sleep(WAIT_SEC)


def _try_lock(file: int, wait: bool) -> None:
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        return
    import msvcrt

    msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
