"""Tempo, beats and bar phase of a sound of any length."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from audio_gen.audio.music_features import MusicFeatures, music_features

BLOCK_SEC = 30.0
SLOWEST_BPM, FASTEST_BPM, USUAL_BPM = 60.0, 200.0, 120.0
BEATS_PER_BAR = 4
LOW_BANDS = 4  # of the mel, below 200 Hz: the drum and the bass that mark bars
NEAR_BEATS = 0.12  # from a whole number of bars, and of the first beat from the start
SURE = 0.2  # confidence at which a beat is steady


@dataclass(frozen=True)
class Beats:
    """The beats of a sound.

    Attributes:
        bpm: Tempo, the median over the sound; NaN if there are less than two beats.
        positions: Samples of the beats, int64, ascending.
        downbeat: Index of the first beat in `positions` that starts a bar of four.
        confidence: 0 to 1: how periodic the onsets are at this tempo. Above 0.2 a beat is steady.
        loop_beats: Length of the sound in beats if it is a loop, then `bpm` is exact; else None.
    """

    bpm: float
    positions: np.ndarray
    downbeat: int
    confidence: float
    loop_beats: int | None = None

    @property
    def steady(self) -> bool:
        """Whether the confidence is high enough to rely on the beats."""
        return self.confidence >= SURE and len(self.positions) > 1


def find_beats(blocks: Iterable[np.ndarray], sample_rate: int) -> Beats:
    """Find the beats of a mono sound, given in float32 blocks (T,)."""
    return beats_of(music_features(blocks, sample_rate))


def beats_of(features: MusicFeatures, bpm: float | None = None) -> Beats:
    """Find the beats of a sound by dynamic programming over its onsets (Ellis 2007), with a tempo for each 30 s.

    Args:
        features: Its features.
        bpm: The tempo, if it is known.
    """
    import librosa

    rate = features.frame_rate
    onsets = _onsets(features.mel_db)
    if len(onsets) < rate or not onsets.any():
        return Beats(float("nan"), np.zeros(0, np.int64), 0, 0.0)
    tempo, confidence = _tempos(onsets, rate, bpm)
    _, frames = librosa.beat.beat_track(
        onset_envelope=onsets, sr=features.sample_rate, hop_length=features.hop_length, bpm=tempo, trim=False
    )
    if len(frames) < 2:
        return Beats(float("nan"), np.zeros(0, np.int64), 0, 0.0)
    exact = _refined(onsets, frames)
    positions = np.clip(np.round((exact + 1) * features.hop_length), 0, features.samples - 1).astype(np.int64)
    low = _onsets(features.mel_db[:, :LOW_BANDS])[frames]
    downbeat = int(np.argmax([low[i::BEATS_PER_BAR].mean() if i < len(low) else 0 for i in range(BEATS_PER_BAR)]))
    half = max(1, len(exact) // 2)
    period = float(np.median((exact[half:] - exact[:-half]) / half)) / rate
    length = features.samples / features.sample_rate / period
    whole = round(length / BEATS_PER_BAR) * BEATS_PER_BAR
    on_time = abs(length - whole) < NEAR_BEATS and positions[0] < NEAR_BEATS * period * features.sample_rate
    loop_beats = whole if whole and on_time else None
    return Beats(60 / period, positions, downbeat, confidence, loop_beats)


def _onsets(mel_db: np.ndarray) -> np.ndarray:
    """Onset strength (L,): the mean rise of the bands, in dB, less its local mean."""
    from scipy.ndimage import uniform_filter1d

    rise = np.maximum(np.diff(mel_db, axis=0, prepend=mel_db[:1]), 0).mean(1)
    return np.maximum(rise - uniform_filter1d(rise, 87), 0)


def _tempos(onsets: np.ndarray, rate: float, bpm: float | None) -> tuple[np.ndarray, float]:
    """The tempo at each frame, and the confidence of all."""
    import librosa

    size = min(len(onsets), round(BLOCK_SEC * rate))
    starts = list(range(0, len(onsets) - size // 2, size)) or [0]
    longest = round(60 / 40 * rate) * 2
    curves = []
    for start in starts:
        part = onsets[start : start + size]
        part = part - part.mean()
        curve = librosa.autocorrelate(part, max_size=longest)
        curve = np.pad(curve, (0, longest - len(curve)))
        count = np.maximum(len(part) - np.arange(longest), len(part) / 4)
        curves.append(curve / count / max(curve[0] / len(part), 1e-12))
    whole = np.mean(curves, axis=0)
    lag = _lag(whole, rate, USUAL_BPM, 1.0) if bpm is None else 60 / bpm * rate
    lags = [_lag(curve, rate, 60 * rate / lag, 0.3 if bpm is None else 0.02) for curve in curves]
    tempo = np.concatenate([np.full(size, 60 * rate / one) for one in lags])
    tempo = np.pad(tempo, (0, max(0, len(onsets) - len(tempo))), mode="edge")[: len(onsets)]
    strength = [max(curve[int(one) : int(one) + 2].max(), 0) for curve, one in zip(curves, lags, strict=True)]
    return tempo, float(min(1.0, np.mean(strength)))


def _lag(curve: np.ndarray, rate: float, usual_bpm: float, octaves: float) -> float:
    """The period in frames at which onsets repeat, near a usual tempo."""
    lags = np.arange(round(60 / 240 * rate), round(60 / 40 * rate))
    doubled = np.minimum(2 * lags, len(curve) - 1)
    score = curve[lags] + 0.5 * curve[doubled]
    prior = np.exp(-0.5 * (np.log2(60 * rate / lags / usual_bpm) / octaves) ** 2)
    best = lags[int(np.argmax(np.maximum(score, 1e-6) * prior))]
    return float(_refined(curve, np.array([best]))[0])


def _refined(curve: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Peaks between samples, by a parabola through three of them."""
    inner = np.clip(at, 1, len(curve) - 2)
    left, top, right = curve[inner - 1], curve[inner], curve[inner + 1]
    bend = left - 2 * top + right
    shift = np.where((bend < 0) & (top >= left) & (top >= right), 0.5 * (left - right) / np.minimum(bend, -1e-9), 0)
    return np.where(at == inner, at + shift, at)
