"""One process trains in a run's folder at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from audio_gen.errors import OutputError, TrainingError
from audio_gen.text import one_line
from audio_gen.training.progress import read_progress

LOCK_NAME = ".lock"


@contextmanager
def locked(run: Path) -> Iterator[None]:
    """Hold the lock of a run's folder, which is made; the system frees it when the process ends, however it does.

    Raises:
        TrainingError: Another process holds it.
        OutputError: The folder cannot be written.
    """
    try:
        run.mkdir(parents=True, exist_ok=True)
        lock = FileLock(run / LOCK_NAME, timeout=0)
        lock.acquire()
    except Timeout as e:
        raise TrainingError(
            f"{one_line(run)}: another process trains here{_who(run)}; stop that one, or give another folder to --run"
        ) from e
    except OSError as e:
        raise OutputError(f"{one_line(run)}: cannot be written ({e.strerror or e}); choose another folder") from e
    try:
        yield
    finally:
        lock.release()


def _who(run: Path) -> str:
    entry = read_progress(run) or {}
    return f" (process {entry.get('pid')} on {entry.get('host')})" if entry.get("state") == "running" else ""
