"""Change the sample rate with soxr (high quality)."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import soxr

if TYPE_CHECKING:
    from torch import Tensor

QUALITY = "HQ"


def resampled_length(samples: int, from_rate: int, to_rate: int) -> int:
    """The number of samples after resampling: rounded, at least 1 if there is any."""
    length = (2 * samples * to_rate + from_rate) // (2 * from_rate)
    return max(length, 1) if samples else 0


def resample(wav: "Tensor", from_rate: int, to_rate: int) -> "Tensor":
    """Change the sample rate.

    Args:
        wav: (C, T).
        from_rate: Its rate in Hz.
        to_rate: The new rate in Hz.

    Returns:
        wav (C, T * to_rate / from_rate, rounded) float32 on the CPU; `wav` itself if the rates are equal.
    """
    if from_rate == to_rate:
        return wav
    import torch

    rows = [np.concatenate(list(resample_blocks([c.numpy()], from_rate, to_rate))) for c in wav.detach().float().cpu()]
    return torch.from_numpy(np.stack(rows))


def as_wav(mono: np.ndarray) -> "Tensor":
    """An array (T,) as wav (1, T), in the same memory."""
    import torch

    return torch.from_numpy(mono)[None]


def resample_blocks(blocks: Iterable[np.ndarray], from_rate: int, to_rate: int) -> Iterator[np.ndarray]:
    """Change the sample rate of a sound given in blocks, without artefacts at the joins.

    Args:
        blocks: float32 arrays (T,).
        from_rate: Their rate in Hz.
        to_rate: The new rate in Hz.

    Yields:
        float32 arrays (T,), `resampled_length` samples in all.
    """
    if from_rate == to_rate:
        yield from blocks
        return
    stream = soxr.ResampleStream(from_rate, to_rate, 1, dtype="float32", quality=QUALITY)
    received = returned = 0
    for block in blocks:
        received += len(block)
        out = stream.resample_chunk(block)
        returned += len(out)
        yield out
    rest = resampled_length(received, from_rate, to_rate) - returned
    tail = stream.resample_chunk(np.zeros(0, np.float32), last=True)
    # soxr may round the last sample the other way
    yield np.pad(tail, (0, max(0, rest - len(tail))))[:rest] if rest >= 0 else tail[:0]
