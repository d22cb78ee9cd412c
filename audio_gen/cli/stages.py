"""Progress of work on a folder, one bar for each stage."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from audio_gen.cli.common import progress

TITLES = {"inspect": "Reading", "store": "Storing", "pitch": "Finding pitches"}


@contextmanager
def stage_progress() -> Iterator[Callable[[str, int, int], None]]:
    """Show the stages of `inspect_folder` or `build_cache`.

    Yields:
        What to hand to them as `progress`.
    """
    with ExitStack() as bar:
        current, advance = "", None

        def tell(stage: str, done: int, total: int) -> None:
            nonlocal current, advance
            if stage != current:
                bar.close()
                current, advance = stage, bar.enter_context(progress(TITLES[stage], total, "files"))
            assert advance is not None
            advance(1)

        yield tell
