"""Loudness in LUFS."""

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor

# Not a library: pyloudnorm and torchaudio refuse clips shorter than a block of 0.4 s, as most drums are.
GATE_SEC, GATE_STEP_SEC, ABSOLUTE_GATE_LUFS, RELATIVE_GATE_LU, LUFS_OFFSET = 0.4, 0.1, -70.0, -10.0, -0.691
TABLE_RATE = 48_000  # of the filters in ITU-R BS.1770-4


def loudness_lufs(wav: Tensor, sample_rate: int) -> float:
    """Integrated loudness in LUFS; NaN if all of it is below the gate of -70.

    The powers of two channels are added, so two equal channels are 3 LU louder than one. A clip shorter than a gating
    block of 0.4 s is one block of its length.

    Args:
        wav: (T,), (1, T) or (2, T).
        sample_rate: In Hz.

    Source: ITU-R BS.1770-4.
    """
    from torchaudio.functional import lfilter

    numerator, denominator = (torch.tensor(side, dtype=torch.float64) for side in k_weighting(sample_rate))
    # Clamping, the library's default, would clip the boosted highs.
    x = lfilter(wav.double(), denominator, numerator, clamp=False)
    block, step = round(GATE_SEC * sample_rate), round(GATE_STEP_SEC * sample_rate)
    squares = x.square() if x.ndim == 1 else x.square().sum(0)
    energy = torch.cat([x.new_zeros(1), squares.cumsum(0)])
    samples = len(squares)
    powers = (energy[block:] - energy[:-block])[::step] / block if samples >= block else energy[-1:] / samples
    loud = powers[_lufs(powers) > ABSOLUTE_GATE_LUFS]
    if not len(loud):
        return math.nan
    loud = loud[_lufs(loud) > _lufs(loud.mean()) + RELATIVE_GATE_LU]
    return float(_lufs(loud.mean()))


@cache
def k_weighting(sample_rate: int) -> tuple[list[float], list[float]]:
    """Numerator and denominator (5,) of K-weighting, a head's shelf times a high-pass, at any rate.

    The standard lists coefficients for 48 kHz only; these are the analogue filters that give them.

    Source: ITU-R BS.1770-4, tables 1 and 2; De Man 2014, "Evaluation of implementations of the EBU R128 loudness
    measurement", for corner, gain and Q.
    """
    gain = 10 ** (3.999843853973347 / 20)
    shelf = _digital(1681.974450955533, 0.7071752369554196, (gain, gain**0.4996667741545416, 1.0), sample_rate)
    corner_hz, q = 38.13547087602444, 0.5003270373238773
    # The table's high-pass has the numerator (1, -2, 1), a gain slightly above 1; other rates use the same gain.
    above = 1 / _digital(corner_hz, q, (1.0, 0.0, 0.0), TABLE_RATE)[0][0]
    high_pass = _digital(corner_hz, q, (above, 0.0, 0.0), sample_rate)
    return tuple(np.convolve(a, b).tolist() for a, b in zip(shelf, high_pass, strict=True))  # type: ignore[return-value]


def _digital(corner_hz: float, q: float, gains: Sequence[float], sample_rate: int) -> tuple[list[float], list[float]]:
    """A second-order filter with these gains above, at (times Q) and below its corner, by the bilinear transform."""
    k = math.tan(math.pi * corner_hz / sample_rate)
    high, middle, low = gains[0], gains[1] * k / q, gains[2] * k * k
    scale = 1 + k / q + k * k
    numerator = [(high + middle + low) / scale, 2 * (low - high) / scale, (high - middle + low) / scale]
    return numerator, [1.0, 2 * (k * k - 1) / scale, (1 - k / q + k * k) / scale]


def _lufs(power: Tensor) -> Tensor:
    return LUFS_OFFSET + 10 * power.clamp(min=1e-30).log10()
