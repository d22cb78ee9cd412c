"""The latents of all clips of one side of a cache, on disk, and windows of them."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from audio_gen.audio.long_mel import LongMel
from audio_gen.audio.mel import DB_PER_NAT, MelSpec
from audio_gen.audio.stereo import on_mel
from audio_gen.data.split import Split
from audio_gen.data.store import Cache
from audio_gen.data.tempo import BEATS_PER_BAR, Beats, clip_beats
from audio_gen.models.codecs.local import LocalCodec
from audio_gen.models.codecs.long import encode_blocks
from audio_gen.models.codecs.patches import STRIDE
from audio_gen.models.contract import BAR, BEAT, CLASS, GAIN, SPEED, Conditions
from audio_gen.training.tasks.latent_file import key_of, latents_in

LOOPED_WINDOWS = 1.5
MOST_VERSIONS, MOST_LATENTS = 8, 600_000  # of training sounds; of all versions together
UNCHANGED_SHARE = 0.3  # of the windows drawn, at least


@dataclass(frozen=True)
class Windows:
    """Windows of latents.

    Attributes:
        z: (B, N, D) float32; 0 after the end of a clip.
        sound: False after the end of a clip (B, N) bool.
        conditions: Of the windows.
    """

    z: Tensor
    sound: Tensor
    conditions: Conditions

    def to(self, device: torch.device) -> "Windows":
        """The same windows on another device."""
        return Windows(self.z.to(device), self.sound.to(device), self.conditions.to(device))


@dataclass(frozen=True)
class Version:
    """A version of a clip.

    Attributes:
        number: Of the clip.
        semitones: How much higher and faster it plays.
        gain_db: How much louder it is.
    """

    number: int
    semitones: float = 0.0
    gain_db: float = 0.0


class LatentStore:
    """Latents of the clips of one side, in a file beside the cache."""

    def __init__(
        self, cache: Cache, split: Split, spec: MelSpec, *, window: int, beats: bool = False,
        most_change: tuple[float, float] | None = None, most_versions: int = MOST_VERSIONS,
    ) -> None:  # fmt: skip
        """Choose the clips; `encode` computes their latents.

        With `beats` windows have phases of beat and bar, and loops shorter than 1.5 windows of `window` latents are
        repeated. With `most_change`, in semitones and dB, each clip has up to `most_versions` that differ by up to as
        much; the less sound there is, the more versions.
        """
        self._cache, self._split, self._spec, self._window, self._beats = cache, split, spec, window, beats
        self._most_change, self._most_versions = most_change, most_versions
        self._clips = [cache.clips[number] for number in cache.numbers(split).tolist()]
        ids = {name: i for i, name in enumerate(cache.classes)}
        self._classes = torch.tensor([-1 if c.class_name is None else ids[c.class_name] for c in self._clips])
        self._latents: np.ndarray | None = None
        self.tempos: list[float] = []  # in bpm, of the clips with a steady beat

    @property
    def encoded(self) -> bool:
        """Whether `encode` was called."""
        return self._latents is not None

    def encode(self, codec: LocalCodec, progress: Callable[[int, int], object] = lambda done, total: None) -> None:
        """Compute all latents, in float16, or find those of an earlier run with the same codec and sounds.

        Args:
            codec: Is fixed from now on.
            progress: Gets the number of latents done and that of all.

        Raises:
            OutputError: The disk is full.
        """
        found = [clip_beats(self._cache, clip) if self._beats else None for clip in self._clips]
        self._versions = self._all_versions(found)
        mels = [self._mel(one, found[one.number]) for one in self._versions]
        counts = [-(-mel.frames // STRIDE) for mel in mels]
        self._ends = np.cumsum(counts)
        self._starts = self._ends - counts
        if self._beats:
            self._phases = self._phases_of(found, mels, counts)
        changes = [(12 * math.log2(mel.speed), one.gain_db) for one, mel in zip(self._versions, mels, strict=True)]
        self._changes = torch.tensor(changes)
        total = int(self._ends[-1])

        def blocks() -> Iterator[np.ndarray]:
            done = 0
            for one, mel in zip(self._versions, mels, strict=True):
                for z in encode_blocks(codec, partial(self._louder, mel, one.gain_db), mel.frames):
                    yield z.numpy()
                    done += len(z)
                    progress(done, total)

        sounds = [(clip.content_hash, clip.mono_channel, clip.stereo_hash) for clip in self._clips]
        key = key_of(codec, self._spec.to_dict(), sounds, [astuple(one) for one in self._versions], counts)
        self._latents = latents_in(self._cache.path, self._split, key, (total, codec.latent.dim), blocks)

    def _all_versions(self, found: Sequence[Beats | None]) -> list[Version]:
        """The clips as they are, in order, then their versions; each has its own random changes."""
        versions = [Version(i) for i in range(len(self._clips))]
        if self._most_change is None:
            return versions
        total = sum(-(-self._mel(one, found[one.number]).frames // STRIDE) for one in versions)
        count = min(max(1, MOST_LATENTS // total), self._most_versions)
        semitones, gain_db = self._most_change
        for version in range(1, count):
            for i in range(len(self._clips)):
                speed, gain = np.random.default_rng((version, i)).uniform(-1, 1, 2).tolist()
                versions.append(Version(i, semitones * speed, gain_db * gain))
        return versions

    def _louder(self, mel: LongMel, gain_db: float, first: int, stop: int) -> Tensor:
        return on_mel(mel(first, stop), self._spec.n_mels, lambda rows: rows + gain_db / DB_PER_NAT)

    def _mel(self, version: Version, beats: Beats | None) -> LongMel:
        """The log-mel of a version of a clip; a short loop is repeated."""
        clip, speed = self._clips[version.number], 2 ** (version.semitones / 12)
        read_part = self._cache.read_channels if self._spec.channels == 2 else self._cache.read
        rounds = 1
        if beats is not None and beats.loop_beats is not None:
            rounds = max(1, math.ceil(LOOPED_WINDOWS * self._window * self._latent_samples * speed / clip.samples))

        def read(start: int, count: int) -> Tensor:
            parts = []
            while count:
                place = start % clip.samples
                size = min(count, clip.samples - place)
                parts.append(np.atleast_2d(read_part(clip, place, size)))
                start, count = start + size, count - size
            return torch.from_numpy(np.concatenate(parts, axis=1).astype(np.float32, copy=False))

        return LongMel(read, rounds * clip.samples, self._spec, self._spec.channels, speed)

    @property
    def _latent_samples(self) -> int:
        return self._spec.samples(STRIDE)

    def _phases_of(
        self, found: Sequence[Beats | None], mels: Sequence[LongMel], counts: Sequence[int]
    ) -> np.ndarray:  # fmt: skip
        """Phases of beat and bar (2, n) of all latents; NaN without a steady beat."""
        parts = []
        for version, mel, count in zip(self._versions, mels, counts, strict=True):
            beats, clip = found[version.number], self._clips[version.number]
            at = np.arange(count, dtype=np.float64) * self._latent_samples * mel.speed
            phases = np.full((2, count), np.nan)
            if beats is not None and beats.loop_beats is not None:
                beat = at / clip.samples * beats.loop_beats
                phases[0], phases[1] = beat % 1, beat / BEATS_PER_BAR % 1
                if beats.loop_beats % BEATS_PER_BAR:
                    phases[1] = np.nan
            elif beats is not None and beats.steady:
                phases[0], phases[1] = beats.phases(at)[1:]
            parts.append(phases)
        self.tempos = [one.bpm for one in found if one is not None and one.steady]
        return np.concatenate(parts, axis=1).astype(np.float32)

    def thinned(self, most: int) -> Tensor:
        """Up to `most` evenly spaced latents (n, D) of the clips as they are."""
        assert self._latents is not None
        count = int(self._ends[len(self._clips) - 1])
        return torch.from_numpy(self._latents[: count : max(1, count // most)].astype(np.float32))

    def class_shares(self, count: int) -> Tensor:
        """The share of the time of each of `count` classes (C,)."""
        clips = len(self._clips)
        lengths = torch.from_numpy((self._ends - self._starts)[:clips].astype(np.float64))
        known = self._classes >= 0
        totals = torch.zeros(max(1, count), dtype=torch.float64).index_add_(0, self._classes[known], lengths[known])
        return (totals / totals.sum().clamp(min=1)).float()

    def draw(self, count: int, length: int, generator: torch.Generator) -> Windows:
        """Windows (count, length, D) from random places of all versions; a clip's chance is its length."""
        draws = torch.rand(3, count, generator=generator, dtype=torch.float64, device=generator.device).cpu().numpy()
        ends = np.where(draws[2] < UNCHANGED_SHARE, self._ends[len(self._clips) - 1], self._ends[-1])
        chosen = np.searchsorted(self._ends, (draws[0] * ends).astype(np.int64), side="right")
        spare = np.maximum(0, self._ends[chosen] - self._starts[chosen] - length)
        return self._windows(chosen, (draws[1] * (spare + 1)).astype(np.int64), length)

    def spread(self, count: int, length: int) -> Windows:
        """Up to `count` windows (n, length, D), evenly spaced over the clips as they are, that do not overlap."""
        clips = len(self._clips)
        places = [
            (i, start)
            for i, (first, end) in enumerate(zip(self._starts[:clips], self._ends[:clips], strict=True))
            for start in range(0, max(1, int(end - first) - length // 2), length)
        ]
        some = [places[i] for i in np.linspace(0, len(places) - 1, min(count, len(places))).round().astype(int)]
        chosen, starts = (np.array(part) for part in zip(*some, strict=True))
        return self._windows(chosen, starts, length)

    def count_windows(self, frames: int) -> int:
        """How many windows of some frames the clips have side by side."""
        return sum(clip.samples // self._spec.samples(frames) for clip in self._clips)

    def images(self, count: int, frames: int) -> Tensor:
        """Up to `count` evenly spaced windows (n, R, frames) of the clips' log-mels; `frames` is a multiple of 4."""
        mels = [self._mel(Version(i), None) for i in range(len(self._clips))]
        places = [(mel, at) for mel in mels for at in range(0, mel.frames - frames + 1, frames)]
        some = np.linspace(0, len(places) - 1, min(count, len(places))).round().astype(int)
        return torch.stack([places[i][0](places[i][1], places[i][1] + frames) for i in some])

    def _windows(self, chosen: np.ndarray, starts: np.ndarray, length: int) -> Windows:
        assert self._latents is not None
        z = torch.zeros(len(chosen), length, self._latents.shape[1])
        sound = torch.zeros(len(chosen), length, dtype=torch.bool)
        phases = torch.full((2, len(chosen), length), math.nan)
        for row, (clip, start) in enumerate(zip(chosen.tolist(), starts.tolist(), strict=True)):
            begin = int(self._starts[clip]) + start
            part = self._latents[begin : min(begin + length, int(self._ends[clip]))]
            z[row, : len(part)] = torch.from_numpy(part.astype(np.float32))
            sound[row, : len(part)] = True
            if self._beats:
                phases[:, row, : len(part)] = torch.from_numpy(self._phases[:, begin : begin + len(part)])
        numbers, changes = [self._versions[i].number for i in chosen.tolist()], self._changes[chosen]
        values = {CLASS: self._classes[numbers], SPEED: changes[:, 0], GAIN: changes[:, 1]}
        if self._beats:
            values |= {BEAT: phases[0], BAR: phases[1]}
        return Windows(z, sound, Conditions(len(chosen), values))
