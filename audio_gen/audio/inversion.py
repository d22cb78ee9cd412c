"""From log-mel to wave without a network: amplitudes by pseudo-inverse or NNLS, phases by fast Griffin-Lim."""

from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from audio_gen.audio.clips import each_clip, joined
from audio_gen.audio.mel import MelSpec, mel_filters
from audio_gen.audio.refine import MOMENTUM, bands_of, linear_mel, refine, stages_of
from audio_gen.audio.stft import STFT
from audio_gen.audio.support import Opening, between_silence

EXCITATION = Path(__file__).parent / "excitation.npy"  # recipes/vocoder_universal/excitation.py made it
ITERATIONS = 8
TINY = 1e-12  # keeps divisions by silence finite
PARTIALS_BELOW_HZ = 1000.0  # Slaney's bands are evenly narrow up to here, and tell one partial from the next


@lru_cache(maxsize=16)
def pinv_filters(spec: MelSpec) -> Tensor:
    """Return the pseudo-inverse (F, M) of the mel filters of a spec; it is shared, so do not write into it."""
    # A cached tensor made in inference mode could not be used in training later.
    with torch.inference_mode(False), torch.no_grad():
        return torch.linalg.pinv(mel_filters(spec))


@torch.no_grad()
def nnls_amplitude(mel: Tensor, spec: MelSpec, iterations: int = 8, bins: int | None = None) -> Tensor:
    """Find amplitudes that are nowhere negative and have the given mel, as nearly as can be.

    Args:
        mel: Natural-log mel (B, M, L); bands at LOG_FLOOR count as silent.
        spec: What `mel` was made with.
        iterations: Multiplicative updates; 0 gives the clamped pseudo-inverse.
        bins: Only so many, the lowest; only without iterations.

    Returns:
        Amplitudes (B, F, L).

    Source: Lee & Seung 2001, eq. 4, started from the pseudo-inverse.
    """
    # Clip by clip: a matrix product rounds differently in a batch of another size.
    with torch.autocast(mel.device.type, enabled=False):
        return joined([_nnls_clip(clip, spec, iterations, bins) for clip in mel.float().split(1)])


@torch.no_grad()
def griffin_lim(
    amplitude: Tensor, spec: MelSpec, iterations: int = 32, momentum: float = MOMENTUM, seed: int = 0
) -> Tensor:
    """Find a wave with the given STFT amplitudes, by fast Griffin-Lim; `refine` is for those that come of a mel.

    Args:
        amplitude: STFT amplitudes (B, F, L).
        spec: What the amplitudes were made with.
        iterations: More come nearer and take longer in proportion.
        momentum: 0 is plain Griffin-Lim.
        seed: Of the initial phase; a clip comes out the same in every batch.

    Returns:
        The wave (B, 1, L * hop_length).

    Source: Perraudin 2013, algorithm 2.
    """
    # Clip by clip, since the iterations would blow up the rounding of a batch of another size.
    with torch.autocast(amplitude.device.type, enabled=False):
        clips = amplitude.float().split(1)
        return torch.cat([_griffin_lim_clip(clip, spec, iterations, momentum, seed) for clip in clips])


class GriffinLimVocoder:
    """The vocoder that is always there: it needs no weights and inverts the mel of any sound.

    Args:
        spec: What the mels to come are made with.
        iterations: Of the whole spectrum; before them come those of its low part, see `stages_of`.
        seed: Of the initial phase.
    """

    name = "griffinlim"

    def __init__(self, spec: MelSpec, iterations: int = ITERATIONS, seed: int = 0) -> None:
        """Keep the settings; nothing is computed yet."""
        self.spec = spec
        self.iterations = iterations
        self.seed = seed

    def __call__(self, mel: Tensor, onset: float | None = None) -> Tensor:
        """Turn log-mel (B, M, L) into a wave (B, 1, L * hop_length) that is silent before a sample, if one is given."""

        def speak(padded: Tensor, opening: Opening | None) -> Tensor:
            return each_clip(partial(self._inverted, opening=opening), padded)

        return between_silence(speak, mel.float(), self.spec, onset)

    def _inverted(self, mel: Tensor, opening: Opening | None) -> Tensor:
        amplitude = nnls_amplitude(mel, self.spec, iterations=0)  # more would be lost when they are refitted
        start, stages = initial_phasors(amplitude, self.spec, self.seed), stages_of(self.iterations, self.spec)
        return refine(amplitude * start, mel, self.spec, stages, opening=opening)


def _nnls_clip(mel: Tensor, spec: MelSpec, iterations: int, bins: int | None) -> Tensor:
    assert bins is None or not iterations
    target = linear_mel(mel).mT.contiguous()  # (B, M, L) -> (B, L, M)
    # An amplitude of exactly 0 would stay there.
    amplitude = (target @ pinv_filters(spec)[:bins].to(mel.device).mT).clamp_(min=TINY)
    if not iterations:
        return amplitude.mT
    bands = bands_of(spec, mel.device)
    spread = bands.spread(target)
    for _ in range(iterations):
        made = bands.spread(bands.mel(amplitude)).add_(TINY)
        amplitude.mul_(torch.div(spread, made, out=made))
    return amplitude.mT  # (B, L, F) -> (B, F, L)


