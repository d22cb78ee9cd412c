"""Align a score with a recording of it: an offset by onsets, then dynamic time warping of chroma and onsets."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from audio_gen.midi.score import A4, A4_HZ, SEMITONES, Note, Score

FRAME_RATE = 25.0  # of the features that are aligned, at most
MOST_FRAMES = 5000  # that are aligned: the path needs memory for their square
WINDOW_SEC = 0.18  # of the spectra of pitches
ONSET_RATE = 200.0  # of the envelope at which onsets are found
SLANTED = 1.5  # weight of steps at half or twice the tempo; at 1.5 as long as those along the diagonal
LATE_SEC = 0.045  # of paths: frames see an attack before and after it
SKIPPED_COST = 0.5  # of a frame with sound
SILENT_FRAMES = 50  # after a recording
HARMONY = SEMITONES + 1  # features that are compared by their angle: chroma and silence
SILENT_SHARE = 0.2  # of the usual size of chroma; below, a frame counts as silent in part
LEAST_COST = 1e-6  # librosa multiplies it by infinity for steps that are not allowed
RISES_WEIGHT, PULSES_WEIGHT = 0.1, 0.5  # of onsets in the cost of a path, over that of harmony
EVEN_SEC = 2.0  # in which the tempo does not change
REACHES_SEC = (0.12, 0.06)  # how far onsets move to those of the recording, all near ones together
KNOT_SEC, DRIFT_COST = 0.4, 6.0  # between places that move, and the cost of moving neighbouring ones apart, per s
STANDS_OUT, LEAST_RISE_DB, LEAST_OF_STRONG = 1.8, 0.4, 0.3  # of an onset: over its surroundings, and of the strongest
SNAP_SEC = 0.06  # notes move to the onset of the recording within it
TOLERANCE_SEC = 0.05  # of an onset that counts as found
LOWEST, HIGHEST = 24, 108  # MIDI
DECAY_SEC = 0.6  # of a note in the score's features
CHORD_SEC = 0.03  # notes that start within it are one onset


@dataclass(frozen=True)
class Alignment:
    """A score on the time of a recording.

    Attributes:
        score: The score with its notes moved.
        precision: Share of the score's onsets that the recording has.
        recall: Share of the recording's onsets that the score has.
    """

    score: Score
    precision: float
    recall: float

    @property
    def f1(self) -> float:
        """F1 of onsets."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


def align(wav: np.ndarray, sample_rate: int, score: Score) -> Alignment:
    """Align a score with a mono recording (T,) that may begin before it and end after it.

    Source: chroma and onset features for synchronisation, Ewert 2009; subsequence matching, Müller 2015.
    """
    length = len(wav) / sample_rate
    rate = min(FRAME_RATE, MOST_FRAMES / max(length, 1e-3))
    envelope = _envelope(wav, sample_rate)
    heard = onset_times(envelope)
    first_sec = min(note.start_sec for note in score.notes)
    begun = _shifted(score, -first_sec)
    path = _warp(
        (audio_features(wav, sample_rate, rate), _pulses_of(envelope, rate, length)),
        (score_features(begun, begun.end_sec, rate), _pulses(begun, rate)),
    )  # fmt: skip
    moved = _mapped(begun, path, rate)
    for reach_sec in REACHES_SEC:
        moved = _refined(moved, envelope, reach_sec)
    precision, recall = onset_scores([note.start_sec for note in moved.notes], heard, length)
    return Alignment(_snapped(moved, heard), precision, recall)


