"""Losses on complex spectra: phase differences over time and frequency, and the spectrum."""

from torch import Tensor

from audio_gen.audio.mel import MEL_FLOOR

AUDIBLE = 1e-3  # of a clip's largest amplitude; phases below it are noise
TINY_POWER = 1e-12


def spectrum_losses(made: Tensor, real: Tensor) -> dict[str, Tensor]:
    """Distances of two complex spectra.

    Args:
        made: Complex STFT (B, F, L).
        real: That of the target sound.

    Returns:
        Scalars: `log_amplitude`, mean L1 in nats; `group_delay` and `phase_advance`, mean 1 - cos of the errors of the
        phase's differences along frequency and time where the real sound is audible, 0 to 2, the same for a sound and
        its negative; `complex`, mean L1 of spectra with square-root amplitudes.

    Source: Ai and Ling 2023 (APNet), with 1 - cos in place of wrapped differences, which is smooth.
    """
    amplitude, target = _modulus(made), _modulus(real)
    loud = (target > AUDIBLE * target.amax(dim=(1, 2), keepdim=True)).to(target.dtype)
    turned, wanted = made / amplitude, real / target
    return {
        "log_amplitude": (amplitude.clamp(min=MEL_FLOOR).log() - target.clamp(min=MEL_FLOOR).log()).abs().mean(),
        "group_delay": _difference_error(turned, wanted, loud, dim=1),
        "phase_advance": _difference_error(turned, wanted, loud, dim=2),
        "complex": _modulus(turned * amplitude.sqrt() - wanted * target.sqrt()).mean(),
    }


def _modulus(spectrum: Tensor) -> Tensor:
    """Amplitudes, above zero for a finite gradient."""
    return (spectrum.real.square() + spectrum.imag.square() + TINY_POWER).sqrt()


def _difference_error(made: Tensor, real: Tensor, weight: Tensor, dim: int) -> Tensor:
    """Mean 1 - cos of the errors of phase differences of unit phasors (B, F, L) along `dim`."""
    size = made.shape[dim] - 1
    steps = [x.narrow(dim, 1, size) * x.narrow(dim, 0, size).conj() for x in (made, real)]
    both = weight.narrow(dim, 1, size) * weight.narrow(dim, 0, size)
    return ((1 - (steps[0] * steps[1].conj()).real) * both).sum() / both.sum().clamp(min=1)
