"""Mel bands and FFT bins: amplitudes from a log-mel, and factors that fit amplitudes to a mel."""

import math
from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor

from audio_gen.audio.mel import LOG_FLOOR, MelSpec, mel_filters
from audio_gen.audio.parallel import joined
from audio_gen.audio.stft import STFT

LOW_HZ = 2700.0  # approximate end of the low part: 2.6 kHz at 44.1 and 22.05 kHz
MIN_BANDS = 4  # a part with fewer is not refined
FLOOR_MARGIN = 1e-3  # in nats; a band within it of the floor is silent
SILENT_AMPLITUDE, SILENT_POWER = 1e-9, 1e-14
TINY = 1e-12  # keeps divisions by silence finite
MANY_BINS = 256
MAX_RATIO = 1e4  # between target and present mel amplitudes


def linear_mel(mel: Tensor) -> Tensor:
    """Return mel amplitudes (B, M, L) of log-mel (B, M, L); a band at LOG_FLOOR is silent."""
    return torch.where(mel > LOG_FLOOR + FLOOR_MARGIN, mel.exp(), 0.0)


@lru_cache(maxsize=16)
def pinv_filters(spec: MelSpec) -> Tensor:
    """Return the pseudo-inverse (F, M) of the mel filters of a spec; it is cached, so do not write into it."""
    # A cached tensor made in inference mode could not be used in training later.
    with torch.inference_mode(False), torch.no_grad():
        return torch.linalg.pinv(mel_filters(spec))


@torch.no_grad()
def nnls_amplitude(mel: Tensor, spec: MelSpec, iterations: int = 8, bins: int | None = None) -> Tensor:
    """Find non-negative amplitudes whose mel is closest to a log-mel.

    Args:
        mel: Natural-log mel (B, M, L); bands at LOG_FLOOR count as silent.
        spec: Mel definition.
        iterations: Multiplicative updates; 0 gives the clamped pseudo-inverse.
        bins: Number of the lowest bins to return; None for all. Needs 0 iterations.

    Returns:
        Amplitudes (B, F, L).

    Source: Lee & Seung 2001, eq. 4, started from the pseudo-inverse.
    """
    # Clip by clip: the rounding of a matrix product depends on the batch size.
    with torch.autocast(mel.device.type, enabled=False):
        return joined([_nnls_clip(clip, spec, iterations, bins) for clip in mel.float().split(1)])


def _nnls_clip(mel: Tensor, spec: MelSpec, iterations: int, bins: int | None) -> Tensor:
    assert bins is None or not iterations
    target = linear_mel(mel).mT.contiguous()  # (B, M, L) -> (B, L, M)
    # Updates cannot change an amplitude of exactly 0.
    amplitude = (target @ pinv_filters(spec)[:bins].to(mel.device).mT).clamp_(min=TINY)
    if not iterations:
        return amplitude.mT
    bands = bands_of(spec, mel.device)
    spread = bands.spread(target)
    for _ in range(iterations):
        present = bands.spread(bands.mel(amplitude)).add_(TINY)
        amplitude.mul_(torch.div(spread, present, out=present))
    return amplitude.mT  # (B, L, F) -> (B, F, L)


class Bands:
    """Mel filters (M, F) as a few dense blocks: a bin is in at most two bands, and the rest of the matrix is zero.

    Args:
        filters: (M, F), the bands sorted by frequency.
    """

    def __init__(self, filters: Tensor) -> None:
        """Split many bins into octaves, with the lowest eighth in one block; few bins are one block."""
        self.count, self.size = filters.shape
        cuts = (8, 4, 2) if self.size > MANY_BINS else ()
        edges = [0, *(self.size // cut for cut in cuts), self.size]
        self._blocks = []
        for first, end in pairwise(edges):
            rows = filters[:, first:end].sum(dim=1).nonzero()[:, 0]
            top, bottom = (int(rows[0]), int(rows[-1]) + 1) if len(rows) else (0, 0)
            self._blocks.append((first, end, top, bottom, filters[top:bottom, first:end].contiguous()))

    def mel(self, amplitude: Tensor) -> Tensor:
        """Amplitudes (B, L, F) -> mel amplitudes (B, L, M): the filters applied."""
        out = amplitude.new_zeros(*amplitude.shape[:-1], self.count)
        for first, end, top, bottom, block in self._blocks:
            out[..., top:bottom] += amplitude[..., first:end] @ block.mT
        return out

    def spread(self, mel: Tensor) -> Tensor:
        """Values of bands (B, L, M) -> of bins (B, L, F): the filters transposed."""
        return torch.cat([mel[..., top:bottom] @ block for _, _, top, bottom, block in self._blocks], dim=-1)


class LowPart:
    """The lowest bins of a spectrum, which are the whole spectrum of a decimated wave.

    Args:
        spec: Mel definition of the whole spectrum.
        decimation: 1 for the whole spectrum.
        device: Device of its tensors.
    """

    def __init__(self, spec: MelSpec, decimation: int, device: torch.device) -> None:
        """Find the bands inside, and the bins that are only in these bands."""
        self.decimation = decimation
        self.stft = STFT(spec.n_fft // decimation, spec.hop_length // decimation).to(device)
        filters, self.size = mel_filters(spec).to(device), self.stft.n_fft // 2 + 1
        inside = filters[:, self.size - 1 :].sum(dim=1) == 0 if decimation > 1 else filters.sum(dim=1) > 0
        self.count = int(inside.sum())  # of bands, which are sorted by frequency
        self.filters = filters[: self.count, : self.size]
        self.bands = Bands(self.filters)
        self.share = 1 / self.bands.spread(torch.ones(1, 1, self.count, device=device)).clamp(min=TINY)
        outside = filters[self.count :, : self.size].sum(dim=0) > 0
        self.kept = int(outside.nonzero()[0]) if bool(outside.any()) else self.size  # bins that this part refines

    def fit(self, amplitude: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Factors that fit amplitudes (B, L, F) to target mel amplitudes (B, L, M).

        Returns:
            Factors of bins (B, L, F), interpolated between those of bands; factors of bands (B, L, M); the present mel
            amplitudes (B, L, M).
        """
        present = self.bands.mel(amplitude).add_(SILENT_AMPLITUDE)
        ratio = (target / present).clamp_(max=MAX_RATIO)
        fit = self.bands.spread(ratio).mul_(self.share)
        fit[..., self.kept :] = 1
        return fit, ratio, present


def low_decimation(spec: MelSpec) -> int:
    """Power of two by which a wave is decimated to its low part."""
    return 2 ** max(1, round(math.log2(spec.nyquist / LOW_HZ)))


@lru_cache(maxsize=32)
def low_part(spec: MelSpec, decimation: int, device: torch.device) -> LowPart | None:
    """The part of a spec at a decimation; None if frames are not divisible by it, or too few bands are inside."""
    n_fft, hop_length = (size // decimation for size in (spec.n_fft, spec.hop_length))
    if spec.n_fft % decimation or spec.hop_length % decimation or (n_fft - hop_length) % 2 or n_fft % 2:
        return None
    # Cached tensors made in inference mode could not be used in training later.
    with torch.inference_mode(False), torch.no_grad():
        part = LowPart(spec, decimation, device)
    return part if decimation == 1 or part.count >= MIN_BANDS else None


def bands_of(spec: MelSpec, device: torch.device) -> Bands:
    """The mel filters of a spec as blocks."""
    whole = low_part(spec, 1, device)
    assert whole is not None
    return whole.bands