def audio_features(wav: np.ndarray, sample_rate: int, frame_rate: float) -> np.ndarray:
    """Chroma with its rises (L, 25) of a recording (T,): what stands out from its neighbours within an octave."""
    from scipy.ndimage import uniform_filter1d

    size, n_fft = round(WINDOW_SEC * sample_rate), 1 << int(np.ceil(np.log2(WINDOW_SEC * sample_rate)))
    padded = np.pad(wav.astype(np.float32), (size // 2, size))
    starts = np.round(np.arange(0, len(wav), sample_rate / frame_rate)).astype(int)
    window = np.hanning(size).astype(np.float32)
    pitches = A4 + SEMITONES * np.log2(np.maximum(np.fft.rfftfreq(n_fft, 1 / sample_rate), 1e-3) / A4_HZ)
    bins = [np.flatnonzero(np.abs(pitches - pitch) < 0.5) for pitch in range(LOWEST, HIGHEST + 1)]
    bins = [one if len(one) else np.array([np.argmin(np.abs(pitches - pitch))])
            for pitch, one in zip(range(LOWEST, HIGHEST + 1), bins, strict=True)]  # fmt: skip
    levels = np.zeros((len(starts), len(bins)), np.float32)
    for row, start in zip(levels, starts, strict=True):
        spectrum = np.abs(np.fft.rfft(padded[start : start + size] * window, n_fft))
        row[:] = [spectrum[one].max() for one in bins]
    levels = np.log1p(levels)
    levels = np.maximum(levels - uniform_filter1d(levels, SEMITONES + 1, axis=1), 0)
    chroma = np.zeros((len(starts), SEMITONES), np.float32)
    for i in range(len(bins)):
        chroma[:, (LOWEST + i) % SEMITONES] += levels[:, i]
    return _with_rises(chroma)


def _pulses_of(envelope: np.ndarray, frame_rate: float, length_sec: float) -> np.ndarray:
    """The onset envelope at the rate of frames (L,), 0 to 1."""
    count, step = len(np.arange(0, length_sec, 1 / frame_rate)), ONSET_RATE / frame_rate
    parts = [envelope[int(i * step) : int((i + 1) * step)] for i in range(count)]
    pulses = np.array([part.max(initial=0) for part in parts])
    return np.asarray(np.minimum(pulses / max(float(np.quantile(pulses, 0.95)), 1e-6), 1))


def _pulses(score: Score, frame_rate: float) -> np.ndarray:
    """1 in the frames (L,) in which a note begins, else 0."""
    pulses = np.zeros(max(1, round(score.end_sec * frame_rate)))
    for at in merged([note.start_sec for note in score.notes]):
        pulses[min(int(at * frame_rate), len(pulses) - 1)] = 1
    return pulses


def score_features(score: Score, length_sec: float, frame_rate: float) -> np.ndarray:
    """The same features (L, 25) of a score: each note rises at once and decays."""
    frames = max(1, round(length_sec * frame_rate))
    chroma = np.zeros((frames, SEMITONES), np.float32)
    for note in score.notes:
        if note.is_drum:
            continue
        first, stop = round(note.start_sec * frame_rate), round(note.end_sec * frame_rate) + 1
        first = max(0, first)
        count = min(stop, frames) - first
        if count > 0:
            level = (note.velocity / 127) * np.exp(-np.arange(count) / (DECAY_SEC * frame_rate))
            for harmonic, weight in ((0, 1.0), (7, 0.35), (4, 0.15)):  # first, third and fifth partial
                chroma[first : first + count, (note.pitch + harmonic) % SEMITONES] += weight * level
    return _with_rises(chroma)


def _with_rises(chroma: np.ndarray) -> np.ndarray:
    """Unit vectors (13) of chroma and silence, and the rises of the chroma (12)."""
    rises = np.maximum(np.diff(chroma, axis=0, prepend=chroma[:1]), 0)
    rises /= max(float(np.quantile(rises.sum(1), 0.95)), 1e-6)
    size = np.linalg.norm(chroma, axis=1, keepdims=True)
    silence = np.clip(1 - size / max(SILENT_SHARE * float(np.quantile(size, 0.9)), 1e-9), 0, 1)
    unit = chroma / np.maximum(size, 1e-9) * np.sqrt(1 - silence**2)
    return np.concatenate([unit, silence, np.minimum(rises, 2.0)], axis=1).astype(np.float32)


def _envelope(wav: np.ndarray, sample_rate: int) -> np.ndarray:
    """Mean rise in dB of 24 bands (K,) at `ONSET_RATE`."""
    size = 1 << int(np.ceil(np.log2(0.023 * sample_rate)))
    padded = np.pad(wav.astype(np.float32), (size // 2, size))
    starts = np.round(np.arange(0, len(wav), sample_rate / ONSET_RATE)).astype(int)
    window = np.hanning(size).astype(np.float32)
    edges = np.unique(np.geomspace(2, size // 2, 25).astype(int))
    rows = [np.add.reduceat(np.abs(np.fft.rfft(padded[s : s + size] * window)) ** 2, edges[:-1]) for s in starts]
    level = 10 * np.log10(np.array(rows) + 1e-9)
    level = np.maximum(level, level.max(initial=-90.0) - 60)
    back = 2  # frames: a window takes two to fill
    rise = level - np.pad(level, ((back, 0), (0, 0)), mode="edge")[: len(level)]
    return np.asarray(np.maximum(rise, 0).mean(1))


def onset_times(envelope: np.ndarray) -> np.ndarray:
    """Times of onsets in seconds: peaks of an envelope that stand out from their surroundings."""
    from scipy.ndimage import maximum_filter1d, median_filter

    around = median_filter(envelope, round(0.4 * ONSET_RATE) | 1)
    strong = float(np.quantile(envelope, 0.99)) if len(envelope) else 0.0
    least = np.maximum(STANDS_OUT * around + LEAST_RISE_DB, LEAST_OF_STRONG * strong)
    top = (envelope == maximum_filter1d(envelope, round(0.06 * ONSET_RATE))) & (envelope > least)
    return np.flatnonzero(top) / ONSET_RATE


def onset_scores(of_score: Sequence[float], heard: np.ndarray, length_sec: float) -> tuple[float, float]:
    """Precision and recall of a score's onsets within 50 ms; chords count once."""
    wanted = merged(of_score)
    wanted = wanted[(wanted >= -TOLERANCE_SEC) & (wanted < length_sec)]
    if not len(wanted) or not len(heard):
        return 0.0, 0.0
    matches = matched(wanted, heard, TOLERANCE_SEC)
    return matches / len(wanted), matches / len(heard)


def merged(times: Sequence[float]) -> np.ndarray:
    """Ascending times without those close to an earlier one."""
    found: list[float] = []
    for at in sorted(times):
        if not found or at - found[-1] > CHORD_SEC:
            found.append(at)
    return np.array(found)


def matched(first: np.ndarray, second: np.ndarray, tolerance_sec: float) -> int:
    """How many of two ascending lists of times can be paired within a tolerance, each once."""
    i = j = count = 0
    while i < len(first) and j < len(second):
        if abs(first[i] - second[j]) <= tolerance_sec:
            count, i, j = count + 1, i + 1, j + 1
        elif first[i] < second[j]:
            i += 1
        else:
            j += 1
    return count


def _warp(audio: tuple[np.ndarray, np.ndarray], score: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """For each frame of a score its frame of the recording (float), from features and pulses of both."""
    import librosa

    (heard, heard_pulses), (asked, asked_pulses) = audio, score
    missing = max(0, len(asked) - len(heard)) + SILENT_FRAMES  # the score may go on after the recording
    heard, heard_pulses = np.pad(heard, ((0, missing), (0, 0))), np.pad(heard_pulses, (0, missing))
    cost = 1 - asked[:, :HARMONY] @ heard[:, :HARMONY].T
    a, b = asked[:, HARMONY:], heard[:, HARMONY:]
    cost += RISES_WEIGHT * (np.square(a).sum(1)[:, None] + np.square(b).sum(1)[None] - 2 * a @ b.T)
    cost += PULSES_WEIGHT * np.abs(asked_pulses[:, None] - heard_pulses[None])
    # What sounds before the score begins is left out at a cost, so that a repeated phrase is not taken for the first.
    sounding = 1 - heard[:, SEMITONES]
    cost[0] += SKIPPED_COST * (np.cumsum(sounding) - sounding)
    _, path = librosa.sequence.dtw(
        C=np.maximum(cost, LEAST_COST).astype(np.float64), step_sizes_sigma=np.array([[1, 1], [1, 2], [2, 1]]),
        weights_mul=np.array([1.0, SLANTED, SLANTED]), weights_add=np.zeros(3), subseq=True,
    )  # fmt: skip
    path = path[::-1]
    return np.interp(np.arange(len(asked)), path[:, 0], path[:, 1])


def _mapped(score: Score, path: np.ndarray, frame_rate: float) -> Score:
    """Notes at the times of a path; lengths follow it too."""
    places = np.arange(len(path)) / frame_rate
    times = _evened(path, round(EVEN_SEC * frame_rate) | 1) / frame_rate - LATE_SEC

    def at(sec: float) -> float:
        if sec >= places[-1]:
            return float(times[-1] + sec - places[-1])
        return float(np.interp(sec, places, times)) if sec >= 0 else float(times[0] + sec)

    moved = []
    for note in score.notes:
        start = at(note.start_sec)
        moved.append(replace(note, start_sec=start, length_sec=max(0.01, at(note.end_sec) - start)))
    return score.of(moved)


def _evened(path: np.ndarray, size: int) -> np.ndarray:
    """A path without the steps of its grid, averaged over some frames."""
    if len(path) < 2 * size:
        return path
    frames = np.arange(len(path))
    slope = float(np.polyfit(frames, path, 1)[0])
    straight = path - slope * frames
    padded = np.pad(straight, size // 2, mode="edge")
    return np.asarray(np.convolve(padded, np.ones(size) / size, mode="valid") + slope * frames)


def _refined(score: Score, envelope: np.ndarray, reach_sec: float) -> Score:
    """Notes moved so that onsets lie on those of the envelope: near ones alike, by a Viterbi search over shifts."""
    starts = merged([note.start_sec for note in score.notes])
    if len(starts) < 2:
        return score
    smooth = np.convolve(envelope, np.hanning(9)[1:-1] / 4, mode="same")
    smooth = np.minimum(smooth / max(float(np.quantile(smooth, 0.98)), 1e-6), 1.0)
    shifts = np.arange(-round(reach_sec * ONSET_RATE), round(reach_sec * ONSET_RATE) + 1)
    places = np.round(starts * ONSET_RATE).astype(int)[:, None] + shifts
    there = np.where((places >= 0) & (places < len(smooth)), smooth[np.clip(places, 0, len(smooth) - 1)], 0)
    knots = np.arange(starts[0], starts[-1] + KNOT_SEC, KNOT_SEC)
    weights = np.maximum(0, 1 - np.abs(starts[None] - knots[:, None]) / (2 * KNOT_SEC))
    evidence = weights @ there - 1e-3 * np.abs(shifts)
    cost = DRIFT_COST * np.abs(shifts[:, None] - shifts[None]) / ONSET_RATE / KNOT_SEC
    best, back = evidence[0], []
    for row in evidence[1:]:
        reached = best[:, None] - cost
        back.append(reached.argmax(0))
        best = reached.max(0) + row
    path = [int(best.argmax())]
    for row in reversed(back):
        path.append(int(row[path[-1]]))
    moves = shifts[path[::-1]] / ONSET_RATE

    def at(sec: float) -> float:
        return sec + float(np.interp(sec, knots, moves))

    return score.of([
        replace(note, start_sec=at(note.start_sec), length_sec=max(0.01, at(note.end_sec) - at(note.start_sec)))
        for note in score.notes
    ])  # fmt: skip


def _snapped(score: Score, heard: np.ndarray) -> Score:
    """Notes at the nearest onset of the recording, if one is near."""
    if not len(heard):
        return score
    moved = []
    for note in score.notes:
        nearest = float(heard[int(np.argmin(np.abs(heard - note.start_sec)))])
        shift = nearest - note.start_sec if abs(nearest - note.start_sec) <= SNAP_SEC else 0.0
        moved.append(replace(note, start_sec=note.start_sec + shift))
    return score.of(moved)


def _shifted(score: Score, sec: float) -> Score:
    return score.of([replace(note, start_sec=note.start_sec + sec) for note in score.notes])


def alone(score: Score, before_sec: float, length_sec: float) -> list[Note]:
    """Notes that nothing else sounds with: from a little before their start until a new one begins or they end.

    Args:
        score: Notes at the times of a recording.
        before_sec: Silence that a note needs before its start.
        length_sec: Least time that it sounds alone.
    """
    notes = sorted(score.notes)
    found = []
    latest = -np.inf
    for i, note in enumerate(notes):
        free = latest <= note.start_sec - before_sec
        following = notes[i + 1].start_sec if i + 1 < len(notes) else np.inf
        until = min(note.end_sec, following)
        if free and until - note.start_sec >= length_sec:
            found.append(replace(note, length_sec=until - note.start_sec))
        latest = max(latest, note.end_sec)
    return found
