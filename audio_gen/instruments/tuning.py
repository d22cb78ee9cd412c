"""How far a note is from its pitch, to within a cent or two."""

import numpy as np
import torch
from torch import Tensor

from audio_gen.evaluation.pitch import CENTS, RANGE_AROUND, REQUESTED_VOICED_SHARE, track
from audio_gen.midi.score import pitch_to_hz

HEARD_SEC = 1.2  # of a note
ATTACK_SEC = 0.1  # of it, which is skipped
COARSE_SEMITONES = 0.2  # steps of the tracker, before the harmonics are measured
LEAST_SEC = 0.1
WINDOW_SEC, HOP_SEC = 0.18, 0.04
PERIODS = 10  # at least, in a window
PERIOD_WINDOW_SEC = 0.09
HARMONICS = 8
SEARCH_CENTS = 60  # around the tracker's pitch
OUTLIER_CENTS = 25  # a harmonic further from the rest belongs to something else
QUIET = 0.1  # of the loudest window's level: softer ones are not measured
ZERO_PADDING = 4


def measured_cents(wav: Tensor, sample_rate: int, pitch: float) -> float | None:
    """How many cents a note is above its pitch; None if it has no clear pitch within 14 semitones of it.

    A tracker (pYIN) finds the octave and the semitone. Then two estimates are averaged, which differ where partials are
    stretched, as a piano's are: that of the harmonics' peaks in long windows, and that of the period.

    Source: YIN, de Cheveigné 2002, for the period.

    Args:
        wav: The note (C, T).
        sample_rate: In Hz.
        pitch: The MIDI pitch that it should have.
    """
    skipped = round(ATTACK_SEC * sample_rate) if wav.shape[-1] > 4 * ATTACK_SEC * sample_rate else 0
    mono = wav.mean(0)[skipped : round(HEARD_SEC * sample_rate)]
    wanted_hz = pitch_to_hz(pitch)
    if len(mono) < LEAST_SEC * sample_rate or float(mono.abs().max()) < 1e-4:
        return None
    found = track(
        mono, sample_rate, f_min_hz=wanted_hz / RANGE_AROUND, f_max_hz=min(wanted_hz * RANGE_AROUND, sample_rate / 4),
        grid_semitones=COARSE_SEMITONES,
    )  # fmt: skip
    both = found.voiced & found.sounding & np.isfinite(found.f0_hz)
    if both.sum() < REQUESTED_VOICED_SHARE * max(1, found.sounding.sum()):
        return None
    coarse_hz = float(np.median(found.f0_hz[both]))
    x = mono.double().numpy()
    harmonic_hz = _by_harmonics(x, sample_rate, coarse_hz)
    both_hz = np.sqrt(harmonic_hz * _by_period(x, sample_rate, harmonic_hz))
    return float(CENTS * np.log2(both_hz / wanted_hz))


def _by_harmonics(x: np.ndarray, sample_rate: int, near_hz: float) -> float:
    """The fundamental in Hz by the peaks of harmonics around multiples of a frequency; that frequency without any."""
    size = min(len(x), round(max(WINDOW_SEC, PERIODS / near_hz) * sample_rate))
    hop = max(1, round(HOP_SEC * sample_rate))
    frames = np.lib.stride_tricks.sliding_window_view(x, size)[::hop] * np.hanning(size)
    spectra = np.abs(np.fft.rfft(frames, ZERO_PADDING * size, axis=1))
    levels = spectra.max(1)
    bin_hz = sample_rate / (ZERO_PADDING * size)
    reach = 2 ** (SEARCH_CENTS / CENTS)
    pitches, weights = [], []
    for spectrum in spectra[levels > QUIET * levels.max()]:
        for k in range(1, HARMONICS + 1):
            low, high = int(k * near_hz / reach / bin_hz), int(np.ceil(k * near_hz * reach / bin_hz)) + 1
            if high + 1 >= len(spectrum):
                break
            top = low + int(np.argmax(spectrum[low:high]))
            if not low < top < high - 1:  # no peak within the search
                continue
            left, middle, right = np.log(np.maximum(spectrum[top - 1 : top + 2], 1e-12))
            shift = 0.5 * (left - right) / min(left - 2 * middle + right, -1e-9)
            pitches.append((top + shift) * bin_hz / k)
            weights.append(spectrum[top])
    if not pitches:
        return near_hz
    cents, weight = CENTS * np.log2(np.array(pitches) / near_hz), np.array(weights)
    middle_cents = _weighted_median(cents, weight)
    near = np.abs(cents - middle_cents) < OUTLIER_CENTS
    return float(near_hz * 2 ** (np.average(cents[near], weights=weight[near]) / CENTS))


def _by_period(x: np.ndarray, sample_rate: int, near_hz: float) -> float:
    """The fundamental in Hz by the period at which the sound differs least from itself; that frequency without one."""
    period = sample_rate / near_hz
    reach = 2 ** (SEARCH_CENTS / CENTS)
    lags = np.arange(int(period / reach) - 1, int(np.ceil(period * reach)) + 2)
    size, hop = round(PERIOD_WINDOW_SEC * sample_rate), max(1, round(HOP_SEC * sample_rate))
    if lags[0] < 2 or len(x) < size + lags[-1]:
        return near_hz
    starts = np.arange(0, len(x) - size - lags[-1] + 1, hop)
    power = np.array([np.square(x[start : start + size]).mean() for start in starts])
    found = []
    for start in starts[power > QUIET**2 * power.max()]:
        frame = x[start : start + size]
        difference = np.array([np.square(frame - x[start + lag : start + lag + size]).sum() for lag in lags])
        low = int(np.argmin(difference))
        if 0 < low < len(lags) - 1:
            left, middle, right = difference[low - 1 : low + 2]
            shift = 0.5 * (left - right) / max(left - 2 * middle + right, 1e-12)
            found.append(lags[low] + shift)
    return sample_rate / float(np.median(found)) if found else near_hz


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(values)
    return float(values[order][np.searchsorted(weights[order].cumsum(), weights.sum() / 2)])


def shifted(wav: Tensor, sample_rate: int, semitones: float) -> Tensor:
    """A sound (C, T) played faster, so that it is so many semitones higher, and shorter."""
    import soxr

    if abs(semitones) < 1e-6:
        return wav
    ratio = 2 ** (-semitones / 12)
    out = soxr.resample(wav.T.contiguous().numpy(), 1.0, ratio, quality="HQ")
    return torch.from_numpy(np.ascontiguousarray(out.T, dtype=np.float32))
