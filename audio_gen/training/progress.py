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
# Processes of another machine cannot be checked; its file is at most this old if its clock is right.
FRESH_SEC = 60.0
LARGEST_NUMBER = 1e15
# After a reboot another process may have the run's PID; no run is silent for this long.
SILENT_SEC = 3600.0

LARGEST_BYTES, LONGEST_STATE = 1 << 16, 20
EndState = Literal["stopped", "finished", "failed"]


class ProgressFile:
    """Writes a run's progress every few seconds, and at once when its state changes; never raises."""

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
        """Record that the run continues.

        Args:
            step: Steps done.
            progress: Progress of the run, 0 to 1.
            left_sec: Estimated seconds to the end; None if unknown.
            elapsed_sec: Seconds trained, earlier sessions included.
        """
        figures = {"step": step, "progress": progress, "left_sec": left_sec, "elapsed_sec": elapsed_sec}
        self._figures = {key: value if _is_finite(value) else None for key, value in figures.items()}
        if self._state != "running" or self._clock() - self._written >= EVERY_SEC:
            self._write("running", None)

    def end(self, state: EndState, error: str | None = None) -> None:
        """Record the end of this session.

        Args:
            state: "finished" at the end of the run, "stopped" by a signal, or "failed".
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
            if self._path.parent.is_dir():  # writing would create a deleted folder again
                write_json(self._path, entry)


def read_progress(run: Path) -> dict[str, Any] | None:
    """The content of a run's progress file; None if it is missing or unreadable."""
    try:
        entry = read_json(RunFolder(run).progress, LARGEST_BYTES)
    except (OSError, MalformedError):
        return None
    return entry if isinstance(entry, dict) and _is_valid(entry) else None


def _is_valid(entry: dict[str, Any]) -> bool:
    """Whether an entry from a file has values of the right types."""
    state, numbers = entry.get("state"), ("step", "progress", "left_sec", "elapsed_sec", "updated")
    return (
        isinstance(state, str)
        and state.isalpha()
        and len(state) <= LONGEST_STATE
        and all(
            entry.get(key) is None or (type(entry[key]) in (int, float) and 0 <= entry[key] <= LARGEST_NUMBER)
            for key in numbers
        )
        and type(entry.get("pid")) in (int, type(None))
        and isinstance(entry.get("host"), str | None)
        and isinstance(entry.get("error"), str | None)
    )


def is_running(entry: dict[str, Any]) -> bool:
    """Whether the process that wrote `entry` still trains; a killed one leaves the state at running."""
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
