"""Places of a sound where a loop may start and end, from the self-similarity of its log-mel and chroma."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from audio_gen.audio.music_features import MusicFeatures
from audio_gen.data.tempo import BEATS_PER_BAR, Beats

CONTEXT_SEC = 0.5  # compared before and after each end
CHROMA_DB = 4.0  # weight of chroma: opposite chords differ by sqrt(2) times this
BLOCK = 512  # starts at a time
QUIET_DB = 40.0  # a loop is at most this far below the sound
NEAR_SEC = 0.25  # of two starts as close as this, the better one is kept
UNEVEN = 0.03  # by which a loop's tempo may differ from that around it
LEAST_FIT = 0.15  # with less, only the best place is taken
SAME = 0.3  # two loops of one length are one if their frames differ by this share of those of random places


@dataclass(frozen=True)
class Place:
    """A candidate for a loop.

    Attributes:
        start, end: Samples, to within 20 ms.
        beats: Length in beats; None without a beat.
        fit: 1 if the surroundings of both ends are the same, 0 if they are as unlike as random places. None for the
            whole sound.
        score: The fit, and what favours whole bars and longer loops.
    """

    start: int
    end: int
    beats: int | None
    fit: float | None
    score: float


def similarity_frames(features: MusicFeatures) -> np.ndarray:
    """Frames (L, 52) at every second frame of the mel; their distance is in dB."""
    mel_db, chroma = features.mel_db, features.chroma
    count = min(len(mel_db) // 2, len(chroma))
    pairs = mel_db[: 2 * count].reshape(count, 2, -1).mean(1)
    frames = np.concatenate([pairs / np.sqrt(pairs.shape[1]), CHROMA_DB * chroma[:count]], axis=1)
    return (frames - frames.mean(0)).astype(np.float32)


def typical_distance(frames: np.ndarray) -> float:
    """The root mean square distance of random frames."""
    return float(np.sqrt(2 * frames.var(0).sum()))


def similar(frames: np.ndarray, first: tuple[int, int], second: tuple[int, int]) -> bool:
    """Whether two loops (start, end), in frames, have one length and sound the same."""
    length = min(first[1] - first[0], second[1] - second[0])
    if abs((first[1] - first[0]) - (second[1] - second[0])) > 2 or length < 1:
        return False
    a, b = (frames[start : start + length] for start in (first[0], second[0]))
    length = min(len(a), len(b))
    distance = np.sqrt(((a[:length] - b[:length]) ** 2).sum(1).mean()) if length else 0.0
    return bool(distance < SAME * typical_distance(frames))


def best_places(
    features: MusicFeatures, beats: Beats | None, min_sec: float, max_sec: float, bars: int | None, count: int
) -> list[Place]:
    """The most promising places, best first.

    Args:
        features: Of the sound.
        beats: Its beats, from which loops may start; None if it has none.
        min_sec, max_sec: Limits of the length.
        bars: The length in bars, if only that is wanted.
        count: How many at most.
    """
    frames, hop = similarity_frames(features), 2 * features.hop_length
    rate = features.sample_rate / hop
    shortest, longest = max(1, int(min_sec * rate)), min(len(frames) - 1, int(np.ceil(max_sec * rate)))
    found: list[Found] = []
    if beats is not None:
        lengths, starts = _beat_counts(beats, min_sec, max_sec, bars), beats.positions / hop
        after = 2 * starts[-1] - starts[-2]
        starts = np.append(starts, after) if round(after) <= len(frames) else starts
        found += _on_beats(frames, rate, starts, lengths, beats.downbeat, shortest, longest)
    if bars is None or not found:  # also with a beat, since its tempo may be wrong
        found += _anywhere(frames, rate, shortest, longest, None if beats is None else 60 / beats.bpm)
    loud = np.concatenate([[0.0], np.cumsum((10 ** (features.mel_db[::2] / 10)).mean(1))])
    least = loud[-1] / (len(loud) - 1) * 10 ** (-QUIET_DB / 10)
    kept: list[Place] = []
    for score, fit, start, length, n_beats in sorted(found, key=lambda one: -one[0]):
        first, last = round(start), min(round(start + length), len(loud) - 1)
        if (loud[last] - loud[first]) < least * (last - first) or (fit < LEAST_FIT and kept):
            continue
        place = Place(round(start * hop), min(features.samples, round((start + length) * hop)), n_beats, fit, score)
        if all(_apart(place, other, NEAR_SEC * features.sample_rate) for other in kept):
            kept.append(place)
        if len(kept) == count:
            break
    return [*_whole(features, beats, min_sec, max_sec, bars), *kept]


def _whole(
    features: MusicFeatures, beats: Beats | None, min_sec: float, max_sec: float, bars: int | None
) -> list[Place]:
    """The whole sound, if it has the right length: it may be a loop already."""
    seconds = features.samples / features.sample_rate
    if not min_sec <= seconds <= max_sec:
        return []
    count = None if beats is None else beats.loop_beats
    if bars is not None and count != bars * BEATS_PER_BAR:
        return []
    score = 0.35 if count is None else 0.9 + _favour(count)  # nothing surrounds it, so the length speaks for it
    return [Place(0, features.samples, count, None, score)]


def _apart(one: Place, other: Place, near: float) -> bool:
    return abs(one.start - other.start) > near or abs(one.end - other.end) > near


def _beat_counts(beats: Beats, min_sec: float, max_sec: float, bars: int | None) -> list[int]:
    """Lengths in beats: whole bars, or whole beats where no bar fits."""
    if bars is not None:
        return [bars * BEATS_PER_BAR]
    low, high = min_sec * beats.bpm / 60, max_sec * beats.bpm / 60
    whole = [n for n in range(1, int(high * 1.02) + 1) if n >= low * 0.98]
    return [n for n in whole if n % BEATS_PER_BAR == 0] or whole


def _favour(n_beats: int | None) -> float:
    """What speaks for a length in beats: powers of two of bars."""
    if n_beats is None or n_beats % BEATS_PER_BAR:
        return 0.0
    bars = n_beats // BEATS_PER_BAR
    return 0.08 if bars & (bars - 1) == 0 else 0.03


Found = tuple[float, float, float, float, int | None]  # score, fit, start, length, beats


def _on_beats(
    frames: np.ndarray, rate: float, starts: np.ndarray, counts: Sequence[int], downbeat: int, low: int, high: int
) -> list[Found]:
    """Places that start on a beat and last a whole number of beats."""
    from scipy.ndimage import median_filter

    found: list[Found] = []
    local = median_filter(np.diff(starts, append=2 * starts[-1] - starts[-2]), 17, mode="nearest")  # periods
    for first, fits in _fits(frames, rate, max(1, low - 2), high + 3):
        for i in np.flatnonzero((starts >= first) & (starts < first + len(fits))):
            on_bar = 0.04 * ((i - downbeat) % BEATS_PER_BAR == 0)
            for n_beats in counts:
                if i + n_beats >= len(starts):
                    continue
                length = starts[i + n_beats] - starts[i]
                if abs(length / (n_beats * local[i]) - 1) > UNEVEN:
                    continue
                at = round(length) - max(1, low - 2)
                row = fits[int(starts[i]) - first, max(0, at - 2) : at + 3]
                if len(row):
                    moved = int(np.argmax(row)) + max(0, at - 2) - at
                    fit = float(row.max())
                    exact = length if abs(moved) <= 1 else length + moved
                    found.append((fit + on_bar + _favour(n_beats), fit, float(starts[i]), float(exact), n_beats))
    return found


def _anywhere(frames: np.ndarray, rate: float, low: int, high: int, beat_sec: float | None) -> list[Found]:
    """Peaks of the similarity over starts and lengths; lengths of whole bars are given in beats."""
    from scipy.ndimage import maximum_filter

    found: list[Found] = []
    for first, fits in _fits(frames, rate, low, high):
        peaks = np.argwhere((fits == maximum_filter(fits, (11, 7))) & (fits > 0))
        values = fits[tuple(peaks.T)] + 0.02 * np.log2((peaks[:, 1] + low) / rate)
        for at in np.argsort(-values)[:200]:
            row, lag = (int(i) for i in peaks[at])
            bars = 0.0 if beat_sec is None else (lag + low) / rate / beat_sec / BEATS_PER_BAR
            n_beats = round(bars) * BEATS_PER_BAR if bars and abs(bars - round(bars)) < UNEVEN else 0
            found.append((float(values[at]), float(fits[row, lag]), first + row, lag + low, n_beats or None))
    return found


def _fits(frames: np.ndarray, rate: float, low: int, high: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the fit (starts, lengths) of all lengths from `low` to `high` frames, for 512 starts at a time."""
    from scipy.ndimage import uniform_filter1d

    total, context = len(frames), round(CONTEXT_SEC * rate)
    typical = typical_distance(frames) ** 2
    power = (frames**2).sum(1)
    lags = np.arange(low, high + 1)
    for first in range(0, max(1, total - low), BLOCK):
        begin, stop = max(0, first - context), min(total, first + BLOCK + context)
        rows, last = stop - begin, min(total, stop + high)
        products = frames[begin:stop] @ frames[begin:last].T
        ends = np.arange(rows)[:, None] + lags  # in columns of `products`
        inside = ends < last - begin
        ends = np.minimum(ends, last - begin - 1)
        distance = power[begin:stop, None] + power[begin:last][ends] - 2 * np.take_along_axis(products, ends, axis=1)
        distance = np.where(inside, distance, typical)
        mean = uniform_filter1d(distance, 2 * context + 1, axis=0, mode="constant", cval=typical)
        fits = 1 - np.sqrt(np.maximum(mean, 0) / max(typical, 1e-9))
        fits = np.where(inside, fits, -1)
        yield first, fits[first - begin : first - begin + BLOCK]
