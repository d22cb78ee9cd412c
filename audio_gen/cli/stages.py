"""Progress of work on a folder, one bar for each stage."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from audio_gen.cli.common import progress

TITLES = {"inspect": "Reading", "store": "Storing", "pitch": "Finding pitches"}


@contextmanager
def stage_progress() -> Iterator[Callable[[str, float, int], None]]:
    """Show the stages of `inspect_folder` or `build_cache`.

    Yields:
        What to hand to them as `progress`.
    """
    with ExitStack() as bar:
        current, advance, told = "", None, 0.0

        def tell(stage: str, done: float, total: int) -> None:
            nonlocal current, advance, told
            if stage != current:
                bar.close()
                told = 0.0
                current, advance = stage, bar.enter_context(progress(TITLES[stage], total, "files"))
            assert advance is not None
            advance(done - told)
            told = done

        yield tell
