"""The lock of a run's folder: one process trains at a time."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from audio_gen.artefacts.folders import RunFolder
from audio_gen.errors import OutputError, TrainingError
from audio_gen.locks import HeldError, exclusive
from audio_gen.text import one_line
from audio_gen.training.progress import read_progress


@contextmanager
def locked(run: Path, tell: Callable[[str], object] = lambda line: None) -> Iterator[None]:
    """Create a run's folder and hold its lock; the system releases it when the process ends in any way.

    Args:
        run: The run's folder.
        tell: Gets a message if the file system has no locks; the run continues.

    Raises:
        TrainingError: Another process holds it.
        OutputError: The folder cannot be written.
    """
    with ExitStack() as held:
        try:
            run.mkdir(parents=True, exist_ok=True)
            missing = held.enter_context(exclusive(RunFolder(run).lock, wait=False))
        except HeldError as e:
            raise TrainingError(
                f"{one_line(run)}: another process trains here{_who(run)}; stop that one, or choose another "
                "folder for the run"
            ) from e
        except OSError as e:
            raise OutputError(f"{one_line(run)}: cannot be written ({e.strerror or e}); choose another folder") from e
        if missing is not None:
            tell(
                f"{one_line(run)}: its file system has no locks ({missing}); make sure that no other process trains "
                f"there"
            )
        yield


def _who(run: Path) -> str:
    entry = read_progress(run) or {}
    return f" (process {entry.get('pid')} on {entry.get('host')})" if entry.get("state") == "running" else ""
