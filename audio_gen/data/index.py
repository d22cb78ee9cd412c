"""Reading every file of a folder and saying what it is: the one place where it is decided what is used."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from audio_gen.data.made import is_made
from audio_gen.data.measure import measure
from audio_gen.data.report import DatasetReport, FileReport, NothingUsableError, judge
from audio_gen.data.scan import Found, scan_folder
from audio_gen.errors import AudioFileError
from audio_gen.files import at_home
from audio_gen.text import one_line

Progress = Callable[[str, int, int], None]  # called with (what is being done, files done, files in all)
Task = TypeVar("Task")
Result = TypeVar("Result")


def inspect_folder(
    folder: Path,
    *,
    progress: Progress | None = None,
    workers: int = 2,
    known: Mapping[str, FileReport] | None = None,
    made: bool = False,
) -> DatasetReport:
    """Read every audio file below a folder to its end and decide what is done with it.

    Args:
        folder: Any folder; it is only read.
        progress: Called with ("inspect", files done, files in all) as the work goes on.
        workers: Threads that decode (libsndfile and soxr run beside each other).
        known: Earlier reports by path; files of the same size and time of change are not read again.
        made: Use clips that a model made, too; else they are left out, so that none learns from its own samples.

    Returns:
        One entry for each file that is named as audio.

    Raises:
        DataError: The folder is missing.
        NothingUsableError: It holds no file that is named as audio.
    """
    folder = at_home(folder)
    scan = scan_folder(folder)
    if not scan.found:
        held = f"{scan.ignored} other files, but " if scan.ignored else ""
        raise NothingUsableError(
            f"{one_line(folder)}: holds {held}no audio files; name a folder of WAV, FLAC, AIFF, OGG or MP3"
        )
    jobs = [(found, (known or {}).get(found.name)) for found in scan.found]
    files = list(in_threads(lambda job: _inspect(*job, made), jobs, workers, "inspect", progress))
    return DatasetReport(folder, _note_copies(files), scan.ignored)


def in_threads(
    work: Callable[[Task], Result], tasks: Iterable[Task], workers: int, stage: str, progress: Progress | None = None
) -> Iterator[Result]:
    """Do `work` on all tasks in threads; results come in the order of the tasks.

    The first error ends it: what has not begun is dropped.
    """
    tasks = list(tasks)
    pool = ThreadPoolExecutor(max(1, workers))
    try:
        for done, result in enumerate(pool.map(work, tasks), 1):
            if progress:
                progress(stage, done, len(tasks))
            yield result
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _inspect(found: Found, known: FileReport | None, made: bool) -> FileReport:
    if found.link_to is not None:
        reasons = [f"a link to {found.link_to}: used once"]
        return FileReport(found.name, found.path, "use", reasons, 0, 0, None, link_to=found.link_to)
    if found.problem is not None:
        return FileReport(found.name, found.path, "leave_out", [found.problem], 0, 0, None)
    if not made and is_made(found.path):
        reasons = ["made by a model, as the JSON beside it says; take that away to learn from it"]
        return FileReport(found.name, found.path, "leave_out", reasons, 0, 0, None)
    size = mtime_ns = 0
    try:
        stat = found.path.stat()
        size, mtime_ns = stat.st_size, stat.st_mtime_ns
        unchanged = known is not None and known.measurement is not None and known.stamp == (size, mtime_ns)
        measurement = known.measurement if known is not None and unchanged else measure(found.path)
    except (AudioFileError, OSError) as e:
        problem = str(e).removeprefix(f"{one_line(found.path)}: ")
        return FileReport(found.name, found.path, "leave_out", [problem], size, mtime_ns, None)
    assert measurement is not None
    action, reasons = judge(found.name, measurement)
    return FileReport(found.name, found.path, action, reasons, size, mtime_ns, measurement)


def _note_copies(files: list[FileReport]) -> list[FileReport]:
    """Tell of files with the same sound; links to a file that is left out are left out too."""
    first: dict[str, str] = {}
    left_out = {f.path for f in files if f.action == "leave_out"}
    noted = []
    for f in files:
        if f.link_to in left_out:
            f = replace(f, action="leave_out", reasons=[f"a link to {f.link_to}, which is left out"])
        elif f.measurement is not None and f.action != "leave_out":
            original = first.setdefault(f.measurement.content_hash, f.path)
            if original != f.path:
                note = f"same sound as {original}: they count once, unless their class or pitch differs"
                f = replace(f, reasons=[*f.reasons, note])
        noted.append(f)
    return noted
