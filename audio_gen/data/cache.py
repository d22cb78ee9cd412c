"""Build the cache: only changed files are read again, and the old cache stays valid until the new one is complete."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from audio_gen.artefacts.folders import CacheFolder
from audio_gen.config import DataSettings
from audio_gen.data.channel_choice import Channels, cache_note
from audio_gen.data.checksums import DamagedError
from audio_gen.data.domains import domain_names
from audio_gen.data.index import Progress, inspect_folder
from audio_gen.data.measure import RULES
from audio_gen.data.measurement import measurement_from
from audio_gen.data.pcm import Stored, remove_unused, store_sounds
from audio_gen.data.pitch import estimate_pitches
from audio_gen.data.plan import check_patterns, kept_options, plan_clips
from audio_gen.data.report import DatasetReport, FileReport
from audio_gen.data.store import (
    BLOCKS_NAME,
    FILES_NAME,
    PCM_NAMES,
    STAMP_NAME,
    TABLES,
    VERSIONS,
    Cache,
    digest_of,
    publish,
    write_sums,
)
from audio_gen.data.table import FILE_NAMES, Clip, ClipTable
from audio_gen.errors import DataError, OutputError
from audio_gen.files import at_home, write_json
from audio_gen.locks import exclusive
from audio_gen.text import one_line

__all__ = ["Cache", "Clip", "build_cache"]

CHANGED = "changed while it was read; run the command again"
TABLE_FILES = {*FILE_NAMES, FILES_NAME, BLOCKS_NAME, STAMP_NAME}


def build_cache(
    folder: Path | str,
    out: Path | str,
    *,
    sample_rate: int,
    data: DataSettings | None = None,
    progress: Progress | None = None,
    workers: int = 2,
    generated: bool = False,
    to: Path | None = None,
) -> Cache:
    """Create or update the cache of a folder.

    Args:
        folder: The folder of sounds, which is not changed.
        out: Folder of the cache; concurrent builds into one folder wait for each other.
        sample_rate: Rate of all stored clips in Hz.
        data: Channels, labels, trimming and split; other settings are ignored.
        progress: Called with ("inspect", "store" or "pitch", files done, total).
        workers: Threads that decode and resample.
        generated: Include clips that this package generated.
        to: A second folder; then the two are the classes of the cache.

    Returns:
        The cache, open for reading.

    Raises:
        DataError: The folder is missing or has no usable sounds.
        OutputError: The disk is full, or `out` cannot be written.
    """
    folder, out, data = at_home(folder), at_home(out), data or DataSettings()
    check_patterns(data)
    with _output_errors(out), _locked(out) as notes:
        old, known = _open_old(out, notes)
        channels: Channels = old.channels if old and data.channels == "auto" else data.channels
        report = inspect_folder(
            folder, progress=progress, workers=workers, known=known, generated=generated, channels=channels, to=to
        )
        report.require_usable()
        reusable = old if old and old.same_sound(sample_rate, data.trim_onset) else None
        measured = [(f.file, f.measurement) for f in report.usable if f.measurement]
        sounds = {m.sound(report.channels): (file, m) for file, m in measured}
        stored = store_sounds(
            out,
            old,
            sounds,
            keep=reusable is not None,
            sample_rate=sample_rate,
            channels=report.channels,
            trim_onset=data.trim_onset,
            workers=workers,
            progress=progress,
        )
        report = _skip_lost(report, stored)
        report.require_usable()
        index, clips = _make_index(report, stored, sample_rate, data)
        if stored.damaged:
            notes.append(f"the cache's samples were damaged; sounds read again from the folder: {stored.damaged}")
        index["notes"] += [*notes, *cache_note(report, data.channels, kept=channels != data.channels)]
        pitches: dict[str, float | None] = {}
        if data.pitch == "auto":
            cache = Cache.of(out, {**index, "table": ""}, ClipTable.of(clips, report.channels))
            clips, pitches = _add_pitches(cache, old.known["auto_pitches"] if old else {}, progress, workers)
        _publish(out, old, report, index, clips, pitches, stored)
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
def _locked(out: Path) -> Iterator[list[str]]:
    """Hold the cache's lock if the file system has locks; yields a list of notes."""
    out.mkdir(parents=True, exist_ok=True)
    with exclusive(CacheFolder(out).lock, wait=True) as reason:
        yield [f"the cache's disk has no locks ({reason}): run one command at a time on it"] if reason else []


def _open_old(out: Path, notes: list[str]) -> tuple[Cache | None, dict[str, FileReport]]:
    """The existing cache and earlier inspections; a damaged cache is rebuilt, with a note."""
    if not CacheFolder(out).exists():
        return None, {}
    try:
        old = Cache.open(out)
        old.clips.check()
        return old, _known_files(old)
    except DataError as e:
        what = f"{one_line(e.file)} {e.what}" if isinstance(e, DamagedError) else str(e)
    except (LookupError, TypeError, ValueError, AttributeError) as e:
        what = f"{one_line(out)}: its table of files is damaged ({type(e).__name__})"
    if not any(os.path.lexists(out / name) for name in (*PCM_NAMES, *TABLES)):
        raise OutputError(
            f"{one_line(CacheFolder(out).index)}: is not the index of a cache; choose another place, or delete it"
        )
    notes.append(f"the cache was damaged and has been rebuilt: {what}")
    return None, {}


