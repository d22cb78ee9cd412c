"""Onset, rise time and end of a sound, in samples."""

import numpy as np
from numpy.typing import NDArray

PEAK_DB = -40.0  # below the peak: a hit begins here; hiss and bleed are below
QUIET_DB = -50.0
SILENCE_DB = -60.0  # below the peak: a swell begins and a sound ends here
STEEP_DB, STEEP_SEC = 20.0, 0.01  # a sound that rises this much in this time has an onset
ENVELOPE_SEC = 0.001
LEAD_SEC = 0.001  # kept before an onset
FADE_IN_SEC = 0.0005
FIRST_PEAK = 0.5  # of the largest: the level of the first peak of an attack

Floats = NDArray[np.floating]


def envelope(wav: Floats, sample_rate: int) -> Floats:
    """Root mean square over 1 ms around each sample: wav (T,) -> (T,)."""
    size = max(1, round(ENVELOPE_SEC * sample_rate))
    padded = np.pad(np.asarray(wav, np.float64), (size // 2, size - size // 2))
    energy = np.concatenate([[0.0], np.cumsum(padded**2)])
    return np.sqrt(np.maximum(energy[size:] - energy[:-size], 0) / size)[: len(wav)]


def loudest(wav: Floats) -> Floats:
    """The magnitude (T,) of the louder channel at each sample of wav (C, T), whose onset and end are the sound's."""
    magnitude: Floats = np.abs(wav).max(axis=0)
    return magnitude


def onset(wav: Floats, sample_rate: int) -> int:
    """Find the first sample of a sound.

    A hit begins at the first sample within 40 dB of its peak. A swell begins at the first sample within 60 dB. Silence
    begins at 0.

    Args:
        wav: Samples (T,).
        sample_rate: In Hz.
    """
    level = np.abs(wav)
    peak = float(level.max(initial=0))
    if not peak:
        return 0
    if has_onset(wav, sample_rate):
        return int(np.argmax(level > peak * amplitude(PEAK_DB)))
    return int(np.argmax(level > peak * amplitude(SILENCE_DB)))


def has_onset(wav: Floats, sample_rate: int) -> bool:
    """Whether a sound (T,) begins with a hit: it rises by 20 dB, to within 20 dB of its peak, in 10 ms."""
    level = np.abs(wav)
    peak = float(level.max(initial=0))
    if not peak:
        return False
    hit = int(np.argmax(level > peak * amplitude(PEAK_DB)))
    soon = level[hit : hit + max(1, round(STEEP_SEC * sample_rate))]
    return bool(soon.max() >= peak * amplitude(PEAK_DB + STEEP_DB))


def silent_until(wav: Floats, sample_rate: int) -> int:
    """The first sample within 50 dB of the peak, at most the onset; earlier samples are inaudible."""
    level = np.abs(wav)
    audible = int(np.argmax(level > level.max(initial=0) * amplitude(QUIET_DB))) if len(wav) else 0
    return min(audible, onset(wav, sample_rate))


def sound_end(wav: Floats, below_peak_db: float = -SILENCE_DB) -> int:
    """The sample after which a sound stays below a level, at most T; 0 for silence.

    Args:
        wav: Samples (T,).
        below_peak_db: The level below the peak; 60 is inaudible for most listeners.
    """
    level = np.abs(wav)
    loud = np.flatnonzero(level > level.max(initial=0) * amplitude(-below_peak_db))
    return int(loud[-1]) + 1 if len(loud) else 0


def rise_sec(wav: Floats, sample_rate: int) -> float:
    """Time in which a sound rises from 10 to 90 % of its first peak; NaN for silence.

    The first peak is the first one of the 1-ms envelope with half of the largest level, so a kick is timed by its
    beater, not by its loudest swing.

    Args:
        wav: Samples (T,).
        sample_rate: In Hz.
    """
    level = envelope(wav, sample_rate)
    if not level.max(initial=0):
        return float("nan")
    start = int(np.argmax(level >= FIRST_PEAK * level.max()))
    falls = np.flatnonzero(np.diff(level[start:]) < 0)
    top = start + (int(falls[0]) if len(falls) else len(level) - 1 - start)
    peak, before = level[top], level[: top + 1]
    high = int(np.argmax(before >= 0.9 * peak))
    low = np.flatnonzero(before[: high + 1] < 0.1 * peak)
    return (high - (int(low[-1]) + 1 if len(low) else 0)) / sample_rate


def lead_samples(sample_rate: int) -> int:
    """The number of samples that are kept before an onset."""
    return round(LEAD_SEC * sample_rate)


def fade_in(wav: Floats, sample_rate: int) -> None:
    """Fade wav (.., T) in over 0.5 ms, in place."""
    samples = min(wav.shape[-1], max(1, round(FADE_IN_SEC * sample_rate)))
    wav[..., :samples] *= (0.5 - 0.5 * np.cos(np.pi * np.arange(samples) / samples)).astype(wav.dtype)


def amplitude(db: float) -> float:
    """The amplitude factor of a level in dB."""
    return 10 ** (db / 20)
