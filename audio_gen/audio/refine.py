"""Griffin-Lim that refits its amplitudes to a log-mel, first on the low part of the spectrum alone, where it is cheap.

A spectrum's lowest 1 / D of bins is the spectrum of the wave decimated by D, under the same window decimated by D. An
iteration there costs about 1 / D of a whole one. In these bins the mel's bands are narrow, so that they say most of
how a sound goes on from frame to frame; the rest is left to a few iterations of the whole spectrum.
Differentiable, so that a network learns what iterations leave over.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from audio_gen.audio.mel import LOG_FLOOR, MelSpec, mel_filters
from audio_gen.audio.stft import STFT

MOMENTUM = 0.99
LOW = 8  # decimation: of 44.1 kHz the bins up to 2.6 kHz
LOW_PER_WHOLE = 16  # iterations of the low part for each of the whole spectrum
MIN_BANDS = 4  # a part with fewer is left alone
FLOOR_MARGIN = 1e-3  # in nats; a band this near to the floor is silent
SILENT_AMPLITUDE, SILENT_POWER = 1e-9, 1e-14

Stages = Sequence[tuple[int, int]]  # (decimation, iterations), in this order


def linear_mel(mel: Tensor) -> Tensor:
    """Return mel amplitudes (B, M, L) of log-mel (B, M, L); a band at LOG_FLOOR is silent."""
    return torch.where(mel > LOG_FLOOR + FLOOR_MARGIN, mel.exp(), 0.0)


def power(spectrum: Tensor) -> Tensor:
    """Squared magnitude of a complex spectrum of any shape, kept off zero for the gradient of its root."""
    return torch.addcmul(spectrum.real * spectrum.real, spectrum.imag, spectrum.imag) + SILENT_POWER


def stages_of(iterations: int) -> Stages:
    """Iterations of the whole spectrum, and those of its low part before them."""
    return ((LOW, LOW_PER_WHOLE * iterations), (1, iterations))


def refine(spectrum: Tensor, mel: Tensor, spec: MelSpec, stages: Stages, momentum: float = MOMENTUM) -> Tensor:
    """Turn a spectrum that is nearly right into a wave that fits a log-mel.

    Args:
        spectrum: Complex STFT (B, F, L) to start from.
        mel: Log-mel (B, M, L) that the wave is to have.
        spec: What both are made with.
        stages: How many iterations at which decimation. A decimation that does not suit the spec is left out.
        momentum: 0 is plain Griffin-Lim.

    Returns:
        The wave (B, 1, L * hop_length).

    Source: Perraudin 2013, algorithm 2; the refit is Lee & Seung 2001, eq. 4.
    """
    with torch.autocast(spectrum.device.type, enabled=False):
        x, target = spectrum.mT.contiguous(), linear_mel(mel.float()).mT  # (B, F, L) -> (B, L, F)
        for decimation, iterations in stages:
            part = low_part(spec, decimation, spectrum.device)
            if part is not None and iterations:
                x = part.refined(x, target, iterations, momentum)
        whole = low_part(spec, 1, spectrum.device)
        assert whole is not None
        return whole.stft.inverse(x.mT)


class LowPart:
    """The lowest bins of a spectrum as the whole spectrum of a decimated wave.

    Args:
        spec: The mel definition of the whole.
        decimation: 1 is the whole itself.
        device: Where it works.
    """

    def __init__(self, spec: MelSpec, decimation: int, device: torch.device) -> None:
        """Find the bands that lie inside, and the bins that lie in these bands alone."""
        self.stft = STFT(spec.n_fft // decimation, spec.hop_length // decimation).to(device)
        filters, self.size = mel_filters(spec).to(device), spec.n_fft // decimation // 2 + 1
        inside = filters[:, self.size - 1 :].sum(dim=1) == 0 if decimation > 1 else filters.sum(dim=1) > 0
        self.bands = int(inside.sum())  # they are sorted by frequency
        self.filters = filters[: self.bands, : self.size].contiguous()
        outside = filters[self.bands :, : self.size].sum(dim=0) > 0
        self.kept = int(outside.nonzero()[0]) if bool(outside.any()) else self.size  # bins that this part decides on
        self.fitted = torch.arange(self.size, device=device) < self.kept

    def refined(self, x: Tensor, target: Tensor, iterations: int, momentum: float) -> Tensor:
        """Spectrum (B, L, F), mel amplitudes (B, L, M) -> spectrum (B, L, F) with this part's bins refined."""
        low, spread, previous = x[..., : self.size], target[..., : self.bands] @ self.filters, None
        coverage = self.stft.coverage(x.shape[1])
        for _ in range(iterations):
            wave_like = self.stft(self.stft.overlapped(low.mT) / coverage).mT
            if previous is None or not momentum:
                low = _fitted(wave_like, spread, self.filters, self.fitted)
            else:
                ahead = wave_like + momentum * (wave_like - previous)
                fit = _fit(power(wave_like).sqrt(), spread, self.filters, self.fitted)[0]
                low = scaled(ahead, fit * (power(wave_like) / power(ahead)).sqrt())
            previous = wave_like
        return low if self.kept == x.shape[-1] else torch.cat([low[..., : self.kept], x[..., self.kept :]], dim=-1)


