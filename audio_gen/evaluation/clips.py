"""Read the clips of a folder or a cache for evaluation, and report those that are skipped."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from audio_gen.artefacts.folders import CacheFolder
from audio_gen.audio.channels import foldable
from audio_gen.audio.io import info
from audio_gen.data.index import Progress, inspect_folder
from audio_gen.data.labels import Label, read_labels
from audio_gen.data.measure import blocks_between
from audio_gen.data.measurement import Measurement
from audio_gen.data.report import FileReport, NothingUsableError, sound_extent
from audio_gen.data.scan import scan_folder
from audio_gen.data.store import Cache, Clip
from audio_gen.errors import AudioFileError
from audio_gen.evaluation.long_sound import LongSound
from audio_gen.text import one_line

LONGEST_SEC = 10.0  # longer files are cut into clips of this length, unless a model's length says otherwise
Labels = Mapping[str, Label]


@dataclass(frozen=True)
class SoundClip:
    """A clip that can be loaded.

    Attributes:
        title: Its name in reports.
        group: Its file; clips of one file are never on both sides of a comparison.
        load: Returns its samples (T,) and their rate in Hz.
        class_name: Its class; for a generated clip the requested one.
        pitch: Its MIDI pitch; for a generated clip the requested one.
        content_hash: Hash of its file's sound, if known.
        load_stereo: Returns both channels (2, T); None for a mono clip.
    """

    title: str
    group: str
    load: Callable[[], tuple[Tensor, int]]
    class_name: str | None = None
    pitch: float | None = None
    content_hash: str | None = None
    load_stereo: Callable[[], tuple[Tensor, int]] | None = None


@dataclass(frozen=True)
class ClipSet:
    """Clips, skipped files with reasons, notes on the folder, and the whole sounds."""

    clips: list[SoundClip]
    left_out: list[tuple[str, str]]
    notes: list[str] = field(default_factory=list)
    sounds: list[LongSound] = field(default_factory=list)


def find_clips(
    place: Path,
    *,
    clip_sec: float | None = None,
    labels: str = "auto",
    known: Labels | None = None,
    progress: Progress | None = None,
    generated: bool = False,
) -> ClipSet:
    """List the clips of a folder of sounds, or of a cache.

    Args:
        place: The folder or cache; it is only read.
        clip_sec: Use only this many seconds from the start of every file; None uses all, in clips of ten seconds.
        labels: Where class and pitch come from, see `read_labels`.
        known: Labels by path; they override those of `labels`.
        progress: Called with the number of files read.
        generated: Include clips that a model generated.

    Raises:
        DataError: The folder is missing or holds no usable file.
    """
    if CacheFolder(place).exists():
        cache = Cache.open(place)
        parts = [part for clip in cache.clips for part in cache_clips(cache, clip, clip_sec)]
        return ClipSet(parts, [], cache.notes, [LongSound.of_cache(cache, clip) for clip in cache.clips])
    report = inspect_folder(place, progress=progress, generated=generated)
    usable = {f.path for f in report.usable}
    found, notes = read_labels(
        place, sorted(usable), source=labels, unusable=[f.path for f in report.files if f.path not in usable],
        links={f.path: f.link_to for f in report.files if f.link_to},
    )  # fmt: skip
    clips: list[SoundClip] = []
    sounds: list[LongSound] = []
    left_out = [(one_line(f.path), "; ".join(f.reasons)) for f in report.left_out]
    for f in report.usable:
        m = f.measurement
        if m is None:
            continue  # a link; its target is listed too
        if m.non_finite:
            left_out.append((one_line(f.path), f"holds {m.non_finite} NaN or infinite samples"))
            continue
        label = (known or {}).get(f.path, Label()).or_else(found.get(f.path, Label()))
        # A user's file is cropped as for training; a generated clip is evaluated with all its silence.
        sounds.append(LongSound.of_file(f.path, f.file, m))
        clips += _file_clips(f, m, label, clip_sec, (0, m.frames) if generated else sound_extent(m))
    if not clips:
        raise NothingUsableError(f"{one_line(place)}: none of its {len(left_out)} files can be used ({left_out[0][1]})")
    return ClipSet(clips, left_out, [*report.notes, *([] if generated else notes)], sounds)


def has_stereo(folder: Path) -> bool:
    """Whether a folder of sounds, or a cache, holds a sound of two channels."""
    if CacheFolder(folder).exists():
        return Cache.open(folder).channels == 2
    for found in scan_folder(folder).found:
        if found.problem is None:
            with suppress(AudioFileError):
                if foldable(info(found.path).channels):
                    return True
    return False


def cache_clips(cache: Cache, clip: Clip, clip_sec: float | None = None) -> list[SoundClip]:
    """The parts of a cache's clip that are evaluated."""

    def part(start: int, count: int) -> Callable[[], tuple[Tensor, int]]:
        return lambda: (torch.from_numpy(cache.read(clip, start, count)), cache.sample_rate)

    def both(start: int, count: int) -> Callable[[], tuple[Tensor, int]]:
        return lambda: (torch.from_numpy(cache.read_channels(clip, start, count)), cache.sample_rate)

    return [
        SoundClip(
            one_line(clip.path) + where,
            clip.path,
            part(start, count),
            clip.class_name,
            clip.pitch,
            clip.content_hash,
            both(start, count) if clip.channels == 2 else None,
        )
        for where, start, count in _parts(clip.samples, cache.sample_rate, clip_sec)
    ]


def _file_clips(
    f: FileReport, m: Measurement, label: Label, clip_sec: float | None, extent: tuple[int, int]
) -> list[SoundClip]:
    first, last = extent

    def part(start: int, count: int) -> Callable[[], tuple[Tensor, int]]:
        return lambda: (_read(f.file, m, first + start, first + start + count), m.sample_rate)

    def both(start: int, count: int) -> Callable[[], tuple[Tensor, int]]:
        return lambda: (_read(f.file, m, first + start, first + start + count, 2).expand(2, -1), m.sample_rate)

    return [
        SoundClip(
            one_line(f.path) + where,
            f.path,
            part(start, count),
            label.class_name,
            label.pitch,
            m.content_hash,
            both(start, count) if foldable(m.channels) else None,
        )
        for where, start, count in _parts(last - first, m.sample_rate, clip_sec)
    ]


def _parts(samples: int, sample_rate: int, clip_sec: float | None) -> list[tuple[str, int, int]]:
    """Title suffix ("" for a single part), first sample and length of each part of a sound."""
    if clip_sec is not None:
        return [("", 0, min(samples, max(1, round(clip_sec * sample_rate))))]
    longest = round(LONGEST_SEC * sample_rate)
    count = max(1, round(samples / longest))
    ends = np.linspace(0, samples, count + 1).round().astype(int).tolist()
    if count == 1:
        return [("", 0, samples)]
    return [(f" at {start / sample_rate:.0f} s", start, stop - start) for start, stop in pairwise(ends)]


def _read(path: Path, m: Measurement, start: int, stop: int, channels: int = 1) -> Tensor:
    """Samples start..stop of a file with their DC offset, which is measured: the mono mix (T,).

    With `channels=2` it is left and right (2, T) if they differ.
    """
    stereo = None if m.stereo is None else replace(m.stereo, dc=(0.0, 0.0))
    blocks = list(blocks_between(path, replace(m, dc=0.0, stereo=stereo), start, stop, channels=channels))
    return torch.from_numpy(np.concatenate(blocks or [np.zeros(0, np.float32)], axis=-1).astype(np.float32))
