"""Read every file of a folder and decide whether it is used; no other module decides this."""

import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import TypeVar

from audio_gen.data.generated import generated_by
from audio_gen.data.measure import Pulse, measure
from audio_gen.data.report import DatasetReport, FileReport, NothingUsableError, judge
from audio_gen.data.scan import Found, own_notes, scan_folder
from audio_gen.errors import AudioFileError
from audio_gen.files import at_home
from audio_gen.text import one_line

USE_GENERATED = "`--generated` of inspect and preprocess, or `--set data.generated=true` of train,"
RECENT_NS = 2_000_000_000  # a file that changed so shortly ago can change again without another time
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
        known: Earlier reports by path. A file that is certain to be unchanged is not read, and one whose bytes are
            those of an earlier file, whatever its name, is not decoded. With None, nothing is noted for later.
        made: Use clips that this package generated, too; else they are left out, so that no model learns from them.

    Returns:
        One entry for each file that is named as audio.

    Raises:
        DataError: The folder is missing.
        NothingUsableError: It holds no file that is named as audio.
    """
    folder = at_home(folder)
    scan = scan_folder(folder)
    notes = own_notes(scan.own)
    if not scan.found:
        held = f"{scan.ignored} other files, but " if scan.ignored else ""
        held = f"{notes[0]}; " + held if notes else held
        raise NothingUsableError(
            f"{one_line(folder)}: holds {held}no audio files; name a folder of WAV, FLAC, AIFF, OGG or MP3"
        )
    earlier = None if known is None else _Earlier(known)
    files = list(
        long_in_threads(
            lambda found, pulse: _inspect(found, earlier, made, pulse), scan.found, workers, "inspect", progress
        )
    )
    return DatasetReport(folder, _note_copies(files), scan.ignored, notes)


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
            while not _ends(future, TELL_SEC):
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


def _ends(future: "Future[Result]", seconds: float) -> bool:
    """Wait so long for a task, and say whether it has ended; half the cost of `concurrent.futures.wait`."""
    with suppress(TimeoutError):
        future.exception(seconds)
    return future.done()


class _StoppedError(Exception):
    """Ends a task whose result nobody waits for any more."""


class _Earlier:
    """What earlier inspections found, by path and by content."""

    def __init__(self, known: Mapping[str, FileReport]) -> None:
        self.by_path = known
        self.by_bytes = {f.bytes_hash: f.measurement for f in known.values() if f.bytes_hash}

    def same(self, now: FileReport) -> FileReport | None:
        """The earlier report of a file that is certain to be unchanged."""
        then = self.by_path.get(now.path) if now.ctime_ns else None
        return then if then and then.bytes_hash and then.measurement and then.stamp == now.stamp else None


def _inspect(found: Found, earlier: _Earlier | None, made: bool, pulse: Pulse) -> FileReport:
    report = FileReport(found.name, found.path, "leave_out", [], 0, 0, None)
    if found.link_to is not None:
        return replace(report, action="use", reasons=[f"a link to {found.link_to}: used once"], link_to=found.link_to)
    if found.problem is not None:
        return replace(report, reasons=[found.problem])
    if not made and (sign := generated_by(found.path)):
        return replace(report, reasons=[f"generated by audio_gen, as {sign} says; {USE_GENERATED} includes it"])
    try:
        report = _stamped(report)
        if earlier is None:
            report = replace(report, measurement=measure(found.path, pulse))
        elif same := earlier.same(report):
            report = replace(report, measurement=same.measurement, bytes_hash=same.bytes_hash)
        else:
            content = _bytes_hash(found.path)
            report = replace(
                report, measurement=earlier.by_bytes.get(content) or measure(found.path, pulse), bytes_hash=content
            )
    except (AudioFileError, OSError) as e:
        return replace(report, reasons=[str(e).removeprefix(f"{one_line(found.path)}: ")])
    assert report.measurement is not None
    action, reasons = judge(found.name, report.measurement)
    return replace(report, action=action, reasons=reasons)


def _stamped(report: FileReport) -> FileReport:
    """A report with the file's stamp, of before it is read."""
    about = report.file.stat()
    recent = time.time_ns() - about.st_ctime_ns < RECENT_NS
    return replace(
        report, size=about.st_size, mtime_ns=about.st_mtime_ns, inode=about.st_ino,
        ctime_ns=0 if recent else about.st_ctime_ns,
    )  # fmt: skip


def _bytes_hash(path: Path) -> str:
    """Of a regular file's bytes; nothing for any other, which `measure` refuses."""
    if not path.is_file():
        return ""
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()[:32]  # twice as fast as BLAKE2 where processors know it


def _note_copies(files: list[FileReport]) -> list[FileReport]:
    """Note files with the same sound; links to skipped files are skipped too."""
    first: dict[str, str] = {}
    left_out = {f.path for f in files if f.action == "leave_out"}
    noted = []
    for f in files:
        if f.link_to in left_out:
            f = replace(f, action="leave_out", reasons=[f"a link to {f.link_to}, which is skipped"])
        elif f.measurement is not None and f.action != "leave_out":
            original = first.setdefault(f.measurement.content_hash, f.path)
            if original != f.path:
                note = f"same sound as {original}: they count once, unless their class or pitch differs"
                f = replace(f, reasons=[*f.reasons, note])
        noted.append(f)
    return noted
