"""Compare two sets of clips: all figures, and the same figures of reference sets for scale."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from audio_gen.errors import DataError
from audio_gen.evaluation import distances, neighbours, novelty, probe, signal
from audio_gen.evaluation.clips import SoundClip
from audio_gen.evaluation.copies import copies_and_twins
from audio_gen.evaluation.described import Described

FEW, FEW_FOR_FAD, NEIGHBOURS = 10, 2000, 5
THINNINGS = 5
MIN_HELD_OUT = 20  # fewer clips kept out than this are no second half
NOISE_LEVEL, MIN_NOISE_SEC = 0.1, 0.1


@dataclass(frozen=True)
class Sets:
    """What an evaluation is made of.

    Attributes:
        real: The user's clips.
        made: The clips to judge.
        halves: Rows of `real` that are compared with each other, and with what was made of the second half's clips.
        held_out: Whether the second half is what the model never learned from.
        train: Clips that the model learned from; None where this is not known.
        copies: The second half through the vocoder and back.
        rebuilt: The second half through the model and back.
        noise: White noise.
    """

    real: Described
    made: Described
    halves: tuple[list[int], list[int]]
    held_out: bool = False
    train: Described | None = None
    copies: Described | None = None
    rebuilt: Described | None = None
    noise: Described | None = None


def halve(real: Described, learned: Sequence[bool | None], seed: int = 0) -> tuple[tuple[list[int], list[int]], bool]:
    """Split clips so that no file is on both sides.

    Args:
        real: N clips.
        learned: Whether the model learned from each, None where unknown.
        seed: Of the split by chance.

    Returns:
        Rows of the two halves, and whether the second one is what was kept out of training: so where at least 20 clips
        of `real` were and 20 were not, else by chance.
    """
    apart = [i for i, known in enumerate(learned) if known is False]
    used = [i for i, known in enumerate(learned) if known]
    if len(apart) >= MIN_HELD_OUT and len(used) >= MIN_HELD_OUT:
        return (used, apart), True
    groups = sorted(set(real.groups))
    order = np.random.default_rng(seed).permutation(len(groups))
    first = {groups[i] for i in order[: (len(groups) + 1) // 2]}
    rows = range(len(real))
    return ([i for i in rows if real.groups[i] in first], [i for i in rows if real.groups[i] not in first]), False


def noise_clips(count: int, duration_sec: float, sample_rate: int, seed: int = 0) -> list[SoundClip]:
    """White noise: the far end of every scale."""
    samples = max(1, round(max(duration_sec, MIN_NOISE_SEC) * sample_rate))

    def clip(i: int) -> SoundClip:
        def load() -> tuple[torch.Tensor, int]:
            generator = torch.Generator().manual_seed(seed + i)
            return NOISE_LEVEL * torch.randn(samples, generator=generator), sample_rate

        return SoundClip(f"noise {i}", f"noise {i}", load)

    return [clip(i) for i in range(count)]


def compare(
    sets: Sets,
    pitch: Mapping[str, Any] | None = None,
    seed: int = 0,
    embedding_distance: Callable[[int, int], float] | None = None,
) -> dict[str, Any]:
    """Every figure; None where there are too few clips for one.

    Args:
        sets: The clips as numbers.
        pitch: What `measure_pitch` found of each set, by name.
        seed: Of resampling and splits.
        embedding_distance: Of a made row and a training row, see `find_copies`.

    Raises:
        DataError: The sets were embedded in different ways, or one is empty.
    """
    real, made = sets.real, sets.made
    _check(sets)
    train = sets.train or real
    first, second = (real.pick(rows) for rows in sets.halves)
    held_out = second if sets.held_out else None
    row = row_of(real, made, seed)
    near = novelty.nearness(made.vectors, train.vectors, held_out.vectors if held_out else None)
    result: dict[str, Any] = {
        "embedding": real.embedding[0], "embedding_digest": real.embedding[1],
        "n": {"real": len(real), "generated": len(made), "left_out_real": len(real.left_out),
              "left_out_generated": len(made.left_out)},
        "kad": {"value": row["kad"], "ci": row["kad_ci"], **_floor(real, min(len(made), len(real) // 2), seed)},
        "fad": {"value": row["fad"], "floor": _fad(first, second), "infinity": _fad_infinity(real, made, seed)},
        **{key: row[key] for key in ("precision", "recall", "density", "coverage")},
        "ndb": neighbours.ndb(real.vectors, made.vectors, seed=seed) if min(len(real), len(made)) >= FEW else None,
        "nearness": _nearness(near, made, train),
        **copies_and_twins(real, made, train, held_out, embedding_distance),
        "diversity": novelty.diversity(made.vectors, real.vectors, made.classes, real.classes),
        "pitch": dict(pitch) if pitch else None,
        "classes": _classes(sets, seed),
        "signal": signal.compare(real.signal, made.signal),
        "real_vs_real": {**row_of(first, second, seed), "held_out": sets.held_out},
    }  # fmt: skip
    scale = {"copy_synthesis": sets.copies, "reconstruction": sets.rebuilt, "white_noise": sets.noise}
    result |= {key: row_of(first, other, seed) if other is not None else None for key, other in scale.items()}
    result["left_out"] = {"real": real.left_out, "generated": made.left_out}
    result["warnings"] = _warnings(sets)
    return _finite(result)


def row_of(reference: Described, made: Described, seed: int = 0) -> dict[str, Any]:
    """The figures that every set is given, of `made` against `reference`."""
    enough = min(len(reference), len(made)) >= 2
    near = near_at_equal_numbers(reference.vectors, made.vectors, seed) if enough else {}
    value, low, high = distances.kad_estimate(reference.vectors, made.vectors, seed=seed) if enough else [None] * 3
    return {
        "n": len(made),
        "kad": value,
        "kad_ci": [low, high] if low is not None and math.isfinite(low) else None,
        "fad": _fad(reference, made),
        **{key: near.get(key) for key in ("precision", "recall", "density", "coverage")},
    }


def near_at_equal_numbers(reference: Tensor, made: Tensor, seed: int = 0) -> dict[str, float]:
    """Precision, recall, density and coverage of sets of one size: the larger one is thinned by chance, several times.

    Coverage and recall grow with the number of made clips beside that of real ones, so that otherwise they could only
    be compared at one number.
    """
    size = min(len(reference), len(made))
    draws = []
    for draw in range(THINNINGS if len(reference) != len(made) else 1):
        generator = torch.Generator().manual_seed(seed + draw)
        rows = [torch.randperm(len(one), generator=generator)[:size] for one in (reference, made)]
        draws.append(neighbours.prdc(reference[rows[0]], made[rows[1]], NEIGHBOURS))
    return {key: sum(draw[key] for draw in draws) / len(draws) for key in draws[0]}


def _check(sets: Sets) -> None:
    others = (sets.made, sets.train, sets.copies, sets.rebuilt, sets.noise)
    for other in (sets.real, *(o for o in others if o is not None)):
        if not len(other):
            why = f" ({other.left_out[0][0]}: {other.left_out[0][1]})" if other.left_out else ""
            raise DataError(f"{other.name}: holds no clip with sound{why}; nothing can be compared")
        if other.embedding != sets.real.embedding:
            raise DataError(
                f"{other.name}: embedded by {' '.join(other.embedding)}, {sets.real.name} by "
                f"{' '.join(sets.real.embedding)}; embed both the same way"
            )


def _floor(real: Described, size: int, seed: int) -> dict[str, Any]:
    if len(set(real.groups)) < 4:
        return {"floor": None, "floor_median": None, "floor_n": 0}
    found = distances.kad_floor(real.vectors, real.groups, size=max(2, size), seed=seed)
    return {"floor": found["p95"], "floor_median": found["median"], "floor_n": found["n"]}


def _fad(reference: Described, made: Described) -> float | None:
    return distances.fad(reference.vectors, made.vectors) if min(len(reference), len(made)) >= 2 else None


def _fad_infinity(reference: Described, made: Described, seed: int) -> float | None:
    few = min(len(reference), len(made)) < 2 * FEW
    return None if few else distances.fad_infinity(reference.vectors, made.vectors, seed=seed)


def _classes(sets: Sets, seed: int) -> dict[str, Any] | None:
    real, made, copied = sets.real, sets.made, sets.copies
    copies = probe.Copies(copied.vectors, copied.classes, copied.groups) if copied is not None else None
    return probe.class_probe(
        real.vectors, real.classes, real.groups, made.vectors, made.classes, copies=copies, seed=seed
    )


def _nearness(found: novelty.Nearness, made: Described, train: Described) -> dict[str, Any]:
    return {
        "share": found.share, "count": found.count, "real_share": found.real_share, "threshold": found.threshold,
        "median_ratio": found.median_ratio, "of": train.name, "learned_from": len(set(train.groups)),
        "closest": [
            {"generated": made.titles[i], "training": train.titles[j], "distance": distance}
            for i, j, distance in found.closest
        ],
    }  # fmt: skip


def _warnings(sets: Sets) -> list[str]:
    warnings = []
    for one in (sets.real, sets.made):
        if one.left_out:
            title, reason = one.left_out[0]
            warnings.append(f"{one.name}: {len(one.left_out)} files or clips were skipped (such as {title}: {reason})")
        if len(one) < FEW:
            warnings.append(
                f"{one.name}: only {len(one)} clips; distances, coverage and shares of so few say next to nothing, the "
                "nearest clips, pitch and signal figures still hold"
            )
    if min(len(sets.real), len(sets.made)) < FEW_FOR_FAD:
        warnings.append(
            f"FAD of fewer than {FEW_FOR_FAD} clips is mostly bias: compare it only at equal numbers, and trust KAD"
        )
    return warnings


def _finite(value: Any) -> Any:
    """The same with None in place of what JSON cannot hold."""
    if isinstance(value, Mapping):
        return {str(key): _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
