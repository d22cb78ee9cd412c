"""Sounds of any length, read block by block."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from audio_gen.audio.onset import amplitude
from audio_gen.data.measure import blocks_between
from audio_gen.data.measurement import Measurement
from audio_gen.data.store import Cache, Clip
from audio_gen.text import one_line

CACHE_BLOCK = 1 << 20  # samples


@dataclass(frozen=True)
class LongSound:
    """A sound of any length, read from its start.

    Attributes:
        title: Its name in reports.
        sample_rate: In Hz.
        samples: Length in samples.
        blocks: Returns its samples as arrays (T,), of any lengths.
        content_hash: Hash of the sound, if known.
    """

    title: str
    sample_rate: int
    samples: int
    blocks: Callable[[], Iterable[np.ndarray]]
    content_hash: str | None = None

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.samples / self.sample_rate

    @classmethod
    def of(cls, title: str, wav: Tensor, sample_rate: int) -> "LongSound":
        """A sound in memory: wav (C, T), of which the mean of the channels is used."""
        return cls(title, sample_rate, wav.shape[-1], lambda: [wav.mean(0).numpy()])

    @classmethod
    def of_file(cls, title: str, file: Path, m: Measurement) -> "LongSound":
        """The mono mix of a measured file, from its first to its last sample."""
        return cls(title, m.sample_rate, m.frames, lambda: blocks_between(file, m, 0, m.frames), m.content_hash)

    @classmethod
    def of_cache(cls, cache: Cache, clip: Clip) -> "LongSound":
        """The mono mix of a cached sound."""
        starts = range(0, clip.samples, CACHE_BLOCK)

        def blocks() -> Iterator[np.ndarray]:
            for start in starts:
                yield cache.read(clip, start, min(CACHE_BLOCK, clip.samples - start))

        return cls(one_line(clip.path), cache.sample_rate, clip.samples, blocks, clip.content_hash)

    def louder(self, gain_db: float) -> "LongSound":
        """The same sound with a gain."""
        factor = np.float32(amplitude(gain_db))
        return replace(self, blocks=lambda: (block * factor for block in self.blocks()))

    def parts(self, seconds: float) -> Iterator[Tensor]:
        """Yield the samples (T,) in parts of this length; the last may be shorter."""
        size, held, count = round(seconds * self.sample_rate), [], 0
        for block in self.blocks():
            while len(block):
                piece = block[: size - count]
                held.append(piece)
                count, block = count + len(piece), block[len(piece) :]
                if count == size:
                    yield torch.from_numpy(np.concatenate(held))
                    held, count = [], 0
        if count:
            yield torch.from_numpy(np.concatenate(held))
