"""Sounds made of formulas: sweeps, chirps, noises, clicks, harmonic tones, FM, steady tones, silence.

Each kind is a function of a random generator and a length in samples; `make` gives any of them at a peak of 1.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

SAMPLE_RATE = 44100
TOP_HZ = 20000.0  # nothing is made above
PARTIALS = 80


def make(kind: str, rng: np.random.Generator, length: int) -> np.ndarray:
    """A sound of one of `KINDS` as `length` float32 samples with a peak of 1 (its edges ramped over 1 to 30 ms)."""
    wav = KINDS[kind](rng, length)
    ramp = min(int(SAMPLE_RATE * rng.uniform(0.001, 0.03)), length // 2)
    wav[:ramp] *= np.linspace(0, 1, ramp)
    wav[length - ramp :] *= np.linspace(1, 0, ramp)
    return (wav / max(float(np.abs(wav).max(initial=0)), 1e-9)).astype(np.float32)


def oscillate(hz: np.ndarray, start: float = 0.0) -> np.ndarray:
    """A sine whose frequency in Hz is given sample by sample."""
    return np.sin(2 * np.pi * (np.cumsum(hz) / SAMPLE_RATE + start))


def sweep(rng: np.random.Generator, length: int) -> np.ndarray:
    """A sine that glides between two frequencies, evenly in pitch or in Hz, at times the whole way from 20 Hz."""
    ends = [20.0, TOP_HZ] if rng.random() < 0.3 else [_log_uniform(rng, 20, TOP_HZ) for _ in range(2)]
    low, high = rng.permutation(ends)
    way = np.linspace(0, 1, length)
    hz = low * (high / low) ** way if rng.random() < 0.7 else low + (high - low) * way
    return oscillate(hz)


def chirps(rng: np.random.Generator, length: int) -> np.ndarray:
    """Short glides of 10 to 200 ms one after the other, with and without gaps."""
    wav, at = np.zeros(length), 0
    gap = rng.choice([0.0, 1.0])
    while at < length:
        count = min(int(SAMPLE_RATE * rng.uniform(0.01, 0.2)), length - at)
        low, high = _log_uniform(rng, 50, TOP_HZ), _log_uniform(rng, 50, TOP_HZ)
        wav[at : at + count] = oscillate(low * (high / low) ** np.linspace(0, 1, count)) * np.hanning(count)
        at += count + int(gap * SAMPLE_RATE * rng.uniform(0, 0.2))
    return wav


def coloured_noise(rng: np.random.Generator, length: int, slope: float) -> np.ndarray:
    """Gaussian noise whose power falls as frequency ** -slope, from 20 Hz on."""
    spectrum = np.fft.rfft(rng.standard_normal(length))
    hz = np.fft.rfftfreq(length, 1 / SAMPLE_RATE)
    return np.fft.irfft(spectrum * (hz >= 20) * np.maximum(hz, 20) ** (-slope / 2), length)


def white(rng: np.random.Generator, length: int) -> np.ndarray:
    """Noise of even power in each Hz."""
    return coloured_noise(rng, length, 0)


def pink(rng: np.random.Generator, length: int) -> np.ndarray:
    """Noise of even power in each octave."""
    return coloured_noise(rng, length, 1)


def brown(rng: np.random.Generator, length: int) -> np.ndarray:
    """Noise that falls by 6 dB an octave."""
    return coloured_noise(rng, length, 2)


def band_noise(rng: np.random.Generator, length: int) -> np.ndarray:
    """Noise of a few random bands with steep edges."""
    spectrum, hz = np.fft.rfft(rng.standard_normal(length)), np.fft.rfftfreq(length, 1 / SAMPLE_RATE)
    mask = np.zeros_like(hz)
    for _ in range(rng.integers(1, 4)):
        centre, octaves = _log_uniform(rng, 60, 16000), rng.uniform(0.05, 2)
        mask += rng.uniform(0.2, 1) * (np.abs(np.log2(np.maximum(hz, 1) / centre)) < octaves / 2)
    return np.fft.irfft(spectrum * mask, length)


def gated_noise(rng: np.random.Generator, length: int) -> np.ndarray:
    """Noise that is switched on and off at once: attacks, ends, and exact silence between them."""
    edges = np.sort(rng.integers(0, length, int(rng.integers(4, 40))))
    gate = np.searchsorted(edges, np.arange(length), side="right") % 2
    levels = 10 ** rng.uniform(-1.5, 0, len(edges) + 1)
    return (
        coloured_noise(rng, length, rng.uniform(0, 2))
        * gate
        * np.repeat(levels, np.diff(np.concatenate([[0], edges, [length]])))
    )


def clicks(rng: np.random.Generator, length: int) -> np.ndarray:
    """Impulses at even or random times, each a single sample or a short decaying tone."""
    spacing = SAMPLE_RATE / _log_uniform(rng, 2, 200)
    times = np.arange(min(spacing, length) / 2, length, spacing)
    if rng.random() < 0.5:
        times = np.sort(rng.uniform(0, length, len(times)))
    wav = np.zeros(length)
    wav[times.astype(int)] = rng.choice([-1.0, 1.0], len(times)) * 10 ** rng.uniform(-1, 0, len(times))
    if rng.random() < 0.5:
        return wav
    seconds = np.arange(2048) / SAMPLE_RATE
    tone = np.cos(2 * np.pi * _log_uniform(rng, 200, 15000) * seconds) * np.exp(-seconds / rng.uniform(0.0005, 0.01))
    return np.convolve(wav, tone)[:length]


def harmonic(rng: np.random.Generator, length: int) -> np.ndarray:
    """A tone of up to 80 partials that fall by 2 to 18 dB an octave, with vibrato, tremolo and a decay at times."""
    seconds = np.arange(length) / SAMPLE_RATE
    cents = rng.choice([0.0, 1.0]) * rng.uniform(5, 100) * np.sin(2 * np.pi * rng.uniform(3, 8) * seconds)
    hz = _log_uniform(rng, 30, 3000) * 2 ** (cents / 1200)
    phase = 2 * np.pi * np.cumsum(hz) / SAMPLE_RATE
    slope, odd_only = rng.uniform(0.3, 3), rng.random() < 0.25
    wav = np.zeros(length)
    for k in range(1, min(PARTIALS, int(TOP_HZ / hz.max())) + 1, 2 if odd_only else 1):
        wav += k**-slope * rng.uniform(0.3, 1) * np.sin(k * phase + rng.uniform(0, 2 * np.pi))
    if rng.random() < 0.3:
        wav *= 1 - rng.uniform(0.1, 0.9) * 0.5 * (1 + np.sin(2 * np.pi * rng.uniform(2, 12) * seconds))
    return wav * np.exp(-seconds / _log_uniform(rng, 0.1, 3)) if rng.random() < 0.4 else wav


def fm(rng: np.random.Generator, length: int) -> np.ndarray:
    """Two-operator frequency modulation (Chowning 1973) whose index decays; its bandwidth stays below 20 kHz."""
    seconds = np.arange(length) / SAMPLE_RATE
    carrier = _log_uniform(rng, 60, 2000)
    modulator = carrier * rng.choice([0.5, 1, 1.5, 2, 3, rng.uniform(0.3, 5)])
    largest = min(12.0, (TOP_HZ - carrier) / modulator - 2)  # Carson's rule: index + 1 side bands, and one to spare
    index = rng.uniform(0.5, max(largest, 0.6)) * np.exp(-seconds / _log_uniform(rng, 0.1, 5))
    swing = index * np.sin(2 * np.pi * modulator * seconds)
    return np.sin(2 * np.pi * carrier * seconds + swing) * np.exp(-seconds / _log_uniform(rng, 0.3, 10))


def tones(rng: np.random.Generator, length: int) -> np.ndarray:
    """One to six steady sines anywhere from 20 Hz to 20 kHz."""
    wav, seconds = np.zeros(length), np.arange(length) / SAMPLE_RATE
    for _ in range(rng.integers(1, 7)):
        wav += rng.uniform(0.1, 1) * np.sin(2 * np.pi * (_log_uniform(rng, 20, TOP_HZ) * seconds + rng.random()))
    return wav


def silence(rng: np.random.Generator, length: int) -> np.ndarray:
    """Exact silence between two short bursts of noise: without these its ends would be cut when a folder is read."""
    wav, count = np.zeros(length), min(int(SAMPLE_RATE * rng.uniform(0.005, 0.1)), length)
    wav[:count] = rng.standard_normal(count) * np.linspace(1, 0, count)
    wav[length - count :] += rng.standard_normal(count) * np.linspace(0, 1, count)
    return wav


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


KINDS: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    f.__name__: f
    for f in (sweep, chirps, white, pink, brown, band_noise, gated_noise, clicks, harmonic, fm, tones, silence)
}
