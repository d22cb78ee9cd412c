"""A limiter: peaks are turned down while they last, and the rest of a sound keeps its level."""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from audio_gen.audio.onset import amplitude

CEILING_DB = -0.1  # of full scale
REACH_SEC = 0.02  # the gain begins to fall and ends to rise so long before and after a peak: a period of 50 Hz


class Limiter:
    """Limits sounds in blocks; the blocks are as long as what comes in, and equal the whole.

    The gain that a sample needs is the least within the reach of it, averaged over the reach, so no sample is louder
    than the ceiling and the gain has no step.

    Attributes:
        reduction_db: How far the loudest peak so far was turned down.
    """

    def __init__(self, sample_rate: int, ceiling_db: float = CEILING_DB) -> None:
        """For sounds at a sample rate in Hz."""
        self._ceiling = amplitude(ceiling_db)
        self._half = max(1, round(REACH_SEC * sample_rate / 2))
        self.reduction_db = 0.0

    def __call__(self, blocks: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield blocks (C, n), all of a sound's."""
        reach = 4 * self._half  # samples on each side that a gain depends on
        held, before = torch.empty(1, 0), 0  # what is held begins with so many samples that are already out
        for block in blocks:
            held = torch.cat([held.expand(len(block), -1), block], dim=1)
            ready = held.shape[1] - reach
            if ready > before:
                yield self._limited(held, before, ready)
                cut = max(0, ready - reach)
                held, before = held[:, cut:], ready - cut
        if held.shape[1] > before:
            yield self._limited(held, before, held.shape[1])

    def _limited(self, wav: Tensor, first: int, stop: int) -> Tensor:
        """Samples (C, stop - first) of a part of a sound."""
        from scipy.ndimage import maximum_filter1d, uniform_filter1d

        part = wav[:, first:stop]
        if float(wav.abs().max()) <= self._ceiling:
            return part
        peak = wav.abs().amax(0).double().numpy()
        around = maximum_filter1d(peak, 4 * self._half + 1, mode="nearest")
        gain = np.minimum(1.0, self._ceiling / np.maximum(around, 1e-9))
        for _ in range(2):
            gain = uniform_filter1d(gain, 2 * self._half + 1, mode="nearest")
        found = torch.from_numpy(gain[first:stop])
        self.reduction_db = max(self.reduction_db, float(-20 * found.min().log10()))
        return (part * found).to(part.dtype)
