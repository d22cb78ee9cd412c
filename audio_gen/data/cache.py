"""Building the cache: only what has changed is read again, and the old cache stays valid until the new one is whole."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from audio_gen.data.index import Progress, inspect_folder
from audio_gen.data.labels import DEFAULT_PATTERN, compile_pattern, read_labels
from audio_gen.data.measure import Measurement
from audio_gen.data.pcm import Stored, remove_unused, store_sounds
from audio_gen.data.pitch import estimate_pitches
from audio_gen.data.report import DatasetReport, FileReport
from audio_gen.data.split import assign_splits
from audio_gen.data.store import FILES_NAME, INDEX_NAME, REPORT_NAME, VERSION, Cache, digest_of
from audio_gen.data.table import Clip, ClipTable
from audio_gen.errors import ConfigError, DataError, OutputError
from audio_gen.files import at_home, write_json
from audio_gen.text import one_line

__all__ = ["Cache", "CacheOptions", "Clip", "build_cache"]

TABLES = ("clips", "clips-2")  # a table that is written anew takes the name that is not in use
SHOWN_PAIRS = 3


@dataclass(frozen=True)
class CacheOptions:
    """How a folder is turned into clips.

    Attributes:
        labels: "auto", "folders", "names", "none", or the path of a CSV or NSynth JSON (see `audio_gen.data.labels`).
        pattern: Regular expression for class, pitch and velocity in file names.
        pitch: "names" takes pitches from the labels, "auto" also estimates the missing ones, "none" has none.
        trim_onset: Cut the silence before every sound.
        val_fraction: Share of the clips kept back for validation.
        group_pattern: Regular expression whose captured text names clips that must be on the same side of the split.
    """

    labels: str = "auto"
    pattern: str = DEFAULT_PATTERN
    pitch: Literal["names", "auto", "none"] = "names"
    trim_onset: bool = False
    val_fraction: float = 0.1
    group_pattern: str | None = None

    def __post_init__(self) -> None:
        """Check all values."""
        if self.pitch not in ("names", "auto", "none"):
            raise ConfigError(f"pitch ({self.pitch}) must be names, auto or none; try names")
        if not 0 <= self.val_fraction < 1:
            raise ConfigError(f"val_fraction ({self.val_fraction}) must be at least 0 and below 1; try 0.1")
        compile_pattern(self.pattern)
        if self.group_pattern is not None and not compile_pattern(self.group_pattern).groups:
            raise ConfigError(f"group_pattern ({self.group_pattern}) captures nothing; put the part to group by in ( )")


def build_cache(
    folder: Path | str,
    out: Path | str,
    *,
    sample_rate: int,
    options: CacheOptions | None = None,
    progress: Progress | None = None,
    workers: int = 2,
) -> Cache:
    """Make the cache of a folder, or bring it up to date.

    Args:
        folder: The folder of sounds; it is only read.
        out: Folder of the cache; builds into the same one wait for each other.
        sample_rate: Rate in Hz at which all clips are stored.
        options: Labels, trimming and split.
        progress: Called with ("inspect" or "store" or "pitch", files done, files in all).
        workers: Threads that decode and resample.

    Returns:
        The cache, open for reading.

    Raises:
        DataError: The folder is missing or holds nothing to learn from.
        OutputError: The disk is full, or `out` cannot be written.
    """
    folder, out, options = at_home(folder), at_home(out), options or CacheOptions()
    with _output_errors(out), _alone(out):
        old = _open_old(out)
        report = inspect_folder(folder, progress=progress, workers=workers, known=_known_files(old))
        report.require_usable()
        reusable = old if old and old.same_sound(sample_rate, options.trim_onset) else None
        sounds = {f.measurement.content_hash: (f.file, f.measurement) for f in report.usable if f.measurement}
        stored = store_sounds(
            out,
            old,
            sounds,
            keep=reusable is not None,
            sample_rate=sample_rate,
            trim_onset=options.trim_onset,
            workers=workers,
            progress=progress,
        )
        report = _leave_out_lost(report, stored)
        report.require_usable()
        index, clips = _make_index(report, stored, sample_rate, options)
        pitches: dict[str, float | None] = {}
        if options.pitch == "auto":
            cache = Cache.of(out, {**index, "table": ""}, ClipTable.of(clips))
            clips, pitches = _add_pitches(cache, old.known["auto_pitches"] if old else {}, progress, workers)
        _publish(out, old, report, index, clips, pitches)
        return Cache.open(out)


@contextmanager
def _output_errors(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as e:
        raise OutputError(
            f"{one_line(out)}: the cache cannot be written ({e.strerror or e}); free some space or choose another place"
        ) from e


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Hold the cache's lock, where the system has locks; a killed process holds none."""
    out.mkdir(parents=True, exist_ok=True)
    with open(out / ".lock", "w") as lock:
        try:
            import fcntl
        except ImportError:  # Windows
            yield
            return
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _open_old(out: Path) -> Cache | None:
    try:
        old = Cache.open(out)
        return old if old.known else None
    except DataError:
        return None  # missing or damaged: made anew


