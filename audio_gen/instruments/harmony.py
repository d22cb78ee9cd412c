"""Key and chords of a track, beat by beat."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from audio_gen.audio.music_features import MusicFeatures
from audio_gen.midi.score import SEMITONES

NAMES = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")
MAJOR, MINOR = (0, 4, 7), (0, 3, 7)
# How well each step of the scale fits a key. Source: Krumhansl 1990, probe-tone ratings.
MAJOR_PROFILE = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
MINOR_PROFILE = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)
STAY = 0.75  # probability that a chord goes on for another beat
SHARPNESS = 12.0  # of the likelihood of a chord over its correlation
IN_KEY = 0.6  # added to the log-likelihood of chords whose tones are all in the key
SCALES = {False: (0, 2, 4, 5, 7, 9, 11), True: (0, 2, 3, 5, 7, 8, 10)}


@dataclass(frozen=True)
class Chord:
    """A triad.

    Attributes:
        root: Pitch class, 0 is C.
        minor: Whether its third is minor.
    """

    root: int
    minor: bool

    @property
    def tones(self) -> tuple[int, ...]:
        """Its pitch classes, from the root."""
        return tuple((self.root + step) % SEMITONES for step in (MINOR if self.minor else MAJOR))

    @property
    def name(self) -> str:
        """Such as Eb or Am."""
        return NAMES[self.root] + ("m" if self.minor else "")


ALL = tuple(Chord(root, minor) for minor in (False, True) for root in range(SEMITONES))


def beat_chroma(features: MusicFeatures, beats_sec: Sequence[float]) -> np.ndarray:
    """Median chroma (B, 12) between each beat and the next, as unit vectors; 0 in silence.

    Args:
        features: Of the track, with its chroma.
        beats_sec: Times of the beats; the last one ends the last interval.
    """
    rate = features.frame_rate / 2
    rows = []
    for start, stop in itertools.pairwise(beats_sec):
        first, last = round(start * rate), max(round(start * rate) + 1, round(stop * rate))
        part = features.chroma[first:last]
        rows.append(np.median(part, axis=0) if len(part) else np.zeros(SEMITONES))
    found = np.array(rows).reshape(-1, SEMITONES)
    size = np.linalg.norm(found, axis=1, keepdims=True)
    return np.where(size > 1e-6, found / np.maximum(size, 1e-9), 0)


def key_of_chroma(chroma: np.ndarray) -> Chord:
    """The key (its tonic triad) of chroma (B, 12), by the correlation with profiles of keys."""
    mean = chroma.sum(0)
    mean = mean - mean.mean()

    def fit(key: Chord) -> float:
        profile = np.roll(np.array(MINOR_PROFILE if key.minor else MAJOR_PROFILE), key.root)
        return float(mean @ (profile - profile.mean()) / np.linalg.norm(profile - profile.mean()))

    return max(ALL, key=fit)


def chords_of_chroma(chroma: np.ndarray, key: Chord) -> list[Chord | None]:
    """A chord for each beat of chroma (B, 12), by a Viterbi search over triads; None in silence."""
    templates = np.zeros((len(ALL), SEMITONES))
    for row, chord in zip(templates, ALL, strict=True):
        row[list(chord.tones)] = (1.0, 0.8, 0.9)
    templates -= templates.mean(1, keepdims=True)
    templates /= np.linalg.norm(templates, axis=1, keepdims=True)
    heard = chroma - chroma.mean(1, keepdims=True)
    heard = heard / np.maximum(np.linalg.norm(heard, axis=1, keepdims=True), 1e-9)
    scale = {(key.root + step) % SEMITONES for step in SCALES[key.minor]}
    likely = SHARPNESS * heard @ templates.T
    likely += IN_KEY * np.array([set(chord.tones) <= scale for chord in ALL])
    change = np.full((len(ALL), len(ALL)), np.log((1 - STAY) / (len(ALL) - 1)))
    np.fill_diagonal(change, np.log(STAY))
    if not len(likely):
        return []
    best, back = likely[0], []
    for row in likely[1:]:
        reached = best[:, None] + change
        back.append(reached.argmax(0))
        best = reached.max(0) + row
    path = [int(best.argmax())]
    for step in reversed(back):
        path.append(int(step[path[-1]]))
    silent = [not row.any() for row in chroma]
    return [None if quiet else ALL[i] for i, quiet in zip(reversed(path), silent, strict=True)]
