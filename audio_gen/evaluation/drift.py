"""Drift: how the distance to real sounds, the level and the brightness of long sounds change over time."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from audio_gen.audio.resample import resample
from audio_gen.evaluation import distances
from audio_gen.evaluation.compare import FEW, mean_prdc
from audio_gen.evaluation.strips import BLOCK_SEC, FRAME_RATE, WINDOW_SEC, Strip

FIRST_EDGES = (0, 10, 30, 60)  # seconds; then minutes
MOST_WINDOWS = 200  # of a range of time
THINNINGS = 5
RESAMPLES, MIN_SOUNDS = 200, 4
NEAR_KAD = 1.0  # two sets of 160 windows of the same music differ by this much
SHORTEST_SEC = 20.0  # for a slope
POINT = round(FRAME_RATE)  # frames in a point of a slope, 1 s
POINTS = 10


@dataclass(frozen=True)
class Windows:
    """Embedded windows of two seconds.

    Attributes:
        vectors: (N, D).
        starts_sec: Where each begins in its sound (N,).
        groups: Its sound.
    """

    vectors: Tensor
    starts_sec: Tensor
    groups: list[str]

    def pick(self, rows: Tensor) -> "Windows":
        """Some of the windows."""
        return Windows(self.vectors[rows], self.starts_sec[rows], [self.groups[i] for i in rows.tolist()])

    def between(self, start: float, end: float) -> Tensor:
        """Rows of the windows that begin in a range of time."""
        return torch.nonzero((self.starts_sec >= start) & (self.starts_sec < end))[:, 0]

    def thinned(self, most: int) -> "Windows":
        """At most this many, evenly spaced."""
        count = min(most, len(self.vectors))
        return self.pick(torch.arange(count) * len(self.vectors) // max(1, count))


def embedded_windows(
    strips: Sequence[Strip],
    sample_rate: int,
    embed: Callable[[Sequence[Tensor]], Tensor],
    advance: Callable[[float], object] = lambda amount: None,
) -> Windows:
    """Embed the sounding windows of sounds, at most 200 in each range of time.

    Args:
        strips: The sounds.
        sample_rate: Of the embedding, in Hz.
        embed: Returns vectors (N, D) of clips (T,).
        advance: Called with 1 after each sound.
    """
    longest = max((strip.duration_sec for strip in strips), default=0.0)
    wanted = _spread([torch.nonzero(strip.sounding())[:, 0].tolist() for strip in strips], ranges(longest))
    vectors, starts, groups = [], [], []
    per_part = BLOCK_SEC // WINDOW_SEC
    for strip, chosen in zip(strips, wanted, strict=True):
        sound = strip.sound
        for number, part in enumerate(sound.parts(BLOCK_SEC) if chosen else ()):
            here = [i for i in chosen if i // per_part == number]
            size = WINDOW_SEC * sound.sample_rate
            cut = [part[(i % per_part) * size :][:size] for i in here]
            if cut:
                vectors.append(embed([resample(wav[None], sound.sample_rate, sample_rate)[0] for wav in cut]))
            starts += [float(WINDOW_SEC * i) for i in here]
            groups += [sound.title] * len(here)
        advance(1)
    return Windows(torch.cat(vectors) if vectors else torch.zeros(0, 1), torch.tensor(starts), groups)


def ranges(longest_sec: float) -> list[tuple[float, float]]:
    """The ranges of time in seconds: 0-10, 10-30, 30-60, then every minute."""
    edges = [*FIRST_EDGES, *range(120, math.ceil(longest_sec / 60) * 60 + 1, 60)]
    return [(float(a), float(b)) for a, b in pairwise(edges) if a < longest_sec]


def drift(generated: Windows, reference: Windows, real: Windows, seed: int = 0) -> dict[str, Any]:
    """Compare each range of time with real sounds.

    KAD is unbiased, and coverage is measured with the same number of windows in all ranges, so that ranges of different
    lengths can be compared. With fewer than ten windows in the first ten seconds, the ranges are minutes.

    Args:
        generated: Windows of the sounds to evaluate.
        reference: Windows of real sounds.
        real: Windows of real sounds in which the same is measured; their sounds are split in halves, of which one is
            the reference of the other.
        seed: Seed of the choice of windows.

    Returns:
        "ranges", each with "start_sec", "end_sec", and for "generated" and "real" {"n", "kad", "coverage",
        "from_start"}; "from_start" is the KAD to the first range of the same sounds. "floor" is the real-vs-real
        baseline. For each side {"change", "change_ci", ..}: the change of KAD from the first to the last range,
        relative to the first (to 1 if that is larger), with its 90 % interval over resamples of the sounds.
    """
    longest = float(generated.starts_sec.max()) + WINDOW_SEC if len(generated.starts_sec) else 0.0
    parts = ranges(longest)
    if parts and len(generated.between(*parts[0])) < FEW and longest > 60:
        parts = [(0.0, 60.0), *(part for part in parts if part[0] >= 60)]
    sizes = [len(generated.between(*part)) for part in parts]
    floor = _floor(reference, min((n for n in sizes if n >= FEW), default=FEW), seed)
    sides = {
        "generated": [_by_range(generated, reference.vectors, parts, seed)],
        "real": [_by_range(one, other.vectors, parts, seed) for one, other in _halves(real)],
    }
    rows = {side: [_mean_row(some) for some in zip(*found, strict=True)] for side, found in sides.items()}
    return {
        "floor": floor,
        "ranges": [
            {"start_sec": start, "end_sec": end, **{side: found[i] for side, found in rows.items()}}
            for i, (start, end) in enumerate(parts)
        ],
        **{side: _change(found, parts) for side, found in rows.items()},
    }


def slopes(strip: Strip) -> dict[str, float]:
    """Fit lines through level and spectral centroid over time; silence does not count.

    Returns:
        "level_db_per_minute" and "centroid_semitones_per_minute"; NaN below 20 s of sound.

    Source: the median of all slopes between two points, Theil 1950, Sen 1968.
    """
    from scipy.stats import theilslopes

    sounding = strip.sounding(POINT).numpy()
    if strip.duration_sec < SHORTEST_SEC or sounding.sum() < POINTS:
        return {"level_db_per_minute": math.nan, "centroid_semitones_per_minute": math.nan}
    minutes = np.arange(len(sounding))[sounding] / 60
    levels = strip.levels_db(POINT).double().numpy()[sounding]
    whole = len(sounding) * POINT
    centroid = strip.centroid_hz[:whole].view(-1, POINT).mean(1).double().numpy()[sounding]
    return {
        "level_db_per_minute": float(theilslopes(levels, minutes)[0]),
        "centroid_semitones_per_minute": float(theilslopes(12 * np.log2(np.maximum(centroid, 1.0)), minutes)[0]),
    }


def _halves(windows: Windows) -> list[tuple[Windows, Windows]]:
    """The windows of every other sound and those of the rest, and the same the other way round."""
    first = set(sorted(set(windows.groups))[::2])
    mask = torch.tensor([group in first for group in windows.groups], dtype=torch.bool)
    pair = [windows.pick(torch.nonzero(one)[:, 0]) for one in (mask, ~mask)]
    return [(pair[0], pair[1]), (pair[1], pair[0])]


def _by_range(
    windows: Windows, reference: Tensor, parts: Sequence[tuple[float, float]], seed: int
) -> list[dict[str, Any]]:
    """Figures of each range, and the KAD of each in resamples of the sounds."""
    rows = [windows.between(*part) for part in parts]
    size = min((len(some) for some in rows if len(some) >= FEW), default=0)
    counts, found, first = _resampled(windows.groups, seed), [], None
    bandwidth = distances.median_distance(reference) if len(reference) else 1.0
    for some in rows:
        row: dict[str, Any] = dict.fromkeys(("kad", "coverage", "from_start", "resampled")) | {"n": len(some)}
        if len(some) >= FEW and len(reference) >= FEW:
            vectors = windows.vectors[some]
            row["kad"] = distances.kad(reference, vectors, bandwidth)
            row["resampled"] = distances.kad_weighted(reference, vectors, counts[:, some], bandwidth)
            row["coverage"] = _coverage(reference, vectors, size, seed)
            row["from_start"] = None if first is None else distances.kad(first, vectors, bandwidth)
            first = vectors if first is None else first
        found.append(row)
    return found


def _resampled(groups: Sequence[str], seed: int) -> Tensor:
    """Counts (RESAMPLES, N) of windows in resamples of the sounds; of the windows if there are under four sounds."""
    names = sorted(set(groups))
    units = [names.index(group) for group in groups] if len(names) >= MIN_SOUNDS else list(range(len(groups)))
    count = max(units, default=-1) + 1
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(max(1, count), (RESAMPLES, count), generator=generator)
    return torch.zeros(RESAMPLES, count).scatter_add_(1, drawn, torch.ones(RESAMPLES, count))[:, units]


def _mean_row(some: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The mean of the figures of several rows, None without any."""
    found: dict[str, Any] = {"n": sum(row["n"] for row in some)}
    for key in ("kad", "coverage", "from_start", "resampled"):
        known = [row[key] for row in some if row[key] is not None]
        found[key] = sum(known) / len(known) if known else None
    return found


