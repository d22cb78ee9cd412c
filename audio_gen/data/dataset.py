"""Batches of crops, determined by (seed, step, rank) alone."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import lru_cache
from itertools import zip_longest
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from audio_gen.audio.onset import fade_in, lead_samples, loudest, onset
from audio_gen.data.checksums import build_command
from audio_gen.data.split import Split
from audio_gen.data.store import Cache
from audio_gen.data.table import Clip, ClipTable
from audio_gen.errors import ConfigError, DataError

ONSETS_KEPT = 1 << 16
LONG_SEGMENTS = 4  # longer clips are not single notes and are cropped at random
SHUFFLE, CROP = 0, 1  # streams of random numbers


@dataclass(frozen=True)
class Batch:
    """Crops of several clips.

    Attributes:
        wav: (B, C, T) float32, zero after the end of short clips, and before the onset if there is a pre-roll.
        length: (B,) int64, samples without padding.
        class_id: (B,) int64 index into the cache's classes, -1 if unknown.
        pitch: (B,) float32 MIDI note number, NaN if unknown.
        velocity: (B,) float32 MIDI velocity, NaN if unknown.
        index: (B,) int64 number of the clip in the cache.
        start: (B,) int64 first sample of the crop in the clip; negative if a pre-roll comes before it.
    """

    wav: Tensor
    length: Tensor
    class_id: Tensor
    pitch: Tensor
    velocity: Tensor
    index: Tensor
    start: Tensor

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on another device."""
        return Batch(**{f.name: getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)})


