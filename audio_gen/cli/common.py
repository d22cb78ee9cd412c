"""Shared by commands: printing of lines and JSON, notes and progress. Imports nothing heavy."""

import json
import os
import re
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audio_gen.text import one_line, visible

if TYPE_CHECKING:
    from audio_gen.generation.pipeline import Pipeline

_QUIET_SEC = 1.0
_LINE_EVERY_SEC = 10.0


def emit_json(value: Any) -> None:
    """Print `value` as one JSON object on standard output; NaN is refused, since JSON has none."""
    print(json.dumps(value, indent=2, allow_nan=False))


def say(text: str, *, json_output: bool = False, lines: bool = False) -> None:
    """Print a line: on standard output, or on standard error with --json; with `lines`, several.

    Control characters are escaped, because names and notes may come from files.
    """
    print(visible(text, "\n" if lines else ""), file=sys.stderr if json_output else sys.stdout)


def load(run: Path, vocoder: str | None = None, device: str = "auto") -> "Pipeline":
    """Load a run or a bundle."""
    from audio_gen.generation.pipeline import Pipeline

    return Pipeline.load(run, vocoder=vocoder, device=device)


def sources(pipeline: "Pipeline") -> dict[str, str]:
    """The bundle and the vocoder of clips, for JSON."""
    return {"bundle": pipeline.digest, "vocoder": pipeline.vocoder.name}


def command_line() -> str:
    """The running command line, quoted for a shell, with `~` for the user's home folder."""
    home = os.path.expanduser("~").rstrip("/\\")
    at_home = re.compile(rf"(^|[=:]){re.escape(home)}(?=[/\\]|$)" if home else "(?!)")
    return one_line(shlex.join(["audio-gen", *(at_home.sub(r"\1~", word) for word in sys.argv[1:])]))


class Console:
    """The reporter of the command line: notes as lines; progress as a bar on a terminal, otherwise a line every 10
    s."""

    def __init__(self, *, note_on_output: bool = False) -> None:
        """Notes go to standard error, or to standard output."""
        self._output = note_on_output

    def note(self, text: str) -> None:
        """Print one line."""
        say(text, json_output=not self._output)

    @contextmanager
    def progress(self, description: str, total: float | None = None, unit: str = "steps") -> Iterator["Progress"]:
        """Show progress on standard error; work under a second shows nothing."""
        advance, complete = Progress(description, total, unit), False
        try:
            yield advance
            complete = True
        finally:
            advance.close(complete=complete)


class Progress:
    """A progress bar on standard error; call it with the amount done since the last call."""

    def __init__(self, description: str, total: float | None = None, unit: str = "steps") -> None:
        """Start the clock; see `Reporter.progress`."""
        self._description, self._total, self._unit = visible(description), total, unit
        self._done = 0.0
        self._started = self._last_line = time.monotonic()
        self._bar: Any = None

    def __call__(self, amount: float = 1) -> None:
        """Add `amount` units of finished work."""
        self._done += amount
        now = time.monotonic()
        if now - self._started < _QUIET_SEC:
            return
        if self._bar is None and sys.stderr.isatty():
            self._bar = _start_bar(self._description, self._total)
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=self._done, rate=self._rate(now))
        elif now - self._last_line >= _LINE_EVERY_SEC:
            self._last_line = now
            print(self._line(now), file=sys.stderr, flush=True)

    def close(self, *, complete: bool) -> None:
        """Remove the bar, or print the last line; work under a second shows nothing."""
        now = time.monotonic()
        if self._bar is not None:
            self._bar.stop()
        elif complete and now - self._started >= _QUIET_SEC:
            took = f"in {now - self._started:.0f} s ({self._rate(now)})"
            print(f"{self._description}: {_shown(self._done)} {self._unit} {took}", file=sys.stderr, flush=True)

    def _rate(self, now: float) -> str:
        return f"{self._done / max(now - self._started, 1e-9):.3g} {self._unit}/s"

    def _line(self, now: float) -> str:
        if self._total is None or self._done == 0:
            return f"{self._description}: {_shown(self._done)} {self._unit}, {self._rate(now)}"
        left_sec = (now - self._started) / self._done * max(self._total - self._done, 0)
        done = f"{_shown(self._done)}/{_shown(self._total)} {self._unit}"
        return f"{self._description}: {done}, {self._rate(now)}, {left_sec:.0f} s left"


def _shown(amount: float) -> str:
    """An amount with at most one decimal."""
    return f"{amount:.1f}".removesuffix(".0")


def _start_bar(description: str, total: float | None) -> Any:
    from rich import progress as bars
    from rich.console import Console as Terminal

    columns = [
        bars.TextColumn("{task.description}", markup=False),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TextColumn("{task.fields[rate]}", markup=False),
        bars.TimeRemainingColumn(),
    ]
    bar = bars.Progress(*columns, console=Terminal(stderr=True))
    bar.add_task(description, total=total, rate="")
    bar.start()
    return bar
