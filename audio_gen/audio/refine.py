"""Griffin-Lim that refits its amplitudes to a log-mel, first on the low part of the spectrum alone, where it is cheap.

A spectrum's lowest 1 / D of bins is the spectrum of the wave decimated by D, under the same window decimated by D. An
iteration there costs about 1 / D of a whole one. In these bins the mel's bands are narrow, so that they say most of
how a sound goes on from frame to frame; the rest is left to a few iterations of the whole spectrum.
These are differentiable, so that a network learns what they leave over; no gradient goes through those of the low part.
"""

import math
from collections.abc import Sequence
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from audio_gen.audio.clips import joined
from audio_gen.audio.mel import LOG_FLOOR, MelSpec, mel_filters
from audio_gen.audio.stft import STFT
from audio_gen.audio.support import FIRST_WEIGHT, Opening

if TYPE_CHECKING:
    from audio_gen.audio.fused import FusedPart

MOMENTUM = 0.99
LOW_HZ = 2700.0  # the low part's end, about: 2.6 kHz at 44.1 and 22.05 kHz
LOW_PER_WHOLE = 64  # iterations of the low part for each of the whole spectrum
MIN_BANDS = 4  # a part with fewer is left alone
FLOOR_MARGIN = 1e-3  # in nats; a band this near to the floor is silent
SILENT_AMPLITUDE, SILENT_POWER = 1e-9, 1e-14
TINY = 1e-12
MANY_BINS = 256
MAX_RATIO = 1e4  # of amplitudes that a mel asks for and those that are there

Stages = Sequence[tuple[int, int]]  # (decimation, iterations), in this order


def linear_mel(mel: Tensor) -> Tensor:
    """Return mel amplitudes (B, M, L) of log-mel (B, M, L); a band at LOG_FLOOR is silent."""
    return torch.where(mel > LOG_FLOOR + FLOOR_MARGIN, mel.exp(), 0.0)


def power(spectrum: Tensor) -> Tensor:
    """Squared magnitude of a complex spectrum of any shape, kept off zero for the gradient of its root."""
    return torch.addcmul(spectrum.real * spectrum.real, spectrum.imag, spectrum.imag) + SILENT_POWER


def low_decimation(spec: MelSpec) -> int:
    """The power of two by which a wave is decimated to its low part."""
    return 2 ** max(1, round(math.log2(spec.nyquist / LOW_HZ)))


def stages_of(iterations: int, spec: MelSpec) -> Stages:
    """Iterations of the whole spectrum, and those of its low part before them."""
    return ((low_decimation(spec), LOW_PER_WHOLE * iterations), (1, iterations))


def refine(
    spectrum: Tensor, mel: Tensor, spec: MelSpec, stages: Stages, momentum: float = MOMENTUM,
    opening: Opening | None = None,
) -> Tensor:  # fmt: skip
    """Turn a spectrum that is nearly right into a wave that fits a log-mel.

    Args:
        spectrum: Complex STFT (B, F, L) to start from; without gradients it may be written into.
        mel: Log-mel (B, M, L) that the wave is to have.
        spec: What both are made with.
        stages: How many iterations at which decimation. A decimation that does not suit the spec is left out.
        momentum: Of iterations of the whole spectrum, where 0 is plain Griffin-Lim; the low part's have MOMENTUM.
        opening: Where all sounds begin, if that is known.

    Returns:
        The wave (B, 1, L * hop_length).

    Source: Perraudin 2013, algorithm 2, with amplitudes that are scaled to fit the mel.
    """
    with torch.autocast(spectrum.device.type, enabled=False):
        x, target = spectrum.mT.contiguous(), linear_mel(mel.float()).mT  # (B, F, L) -> (B, L, F)
        for decimation, iterations in stages:
            part = low_part(spec, decimation, spectrum.device)
            if part is None or not iterations:
                continue
            if decimation == 1:
                x = part.refined(x, target, iterations, momentum, opening)
            else:
                low = part.refined(x.detach(), target, iterations, MOMENTUM, opening)
                if x.requires_grad:
                    x = torch.cat([low, x[..., low.shape[-1] :]], dim=-1)
                else:
                    x[..., : low.shape[-1]] = low
        whole = low_part(spec, 1, spectrum.device)
        assert whole is not None
        return whole.wave(x, opening)


