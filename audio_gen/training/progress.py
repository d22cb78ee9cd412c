"""Write progress.json, for `status`. Training continues if it cannot be written."""

import math
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from audio_gen.artefacts.folders import RunFolder
from audio_gen.errors import OutputError
from audio_gen.files import MalformedError, read_json, write_json

EVERY_SEC = 5.0
# Another machine's processes cannot be asked; its file is this old at most, if its clock is right.
FRESH_SEC = 60.0
MOST = 1e15  # of any number
# After a restart of the machine another process may have the number of the run's; none is silent for this long.
SILENT_SEC = 3600.0

LARGEST_BYTES, LONGEST_STATE = 1 << 16, 20
EndState = Literal["stopped", "finished", "failed"]


class ProgressFile:
    """Writes a run's progress, at most every few seconds, and at once when its state changes; it never raises."""

    def __init__(self, run: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """Write into the run's folder.

        Args:
            run: The run's folder.
            clock: Seconds on a clock that only runs forward.
        """
        self._path, self._clock = RunFolder(run).progress, clock
        self._state, self._written = "", 0.0
        self._figures: dict[str, float | None] = {"step": 0, "progress": 0.0, "left_sec": None, "elapsed_sec": 0.0}

    def update(self, step: int, progress: float, left_sec: float | None, elapsed_sec: float) -> None:
        """Tell that the run goes on.

        Args:
            step: Steps done.
            progress: How much of the run is done, 0 to 1.
            left_sec: Estimated seconds to the end, None where not known.
            elapsed_sec: Seconds trained, earlier sessions included.
        """
        figures = {"step": step, "progress": progress, "left_sec": left_sec, "elapsed_sec": elapsed_sec}
        self._figures = {key: value if _is_finite(value) else None for key, value in figures.items()}
        if self._state != "running" or self._clock() - self._written >= EVERY_SEC:
            self._write("running", None)

    def end(self, state: EndState, error: str | None = None) -> None:
        """Tell that this session has ended.

        Args:
            state: "finished" at the end of the run, "stopped" when asked to, or "failed".
            error: Why it failed; written as one line.
        """
        self._write(state, error)

    def _write(self, state: str, error: str | None) -> None:
        self._state, self._written = state, self._clock()
        entry = {
            "state": state, **self._figures, "pid": os.getpid(), "host": socket.gethostname(),
            "updated": round(time.time(), 3), "error": None if error is None else " ".join(error.split()),
        }  # fmt: skip
        with suppress(OutputError, OSError, UnicodeError):
            if self._path.parent.is_dir():  # writing would make a folder again that was deleted meanwhile
                write_json(self._path, entry)


def read_progress(run: Path) -> dict[str, Any] | None:
    """What a run's progress file says; None where there is none that can be read."""
    try:
        entry = read_json(RunFolder(run).progress, LARGEST_BYTES)
    except (OSError, MalformedError):
        return None
    return entry if isinstance(entry, dict) and _is_whole(entry) else None


def _is_whole(entry: dict[str, Any]) -> bool:
    """Whether an entry, which comes from a file, has values of the right types."""
    state, numbers = entry.get("state"), ("step", "progress", "left_sec", "elapsed_sec", "updated")
    return (
        isinstance(state, str)
        and state.isalpha()
        and len(state) <= LONGEST_STATE
        and all(
            entry.get(key) is None or (type(entry[key]) in (int, float) and 0 <= entry[key] <= MOST) for key in numbers
        )
        and type(entry.get("pid")) in (int, type(None))
        and isinstance(entry.get("host"), str | None)
        and isinstance(entry.get("error"), str | None)
    )


def is_running(entry: dict[str, Any]) -> bool:
    """Whether the process that wrote `entry` still trains; an entry that says so may be of one that was killed."""
    if entry.get("state") != "running":
        return False
    updated = entry.get("updated")
    age_sec = time.time() - updated if isinstance(updated, int | float) else math.inf
    if entry.get("host") != socket.gethostname():
        return age_sec < FRESH_SEC
    return age_sec < SILENT_SEC and _is_alive(entry.get("pid"))


def _is_alive(pid: object) -> bool:
    if not isinstance(pid, int) or pid <= 0:
        return False
    if os.name == "nt":  # signal 0 is Ctrl-C there
        return True
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True


def _is_finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