def _coverage(reference: Tensor, vectors: Tensor, size: int, seed: int) -> float:
    """Mean coverage of `size` windows in several draws."""
    draws = THINNINGS if len(vectors) > size else 1
    generator = torch.Generator().manual_seed(seed)
    some = [vectors[torch.randperm(len(vectors), generator=generator)[:size]] for _ in range(draws)]
    return float(np.mean([mean_prdc(reference, one, seed)["coverage"] for one in some]))


def _change(rows: Sequence[dict[str, Any]], parts: Sequence[tuple[float, float]]) -> dict[str, Any] | None:
    """The change from the first range to the last; the resamples leave the rows, which then fit into JSON."""
    resampled = [row.pop("resampled") for row in rows]
    known = [i for i, row in enumerate(rows) if row["kad"] is not None]
    if len(known) < 2:
        return None
    first, last = known[0], known[-1]
    start, end = rows[first]["kad"], rows[last]["kad"]
    differences = resampled[last] - resampled[first]
    low, high = torch.quantile(differences[differences.isfinite()], torch.tensor([0.05, 0.95]).double()).tolist()
    base = max(start, NEAR_KAD)
    return {
        "first_sec": parts[first], "last_sec": parts[last], "first_kad": start, "last_kad": end,
        "change": (end - start) / base, "change_ci": [low / base, high / base],
    }  # fmt: skip


def _floor(reference: Windows, size: int, seed: int) -> float | None:
    if len(set(reference.groups)) < 4 or len(reference.vectors) < 2 * FEW:
        return None
    return float(distances.kad_floor(reference.vectors, reference.groups, size=max(2, size), seed=seed)["p95"])


def _spread(sounding: Sequence[Sequence[int]], parts: Sequence[tuple[float, float]]) -> list[list[int]]:
    """Numbers of the windows to embed in each sound: at most MOST_WINDOWS in each range of time."""
    chosen: list[list[int]] = [[] for _ in sounding]
    for start, end in parts:
        here = [(n, i) for n, numbers in enumerate(sounding) for i in numbers if start <= WINDOW_SEC * i < end]
        count = min(MOST_WINDOWS, len(here))
        for k in range(count):
            n, i = here[k * len(here) // count]
            chosen[n].append(i)
    return chosen