@lru_cache(maxsize=32)
def low_part(spec: MelSpec, decimation: int, device: torch.device) -> LowPart | None:
    """The part of a spec at a decimation; None where frames do not divide by it, or too few bands lie inside."""
    n_fft, hop_length = (size // decimation for size in (spec.n_fft, spec.hop_length))
    if spec.n_fft % decimation or spec.hop_length % decimation or (n_fft - hop_length) % 2 or n_fft % 2:
        return None
    # Cached tensors made in inference mode could not be used in training later.
    with torch.inference_mode(False), torch.no_grad():
        part = LowPart(spec, decimation, device)
    return part if decimation == 1 or part.bands >= MIN_BANDS else None


def scaled(spectrum: Tensor, factor: Tensor) -> Tensor:
    """A complex spectrum times real factors; the product of the two kinds would make the factors complex first."""
    return torch.view_as_complex(torch.view_as_real(spectrum) * factor[..., None])


def _fit(amplitude: Tensor, spread: Tensor, filters: Tensor, fitted: Tensor) -> tuple[Tensor, Tensor]:
    """What amplitudes (B, L, F) are multiplied by to fit a mel, and the divisor in it."""
    made = (amplitude @ filters.mT) @ filters + SILENT_AMPLITUDE
    return torch.where(fitted, spread / made, 1.0), made


def _fitted(spectrum: Tensor, spread: Tensor, filters: Tensor, fitted: Tensor) -> Tensor:
    if spectrum.requires_grad:
        return _Fitted.apply(spectrum, spread, filters, fitted)
    return scaled(spectrum, _fit(power(spectrum).sqrt(), spread, filters, fitted)[0])


class _Fitted(torch.autograd.Function):
    """A spectrum with its amplitudes refitted, and the gradient of that, in a fraction of autograd's memory traffic."""

    @staticmethod
    def forward(ctx: Any, spectrum: Tensor, spread: Tensor, filters: Tensor, fitted: Tensor) -> Tensor:
        amplitude = power(spectrum).sqrt()
        fit, made = _fit(amplitude, spread, filters, fitted)
        ctx.save_for_backward(spectrum, amplitude, fit, made, filters, fitted)
        return scaled(spectrum, fit)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        spectrum, amplitude, fit, made, filters, fitted = ctx.saved_tensors
        gradient = gradients[0].resolve_conj()
        along = torch.addcmul(gradient.real * spectrum.real, gradient.imag, spectrum.imag)  # of the fit
        of_made = torch.where(fitted, along * fit / made, 0.0)
        of_amplitude = (of_made @ filters.mT) @ filters / amplitude
        return scaled(gradient, fit) - scaled(spectrum, of_amplitude), None, None, None
