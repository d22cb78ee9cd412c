"""Tempo, beats and bar phase of a sound of any length."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from audio_gen.audio.music_features import MusicFeatures, music_features
from audio_gen.data.store import Cache
from audio_gen.data.table import Clip

BLOCK_SEC = 30.0
SLOWEST_BPM, FASTEST_BPM, USUAL_BPM = 60.0, 200.0, 120.0
LOWEST_BPM, HIGHEST_BPM = 40.0, 240.0  # that are found at all
BEATS_PER_BAR = 4
LOW_BANDS = 4  # of the mel, below 200 Hz: the drum and the bass that mark bars
READ_SAMPLES = 1 << 20  # of a clip at a time
LONGEST_LOOP_SEC = 30.0
SHORT_LOOP_SEC = 12.0  # the tempo of longer ones can be estimated, and has to agree
LOOP_EVIDENCE, ODD_EVIDENCE = 0.6, 0.8  # for a power of two of beats, and for other counts
LEAST_PERIODIC = 0.25
ON_GRID = 0.2  # of a 16th: onsets as close are on the grid
AS_STRONG = 0.85  # half a period whose onsets repeat as strongly is the beat
SURE = 0.2  # confidence at which a beat is steady


@dataclass(frozen=True)
class Beats:
    """The beats of a sound.

    Attributes:
        bpm: Tempo, the median over the sound; NaN if there are less than two beats.
        positions: Samples of the beats, int64, ascending.
        downbeat: Index of the first beat in `positions` that starts a bar of four.
        confidence: 0 to 1: how periodic the onsets are at this tempo. Above 0.2 a beat is steady.
        loop_beats: Length of the sound in beats if it is a loop, then `bpm` is exact and the first beat is at 0; else
            None.
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

    def phases(self, at: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Tempo and phases at places of the sound.

        Args:
            at: Samples (N,).

        Returns:
            Tempo (N,), in beats per sample; beat phase (N,), 0 to 1; bar phase (N,), 0 to 1. Before the first beat and
            after the last one the nearest tempo goes on. NaN if there are less than two beats.
        """
        if len(self.positions) < 2:
            nothing = np.full(len(at), np.nan)
            return nothing, nothing, nothing
        places = self.positions.astype(np.float64)
        interval = np.clip(np.searchsorted(places, at, side="right") - 1, 0, len(places) - 2)
        tempo = 1 / np.diff(places)[interval]
        beat = interval + (at - places[interval]) * tempo
        return tempo, beat % 1, (beat - self.downbeat) / BEATS_PER_BAR % 1


def clip_beats(cache: Cache, clip: Clip) -> Beats:
    """Find the beats of a clip of a cache; positions are samples of the clip."""
    starts = range(0, clip.samples, READ_SAMPLES)
    return find_beats(
        (cache.read(clip, start, min(READ_SAMPLES, clip.samples - start)) for start in starts), cache.sample_rate
    )


def find_beats(blocks: Iterable[np.ndarray], sample_rate: int) -> Beats:
    """Find the beats of a mono sound, given in float32 blocks (T,)."""
    return beats_of(music_features(blocks, sample_rate, chroma=False))


def beats_of(features: MusicFeatures, bpm: float | None = None) -> Beats:
    """Find the beats of a sound by dynamic programming over its onsets (Ellis 2007), with a tempo for each 30 s.

    A sound of at most 30 s is a loop if its length is a whole number of beats at 60 to 200 bpm and its onsets lie on
    the 16ths of this grid and repeat across the join. Then the beats are the grid.

    Args:
        features: Its features.
        bpm: The tempo, if it is known, 40 to 240.
    """
    import librosa

    loop = _as_loop(features, bpm)
    if loop is not None and features.samples < SHORT_LOOP_SEC * features.sample_rate:
        return loop
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
    if loop is not None and abs(np.log2(loop.bpm * period / 60) - round(np.log2(loop.bpm * period / 60))) < 0.03:
        return loop
    return Beats(60 / period, positions, downbeat, confidence)


def _as_loop(features: MusicFeatures, bpm: float | None) -> Beats | None:
    """The beats of a short sound that is a loop; None if it is none."""
    seconds = features.samples / features.sample_rate
    if seconds > LONGEST_LOOP_SEC:
        return None
    slowest, fastest = (SLOWEST_BPM, FASTEST_BPM) if bpm is None else (bpm * 0.98, bpm * 1.02)
    counts = [n for n in range(2, int(seconds * fastest / 60) + 1) if 60 * n / seconds >= slowest]
    length = features.samples / features.hop_length  # in frames
    rise = np.maximum(features.mel_db - np.roll(features.mel_db, 1, axis=0), 0).mean(1)
    onsets = np.maximum(rise - rise.mean(), 0)
    if not counts or not onsets.any():
        return None
    spectrum = np.fft.rfft(onsets - onsets.mean())
    circular = np.fft.irfft(np.abs(spectrum) ** 2, len(onsets))
    circular /= circular[0]
    evidence = {}
    for n in counts:
        lags = [int(length / n * k) % len(onsets) for k in range(1, min(n, 5))]
        periodic = np.mean([max(circular[lag], circular[(lag + 1) % len(onsets)]) for lag in lags])
        sixteenths = np.arange(len(onsets)) / length * n * 4
        near = np.abs(sixteenths - np.round(sixteenths)) < ON_GRID
        whole = periodic + onsets[near].sum() / onsets.sum() - 2 * ON_GRID
        least = LOOP_EVIDENCE if n & (n - 1) == 0 else ODD_EVIDENCE
        if periodic >= LEAST_PERIODIC and whole >= least:
            evidence[n] = float(whole)
    if not evidence:
        return None
    best = max(evidence, key=lambda n: evidence[n] * _usual(60 * n / seconds, 1.0) * (1.1 if n & (n - 1) == 0 else 1))
    positions = np.round(np.arange(best) * features.samples / best).astype(np.int64)
    return Beats(60 * best / seconds, positions, 0, min(1.0, evidence[best] / 1.2), best)


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
    longest = round(60 / LOWEST_BPM * rate) * 2
    curves = []
    for start in starts:
        part = onsets[start : start + size]
        part = part - part.mean()
        curve = librosa.autocorrelate(part, max_size=longest)
        curve = np.pad(curve, (0, longest - len(curve)))
        count = np.maximum(len(part) - np.arange(longest), len(part) / 4)
        curves.append(curve / count / max(curve[0] / len(part), 1e-12))
    whole = np.mean(curves, axis=0)
    if bpm is None:
        usual_bpm = 60 * rate / _lag(whole, rate, USUAL_BPM, 1.0)
        lags = [_lag(curve, rate, usual_bpm, 0.3) for curve in curves]
    else:
        lags = [60 / bpm * rate] * len(curves)
    tempo = np.concatenate([np.full(size, 60 * rate / one) for one in lags])
    tempo = np.pad(tempo, (0, max(0, len(onsets) - len(tempo))), mode="edge")[: len(onsets)]
    strength = [max(curve[int(one) : int(one) + 2].max(), 0) for curve, one in zip(curves, lags, strict=True)]
    return tempo, float(min(1.0, np.mean(strength)))


def _lag(curve: np.ndarray, rate: float, usual_bpm: float, octaves: float) -> float:
    """The period in frames at which onsets repeat, near a usual tempo."""
    lags = np.arange(round(60 / HIGHEST_BPM * rate), round(60 / LOWEST_BPM * rate))
    doubled = np.minimum(2 * lags, len(curve) - 1)
    score = curve[lags] + 0.5 * curve[doubled]
    prior = _usual(60 * rate / lags, octaves, usual_bpm)
    best = int(lags[int(np.argmax(np.maximum(score, 1e-6) * prior))])
    faster = best // 2 + int(np.argmax(curve[best // 2 : best // 2 + 2]))
    if curve[faster] > AS_STRONG * curve[best] and 60 * rate / faster <= FASTEST_BPM:
        best = faster
    return float(_refined(curve, np.array([best]))[0])


def _usual(bpm: Any, octaves: float, usual_bpm: float = USUAL_BPM) -> Any:
    """How usual a tempo is, 0 to 1, with a deviation in octaves."""
    return np.exp(-0.5 * (np.log2(bpm / usual_bpm) / octaves) ** 2)


def _refined(curve: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Peaks between samples, by a parabola through three of them."""
    inner = np.clip(at, 1, len(curve) - 2)
    left, top, right = curve[inner - 1], curve[inner], curve[inner + 1]
    bend = left - 2 * top + right
    shift = np.where((bend < 0) & (top >= left) & (top >= right), 0.5 * (left - right) / np.minimum(bend, -1e-9), 0)
    return np.where(at == inner, at + shift, at)
