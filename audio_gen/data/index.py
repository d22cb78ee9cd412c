"""Read every file of a folder and decide whether to use it."""

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

from audio_gen.data.channel_choice import Channels, auto_channels
from audio_gen.data.domains import check_domains, scan_domains
from audio_gen.data.generated import generated_by
from audio_gen.data.measure import Pulse, measure
from audio_gen.data.report import DatasetReport, FileReport, NothingUsableError, decide
from audio_gen.data.scan import Found, scan_folder, skipped_notes
from audio_gen.errors import AudioFileError
from audio_gen.files import at_home
from audio_gen.text import one_line

USE_GENERATED = "`--generated` of inspect and preprocess, or `--set data.generated=true` of train,"
RECENT_NS = 2_000_000_000  # a file that changed this recently can change again with the same timestamp
Progress = Callable[[str, float, int], None]  # called with (stage, files done, total)
PROGRESS_SEC = 0.5  # for a longer file the share done is reported
Task = TypeVar("Task")
Result = TypeVar("Result")


def inspect_folder(
    folder: Path,
    *,
    progress: Progress | None = None,
    workers: int = 2,
    known: Mapping[str, FileReport] | None = None,
    generated: bool = False,
    channels: Channels = 1,
    to: Path | None = None,
) -> DatasetReport:
    """Read all audio files below a folder and decide how each is used.

    Args:
        folder: Any folder, which is not changed.
        progress: Called with ("inspect", files done, total).
        workers: Threads that decode.
        known: Earlier reports by path. A file that is certainly unchanged is not read; a file with the bytes of an
            earlier file is not decoded. None computes no hashes for later inspections.
        generated: Include clips that this package generated; otherwise they are skipped, so that no model trains on
            them.
        channels: 1 or 2: the channels in which the files are used; auto: 2 if more than a fifth are stereo.
        to: A second folder, whose sounds are a second domain.

    Returns:
        One entry for each file with an audio suffix.

    Raises:
        DataError: The folder is missing.
        NothingUsableError: It holds no file with an audio suffix.
    """
    folder = at_home(folder)
    scan = scan_folder(folder) if to is None else scan_domains(folder, to)
    notes = skipped_notes(scan.skipped)
    if not scan.found:
        held = f"{scan.ignored} other files, but " if scan.ignored else ""
        held = f"{notes[0]}; " + held if notes else held
        raise NothingUsableError(
            f"{one_line(folder)}: holds {held}no audio files; name a folder of WAV, FLAC, AIFF, OGG or MP3"
        )
    earlier = None if known is None else _Earlier(known)
    files = list(
        long_in_threads(
            lambda found, pulse: _inspect(found, earlier, generated, pulse), scan.found, workers, "inspect", progress
        )
    )
    number = auto_channels(files) if channels == "auto" else channels
    if number == 2:
        files = [_in_stereo(f) for f in files]
    report = DatasetReport(folder, _note_copies(files, number), scan.ignored, notes, number, to)
    if to is not None:
        check_domains(report, to)
    return report


def in_threads(
    work: Callable[[Task], Result], tasks: Iterable[Task], workers: int, stage: str, progress: Progress | None = None
) -> Iterator[Result]:
    """As `long_in_threads`, for short tasks without a pulse."""
    return long_in_threads(lambda task, _: work(task), tasks, workers, stage, progress)


def long_in_threads(
    work: Callable[[Task, Pulse], Result],
    tasks: Iterable[Task],
    workers: int,
    stage: str,
    progress: Progress | None = None,
) -> Iterator[Result]:
    """Do `work` on all tasks in threads; results come in the order of the tasks.

    An error or interruption cancels waiting tasks and stops running ones at their next pulse.

    Args:
        work: Called with a task and its pulse, a function to call with the share done.
        tasks: All tasks.
        workers: Number of threads.
        stage: The first argument of `progress`.
        progress: Called after each task, and with fractions during long ones.
    """
    tasks = list(tasks)
    shares: dict[int, float] = {}  # share done of each running task
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
            while not _ends(future, PROGRESS_SEC):
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
    """Wait for a task, and return whether it has ended; half the cost of `concurrent.futures.wait`."""
    with suppress(TimeoutError):
        future.exception(seconds)
    return future.done()


class _StoppedError(Exception):
    """Stops a task whose result is not needed any more."""


class _Earlier:
    """Earlier inspections by path and by content."""

    def __init__(self, known: Mapping[str, FileReport]) -> None:
        self.by_path = known
        self.by_bytes = {f.bytes_hash: f.measurement for f in known.values() if f.bytes_hash}

    def same(self, now: FileReport) -> FileReport | None:
        """The earlier report of a file that is certainly unchanged."""
        before = self.by_path.get(now.path) if now.ctime_ns else None
        return before if before and before.bytes_hash and before.measurement and before.stamp == now.stamp else None


def _inspect(found: Found, earlier: _Earlier | None, generated: bool, pulse: Pulse) -> FileReport:
    report = FileReport(found.name, found.path, "leave_out", [], 0, 0, None)
    if found.link_to is not None:
        return replace(report, action="use", reasons=[f"a link to {found.link_to}: used once"], link_to=found.link_to)
    if found.problem is not None:
        return replace(report, reasons=[found.problem])
    if not generated and (sign := generated_by(found.path)):
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
    action, reasons = decide(found.name, report.measurement)
    return replace(report, action=action, reasons=reasons)


def _stamped(report: FileReport) -> FileReport:
    """A report with the file's stamp from before it is read."""
    about = report.file.stat()
    recent = time.time_ns() - about.st_ctime_ns < RECENT_NS
    return replace(
        report, size=about.st_size, mtime_ns=about.st_mtime_ns, inode=about.st_ino,
        ctime_ns=0 if recent else about.st_ctime_ns,
    )  # fmt: skip


def _bytes_hash(path: Path) -> str:
    """Hash of a regular file; empty for others, which `measure` refuses."""
    if not path.is_file():
        return ""
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()[
            :32
        ]  # twice as fast as BLAKE2 on processors with SHA instructions


def _in_stereo(f: FileReport) -> FileReport:
    """The report of a file that is used in stereo."""
    if f.measurement is None:
        return f
    action, reasons = decide(f.path, f.measurement, channels=2)
    return replace(f, action=action, reasons=reasons)


def _note_copies(files: list[FileReport], channels: int) -> list[FileReport]:
    """Note files with the same sound; links to skipped files are skipped too."""
    first: dict[str, str] = {}
    mixes: dict[str, str] = {}
    skipped = {f.path for f in files if f.action == "leave_out"}
    noted = []
    for f in files:
        if f.link_to in skipped:
            f = replace(f, action="leave_out", reasons=[f"a link to {f.link_to}, which is skipped"])
        elif f.measurement is not None and f.action != "leave_out":
            original = first.setdefault(f.measurement.sound(channels), f.path)
            mix = mixes.setdefault(f.measurement.content_hash, f.path)
            if original != f.path:
                note = f"same sound as {original}: they count once, unless their class or pitch differs"
                f = replace(f, reasons=[*f.reasons, note])
            elif mix != f.path:
                note = f"same mono mix as {mix}: its channels are swapped or differ, so both count, on one side of the "
                f = replace(f, reasons=[*f.reasons, note + "split"])
        noted.append(f)
    return noted
