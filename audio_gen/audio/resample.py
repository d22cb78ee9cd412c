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


def as_wav(x: np.ndarray) -> "Tensor":
    """An array (T,) or (C, T) as wav (C, T), in the same memory."""
    import torch

    return torch.from_numpy(np.atleast_2d(x))


def resample_blocks(blocks: Iterable[np.ndarray], from_rate: int, to_rate: int) -> Iterator[np.ndarray]:
    """Change the sample rate of a sound given in blocks, without artefacts at the joins.

    Args:
        blocks: float32 arrays (T,), or all (C, T).
        from_rate: Their rate in Hz.
        to_rate: The new rate in Hz.

    Yields:
        float32 arrays (T,) or (C, T), `resampled_length` samples in all.
    """
    if from_rate == to_rate:
        yield from blocks
        return
    streams: list[soxr.ResampleStream] = []  # one per channel
    shape, received, returned = (0,), 0, 0
    for block in blocks:
        if not streams:
            shape = (*block.shape[:-1], -1)
            streams = [
                soxr.ResampleStream(from_rate, to_rate, 1, dtype="float32", quality=QUALITY)
                for _ in np.atleast_2d(block)
            ]
        received += block.shape[-1]
        out = _chunk(streams, block, shape)
        returned += out.shape[-1]
        yield out
    if streams:
        rest = resampled_length(received, from_rate, to_rate) - returned
        tail = _chunk(streams, np.zeros((len(streams), 0), np.float32), shape, last=True)
        # soxr may round the last sample the other way
        missing = [(0, 0)] * (tail.ndim - 1) + [(0, max(0, rest - tail.shape[-1]))]
        yield np.pad(tail, missing)[..., : max(0, rest)]


def _chunk(
    streams: list[soxr.ResampleStream], block: np.ndarray, shape: tuple[int, ...], last: bool = False
) -> np.ndarray:
    """Resample a block, each channel by its stream."""
    if len(shape) == 1:
        return streams[0].resample_chunk(block.reshape(-1), last=last)
    rows = [stream.resample_chunk(row, last=last) for stream, row in zip(streams, block, strict=True)]
    return np.stack(rows)
