"""Print the events of a training as lines and a bar."""

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Self

from audio_gen.cli.common import Console, say
from audio_gen.reporter import stages
from audio_gen.text import visible
from audio_gen.training import events
from audio_gen.training.narration import line_of, step_line

LINE_EVERY_SEC = 15.0


class TrainPrinter:
    """Prints the events of a run: a progress bar on a terminal, otherwise a line every 15 s."""

    def __init__(self, *, json_output: bool = False, verbose: bool = False) -> None:
        """Lines go to standard error with `json_output`; losses are shown only with `verbose`."""
        self.json_output, self.verbose = json_output, verbose
        self.values: dict[str, float] = {}
        self.end: events.Ended | None = None
        self._bar: Any = None
        self._last_line = 0.0
        self._latest = ""
        self._resumed: int | None = None
        self._stages = ExitStack()
        self._show_stage: Callable[[str, float, int], None] | None = None

    def __call__(self, event: events.Event) -> None:
        """Show one event."""
        match event:
            case events.CacheProgress():
                if self._show_stage is None:
                    self._show_stage = self._stages.enter_context(stages(Console()))
                self._show_stage(event.stage, event.done, event.total)
            case events.Started():
                self.close()
            case events.StepDone():
                self._show_step(event)
            case events.StepLogged() if self.verbose:
                losses = {key.removeprefix("loss/"): value for key, value in event.values.items() if "loss/" in key}
                self._latest = "  " + " ".join(f"{key} {value:.3g}" for key, value in losses.items())
            case events.Validated():
                self.values = dict(event.values)
            case events.Resumed():
                self._resumed = event.step
            case events.Ended():
                self.close()
                self.end = event
        if (line := line_of(event, verbose=self.verbose)) is not None:
            self._line(line)

    def __enter__(self) -> Self:
        """Show events until the context ends."""
        return self

    def __exit__(self, *error: object) -> None:
        """Take the bars down."""
        self.close()

    @property
    def nothing_trained(self) -> bool:
        """Whether the run had ended before."""
        return self._resumed is not None and self.end is not None and self._resumed == self.end.step

    def close(self) -> None:
        """Take the bars down."""
        self._stages.close()
        if self._bar is not None:
            self._bar.stop()
        self._bar = self._show_stage = None

    def _line(self, text: str) -> None:
        if self._bar is not None:
            self._bar.console.print(visible(text), markup=False, highlight=False, emoji=False)
        else:
            say(text, json_output=self.json_output)

    def _show_step(self, event: events.StepDone) -> None:
        if self._bar is None and sys.stderr.isatty():
            self._start_bar()
        text = step_line(event) + self._latest
        now = time.monotonic()
        if self._bar is not None:
            self._bar.update(0, completed=event.progress, description=visible(text))
        elif now - self._last_line > LINE_EVERY_SEC:
            self._last_line = now
            self._line(f"{100 * event.progress:.0f} %  {text}")

    def _start_bar(self) -> None:
        from rich.console import Console as Terminal
        from rich.progress import BarColumn, Progress, TextColumn

        columns = (BarColumn(bar_width=20), TextColumn("{task.percentage:.0f} % {task.description}", markup=False))
        self._bar = Progress(*columns, console=Terminal(stderr=True))
        self._bar.add_task("", total=1.0)
        self._bar.start()
