"""Fast Griffin-Lim that refits its amplitudes to a log-mel in every iteration.

It starts with only the low part of the spectrum, where an iteration is cheap: the lowest 1 / D of the bins are the
spectrum of the wave decimated by D, under the window decimated by D. There the mel bands are narrow and determine most
of the development of a sound over time. A few iterations of the whole spectrum follow.

Two back ends are equivalent. `reference` uses torch on any device and is differentiable through the iterations of the
whole spectrum. `numba` uses compiled loops: CPU only, several times as fast, no gradients.
"""

from collections.abc import Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from audio_gen.audio.mel import MelSpec
from audio_gen.audio.parallel import each_clip, joined
from audio_gen.errors import ConfigError
from audio_gen.vocoding.bands import (
    MAX_RATIO,
    SILENT_POWER,
    LowPart,
    linear_mel,
    low_decimation,
    low_part,
    nnls_amplitude,
)
from audio_gen.vocoding.phases import initial_phasors
from audio_gen.vocoding.silence import FIRST_WEIGHT, Opening, between_silence

if TYPE_CHECKING:
    from audio_gen.vocoding.numba_backend import NumbaPart

MOMENTUM = 0.99
ITERATIONS = 8
LOW_PER_WHOLE = 64  # iterations of the low part for each of the whole spectrum

Backend = Literal["reference", "numba"]
Stages = Sequence[tuple[int, int]]  # (decimation, iterations), in this order


def fastest_backend(device: torch.device) -> Backend:
    """The faster back end without gradients: `numba` on a CPU, `reference` elsewhere."""
    return "numba" if device.type == "cpu" else "reference"


def stages_of(iterations: int, spec: MelSpec) -> Stages:
    """Iterations of the whole spectrum, and those of its low part before them."""
    return ((low_decimation(spec), LOW_PER_WHOLE * iterations), (1, iterations))


def refine(
    spectrum: Tensor, mel: Tensor, spec: MelSpec, stages: Stages, momentum: float = MOMENTUM,
    opening: Opening | None = None, *, backend: Backend, low_backend: Backend | None = None,
) -> Tensor:  # fmt: skip
    """Turn an approximate spectrum into a wave that fits a log-mel.

    No gradient passes through the iterations of the low part.

    Args:
        spectrum: Complex STFT (B, F, L) to start from; `numba` may overwrite it.
        mel: Target log-mel (B, M, L).
        spec: Mel definition of both.
        stages: Pairs of decimation and iterations. A decimation that does not fit the spec is skipped.
        momentum: For iterations of the whole spectrum; 0 is plain Griffin-Lim. The low part uses MOMENTUM.
        opening: Onset of all sounds, if known.
        backend: `reference` or `numba`.
        low_backend: Back end of the low part; None for `backend`. `numba` speeds up training on a CPU.

    Returns:
        The wave (B, 1, L * hop_length).

    Raises:
        ConfigError: The back end is `numba`, and the spectrum is not on the CPU.

    Source: Perraudin 2013, algorithm 2, with amplitudes scaled to fit the mel.
    """
    if "numba" in (backend, low_backend) and spectrum.device.type != "cpu":
        raise ConfigError(f"back end numba works on the CPU only, the spectrum is on {spectrum.device}; use reference")
    with torch.autocast(spectrum.device.type, enabled=False):
        x, target = spectrum.mT.contiguous(), linear_mel(mel.float()).mT  # (B, F, L) -> (B, L, F)
        for decimation, iterations in stages:
            part = low_part(spec, decimation, spectrum.device)
            if part is None or not iterations:
                continue
            if decimation == 1:
                x = iterated(part, x, target, iterations, momentum, opening, backend)
                continue
            low = iterated(part, x.detach(), target, iterations, MOMENTUM, opening, low_backend or backend)
            if backend == "numba":
                x[..., : low.shape[-1]] = low
            else:
                x = torch.cat([low, x[..., low.shape[-1] :]], dim=-1)
        whole = low_part(spec, 1, spectrum.device)
        assert whole is not None
        return wave(whole, x, opening, backend)


