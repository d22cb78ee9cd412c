"""The latents of all clips of one side of a cache, on disk, and windows of them."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from audio_gen.audio.long_mel import LongMel
from audio_gen.audio.mel import MelSpec
from audio_gen.data.split import Split
from audio_gen.data.store import Cache
from audio_gen.data.table import Clip
from audio_gen.models.codecs.local import STRIDE, LocalCodec
from audio_gen.models.codecs.long import encode_blocks
from audio_gen.models.contract import CLASS, Conditions


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


class LatentStore:
    """Latents of the clips of one side, in a temporary file that is gone when the process ends."""

    def __init__(self, cache: Cache, split: Split, spec: MelSpec) -> None:
        """Choose the clips; `encode` computes their latents."""
        self._cache, self._spec = cache, spec
        self._clips = [cache.clips[number] for number in cache.numbers(split).tolist()]
        ids = {name: i for i, name in enumerate(cache.classes)}
        self._classes = torch.tensor([-1 if c.class_name is None else ids[c.class_name] for c in self._clips])
        self._latents: np.ndarray | None = None

    @property
    def encoded(self) -> bool:
        """Whether `encode` was called."""
        return self._latents is not None

    def encode(self, codec: LocalCodec, progress: Callable[[int, int], object] = lambda done, total: None) -> None:
        """Compute all latents, in float16; `progress` gets the number of latents done and that of all."""
        mels = [self._mel(clip) for clip in self._clips]
        counts = [-(-mel.frames // STRIDE) for mel in mels]
        self._ends = np.cumsum(counts)
        self._starts = self._ends - counts
        with tempfile.TemporaryFile(dir=self._folder()) as file:
            shape = (int(self._ends[-1]), codec.latent.dim)
            file.truncate(2 * shape[0] * shape[1])
            self._latents = np.memmap(file, np.float16, "r+", shape=shape)
            done = 0
            for mel in mels:
                for z in encode_blocks(codec, mel, mel.frames):
                    self._latents[done : done + len(z)] = z.numpy()
                    done += len(z)
                    progress(done, shape[0])

    def _folder(self) -> str | None:
        """A folder on disk if possible: temporary folders may be in memory."""
        try:
            with tempfile.TemporaryFile(dir=self._cache.path):
                return str(self._cache.path)
        except OSError:
            return None

    def _mel(self, clip: Clip) -> LongMel:
        both = self._spec.channels == 2

        def read(start: int, count: int) -> Tensor:
            read_part = self._cache.read_channels if both else self._cache.read
            return torch.from_numpy(np.atleast_2d(read_part(clip, start, count)).astype(np.float32, copy=False))

        return LongMel(read, clip.samples, self._spec, self._spec.channels)

    def thinned(self, most: int) -> Tensor:
        """Up to `most` evenly spaced latents (n, D)."""
        assert self._latents is not None
        step = max(1, len(self._latents) // most)
        return torch.from_numpy(self._latents[::step].astype(np.float32))

    def class_shares(self, count: int) -> Tensor:
        """The share of the time of each of `count` classes (C,)."""
        lengths = torch.from_numpy((self._ends - self._starts).astype(np.float64))
        known = self._classes >= 0
        totals = torch.zeros(max(1, count), dtype=torch.float64).index_add_(0, self._classes[known], lengths[known])
        return (totals / totals.sum().clamp(min=1)).float()

    def draw(self, count: int, length: int, generator: torch.Generator) -> Windows:
        """Windows (count, length, D) from random places; a clip's chance is its length."""
        draws = torch.rand(2, count, generator=generator, dtype=torch.float64, device=generator.device).cpu().numpy()
        chosen = np.searchsorted(self._ends, (draws[0] * self._ends[-1]).astype(np.int64), side="right")
        spare = np.maximum(0, self._ends[chosen] - self._starts[chosen] - length)
        return self._windows(chosen, (draws[1] * (spare + 1)).astype(np.int64), length)

    def spread(self, count: int, length: int) -> Windows:
        """Up to `count` windows (n, length, D), evenly spaced over all clips, that do not overlap."""
        places = [
            (i, start)
            for i, (first, end) in enumerate(zip(self._starts, self._ends, strict=True))
            for start in range(0, max(1, int(end - first) - length // 2), length)
        ]
        some = [places[i] for i in np.linspace(0, len(places) - 1, min(count, len(places))).round().astype(int)]
        chosen, starts = (np.array(part) for part in zip(*some, strict=True))
        return self._windows(chosen, starts, length)

    def _windows(self, chosen: np.ndarray, starts: np.ndarray, length: int) -> Windows:
        assert self._latents is not None
        z = torch.zeros(len(chosen), length, self._latents.shape[1])
        sound = torch.zeros(len(chosen), length, dtype=torch.bool)
        for row, (clip, start) in enumerate(zip(chosen.tolist(), starts.tolist(), strict=True)):
            begin = int(self._starts[clip]) + start
            part = self._latents[begin : min(begin + length, int(self._ends[clip]))]
            z[row, : len(part)] = torch.from_numpy(part.astype(np.float32))
            sound[row, : len(part)] = True
        return Windows(z, sound, Conditions(len(chosen), {CLASS: self._classes[chosen]}))
