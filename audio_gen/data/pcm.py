"""The file of all samples: what is there stays in place, what is new is appended beyond what readers know of."""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from audio_gen.data.encode import Job, encode, make_job
from audio_gen.data.index import Progress, long_in_threads
from audio_gen.data.measure import Measurement, Pulse
from audio_gen.data.store import Cache, Clip
from audio_gen.errors import AudioFileError
from audio_gen.text import one_line

NAMES = ("pcm.int16", "pcm-2.int16")  # a file that is written anew takes the name that is not in use
Sounds = Mapping[str, tuple[Path, Measurement]]  # by content hash


@dataclass(frozen=True)
class Place:
    """Where a sound lies: first sample, length, and what its samples are to be divided by."""

    offset: int
    samples: int
    scale: float


@dataclass(frozen=True)
class Stored:
    """The outcome of `store_sounds`.

    Attributes:
        name: Name of the file of samples.
        end: Its length in samples.
        places: Where each sound lies, by content hash.
        lost: Why a sound could not be stored, by content hash.
    """

    name: str
    end: int
    places: dict[str, Place]
    lost: dict[str, str]


def store_sounds(
    out: Path,
    old: Cache | None,
    sounds: Sounds,
    *,
    keep: bool,
    sample_rate: int,
    trim_onset: bool,
    workers: int,
    progress: Progress | None,
) -> Stored:
    """Bring all sounds into one file of samples; an old cache stays readable until its index is replaced.

    Args:
        out: Folder of the cache.
        old: The cache that is there.
        sounds: What the new cache holds.
        keep: Whether samples of the old cache can be used.
        sample_rate: In Hz.
        trim_onset: Cut the silence before every sound.
        workers: Threads that decode and resample.
        progress: Called with ("store", files done, files in all).
    """
    kept = {c.content_hash: c for c in (old.clips if old and keep else ()) if c.content_hash in sounds}
    name, places, end = _place_kept(out, old, kept, _samples_of(sounds, kept))
    jobs: dict[str, Job] = {}
    for key, (path, m) in sounds.items():
        if key not in places:
            jobs[key] = make_job(path, m, sample_rate=sample_rate, trim_onset=trim_onset, pcm=out / name, offset=end)
            end += jobs[key].samples
    _set_size(out / name, 2 * end)
    lost: dict[str, str] = {}
    results = long_in_threads(_encode, list(jobs.values()), workers, "store", progress)
    for (key, job), result in zip(jobs.items(), results, strict=True):
        if isinstance(result, str):
            lost[key] = result
        else:
            places[key] = Place(job.offset, job.samples, result)
    _flush(out / name)
    return Stored(name, end, places, lost)


def remove_unused(out: Path, name: str) -> None:
    """Delete the file of samples that no index names any more."""
    for other in NAMES:
        if other != name:
            with suppress(OSError):  # in use on systems that hold open files; the next build deletes it
                (out / other).unlink(missing_ok=True)


def _place_kept(
    out: Path, old: Cache | None, kept: Mapping[str, Clip], new_samples: int
) -> tuple[str, dict[str, Place], int]:
    """Decide between appending to the old file and a fresh one; returns its name, the places kept, and its end."""
    alive = sum(clip.samples for clip in kept.values())
    if old is not None and kept and old.pcm_samples - alive <= alive + new_samples:
        return old.pcm_name, {key: Place(c.offset, c.samples, c.scale) for key, c in kept.items()}, old.pcm_samples
    name = next(n for n in NAMES if old is None or n != old.pcm_name)
    places, end = {}, 0
    (out / name).unlink(missing_ok=True)  # never written over: someone may still read it
    with open(out / name, "wb") as f:
        for key, clip in kept.items():
            assert old is not None
            f.write(old.stored(clip).tobytes())
            places[key] = Place(end, clip.samples, clip.scale)
            end += clip.samples
    return name, places, end


def _samples_of(sounds: Sounds, kept: Mapping[str, Clip]) -> int:
    """Roughly how much is new: frames at the files' own rates."""
    return sum(m.frames for key, (_, m) in sounds.items() if key not in kept)


def _set_size(path: Path, size: int) -> None:
    """Drop what a killed build left, and take the room that is needed now: a full disk is told before the work."""
    with open(path, "ab") as f:
        f.truncate(size)
        if size and hasattr(os, "posix_fallocate"):
            os.posix_fallocate(f.fileno(), 0, size)


def _encode(job: Job, pulse: Pulse) -> float | str:
    """The scale, or why the sound is lost."""
    try:
        return encode(job, pulse)
    except AudioFileError as e:
        return str(e).removeprefix(f"{one_line(job.path)}: ")


def _flush(path: Path) -> None:
    with open(path, "rb") as f:
        os.fsync(f.fileno())