class GriffinLimVocoder:
    """The vocoder without weights: it inverts the mel of any sound.

    Args:
        spec: Mel definition of its input.
        iterations: Iterations of the whole spectrum; `stages_of` adds those of the low part.
        seed: Seed of the initial phase.
        backend: None for the faster one on the mel's device.
    """

    name = "griffinlim"
    streaming = None

    def __init__(
        self, spec: MelSpec, iterations: int = ITERATIONS, seed: int = 0, backend: Backend | None = None
    ) -> None:
        """Store the settings."""
        self.spec, self.iterations, self.seed, self.backend = spec, iterations, seed, backend

    def __call__(self, mel: Tensor, onset: float | None = None) -> Tensor:
        """Turn log-mel (B, M, L) into wav (B, 1, L * hop_length); see `Vocoder`."""

        def speak(padded: Tensor, opening: Opening | None) -> Tensor:
            return each_clip(partial(self._inverted, opening=opening), padded)

        return between_silence(speak, mel.float(), self.spec, onset)

    def _inverted(self, mel: Tensor, opening: Opening | None) -> Tensor:
        amplitude = nnls_amplitude(mel, self.spec, iterations=0)  # iterations of it would be undone by refitting
        start, stages = initial_phasors(amplitude, self.spec, self.seed), stages_of(self.iterations, self.spec)
        backend = self.backend or fastest_backend(mel.device)
        return refine(amplitude * start, mel, self.spec, stages, opening=opening, backend=backend)


def iterated(
    part: LowPart, x: Tensor, target: Tensor, iterations: int, momentum: float, opening: Opening | None,
    backend: Backend,
) -> Tensor:  # fmt: skip
    """Refine the bins (B, L, kept) of `part` in a spectrum (B, L, F), to mel amplitudes (B, L, M)."""
    low, target = x[..., : part.size], target[..., : part.count]
    opening = opening and opening.decimated(part.decimation)
    if compiled := _compiled(part, x, backend):
        pairs = zip(low, target, strict=True)
        low = joined([compiled.refined(*pair, iterations, momentum, opening)[None] for pair in pairs])
    else:
        previous = None
        for _ in range(iterations):
            consistent = part.stft(_inverse(part, low, opening)).mT
            low = _ahead(part, consistent, previous, target, momentum)
            previous = consistent if momentum else None
    return low[..., : part.kept]


def wave(part: LowPart, x: Tensor, opening: Opening | None, backend: Backend) -> Tensor:
    """Inverse STFT of the whole spectrum (B, L, F): (B, 1, L * hop_length)."""
    if compiled := _compiled(part, x, backend):
        return joined([compiled.wave(clip, opening)[None, None] for clip in x])
    return _inverse(part, x, opening)


def _compiled(part: LowPart, x: Tensor, backend: Backend) -> "NumbaPart | None":
    """The compiled form of a part; None for `reference`, and for sounds too short for it."""
    if backend == "reference":
        return None
    assert not x.requires_grad, "numba has no gradients"
    # Sounds shorter than the reflected padding follow other rules.
    return _numba_part(part) if x.shape[1] * part.stft.hop_length > part.stft.pad else None


@lru_cache(maxsize=32)
def _numba_part(part: LowPart) -> "NumbaPart":
    from audio_gen.vocoding.numba_backend import NumbaPart  # importing numba takes half a second

    return NumbaPart(part.stft, part.decimation, part.filters.numpy(), part.share[0, 0].numpy(), part.kept)


