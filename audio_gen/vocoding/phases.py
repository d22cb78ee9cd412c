"""Initial phases: those of a noise with flat spectra, and of partials where mel bands are narrow."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from audio_gen.audio.mel import MelSpec
from audio_gen.vocoding.bands import TINY

EXCITATION = Path(__file__).parent / "excitation.npy"  # written by recipes/vocoder_universal/excitation.py
PARTIALS_BELOW_HZ = 1000.0  # up to here Slaney's bands are narrow enough to separate partials


def initial_phasors(
    amplitude: Tensor, spec: MelSpec, seed: int = 0, first: int = 0, cycles: Tensor | None = None
) -> Tensor:
    """Return initial unit phasors (B, F, L): those of a noise, and of partials where bands are narrow.

    The noise is one wave, so its phases are consistent between frames, unlike independent random ones. Without the
    partials, a bass note may end in one of many poor local optima, depending on the seed.

    Args:
        amplitude: (B, F, L).
        spec: Mel definition of the amplitudes.
        seed: Chooses the start in the noise.
        first: First frame of the amplitudes within the clip.
        cycles: Result of `advanced_cycles`, if the amplitudes are part of a longer sound.
    """
    noise = _noise_phasors(spec, seed, amplitude.device)
    frames = torch.arange(first, first + amplitude.shape[-1], device=amplitude.device) % len(noise)
    phasors = noise[frames.expand(len(amplitude), -1)]  # (B, L, F)
    cycles = advanced_cycles(amplitude, spec) if cycles is None else cycles
    # Half a turn more from bin to bin puts a partial's phase at the centre of the window, not at its start.
    half_turns = torch.arange(cycles.shape[1], device=amplitude.device) / 2
    # Whole turns are removed in float64: they would reduce the accuracy of long sounds.
    angle = (2 * torch.pi * ((cycles.mT + half_turns) % 1)).to(amplitude.dtype)
    phasors[..., : cycles.shape[1]] = torch.polar(torch.ones_like(angle), angle)
    return phasors.mT


def advanced_cycles(amplitude: Tensor, spec: MelSpec) -> Tensor:
    """Return the turns (B, K, L) of partials up to each frame, for bins with narrow bands.

    Each bin turns at the frequency of the nearest peak in the amplitudes (B, F, L).
    Source: Beauregard 2015, single-pass spectrogram inversion.
    """
    count = partial_bins(spec)
    bins = torch.arange(count, device=amplitude.device, dtype=amplitude.dtype)
    turns = _nearest_peak(amplitude[:, :count].mT.clamp(min=TINY).log(), bins) * (spec.hop_length / spec.n_fft)
    return turns.double().cumsum(dim=1).mT


def partial_bins(spec: MelSpec) -> int:
    """The number of lowest bins with phases of partials."""
    return min(int(PARTIALS_BELOW_HZ * spec.n_fft / spec.sample_rate), spec.n_bins)


class PhaseStart:
    """The `initial_phasors` of a whole clip, for its parts in order.

    The phase of a partial is the sum of its frequency over all earlier frames.
    """

    def __init__(self, spec: MelSpec) -> None:
        """Start a clip."""
        self._spec, self._first = spec, 0
        self._before: Tensor | float = 0.0  # turns up to the first frame of the latest part, (1, K, 1)
        self._cycles = torch.empty(1, 0, 0)  # turns up to each of its frames

    def __call__(self, amplitude: Tensor, first: int) -> Tensor:
        """Return phasors (1, F, L) for amplitudes (1, F, L) whose first frame is the clip's frame `first`.

        Parts may overlap; each begins no earlier than the last, and at most one frame after its end.
        """
        passed = first - self._first
        if passed:
            self._before = self._cycles[..., passed - 1 : passed]
        self._cycles, self._first = advanced_cycles(amplitude, self._spec) + self._before, first
        return initial_phasors(amplitude, self._spec, first=first, cycles=self._cycles)


@lru_cache(maxsize=8)
def _noise_phasors(spec: MelSpec, seed: int, device: torch.device) -> Tensor:
    """Unit phasors (L, F) of periodic noise with flat spectra."""
    with torch.inference_mode(False), torch.no_grad():
        noise = torch.from_numpy(np.load(EXCITATION).astype(np.float32))
        noise = noise[: spec.samples(spec.frames(len(noise)))]
        noise = noise.roll(-int(np.random.default_rng(seed).integers(len(noise))) if seed else 0)
        noise = torch.cat([noise[len(noise) - spec.pad :], noise, noise[: spec.pad]])
        window = torch.hann_window(spec.n_fft)
        spectrum = torch.stft(noise, spec.n_fft, spec.hop_length, window=window, center=False, return_complex=True)
        return (spectrum / spectrum.abs().clamp(min=TINY)).mT.contiguous().to(device)


def _nearest_peak(level: Tensor, bins: Tensor) -> Tensor:
    """Return the frequency, in bins, of the peak of the log amplitudes (B, L, K) nearest to each bin."""
    if len(bins) < 3:
        return bins.expand_as(level)
    below, here, above = level[..., :-2], level[..., 1:-1], level[..., 2:]
    is_peak = torch.nn.functional.pad((here > below) & (here >= above), (1, 1))
    # The top of the parabola through three points; it is within half a bin of a peak.
    shift = 0.5 * (below - above) / (below - 2 * here + above).clamp(max=-TINY)
    frequency = bins + torch.nn.functional.pad(shift.clamp(-0.5, 0.5), (1, 1))
    left = torch.where(is_peak, bins, -torch.inf).cummax(dim=-1).values
    right = torch.where(is_peak, bins, torch.inf).flip(-1).cummin(dim=-1).values.flip(-1)
    nearest = torch.where(bins - left <= right - bins, left, right)
    found = nearest.isfinite()
    return torch.where(found, frequency.gather(-1, nearest.where(found, 0).long()), bins)