class Bands:
    """Mel filters (M, F) as a few blocks, since a bin lies in two bands at most: the rest of the matrix is zero.

    Args:
        filters: (M, F), the bands sorted by frequency.
    """

    def __init__(self, filters: Tensor) -> None:
        """Cut many bins into octaves, the lowest eighth in one; few are one block, which is as quick."""
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
    """The lowest bins of a spectrum as the whole spectrum of a decimated wave.

    Args:
        spec: The mel definition of the whole.
        decimation: 1 is the whole itself.
        device: Where it works.
    """

    def __init__(self, spec: MelSpec, decimation: int, device: torch.device) -> None:
        """Find the bands that lie inside, and the bins that lie in these bands alone."""
        self.decimation = decimation
        self.stft = STFT(spec.n_fft // decimation, spec.hop_length // decimation).to(device)
        filters, self.size = mel_filters(spec).to(device), self.stft.n_fft // 2 + 1
        inside = filters[:, self.size - 1 :].sum(dim=1) == 0 if decimation > 1 else filters.sum(dim=1) > 0
        self.count = int(inside.sum())  # of bands, which are sorted by frequency
        self._filters = filters[: self.count, : self.size]
        self.bands = Bands(self._filters)
        self.share = 1 / self.bands.spread(torch.ones(1, 1, self.count, device=device)).clamp(min=TINY)
        outside = filters[self.count :, : self.size].sum(dim=0) > 0
        self.kept = int(outside.nonzero()[0]) if bool(outside.any()) else self.size  # bins that this part decides on

    def refined(
        self, x: Tensor, target: Tensor, iterations: int, momentum: float, opening: Opening | None = None
    ) -> Tensor:
        """Spectrum (B, L, F), mel amplitudes (B, L, M) -> refined spectrum (B, L, kept) of the bins decided on here."""
        low, target = x[..., : self.size], target[..., : self.count]
        opening = opening and opening.decimated(self.decimation)
        if self._fuses(x):
            pairs = zip(low, target, strict=True)
            low = joined([self.fused.refined(*pair, iterations, momentum, opening)[None] for pair in pairs])
        else:
            low = self._refined(low, target, iterations, momentum, opening)
        return low[..., : self.kept]

    def wave(self, x: Tensor, opening: Opening | None = None) -> Tensor:
        """Spectrum (B, L, F) of the whole -> wave (B, 1, L * hop_length)."""
        if self._fuses(x):
            return joined([self.fused.wave(clip, opening)[None, None] for clip in x])
        return self._inverse(x, opening)

    @cached_property
    def fused(self) -> "FusedPart":
        """The same without gradients, on a CPU, where it is several times as fast."""
        from audio_gen.audio.fused import FusedPart  # numba takes half a second to import

        return FusedPart(self.stft, self.decimation, self._filters.numpy(), self.share[0, 0].numpy(), self.kept)

    def _fuses(self, x: Tensor) -> bool:
        # A sound that is shorter than what is reflected at its ends has rules of its own.
        long_enough = x.shape[1] * self.stft.hop_length > self.stft.pad
        return x.device.type == "cpu" and long_enough and not x.requires_grad

    def _refined(
        self, low: Tensor, target: Tensor, iterations: int, momentum: float, opening: Opening | None
    ) -> Tensor:
        previous = None
        for _ in range(iterations):
            wave_like = self.stft(self._inverse(low, opening)).mT
            low = self._ahead(wave_like, previous, target, momentum)
            previous = wave_like if momentum else None
        return low

    def _inverse(self, x: Tensor, opening: Opening | None) -> Tensor:
        """Spectrum (B, L, F) -> wave (B, 1, T), silent before the opening."""
        if opening is None:
            return self.stft.inverse(x.mT)
        gain, first = opening.gain(self.stft, x.shape[1], self.decimation)
        if first is not None:
            weights = torch.ones(x.shape[1], 1, device=x.device)
            weights[first] = FIRST_WEIGHT
            x = x * weights
        return self.stft.overlapped(x.mT) * gain.to(x.device)

    def fit(self, amplitude: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What to multiply amplitudes (B, L, F) by to fit mel amplitudes (B, L, M).

        Returns:
            The factors of bins (B, L, F), those of bands (B, L, M), between which each bin's is interpolated, and the
            mel amplitudes as they are (B, L, M).
        """
        made = self.bands.mel(amplitude).add_(SILENT_AMPLITUDE)
        ratio = (target / made).clamp_(max=MAX_RATIO)
        fit = self.bands.spread(ratio).mul_(self.share)
        fit[..., self.kept :] = 1
        return fit, ratio, made

    def _ahead(self, wave_like: Tensor, previous: Tensor | None, target: Tensor, momentum: float) -> Tensor:
        """The refitted amplitudes with phases that go on from those before."""
        if previous is None:
            return _Fitted.apply(wave_like, target, self)
        if wave_like.requires_grad:
            ahead = wave_like + momentum * (wave_like - previous)
        else:
            ahead = previous.mul_(-momentum).add_(wave_like, alpha=1 + momentum)
        return _Turned.apply(wave_like, ahead, target, self)


@lru_cache(maxsize=32)
def low_part(spec: MelSpec, decimation: int, device: torch.device) -> LowPart | None:
    """The part of a spec at a decimation; None where frames do not divide by it, or too few bands lie inside."""
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


def scaled(spectrum: Tensor, factor: Tensor) -> Tensor:
    """A complex spectrum times real factors; the product of the two kinds would make the factors complex first."""
    return torch.view_as_complex(torch.view_as_real(spectrum) * factor[..., None])


class _Fitted(torch.autograd.Function):
    """A spectrum with its amplitudes refitted, and the gradient of that, in a fraction of autograd's memory traffic."""

    @staticmethod
    def forward(ctx: Any, spectrum: Tensor, target: Tensor, part: LowPart) -> Tensor:
        amplitude = power(spectrum).sqrt_()
        fit, ratio, made = part.fit(amplitude, target)
        ctx.save_for_backward(spectrum, amplitude, fit, ratio, made)
        ctx.part = part
        return scaled(spectrum, fit)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        spectrum, amplitude, fit, ratio, made = ctx.saved_tensors
        gradient = gradients[0].resolve_conj()
        of_amplitude = _through_fit(_along(gradient, spectrum), ratio, made, ctx.part)
        return scaled(gradient, fit) - scaled(spectrum, of_amplitude / amplitude), None, None


class _Turned(torch.autograd.Function):
    """The refitted amplitudes of one spectrum with the phases of another."""

    @staticmethod
    def forward(ctx: Any, spectrum: Tensor, ahead: Tensor, target: Tensor, part: LowPart) -> Tensor:
        amplitude, inverse = power(spectrum).sqrt_(), power(ahead).rsqrt_()
        fit, ratio, made = part.fit(amplitude, target)
        ctx.save_for_backward(spectrum, ahead, amplitude, inverse, fit, ratio, made)
        ctx.part = part
        return scaled(ahead, fit * amplitude * inverse)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        spectrum, ahead, amplitude, inverse, fit, ratio, made = ctx.saved_tensors
        gradient = gradients[0].resolve_conj()
        along = _along(gradient, ahead) * inverse  # of the length of the result
        of_amplitude = along * fit - _through_fit(along * amplitude, ratio, made, ctx.part)
        # What turns the phase: the gradient without its part along the phasor.
        turned = gradient - scaled(ahead, along * inverse)
        return scaled(spectrum, of_amplitude / amplitude), scaled(turned, fit * amplitude * inverse), None, None


def _along(gradient: Tensor, spectrum: Tensor) -> Tensor:
    """The real products of a gradient and a spectrum: the gradient of real factors of the spectrum."""
    return torch.addcmul(gradient.real * spectrum.real, gradient.imag, spectrum.imag)


def _through_fit(of_fit: Tensor, ratio: Tensor, made: Tensor, part: LowPart) -> Tensor:
    """Minus the gradient of amplitudes through `LowPart.fit`, from that of its factors; both (B, L, F)."""
    of_fit = of_fit * part.share
    of_fit[..., part.kept :] = 0
    return part.bands.spread(part.bands.mel(of_fit) * torch.where(ratio < MAX_RATIO, ratio / made, 0.0))
