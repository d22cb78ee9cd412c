"""The PCM file of a cache. It is append-only, so concurrent readers stay valid."""

import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from audio_gen.data.checksums import BLOCK, sums_of
from audio_gen.data.encode import Job, encode, make_job
from audio_gen.data.index import Progress, in_threads, long_in_threads
from audio_gen.data.measure import Pulse
from audio_gen.data.measurement import Measurement
from audio_gen.data.shards import OneFile
from audio_gen.data.store import PCM_NAMES, Cache, Clip
from audio_gen.errors import AudioFileError
from audio_gen.files import open_no_link
from audio_gen.text import one_line

Sounds = Mapping[str, tuple[Path, Measurement]]  # by the keys of `Measurement.sound`


@dataclass(frozen=True)
class Place:
    """The place of a sound: first sample, length, divisor of its samples, and number of channels."""

    offset: int
    samples: int
    scale: float
    channels: int


@dataclass(frozen=True)
class Stored:
    """The result of `store_sounds`.

    Attributes:
        name: Name of the PCM file.
        end: Its length in samples.
        places: The place of each sound, by its key.
        lost: Reasons for sounds that could not be stored, by their keys.
        sums: Checksums of its blocks.
        damaged: Number of damaged sounds of the old cache that were stored again.
    """

    name: str
    end: int
    places: dict[str, Place]
    lost: dict[str, str]
    sums: np.ndarray
    damaged: int


def store_sounds(
    out: Path,
    old: Cache | None,
    sounds: Sounds,
    *,
    keep: bool,
    sample_rate: int,
    channels: int,
    trim_onset: bool,
    workers: int,
    progress: Progress | None,
) -> Stored:
    """Store all sounds in one PCM file; an old cache stays readable until its index is replaced.

    Args:
        out: Folder of the cache.
        old: The existing cache.
        sounds: The sounds of the new cache.
        keep: Reuse samples of the old cache.
        sample_rate: In Hz.
        channels: 1, or 2 to store left and right where they differ.
        trim_onset: Cut the silence before every sound.
        workers: Threads that decode and resample.
        progress: Called with ("store", files done, total).
    """
    kept = {c.sound: c for c in (old.clips if old and keep else ()) if c.sound in sounds}
    whole = kept if old is None else _whole_of(old, kept, workers)
    damaged = len(kept) - len(whole)
    name, places, end = _place_kept(out, old, whole, _samples_of(sounds, whole, channels), rewrite=damaged > 0)
    sums = _sums_kept(old, name)
    jobs: dict[str, Job] = {}
    for key, (path, m) in sounds.items():
        if key not in places:
            jobs[key] = make_job(
                path, m, sample_rate=sample_rate, trim_onset=trim_onset, pcm=out / name, offset=end, channels=channels
            )
            end += jobs[key].stored_samples
    _set_size(out / name, 2 * end)
    lost: dict[str, str] = {}
    results = long_in_threads(_encode, list(jobs.values()), workers, "store", progress)
    for (key, job), result in zip(jobs.items(), results, strict=True):
        if isinstance(result, str):
            lost[key] = result
        else:
            places[key] = Place(job.offset, job.samples, result, job.channels)
    _flush(out / name)
    sums = sums_of(OneFile(out / name, end), sums, lambda work, items: in_threads(work, items, workers, "check"))
    return Stored(name, end, places, lost, sums, damaged)


def remove_unused(out: Path, name: str) -> None:
    """Delete the PCM file that no index names any more."""
    for other in PCM_NAMES:
        if other != name:
            with suppress(OSError):  # some systems keep open files; the next build deletes it
                (out / other).unlink(missing_ok=True)


def _whole_of(old: Cache, kept: Mapping[str, Clip], workers: int) -> Mapping[str, Clip]:
    """The undamaged sounds; all are read if the file changed after its checksums."""
    if not old.has_sums or old.samples_untouched():
        return kept
    clips = list(kept.values())
    whole = in_threads(lambda c: old.stored_samples.is_whole(c.offset, c.stored_samples), clips, workers, "check")
    return {key: clip for (key, clip), fits in zip(kept.items(), whole, strict=True) if fits}


def _place_kept(
    out: Path, old: Cache | None, kept: Mapping[str, Clip], new_samples: int, *, rewrite: bool
) -> tuple[str, dict[str, Place], int]:
    """Choose between appending to the old file and a new one; returns its name, the kept places, and its end."""
    alive = sum(clip.stored_samples for clip in kept.values())
    mostly_alive = old is not None and kept and old.pcm_samples - alive <= alive + new_samples
    if old is not None and mostly_alive and not rewrite and _is_unshared(out / old.pcm_name):
        return old.pcm_name, {key: _place_of(c, c.offset) for key, c in kept.items()}, old.pcm_samples
    name = next(n for n in PCM_NAMES if old is None or n != old.pcm_name)
    places, end = {}, 0
    (out / name).unlink(missing_ok=True)  # never overwritten: another process may read it
    with open(out / name, "wb", opener=open_no_link) as f:
        for key, clip in kept.items():
            assert old is not None
            f.write(old.stored(clip).tobytes())
            places[key] = _place_of(clip, end)
            end += clip.stored_samples
    return name, places, end


def _place_of(clip: Clip, offset: int) -> Place:
    return Place(offset, clip.samples, clip.scale, clip.channels)


def _is_unshared(path: Path) -> bool:
    """Whether a regular file has no other name (hard link), which would change with it."""
    about = path.lstat()
    return stat.S_ISREG(about.st_mode) and about.st_nlink < 2


def _sums_kept(old: Cache | None, name: str) -> np.ndarray | None:
    """The checksums of the unchanged blocks."""
    if old is None or name != old.pcm_name or old.stored_samples.sums is None:
        return None
    return old.stored_samples.sums[: old.pcm_samples // BLOCK]


def _samples_of(sounds: Sounds, kept: Mapping[str, Clip], channels: int) -> int:
    """Roughly the number of new samples: frames at the files' rates."""
    return sum(m.stored_channels(channels) * m.frames for key, (_, m) in sounds.items() if key not in kept)


def _set_size(path: Path, size: int) -> None:
    """Truncate the rest of a killed build, and reserve space, so that a full disk fails early."""
    with open(path, "ab", opener=open_no_link) as f:
        f.truncate(size)
        if size and hasattr(os, "posix_fallocate"):
            os.posix_fallocate(f.fileno(), 0, size)


def _encode(job: Job, pulse: Pulse) -> float | str:
    """The scale, or the reason why the sound is lost."""
    try:
        return encode(job, pulse)
    except AudioFileError as e:
        return str(e).removeprefix(f"{one_line(job.path)}: ")


def _flush(path: Path) -> None:
    with open(path, "rb") as f:
        os.fsync(f.fileno())
