"""What the commands share: options, one JSON object, progress. Nothing heavy is imported here."""

import json
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from audio_gen.errors import OutputError
from audio_gen.text import one_line, visible

if TYPE_CHECKING:
    from rich.console import Console

    from audio_gen.generation.pipeline import Pipeline

SeedOption = Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same result.")]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:N or mps.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace results that are there already.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object; all else goes to standard error.")]
VocoderOption = Annotated[
    str | None,
    typer.Option(
        "--vocoder",
        help="How mels become sound: small (the default for mels it takes), griffinlim, a run or bundle, each also "
        "with :N for N iterations, or bigvgan:PATH. A folder that has one of these names: ./small.",
    ),
]
GeneratedOption = Annotated[
    bool, typer.Option("--generated", help="Also use clips that audio_gen generated, which are left out else.")
]
VerboseOption = Annotated[bool, typer.Option("--verbose", help="Show losses and other figures as it trains.")]
OutOption = Annotated[Path, typer.Option("--out", "-o", help="The folder for the results; made where missing.")]

_QUIET_SEC = 1.0
_LINE_EVERY_SEC = 10.0


def check_out(out: Path, names: Iterable[str] | None = None, *, force: bool = False) -> Path:
    """Make the output folder and be sure, before time is spent, that nothing in it would be lost.

    Args:
        out: The folder for the results.
        names: The files that will be written there; None where they are not known, then the folder must be empty.
        force: Results that are there already may be replaced.

    Returns:
        `out`.

    Raises:
        OutputError: The folder cannot be made, or holds results already and `force` is off.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        if force:
            return out
        there = next(iter(out.iterdir()), None) if names is None else _first_there(out, names)
    except (FileExistsError, NotADirectoryError) as e:
        raise OutputError(f"--out {out}: a file is in the way; choose another folder") from e
    except OSError as e:
        raise OutputError(f"--out {out}: cannot be used ({e.strerror}); choose another folder") from e
    if there is not None:
        raise OutputError(f"--out {out}: holds {one_line(there.name)} already; choose another folder or add --force")
    return out


def _first_there(out: Path, names: Iterable[str]) -> Path | None:
    return next((out / name for name in names if (out / name).exists()), None)


def emit_json(value: Any) -> None:
    """Print `value` as one JSON object on standard output; NaN is refused, since JSON has none."""
    print(json.dumps(value, indent=2, allow_nan=False))


def say(text: str, *, json_output: bool = False) -> None:
    """Print a line for people: on standard output, or on standard error where that is kept for JSON.

    What could steer a terminal is escaped: names and notes in it come from files.
    """
    print(visible(text), file=sys.stderr if json_output else sys.stdout)


def megabytes(size: float) -> str:
    """Bytes as megabytes, such as "4.4 MB"."""
    value = size / 1e6
    return f"{value:.0f} MB" if value >= 10 else f"{value:.1f} MB"


def open_run(path: Path, *, vocoder: str | None = None, device: str = "auto") -> "Pipeline":
    """Load a run or a bundle."""
    from audio_gen.generation.pipeline import Pipeline

    return Pipeline.load(path, vocoder=vocoder, device=device)


def console() -> "Console":
    """Return a rich console on standard error."""
    from rich.console import Console

    return Console(stderr=True)


class Progress:
    """Counts what is done and tells it on standard error; call it with what was done since the last call."""

    def __init__(self, description: str, total: float | None = None, unit: str = "steps") -> None:
        """Start the clock; `progress` says what the arguments are."""
        self._description, self._total, self._unit = visible(description), total, unit
        self._done = 0.0
        self._started = self._told = time.monotonic()
        self._bar: Any = None

    def __call__(self, amount: float = 1) -> None:
        """Count `amount` more units as done."""
        self._done += amount
        now = time.monotonic()
        if now - self._started < _QUIET_SEC:
            return
        if self._bar is None and sys.stderr.isatty():
            self._bar = _start_bar(self._description, self._total)
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=self._done, rate=self._rate(now))
        elif now - self._told >= _LINE_EVERY_SEC:
            self._told = now
            print(self._line(now), file=sys.stderr, flush=True)

    def close(self, *, complete: bool) -> None:
        """Take the bar down, or write the last line; what took under a second leaves no trace."""
        now = time.monotonic()
        if self._bar is not None:
            self._bar.stop()
        elif complete and now - self._started >= _QUIET_SEC:
            took = f"in {now - self._started:.0f} s ({self._rate(now)})"
            print(f"{self._description}: {self._done:g} {self._unit} {took}", file=sys.stderr, flush=True)

    def _rate(self, now: float) -> str:
        return f"{self._done / max(now - self._started, 1e-9):.3g} {self._unit}/s"

    def _line(self, now: float) -> str:
        if self._total is None or self._done == 0:
            return f"{self._description}: {self._done:g} {self._unit}, {self._rate(now)}"
        left_sec = (now - self._started) / self._done * max(self._total - self._done, 0)
        done = f"{self._done:g}/{self._total:g} {self._unit}"
        return f"{self._description}: {done}, {self._rate(now)}, {left_sec:.0f} s left"


@contextmanager
def progress(description: str, total: float | None = None, unit: str = "steps") -> Iterator[Progress]:
    """Show how far the work is: a bar on a terminal, else a line every 10 s; nothing for the first second.

    Args:
        description: What is being done, one or two words.
        total: How many units there are; None where that is not known.
        unit: What is counted, plural.

    Yields:
        Call it with what was done since the last call: `advance()` or `advance(32)`.
    """
    advance = Progress(description, total, unit)
    complete = False
    try:
        yield advance
        complete = True
    finally:
        advance.close(complete=complete)


def _start_bar(description: str, total: float | None) -> Any:
    from rich import progress as bars

    columns = [
        bars.TextColumn("{task.description}", markup=False),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TextColumn("{task.fields[rate]}", markup=False),
        bars.TimeRemainingColumn(),
    ]
    bar = bars.Progress(*columns, console=console())
    bar.add_task(description, total=total, rate="")
    bar.start()
    return bar