def _inverse(part: LowPart, x: Tensor, opening: Opening | None) -> Tensor:
    """Spectrum (B, L, F) -> wave (B, 1, T), silent before the opening."""
    if opening is None:
        return part.stft.inverse(x.mT)
    gain, first = opening.gain(part.stft, x.shape[1], part.decimation)
    if first is not None:
        weights = torch.ones(x.shape[1], 1, device=x.device)
        weights[first] = FIRST_WEIGHT
        x = x * weights
    return part.stft.overlapped(x.mT) * gain.to(x.device)


def _ahead(part: LowPart, consistent: Tensor, previous: Tensor | None, target: Tensor, momentum: float) -> Tensor:
    """Refitted amplitudes, with phases extrapolated from those before."""
    if previous is None:
        return _Fitted.apply(consistent, target, part)
    ahead = torch.add(previous * -momentum, consistent, alpha=1 + momentum)
    return _Turned.apply(consistent, ahead, target, part)


def power(spectrum: Tensor) -> Tensor:
    """Squared magnitude of a complex spectrum of any shape, above zero for the gradient of its root."""
    return torch.addcmul(spectrum.real * spectrum.real, spectrum.imag, spectrum.imag) + SILENT_POWER


def scaled(spectrum: Tensor, factor: Tensor) -> Tensor:
    """A complex spectrum times real factors, without converting the factors to complex."""
    return torch.view_as_complex(torch.view_as_real(spectrum) * factor[..., None])


class _Fitted(torch.autograd.Function):
    """A spectrum with refitted amplitudes; the explicit gradient needs a fraction of autograd's memory traffic."""

    @staticmethod
    def forward(ctx: Any, spectrum: Tensor, target: Tensor, part: LowPart) -> Tensor:
        amplitude = power(spectrum).sqrt_()
        fit, ratio, present = part.fit(amplitude, target)
        ctx.save_for_backward(spectrum, amplitude, fit, ratio, present)
        ctx.part = part
        return scaled(spectrum, fit)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        spectrum, amplitude, fit, ratio, present = ctx.saved_tensors
        gradient = gradients[0].resolve_conj()
        of_amplitude = _through_fit(_along(gradient, spectrum), ratio, present, ctx.part)
        return scaled(gradient, fit) - scaled(spectrum, of_amplitude / amplitude), None, None


class _Turned(torch.autograd.Function):
    """The refitted amplitudes of one spectrum with the phases of another."""

    @staticmethod
    def forward(ctx: Any, spectrum: Tensor, ahead: Tensor, target: Tensor, part: LowPart) -> Tensor:
        amplitude, inverse = power(spectrum).sqrt_(), power(ahead).rsqrt_()
        fit, ratio, present = part.fit(amplitude, target)
        ctx.save_for_backward(spectrum, ahead, amplitude, inverse, fit, ratio, present)
        ctx.part = part
        return scaled(ahead, fit * amplitude * inverse)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        spectrum, ahead, amplitude, inverse, fit, ratio, present = ctx.saved_tensors
        gradient = gradients[0].resolve_conj()
        along = _along(gradient, ahead) * inverse  # of the length of the result
        of_amplitude = along * fit - _through_fit(along * amplitude, ratio, present, ctx.part)
        # The gradient of the phase: without its part along the phasor.
        turned = gradient - scaled(ahead, along * inverse)
        return scaled(spectrum, of_amplitude / amplitude), scaled(turned, fit * amplitude * inverse), None, None


def _along(gradient: Tensor, spectrum: Tensor) -> Tensor:
    """The real products of a gradient and a spectrum: the gradient of real factors of the spectrum."""
    return torch.addcmul(gradient.real * spectrum.real, gradient.imag, spectrum.imag)


def _through_fit(of_fit: Tensor, ratio: Tensor, present: Tensor, part: LowPart) -> Tensor:
    """Minus the gradient of amplitudes through `LowPart.fit`, from that of its factors; both (B, L, F)."""
    of_fit = of_fit * part.share
    of_fit[..., part.kept :] = 0
    return part.bands.spread(part.bands.mel(of_fit) * torch.where(ratio < MAX_RATIO, ratio / present, 0.0))
