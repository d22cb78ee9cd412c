"""The steady part of a note: after its attack, before its release, where its level hardly changes."""

from dataclasses import dataclass

import numpy as np

RANGE_DB = 3.0  # of levels within a steady part, after its slope is taken away
LEAST_DB = 20.0  # below the loudest: a steady part is louder
LEAST_SEC = 0.25
SLOPE_DB_PER_SEC = 4.0  # a note that falls faster decays: a loop of it would sound like another instrument
STEEPEST_DB_PER_SEC = 60.0
HOP_SEC = 0.01


@dataclass(frozen=True)
class Steady:
    """A steady part.

    Attributes:
        first: Its first frame.
        stop: The frame after its last one.
        slope_db_per_sec: How its level changes; negative for a note that decays.
    """

    first: int
    stop: int
    slope_db_per_sec: float

    @property
    def sustained(self) -> bool:
        """Whether the level stays, so that the note can be held for ever."""
        return abs(self.slope_db_per_sec) <= SLOPE_DB_PER_SEC


def levels_db(wav: np.ndarray, sample_rate: int) -> np.ndarray:
    """Root mean square in dB (L,) of wav (C, T), every 10 ms over 40 ms."""
    hop = max(1, round(HOP_SEC * sample_rate))
    power = np.concatenate([[0.0], np.cumsum(np.square(wav, dtype=np.float64).mean(0))])
    at = np.arange(0, wav.shape[1], hop)
    low, high = np.maximum(at - 2 * hop, 0), np.minimum(at + 2 * hop, wav.shape[1])
    return np.asarray(10 * np.log10((power[high] - power[low]) / np.maximum(high - low, 1) + 1e-12))


def steady_part(levels_db: np.ndarray, frame_rate: float, range_db: float = RANGE_DB) -> Steady | None:
    """Find the longest part in which levels stay within a range around a straight line; None under 0.25 s.

    A note that keeps its level is preferred: a part with a slope counts only where no level part is long enough.

    Args:
        levels_db: Level of each frame (L,).
        frame_rate: Frames per second.
        range_db: How far levels may be apart, after the slope of the line is taken away.
    """
    least = max(4, round(LEAST_SEC * frame_rate))
    loud = levels_db > levels_db.max(initial=-np.inf) - LEAST_DB
    flat = _longest(levels_db, loud, np.zeros(1), frame_rate, range_db)
    if flat is not None and flat.stop - flat.first >= least:
        slope = float(
            np.polyfit(np.arange(flat.stop - flat.first) / frame_rate, levels_db[flat.first : flat.stop], 1)[0]
        )
        if abs(slope) <= SLOPE_DB_PER_SEC:
            return Steady(flat.first, flat.stop, slope)
    slopes = -np.linspace(SLOPE_DB_PER_SEC, STEEPEST_DB_PER_SEC, 15)
    found = _longest(levels_db, loud, slopes, frame_rate, range_db)
    return found if found is not None and found.stop - found.first >= least else None


def _longest(
    levels: np.ndarray, loud: np.ndarray, slopes: np.ndarray, frame_rate: float, range_db: float
) -> Steady | None:
    """The longest part of loud frames along one of some slopes."""
    best: Steady | None = None
    for slope in slopes:
        straight = levels - slope * np.arange(len(levels)) / frame_rate
        first = 0
        for stop in range(1, len(levels) + 1):
            if not loud[stop - 1]:
                first = stop
                continue
            while np.ptp(straight[first:stop]) > range_db:
                first += 1
            if best is None or stop - first > best.stop - best.first:
                best = Steady(first, stop, float(slope))
    return best
