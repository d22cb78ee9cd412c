"""Compare two sets of clips: all figures, and the same figures of reference sets for scale."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from audio_gen.errors import DataError
from audio_gen.evaluation import distances, neighbours, novelty, probe, signal, stereo
from audio_gen.evaluation.clip_features import ClipFeatures
from audio_gen.evaluation.clips import SoundClip
from audio_gen.evaluation.copies import copies_and_duplicates

FEW, FEW_FOR_FAD, NEIGHBOURS = 10, 2000, 5
THINNINGS = 5
MIN_HELD_OUT = 20  # clips; fewer are too few for a half
NOISE_LEVEL, MIN_NOISE_SEC = 0.1, 0.1


@dataclass(frozen=True)
class Sets:
    """The sets of clips of one evaluation.

    Attributes:
        real: The user's clips.
        generated: The clips to evaluate.
        halves: Rows of `real`, in two halves. The first is the reference of the second and of its versions.
        held_out: Whether the second half was held out of training.
        train: Training clips; None if unknown.
        copies: Copy-synthesis of the second half.
        rebuilt: Reconstructions of the second half.
        noise: White noise.
    """

    real: ClipFeatures
    generated: ClipFeatures
    halves: tuple[list[int], list[int]]
    held_out: bool = False
    train: ClipFeatures | None = None
    copies: ClipFeatures | None = None
    rebuilt: ClipFeatures | None = None
    noise: ClipFeatures | None = None


def halve(
    real: ClipFeatures, is_training: Sequence[bool | None], seed: int = 0
) -> tuple[tuple[list[int], list[int]], bool]:
    """Split clips so that no file is on both sides.

    Args:
        real: N clips.
        is_training: Whether each is a training clip, None if unknown.
        seed: Seed of the random split.

    Returns:
        Rows of the two halves, and whether the second half is the held-out clips. It is if `real` has at least 20
        training and 20 held-out clips; otherwise the split is random.
    """
    held_out = [i for i, known in enumerate(is_training) if known is False]
    trained = [i for i, known in enumerate(is_training) if known]
    if len(held_out) >= MIN_HELD_OUT and len(trained) >= MIN_HELD_OUT:
        return (trained, held_out), True
    groups = sorted(set(real.groups))
    order = np.random.default_rng(seed).permutation(len(groups))
    first = {groups[i] for i in order[: (len(groups) + 1) // 2]}
    rows = range(len(real))
    return ([i for i in rows if real.groups[i] in first], [i for i in rows if real.groups[i] not in first]), False


def noise_clips(count: int, duration_sec: float, sample_rate: int, seed: int = 0) -> list[SoundClip]:
    """White noise, the worst case of every figure."""
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
    """Compute all figures; None for those that need more clips.

    Args:
        sets: The sets of clips.
        pitch: Results of `measure_pitch` by set.
        seed: Seed of resampling and splits.
        embedding_distance: Distance of a generated row to a training row, see `find_copies`.

    Raises:
        DataError: The sets have different embeddings, or one is empty.
    """
    real, generated = sets.real, sets.generated
    _check(sets)
    train = sets.train or real
    first, second = (real.pick(rows) for rows in sets.halves)
    held_out = second if sets.held_out else None
    row, few = row_of(real, generated, seed), min(len(real), len(generated)) < FEW
    in_stereo = stereo.both_stereo(real, generated)
    near = novelty.nearness(generated.vectors, train.vectors, held_out.vectors if held_out else None)
    result: dict[str, Any] = {
        "embedding": real.embedding[0], "embedding_digest": real.embedding[1],
        "n": {"real": len(real), "generated": len(generated), "left_out_real": len(real.left_out),
              "left_out_generated": len(generated.left_out)},
        "kad": {"value": row["kad"], "ci": row["kad_ci"], **_floor(real, min(len(generated), len(real) // 2), seed)},
        "fad": {"value": row["fad"], "floor": _fad(first, second), "infinity": _fad_infinity(real, generated, seed)},
        **{key: row[key] for key in ("precision", "recall", "density", "coverage")},
        "ndb": None if few else neighbours.ndb(real.vectors, generated.vectors, seed=seed),
        "nearness": _nearness(near, generated, train),
        **copies_and_duplicates(real, generated, train, held_out, embedding_distance),
        "diversity": novelty.diversity(generated.vectors, real.vectors, generated.classes, real.classes),
        "pitch": dict(pitch) if pitch else None,
        "classes": _classes(sets, seed),
        "signal": signal.compare(real.signal, generated.signal, stereo=in_stereo),
        "real_vs_real": {**row_of(first, second, seed), "held_out": sets.held_out},
    }  # fmt: skip
    scale = {"copy_synthesis": sets.copies, "reconstruction": sets.rebuilt, "white_noise": sets.noise}
    result |= {key: row_of(first, other, seed) if other is not None else None for key, other in scale.items()}
    if in_stereo:
        rendered = {"copy_synthesis": sets.copies, "reconstruction": sets.rebuilt}
        result["stereo"] = stereo.figures(real, generated, first, {"real_vs_real": second, **rendered}, seed)
    result["left_out"] = {"real": real.left_out, "generated": generated.left_out}
    result["warnings"] = _warnings(sets)
    return finite(result)


def row_of(reference: ClipFeatures, generated: ClipFeatures, seed: int = 0) -> dict[str, Any]:
    """The figures of one set, `generated`, against `reference`."""
    enough = min(len(reference), len(generated)) >= 2
    near = mean_prdc(reference.vectors, generated.vectors, seed) if enough else {}
    value, low, high = distances.kad_estimate(reference.vectors, generated.vectors, seed=seed) if enough else [None] * 3
    return {
        "n": len(generated),
        "kad": value,
        "kad_ci": [low, high] if low is not None and math.isfinite(low) else None,
        "fad": _fad(reference, generated),
        **{key: near.get(key) for key in ("precision", "recall", "density", "coverage")},
    }


def mean_prdc(reference: Tensor, generated: Tensor, seed: int = 0) -> dict[str, float]:
    """Precision, recall, density and coverage of sets of one size: the larger one is subsampled, and draws are
    averaged.

    Coverage and recall grow with the number of generated clips, so sets of different sizes could not be compared.
    """
    size = min(len(reference), len(generated))
    draws = []
    for draw in range(THINNINGS if len(reference) != len(generated) else 1):
        generator = torch.Generator().manual_seed(seed + draw)
        rows = [torch.randperm(len(one), generator=generator)[:size] for one in (reference, generated)]
        draws.append(neighbours.prdc(reference[rows[0]], generated[rows[1]], NEIGHBOURS))
    return {key: sum(draw[key] for draw in draws) / len(draws) for key in draws[0]}


def finite(value: Any) -> Any:
    """The value with plain types, and None for NaN and infinity, which JSON lacks."""
    if isinstance(value, Mapping):
        return {str(key): finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _check(sets: Sets) -> None:
    others = (sets.generated, sets.train, sets.copies, sets.rebuilt, sets.noise)
    for other in (sets.real, *(o for o in others if o is not None)):
        if not len(other):
            why = f" ({other.left_out[0][0]}: {other.left_out[0][1]})" if other.left_out else ""
            raise DataError(f"{other.name}: holds no clip with sound{why}; nothing can be compared")
        if other.embedding != sets.real.embedding:
            raise DataError(
                f"{other.name}: embedded by {' '.join(other.embedding)}, {sets.real.name} by "
                f"{' '.join(sets.real.embedding)}; embed both the same way"
            )


def _floor(real: ClipFeatures, size: int, seed: int) -> dict[str, Any]:
    if len(set(real.groups)) < 4:
        return {"floor": None, "floor_median": None, "floor_n": 0}
    found = distances.kad_floor(real.vectors, real.groups, size=max(2, size), seed=seed)
    return {"floor": found["p95"], "floor_median": found["median"], "floor_n": found["n"]}


def _fad(reference: ClipFeatures, generated: ClipFeatures) -> float | None:
    return distances.fad(reference.vectors, generated.vectors) if min(len(reference), len(generated)) >= 2 else None


def _fad_infinity(reference: ClipFeatures, generated: ClipFeatures, seed: int) -> float | None:
    few = min(len(reference), len(generated)) < 2 * FEW
    return None if few else distances.fad_infinity(reference.vectors, generated.vectors, seed=seed)


def _classes(sets: Sets, seed: int) -> dict[str, Any] | None:
    real, generated, copied = sets.real, sets.generated, sets.copies
    copies = probe.Copies(copied.vectors, copied.classes, copied.groups) if copied is not None else None
    return probe.class_probe(
        real.vectors, real.classes, real.groups, generated.vectors, generated.classes, copies=copies, seed=seed
    )


def _nearness(found: novelty.Nearness, generated: ClipFeatures, train: ClipFeatures) -> dict[str, Any]:
    return {
        "share": found.share, "count": found.count, "real_share": found.real_share, "threshold": found.threshold,
        "median_ratio": found.median_ratio, "of": train.name, "learned_from": len(set(train.groups)),
        "closest": [
            {"generated": generated.titles[i], "training": train.titles[j], "distance": distance}
            for i, j, distance in found.closest
        ],
    }  # fmt: skip


def _warnings(sets: Sets) -> list[str]:
    warnings = []
    for one in (sets.real, sets.generated):
        if one.left_out:
            title, reason = one.left_out[0]
            warnings.append(f"{one.name}: {len(one.left_out)} files or clips were skipped (such as {title}: {reason})")
        if len(one) < FEW:
            warnings.append(
                f"{one.name}: only {len(one)} clips; distances, coverage and shares of so few say next to nothing, the "
                "nearest clips, pitch and signal figures still hold"
            )
    if (mixed := stereo.note(sets.real, sets.generated)) is not None:
        warnings.append(mixed)
    if min(len(sets.real), len(sets.generated)) < FEW_FOR_FAD:
        warnings.append(
            f"FAD of fewer than {FEW_FOR_FAD} clips is mostly bias: compare it only at equal numbers, and trust KAD"
        )
    return warnings