def _known_files(old: Cache | None) -> dict[str, FileReport]:
    """What earlier inspections found, by path."""
    return {
        f["path"]: FileReport(f["path"], Path(), "use", [], f["size"], f["mtime_ns"], Measurement(**f["measurement"]))
        for f in (old.known["files"] if old else ())
    }


def _leave_out_lost(report: DatasetReport, stored: Stored) -> DatasetReport:
    """Leave out the files that could not be read a second time."""
    files = []
    for f in report.files:
        lost = stored.lost.get(f.measurement.content_hash) if f.measurement else None
        files.append(replace(f, action="leave_out", reasons=[lost], measurement=None) if lost else f)
    return replace(report, files=files)


def _make_index(
    report: DatasetReport, stored: Stored, sample_rate: int, options: CacheOptions
) -> tuple[dict[str, Any], list[Clip]]:
    used = [(f, f.measurement) for f in report.usable if f.measurement]
    paths = [f.path for f, _ in used]
    labels, notes = read_labels(report.folder, paths, source=options.labels, pattern=options.pattern)
    splits, note = assign_splits(
        paths,
        [m.content_hash for _, m in used],
        val_fraction=options.val_fraction,
        group_pattern=options.group_pattern,
    )
    clips = []
    for (f, m), split in zip(used, splits, strict=True):
        place, label = stored.places[m.content_hash], labels[f.path]
        clips.append(
            Clip(
                path=f.path,
                offset=place.offset,
                samples=place.samples,
                scale=place.scale,
                class_name=label.class_name,
                pitch=None if options.pitch == "none" else label.pitch,
                velocity=label.velocity,
                split=split,
                content_hash=m.content_hash,
                reasons=tuple(f.reasons),
            )
        )
    index = {
        "version": VERSION,
        "sample_rate": sample_rate,
        "options": asdict(options),
        "pcm": stored.name,
        "pcm_samples": stored.end,
        "sounds": digest_of(m.content_hash for _, m in used),
        "notes": [*notes, *([note] if note else []), *_note_conflicts(clips)],
    }
    return index, clips


def _note_conflicts(clips: list[Clip]) -> list[str]:
    """A note of copies of a sound that have different classes or pitches, if there are any."""
    first: dict[str, Clip] = {}
    pairs = []
    for clip in clips:
        other = first.setdefault(clip.content_hash, clip)
        if (clip.class_name, clip.pitch) != (other.class_name, other.pitch):
            pairs.append(f"{other.path} = {clip.path}")
    if not pairs:
        return []
    more = f" and {len(pairs) - SHOWN_PAIRS} more" if pairs[SHOWN_PAIRS:] else ""
    return [
        f"copies of a sound have different classes or pitches ({', '.join(pairs[:SHOWN_PAIRS])}{more}): each label is "
        "learned; delete the copies whose label is wrong"
    ]


def _add_pitches(
    cache: Cache, known: dict[str, float | None], progress: Progress | None, workers: int
) -> tuple[list[Clip], dict[str, float | None]]:
    """Estimate the pitches that no label gives; sounds heard before are not heard again."""
    unlabelled = {c.content_hash: c for c in cache.clips if c.pitch is None}
    new = [clip for key, clip in unlabelled.items() if key not in known]
    pitches = {key: known[key] for key in unlabelled if key in known} | estimate_pitches(cache, new, workers, progress)
    return [c if c.pitch is not None else replace(c, pitch=pitches[c.content_hash]) for c in cache.clips], pitches


def _publish(
    out: Path, old: Cache | None, report: DatasetReport, index: dict[str, Any], clips: list[Clip],
    pitches: dict[str, float | None],
) -> None:  # fmt: skip
    """Make the new cache the one that readers see; the index goes last."""
    name = next(n for n in TABLES if old is None or n != old.table_name)
    shutil.rmtree(out / name, ignore_errors=True)
    ClipTable.of(clips).write(out / name)
    files = [
        {"path": f.path, "size": f.size, "mtime_ns": f.mtime_ns, "measurement": asdict(f.measurement)}
        for f in report.files
        if f.measurement
    ]
    write_json(out / name / FILES_NAME, {"files": files, "auto_pitches": pitches})
    told = report.to_json()
    sides = [clip.split for clip in clips]
    told["summary"] |= {"train_clips": sides.count("train"), "val_clips": sides.count("val"), "notes": index["notes"]}
    write_json(out / REPORT_NAME, told)
    write_json(out / INDEX_NAME, {**index, "table": name})
    remove_unused(out, index["pcm"])
    for other in TABLES:
        if other != name:
            shutil.rmtree(out / other, ignore_errors=True)
