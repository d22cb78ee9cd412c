"""Reading every file of a folder and saying what it is: the one place where it is decided what is used."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import TypeVar

from audio_gen.data.made import is_made
from audio_gen.data.measure import Pulse, measure
from audio_gen.data.report import DatasetReport, FileReport, NothingUsableError, judge
from audio_gen.data.scan import Found, scan_folder
from audio_gen.errors import AudioFileError
from audio_gen.text import one_line

Progress = Callable[[str, float, int], None]  # called with (what is being done, files done, files in all)
TELL_SEC = 0.5  # while a file takes longer, the share of it that is done is told
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
    scan = scan_folder(Path(folder))
    if not scan.found:
        held = f"{scan.ignored} other files, but " if scan.ignored else ""
        raise NothingUsableError(
            f"{one_line(folder)}: holds {held}no audio files; name a folder of WAV, FLAC, AIFF, OGG or MP3"
        )
    jobs = [(found, (known or {}).get(found.name)) for found in scan.found]
    files = list(long_in_threads(lambda job, pulse: _inspect(*job, made, pulse), jobs, workers, "inspect", progress))
    return DatasetReport(Path(folder), _note_copies(files), scan.ignored)


def in_threads(
    work: Callable[[Task], Result], tasks: Iterable[Task], workers: int, stage: str, progress: Progress | None = None
) -> Iterator[Result]:
    """As `long_in_threads`, for work on short tasks, which is waited for when it is interrupted."""
    return long_in_threads(lambda task, _: work(task), tasks, workers, stage, progress)


def long_in_threads(
    work: Callable[[Task, Pulse], Result],
    tasks: Iterable[Task],
    workers: int,
    stage: str,
    progress: Progress | None = None,
) -> Iterator[Result]:
    """Do `work` on all tasks in threads; results come in the order of the tasks.

    The first error, and an interruption, ends it: what has not begun is dropped, what runs ends at its next pulse.

    Args:
        work: Called with a task and what it is to call now and then with the share of it that is done.
        tasks: All tasks.
        workers: How many threads.
        stage: What `progress` is told is being done.
        progress: Told after each task, and of the parts of tasks while one takes long.
    """
    tasks = list(tasks)
    shares: dict[int, float] = {}  # of the tasks that run
    stopped = Event()

    def run(number: int, task: Task) -> Result:
        def pulse(share: float) -> None:
            if stopped.is_set():
                raise _StoppedError
            shares[number] = share

        return work(task, pulse)

    pool = ThreadPoolExecutor(max(1, workers))
    try:
        futures = deque(pool.submit(run, i, task) for i, task in enumerate(tasks))
        for done in range(len(tasks)):
            future = futures.popleft()
            while not wait([future], TELL_SEC).done:
                if progress:
                    part = sum(share for number, share in list(shares.items()) if number >= done)
                    progress(stage, round(done + part, 2), len(tasks))
            result = future.result()
            shares.pop(done, None)
            if progress:
                progress(stage, done + 1, len(tasks))
            yield result
    finally:
        stopped.set()
        pool.shutdown(wait=True, cancel_futures=True)


class _StoppedError(Exception):
    """Ends a task whose result nobody waits for any more."""


def _inspect(found: Found, known: FileReport | None, made: bool, pulse: Pulse) -> FileReport:
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
        measurement = known.measurement if known is not None and unchanged else measure(found.path, pulse)
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
