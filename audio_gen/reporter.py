"""Notes and progress of operations, for a command line, a web page, or no reader."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Protocol

Advance = Callable[[float], object]
STAGES = {"inspect": "Reading", "store": "Storing", "pitch": "Estimating pitches"}


class Reporter(Protocol):
    """Receives the notes and the progress of an operation."""

    def note(self, text: str) -> None:
        """Take one line for the user."""

    def progress(
        self, description: str, total: float | None = None, unit: str = "steps"
    ) -> AbstractContextManager[Advance]:
        """Track the progress of some work.

        Args:
            description: One or two words.
            total: Number of units; None if unknown.
            unit: Name of the units, plural.

        Returns:
            A context that yields a function; call it with the units done since the last call.
        """


class Silent:
    """A reporter that drops everything, the default in Python."""

    def note(self, text: str) -> None:
        """Drop the line."""

    def progress(
        self, description: str, total: float | None = None, unit: str = "steps"
    ) -> AbstractContextManager[Advance]:
        """Drop the progress."""
        return nullcontext(lambda amount: None)


SILENT = Silent()


@contextmanager
def stages(reporter: Reporter) -> Iterator[Callable[[str, float, int], None]]:
    """Report the stages of `inspect_folder` or `build_cache`, one progress for each.

    Yields:
        The function to pass to them as `progress`.
    """
    with ExitStack() as open_stage:
        current, done_before = "", 0.0
        advance: Advance = lambda amount: None  # noqa: E731

        def report(stage: str, done: float, total: int) -> None:
            nonlocal current, advance, done_before
            if stage != current:
                open_stage.close()
                current, done_before = stage, 0.0
                advance = open_stage.enter_context(reporter.progress(STAGES[stage], total, "files"))
            advance(done - done_before)
            done_before = done

        yield report