class ClipDataset:
    """One side of a cache as an endless sequence of batches; each clip appears once per epoch."""

    def __init__(
        self,
        cache: Cache,
        *,
        split: Split,
        segment_samples: int,
        seed: int,
        crop: Literal["random", "start"] = "random",
        preroll: int = 0,
        channels: Literal[1, 2] | None = None,
        balanced: bool = False,
    ) -> None:
        """Choose the clips.

        Args:
            cache: The cache.
            split: The side.
            segment_samples: Length of every crop.
            seed: Seed of the order and the crops.
            crop: Where longer clips are cropped: at random, or at the start, which keeps onsets. Clips of more than
                four segments are always cropped at random.
            preroll: Samples of silence at the start of every crop. Clips cropped at their start then begin 1 ms before
                their onset, which aligns all onsets; 0 for no alignment.
            channels: Channels of the batches: 1 mixes stereo clips to mono, 2 repeats mono ones. None for those of the
                cache.
            balanced: Take a clip of each class in turn, however many each has; then a class's clips appear once in an
                epoch of that class.

        Raises:
            ConfigError: The segment is empty.
            DataError: The cache has no clips.
        """
        if segment_samples < 1:
            raise ConfigError(f"segment_samples ({segment_samples}) must be at least 1; try 65536")
        self.cache, self.segment_samples, self.seed, self.crop = cache, segment_samples, seed, crop
        self._numbers = cache.numbers(split)
        if not len(self._numbers):
            raise DataError(f"{cache.path}: has no clips; run {build_command(cache.path)} with a folder of sounds")
        self._class_ids = {name: i for i, name in enumerate(cache.classes)}
        self._groups = self._by_class() if balanced else [self._numbers]
        if balanced:
            turns = zip_longest(*(group.tolist() for group in self._groups))
            self._numbers = np.array([number for turn in turns for number in turn if number is not None])
        # A batch may span two epochs.
        self._order = lru_cache(maxsize=2 * len(self._groups))(self._shuffled)
        self.preroll = preroll
        self.channels = channels or cache.channels
        self._beginning = lru_cache(maxsize=ONSETS_KEPT)(self._before_onset)

    def __len__(self) -> int:
        """Number of clips."""
        return len(self._numbers)

    @property
    def clips(self) -> ClipTable:
        """The clips, in the order of `fixed_batches`."""
        return self.cache.clips.only(self._numbers)

    def batch(self, step: int, batch_size: int, rank: int = 0, world_size: int = 1) -> Batch:
        """The crops of a training step.

        Args:
            step: Number of the step, from 0.
            batch_size: Crops in this batch.
            rank: Rank of this process.
            world_size: Number of processes; together they get the batch of one process with batch_size * world_size.
        """
        first = (step * world_size + rank) * batch_size
        return self._collect([self._draw(n) for n in range(first, first + batch_size)])

    def fixed_batches(self, batch_size: int, limit: int | None = None) -> Iterator[Batch]:
        """The first `limit` clips in order, cropped at their start; the last batch may be smaller."""
        numbers = self._numbers[:limit].tolist()
        for i in range(0, len(numbers), batch_size):
            yield self._collect([(number, 0) for number in numbers[i : i + batch_size]])

    def starts(self, numbers: Tensor) -> Batch:
        """The clips with these numbers (B,) in the cache, cropped at their start."""
        return self._collect([(number, 0) for number in numbers.tolist()])

    def _draw(self, n: int) -> tuple[int, int]:
        """The clip and the first sample of the n-th crop since the start of training."""
        turn, group = divmod(n, len(self._groups))
        epoch, position = divmod(turn, len(self._groups[group]))
        number = int(self._order(epoch, group)[position])
        spare = self.cache.clips[number].samples - self.segment_samples
        at_random = self.crop == "random" or spare > (LONG_SEGMENTS - 1) * self.segment_samples
        if spare <= 0 or not at_random:
            return number, 0
        return number, int(np.random.default_rng((self.seed, CROP, n)).integers(spare + 1))

    def _before_onset(self, number: int) -> int:
        """The sample 1 ms before the onset of a clip; it may be negative."""
        clip, rate = self.cache.clips[number], self.cache.sample_rate
        wav = self._samples(clip, 0, min(clip.samples, LONG_SEGMENTS * self.segment_samples))
        return onset(loudest(wav), rate) - lead_samples(rate)

    def _samples(self, clip: Clip, start: int, count: int) -> np.ndarray:
        """A part (1, count) or (C, count) of a clip."""
        if self.channels == 2 and clip.channels == 2:
            return self.cache.read_channels(clip, start, count)
        return self.cache.read(clip, start, count)[None]

    def _read(self, clip: Clip, begin: int, out: np.ndarray) -> None:
        """Read a crop into (C, T) from sample `begin` of the clip; the pre-roll and what is outside it are silent."""
        silent = max(self.preroll, -begin) if self.preroll else 0
        out[:, :silent] = 0
        out[:, silent:] = self._samples(clip, begin + silent, self.segment_samples - silent)
        if self.preroll:
            fade_in(out[:, silent:], self.cache.sample_rate)

    def _shuffled(self, epoch: int, group: int) -> np.ndarray:
        seed = (self.seed, SHUFFLE, epoch, group) if group else (self.seed, SHUFFLE, epoch)
        return np.random.default_rng(seed).permutation(self._groups[group])

    def _by_class(self) -> list[np.ndarray]:
        """The clips of each class that has some."""
        ids = self.clips.column("class_id")
        return [self._numbers[ids == number] for number in np.unique(ids)]

    def _collect(self, crops: list[tuple[int, int]]) -> Batch:
        wav = np.empty((len(crops), self.channels, self.segment_samples), np.float32)
        clips: list[Clip] = []
        lengths: list[int] = []
        starts: list[int] = []
        for row, (number, start) in zip(wav, crops, strict=True):
            clips.append(self.cache.clips[number])
            begin = start
            if self.preroll:
                begin = (start or self._beginning(number)) - self.preroll
            self._read(clips[-1], begin, row)
            starts.append(begin)
            lengths.append(min(clips[-1].samples - begin, self.segment_samples))
        class_ids = [-1 if c.class_name is None else self._class_ids[c.class_name] for c in clips]
        return Batch(
            wav=torch.from_numpy(wav),
            length=torch.tensor(lengths),
            class_id=torch.tensor(class_ids),
            pitch=torch.tensor([float("nan") if c.pitch is None else c.pitch for c in clips]),
            velocity=torch.tensor([float("nan") if c.velocity is None else float(c.velocity) for c in clips]),
            index=torch.tensor([number for number, _ in crops]),
            start=torch.tensor(starts),
        )