def _known_files(old: Cache | None) -> dict[str, FileReport]:
    """Earlier inspections with the present rules, by path."""
    return {
        f["path"]: FileReport(
            f["path"], Path(), "use", [], f["size"], f["mtime_ns"], measurement_from(f["measurement"]),
            inode=f.get("inode", 0), ctime_ns=f.get("ctime_ns", 0), bytes_hash=f.get("bytes_hash", ""),
        )
        for f in (old.known["files"] if old else ())
        if f["measurement"].get("rules") == RULES
    }  # fmt: skip


def _skip_lost(report: DatasetReport, stored: Stored) -> DatasetReport:
    """Skip the files that changed since they were measured or cannot be read again."""
    channels = report.channels
    lost = {f.measurement.sound(channels): CHANGED for f in report.usable if f.measurement and not f.is_there()}
    lost |= stored.lost
    files = []
    for f in report.files:
        reason = lost.get(f.measurement.sound(channels)) if f.measurement else None
        files.append(replace(f, action="leave_out", reasons=[reason], measurement=None) if reason else f)
    return replace(report, files=files)


def _make_index(
    report: DatasetReport, stored: Stored, sample_rate: int, data: DataSettings
) -> tuple[dict[str, Any], list[Clip]]:
    used = [(f, f.measurement) for f in report.usable if f.measurement]
    plan = plan_clips(report, data, sample_rate)
    clips = []
    for f, m in used:
        place, label = stored.places[m.sound(report.channels)], plan.labels[f.path]
        clips.append(
            Clip(
                path=f.path,
                offset=place.offset,
                samples=place.samples,
                scale=place.scale,
                class_name=label.class_name,
                pitch=label.pitch,
                velocity=label.velocity,
                split=plan.sides[f.path],
                content_hash=m.content_hash,
                reasons=tuple(f.reasons),
                channels=place.channels,
                mono_channel=m.mono_channel(report.channels),
                stereo_hash=m.stereo_hash(report.channels),
            )
        )
    index = {
        "version": VERSIONS[report.channels],
        **({"channels": 2} if report.channels == 2 else {}),
        "sample_rate": sample_rate,
        "options": kept_options(data),
        "pcm": stored.name,
        "pcm_samples": stored.end,
        "sounds": digest_of(m.content_hash for _, m in used),
        "notes": plan.notes,
    }
    if report.to is not None:
        index["target"] = domain_names(report.folder, report.to)[1]
    return index, clips


def _add_pitches(
    cache: Cache, known: dict[str, float | None], progress: Progress | None, workers: int
) -> tuple[list[Clip], dict[str, float | None]]:
    """Estimate missing pitches; earlier estimates are reused."""
    unlabelled = {c.content_hash: c for c in cache.clips if c.pitch is None}
    new = [clip for key, clip in unlabelled.items() if key not in known]
    pitches = {key: known[key] for key in unlabelled if key in known} | estimate_pitches(cache, new, workers, progress)
    return [c if c.pitch is not None else replace(c, pitch=pitches[c.content_hash]) for c in cache.clips], pitches


def _publish(
    out: Path, old: Cache | None, report: DatasetReport, index: dict[str, Any], clips: list[Clip],
    pitches: dict[str, float | None], stored: Stored,
) -> None:  # fmt: skip
    """Publish the new cache; the index is written last."""
    name = next(n for n in TABLES if old is None or n != old.table_name)
    _clear(out / name)
    (out / name).mkdir()
    ClipTable.of(clips, report.channels).write(out / name)
    write_sums(out / name, stored.sums)
    files = [
        {
            "path": f.path, "size": f.size, "mtime_ns": f.mtime_ns, "inode": f.inode, "ctime_ns": f.ctime_ns,
            "bytes_hash": f.bytes_hash, "measurement": f.measurement.as_json(),
        }
        for f in report.files
        if f.measurement
    ]  # fmt: skip
    write_json(out / name / FILES_NAME, {"files": files, "auto_pitches": pitches}, indent=None)
    content = report.to_json()
    sides = [clip.split for clip in clips]
    content["summary"] |= {
        "train_clips": sides.count("train"),
        "val_clips": sides.count("val"),
        "notes": index["notes"],
    }
    write_json(CacheFolder(out).dataset_report, content)
    publish(out, {**index, "table": name}, out / index["pcm"])
    remove_unused(out, index["pcm"])
    for other in TABLES:
        if other != name:
            with suppress(OSError):  # some systems keep open files; the next build deletes it
                _clear(out / other)


def _clear(folder: Path) -> None:
    """Delete the folder of a table, but not the target of a link or files of other programs.

    Raises:
        OSError: It cannot be deleted.
        OutputError: It holds other files.
    """
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
    elif folder.exists():
        for file in folder.iterdir():
            if file.name not in TABLE_FILES and not file.name.endswith((".tmp", ".tmp.json")):
                raise OutputError(f"{one_line(file)}: is not a file of a cache; choose another place, or move it away")
        shutil.rmtree(folder)
