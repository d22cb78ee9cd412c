"""Estimate the pitch of unlabelled clips with pYIN."""

from collections.abc import Sequence

import numpy as np

from audio_gen.data.index import Progress, in_threads
from audio_gen.data.store import Cache, Clip

ANALYSED_SEC = 1.0
MIN_SEC = 0.1  # one frame of pYIN; less gives chance results
F_MIN, F_MAX = 30.0, 4186.0  # Hz; the lowest detectable note is C1, the highest C8
RATE = 22050  # enough for the highest fundamental, and half the work
VOICED_SHARE = 0.5
STEADY_SEMITONES = 0.5
EDGE_SEMITONES = 2


def estimate_pitches(
    cache: Cache, clips: Sequence[Clip], workers: int = 2, progress: Progress | None = None
) -> dict[str, float | None]:
    """Pitch of each clip by its content hash; None for drums, noise and other sounds without a steady pitch.

    Args:
        cache: The cache that holds the clips.
        clips: The clips.
        workers: Threads.
        progress: Called with ("pitch", clips done, total).
    """

    def estimate(clip: Clip) -> float | None:
        return estimate_midi(
            cache.read(clip, 0, min(clip.samples, int(ANALYSED_SEC * cache.sample_rate))), cache.sample_rate
        )

    return dict(
        zip([c.content_hash for c in clips], in_threads(estimate, clips, workers, "pitch", progress), strict=True)
    )


def estimate_midi(wav: np.ndarray, sample_rate: int) -> float | None:
    """The MIDI note of a sound with one steady pitch.

    Args:
        wav: (T,) float32.
        sample_rate: In Hz.

    Returns:
        MIDI note number with two decimals; None if less than half of the sound is voiced or its pitch moves.
        Source: pYIN, Mauch and Dixon 2014.
    """
    if len(wav) < MIN_SEC * sample_rate:
        return None
    import librosa
    import soxr

    x = soxr.resample(wav, sample_rate, RATE) if sample_rate != RATE else wav
    f0_hz, voiced, _ = librosa.pyin(x, fmin=F_MIN, fmax=F_MAX, sr=RATE, frame_length=2048)
    loud = librosa.feature.rms(y=x, frame_length=2048)[0]
    sounding = loud > 0.1 * loud.max()
    if not (voiced & sounding).sum() > VOICED_SHARE * sounding.sum():
        return None
    midi = librosa.hz_to_midi(f0_hz[voiced & sounding])
    middle = float(np.median(midi))
    if middle < librosa.hz_to_midi(F_MIN) + EDGE_SEMITONES:
        return None  # pYIN places noise here
    steady = float((np.abs(midi - middle) < STEADY_SEMITONES).mean())
    return round(middle, 2) if steady > VOICED_SHARE else None