def _griffin_lim_clip(amplitude: Tensor, spec: MelSpec, iterations: int, momentum: float, seed: int) -> Tensor:
    stft = STFT(spec.n_fft, spec.hop_length).to(amplitude.device)
    coverage = stft.coverage(amplitude.shape[-1])
    amplitude = amplitude.mT.contiguous().mT  # bins side by side in memory, as the FFT has them
    spectrum = amplitude * initial_phasors(amplitude, spec, seed)
    previous = None
    for _ in range(iterations):
        consistent = stft(stft.overlapped(spectrum) / coverage)
        if previous is None:
            spectrum = consistent.clone()
        else:
            spectrum = previous.mul_(-momentum).add_(consistent, alpha=1 + momentum)
        spectrum.mul_(amplitude / _modulus(spectrum).clamp_(min=TINY))
        previous = consistent
    return stft.overlapped(spectrum) / coverage


def _modulus(spectrum: Tensor) -> Tensor:
    # Twice as fast on a CPU as abs(), which guards against overflow.
    return (spectrum.real * spectrum.real).addcmul_(spectrum.imag, spectrum.imag).sqrt_()


def initial_phasors(
    amplitude: Tensor, spec: MelSpec, seed: int = 0, first: int = 0, cycles: Tensor | None = None
) -> Tensor:
    """Return unit phasors (B, F, L) to start from: those of one noise, and of partials where bands are narrow.

    The noise is one wave, so its phases agree from frame to frame, unlike independent random ones, and with even
    amplitudes. Without the partials, a bass note may end in one of many poor local optima, by the luck of the seed.

    Args:
        amplitude: (B, F, L).
        spec: What the amplitudes were made with.
        seed: Where in the noise to begin.
        first: The clip's frame with which the amplitudes begin.
        cycles: What `advanced_cycles` gives, if these are part of a longer sound.
    """
    noise = _noise_phasors(spec, seed, amplitude.device)
    frames = torch.arange(first, first + amplitude.shape[-1], device=amplitude.device) % len(noise)
    phasors = noise[frames.expand(len(amplitude), -1)]  # (B, L, F)
    cycles = advanced_cycles(amplitude, spec) if cycles is None else cycles
    # Half a turn more from bin to bin puts a partial's phase at the centre of the window, not at its start.
    half_turns = torch.arange(cycles.shape[1], device=amplitude.device) / 2
    # Whole turns are dropped in double precision: they would cost a sound of minutes its accuracy.
    angle = (2 * torch.pi * ((cycles.mT + half_turns) % 1)).to(amplitude.dtype)
    phasors[..., : cycles.shape[1]] = torch.polar(torch.ones_like(angle), angle)
    return phasors.mT


def advanced_cycles(amplitude: Tensor, spec: MelSpec) -> Tensor:
    """Return by how many turns partials have advanced (B, K, L) up to each frame, for bins with narrow bands.

    Each bin turns with the frequency of the peak that is nearest to it in the amplitudes (B, F, L).
    Source: Beauregard 2015, single-pass spectrogram inversion.
    """
    count = partial_bins(spec)
    bins = torch.arange(count, device=amplitude.device, dtype=amplitude.dtype)
    turns = _nearest_peak(amplitude[:, :count].mT.clamp(min=TINY).log(), bins) * (spec.hop_length / spec.n_fft)
    return turns.double().cumsum(dim=1).mT


def partial_bins(spec: MelSpec) -> int:
    """How many bins, the lowest, have phases of partials to start from."""
    return min(int(PARTIALS_BELOW_HZ * spec.n_fft / spec.sample_rate), spec.n_bins)


@lru_cache(maxsize=8)
def _noise_phasors(spec: MelSpec, seed: int, device: torch.device) -> Tensor:
    """Unit phasors (L, F) of noise that goes in a circle and has even spectra."""
    with torch.inference_mode(False), torch.no_grad():
        noise = torch.from_numpy(np.load(EXCITATION).astype(np.float32))
        noise = noise[: spec.samples(spec.frames(len(noise)))]
        noise = noise.roll(-int(np.random.default_rng(seed).integers(len(noise))) if seed else 0)
        noise = torch.cat([noise[len(noise) - spec.pad :], noise, noise[: spec.pad]])
        window = torch.hann_window(spec.n_fft)
        spectrum = torch.stft(noise, spec.n_fft, spec.hop_length, window=window, center=False, return_complex=True)
        return (spectrum / spectrum.abs().clamp(min=TINY)).mT.contiguous().to(device)


def _nearest_peak(level: Tensor, bins: Tensor) -> Tensor:
    """Return the frequency, in bins, of the peak of the log amplitudes (B, L, K) that is nearest to each bin."""
    if len(bins) < 3:
        return bins.expand_as(level)
    below, here, above = level[..., :-2], level[..., 1:-1], level[..., 2:]
    is_peak = torch.nn.functional.pad((here > below) & (here >= above), (1, 1))
    # The top of the parabola through three points; it lies within half a bin of a peak.
    shift = 0.5 * (below - above) / (below - 2 * here + above).clamp(max=-TINY)
    frequency = bins + torch.nn.functional.pad(shift.clamp(-0.5, 0.5), (1, 1))
    left = torch.where(is_peak, bins, -torch.inf).cummax(dim=-1).values
    right = torch.where(is_peak, bins, torch.inf).flip(-1).cummin(dim=-1).values.flip(-1)
    nearest = torch.where(bins - left <= right - bins, left, right)
    found = nearest.isfinite()
    return torch.where(found, frequency.gather(-1, nearest.where(found, 0).long()), bins)
