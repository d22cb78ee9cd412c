"""Evaluation of long sounds over time: drift, slopes, rhythm, repetition, seams and copied passages.

Each figure has the same figure of real sounds as its scale.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from audio_gen.evaluation.drift import drift, embedded_windows, slopes
from audio_gen.evaluation.long_sound import LongSound
from audio_gen.evaluation.repetition import copied_passages, repetition
from audio_gen.evaluation.rhythm import rhythm
from audio_gen.evaluation.strips import FRAME_RATE, WINDOW, Strip, strips_of
from audio_gen.reporter import SILENT, Reporter

LONG_SEC = 5.0  # sounds of at least this length are evaluated over time
STRETCH_SEC = 60.0
MOST_STRETCHES = 100
MOST_REFERENCE = 800  # windows
# Smallest spread of real sounds that distances are divided by.
SMALLEST_SPREAD = {
    "level_db_per_minute": 1.0, "centroid_semitones_per_minute": 1.0, "beat_strength": 0.05, "tempo_bpm": 5.0,
    "repeats": 0.05, "stalls": 0.05, "return_db": 0.5, "seam_z": 0.5,
}  # fmt: skip
FIELDS = tuple(SMALLEST_SPREAD)
SEAMLESS_Z = 2.0
RESAMPLES = 1000


@dataclass(frozen=True)
class LongSets:
    """The sets of long sounds of one evaluation.

    Attributes:
        generated: The sounds to evaluate.
        real: Real sounds to compare them with; held-out ones, if known.
        train: Training sounds.
        held_out: Held-out sounds; None if unknown.
    """

    generated: Sequence[LongSound]
    real: Sequence[LongSound]
    train: Sequence[LongSound] = field(default_factory=tuple)
    held_out: Sequence[LongSound] | None = None


def are_long(sounds: Sequence[LongSound]) -> bool:
    """Whether at least half of the sounds are long enough to be evaluated over time."""
    return bool(sounds) and float(np.median([sound.seconds for sound in sounds])) >= LONG_SEC


def over_time(
    sets: LongSets,
    sample_rate: int,
    embed: Callable[[Sequence[Tensor]], Tensor],
    *,
    seed: int = 0,
    reporter: Reporter = SILENT,
    workers: int = 2,
    strips: dict[LongSound, Strip] | None = None,
) -> dict[str, Any]:
    """Measure long sounds over time.

    Args:
        sets: The sounds.
        sample_rate: Sample rate of the embedding, in Hz.
        embed: Returns vectors (N, D) of clips (T,).
        seed: Seed of random choices.
        reporter: Gets progress.
        workers: Threads that decode.
        strips: Strips of sounds that were measured before; new ones are added.

    Returns:
        "n" sounds of each side and their total "minutes"; "drift", see `drift.drift`; "measures", by name in FIELDS the
        "p10", "median", "p90" and "mean" of "generated" and "real", their "distance" in spreads of the real ones, and
        the "usual" range (95 %) of the median of as many real ones; "loops", the share of sounds of each side that loop
        without a seam; "memorised", see `copied_passages`; and "warnings".
        None for what could not be measured.

    Raises:
        AudioFileError: A sound cannot be decoded.
    """

    def measured(name: str, sounds: Sequence[LongSound]) -> list[Strip]:
        with reporter.progress(f"Measuring {name} over time", len(sounds), "sounds") as advance:
            return strips_of(sounds, workers=workers, advance=advance)

    def embedded(name: str, strips: Sequence[Strip]) -> Any:
        with reporter.progress(f"Embedding windows of {name}", len(strips), "sounds") as advance:
            return embedded_windows(strips, sample_rate, embed, advance)

    strips = {} if strips is None else strips
    every = (sets.generated, sets.real, sets.train, sets.held_out or ())
    new = list(dict.fromkeys(one for some in every for one in some if one not in strips))
    strips |= {strip.sound: strip for strip in measured("sounds", new)}
    generated, real, train, held_out = ([strips[one] for one in some if one in strips] for some in every)
    windows, real_windows = embedded("samples", generated), embedded("real sounds", real)
    # Both sides in stretches of one length, because more time holds more repeats.
    stretch_sec = min(STRETCH_SEC, _median_sec(generated), _median_sec(real))
    sides = {
        "generated": _figures(generated, stretch_sec, math.inf),
        "real": _figures(real, stretch_sec, _median_sec(generated)),
    }
    result = {
        "n": {"generated": len(generated), "real": len(real)},
        "minutes": {side: sum(one.duration_sec for one in some) / 60 for side, some in
                    (("generated", generated), ("real", real))},
        "drift": drift(windows, real_windows.thinned(MOST_REFERENCE), real_windows, seed),
        "measures": {name: _compared(name, sides) for name in FIELDS},
        "loops": {"generated": _seamless(generated), "real": _seamless(real)},
        "memorised": copied_passages(generated, train, held_out),
    }  # fmt: skip
    result["memorised_of"] = len(train)
    return result | {"warnings": _warnings(result)}


def _figures(strips: Sequence[Strip], stretch_sec: float, slope_sec: float) -> dict[str, np.ndarray]:
    """Figures of one side by name in FIELDS, of stretches of the two lengths."""
    rows = [rhythm(one) | repetition(one) for one in _stretches(strips, stretch_sec)]
    lines = [slopes(one) for one in _stretches(strips, slope_sec)]
    found = {"seam_z": np.array([strip.seam.step_z for strip in strips if strip.seam is not None])}
    for some in (rows, lines):
        found |= {name: np.array([row[name] for row in some]) for name in (some[0] if some else ())}
    return {name: found.get(name, np.zeros(0)) for name in FIELDS}


def _median_sec(strips: Sequence[Strip]) -> float:
    return float(np.median([strip.duration_sec for strip in strips])) if strips else math.inf


def _stretches(strips: Sequence[Strip], seconds: float) -> list[Strip]:
    """Stretches of at most this length, without rests below half of it; of many, evenly spaced ones."""
    if math.isinf(seconds):
        return list(strips)
    size = max(2 * WINDOW, round(seconds * FRAME_RATE))
    found = [
        strip.stretch(start, size)
        for strip in strips
        for start in range(0, len(strip), size)
        if len(strip) - start >= size / 2
    ]
    count = min(MOST_STRETCHES, len(found))
    return [found[i * len(found) // count] for i in range(count)]


def _compared(name: str, sides: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, Any] | None:
    from scipy.stats import wasserstein_distance

    known = {side: figures[name][np.isfinite(figures[name])] for side, figures in sides.items()}
    if not len(known["generated"]):
        return None
    distance, usual = None, None
    if len(known["real"]):
        random = np.random.default_rng(0)
        medians = np.median(random.choice(known["real"], (RESAMPLES, len(known["generated"]))), axis=1)
        usual = np.quantile(medians, [0.025, 0.975]).tolist()
        low, high = np.quantile(known["real"], [0.25, 0.75])
        distance = float(wasserstein_distance(*known.values())) / max(float(high - low), SMALLEST_SPREAD[name])
    return {side: _quantiles(values) for side, values in known.items()} | {"distance": distance, "usual": usual}


def _quantiles(values: np.ndarray) -> dict[str, float | None]:
    found = np.quantile(values, [0.1, 0.5, 0.9]).tolist() if len(values) else [None] * 3
    return {
        **dict(zip(("p10", "median", "p90"), found, strict=True)),
        "mean": float(values.mean()) if len(values) else None,
    }


def _seamless(strips: Sequence[Strip]) -> dict[str, float | None]:
    """Shares of sounds whose end meets their start like two moments inside, and of those that click there."""
    if not strips:
        return {"seamless": None, "clicks": None}
    seams = [strip.seam for strip in strips if strip.seam is not None]
    return {
        "seamless": sum(seam.step_z < SEAMLESS_Z and not seam.clicks for seam in seams) / len(strips),
        "clicks": sum(seam.clicks for seam in seams) / len(strips),
    }


def _warnings(result: Mapping[str, Any]) -> list[str]:
    found = []
    if result["drift"]["generated"] is None:
        found.append(
            "drift was not measured: two ranges of time need ten windows of 2 s each; give more or longer sounds"
        )
    if result["memorised"] is None:
        why = "there is only one training sound" if result["memorised_of"] == 1 else "too few sounds to compare with"
        found.append(f"copied passages were not searched: {why}")
    return found
