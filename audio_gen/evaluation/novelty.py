"""Nearness and diversity by an embedding: how near generated clips are to training clips and to each other.

Which clips are memorised is decided by `evaluation.copies`, which compares spectrograms.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from audio_gen.evaluation.neighbours import nearest
from audio_gen.evaluation.pairs import all_distances, checked, median_distance, squared_blocks

# Of the median distance of real clips; closer clips are the same clip.
SAME = 1e-4
MIN_HELD_OUT = 20
CLOSEST_PAIRS = 10


@dataclass(frozen=True)
class Nearness:
    """Generated clips that are closer to a training clip than 99 % of real clips."""

    threshold: float  # distance below which a generated clip counts as near
    share: float  # of the generated clips that count as near
    count: int  # of the generated clips that count as near
    real_share: float | None  # of held-out real clips that would count as near; None without any
    median_ratio: float  # median nearest distance of generated clips over that of real ones; nan if unknown
    closest: list[tuple[int, int, float]]  # (generated clip, training clip, distance), the ten closest, ascending
    nearest: Tensor  # (N,) distance of each generated clip to its nearest training clip


def nearness(generated: Tensor, train: Tensor, held_out: Tensor | None = None, *, quantile: float = 0.01) -> Nearness:
    """Compare the distances of generated clips to their nearest training clips with those of real clips.

    The real distances are those of held-out to training clips if there are at least 20 held-out clips, otherwise of
    each training clip to the nearest other one. Pairs of a clip with itself are excluded; a generated clip that equals
    a training clip always counts.

    Args:
        generated: Vectors (N, D).
        train: Vectors (M, D) of the training clips.
        held_out: Vectors (H, D) of held-out clips.
        quantile: Quantile of the real distances below which a generated clip counts as near.

    Source: nearest-neighbour test as in Meehan 2020, on the scale of distances between real clips.
    """
    generated, train = checked(generated), checked(train)
    same = SAME * median_distance(train)
    real_nearest = None if held_out is None or len(held_out) == 0 else nearest(held_out, train)[0][:, 0]
    enough = held_out is not None and len(held_out) >= MIN_HELD_OUT
    real = _nearest_different(checked(held_out) if held_out is not None and enough else train, train, same)
    threshold = max(same, float(torch.quantile(real, quantile))) if len(real) else same
    distances, indices = (found[:, 0] for found in nearest(generated, train))
    near = distances < threshold
    order = torch.argsort(distances, stable=True)[:CLOSEST_PAIRS].tolist()
    return Nearness(
        threshold=threshold,
        share=float(near.double().mean()),
        count=int(near.sum()),
        real_share=None if real_nearest is None else float((real_nearest < threshold).double().mean()),
        median_ratio=float(distances.median() / real.median()) if len(real) else math.nan,
        closest=[(i, int(indices[i]), float(distances[i])) for i in order],
        nearest=distances,
    )


def diversity(
    generated: Tensor,
    reference: Tensor | None = None,
    classes: Sequence[str | None] | None = None,
    reference_classes: Sequence[str | None] | None = None,
) -> dict:
    """Mean distance between generated clips, and the same for real ones.

    Args:
        generated: Vectors (N, D).
        reference: Vectors (M, D) of real sounds.
        classes: The class of each generated clip, or None.
        reference_classes: The class of each real clip.

    Returns:
        "mean_distance" of two generated clips, "real_distance" of two real ones, their "ratio" (each None under two
        clips), "duplicates": generated clips that equal an earlier one, and "per_class": {name: {"n", "mean_distance",
        "real_distance"}}.
    """
    generated = checked(generated)
    real = None if reference is None else checked(reference)
    mean_distance, real_distance = _mean_distance(generated), None if real is None else _mean_distance(real)
    return {
        "mean_distance": mean_distance,
        "real_distance": real_distance,
        "ratio": mean_distance / real_distance if mean_distance is not None and real_distance else None,
        "duplicates": _duplicates(generated, SAME * median_distance(generated if real is None else real)),
        "per_class": _per_class(generated, classes or (), real, reference_classes or ()),
    }


def _nearest_different(points: Tensor, bank: Tensor, same: float) -> Tensor:
    """Distance of each point to the nearest different clip of the bank; points without one are excluded."""
    parts = []
    for _, block in squared_blocks(points, bank):
        parts.append(block.masked_fill_(block < same**2, math.inf).min(dim=1).values)
    found = torch.cat(parts).sqrt()
    return found[torch.isfinite(found)]


def _mean_distance(vectors: Tensor) -> float | None:
    return float(all_distances(vectors).double().mean()) if len(vectors) > 1 else None


def _duplicates(vectors: Tensor, same: float) -> int:
    count = 0
    for first, block in squared_blocks(vectors, vectors):
        earlier = torch.ones(block.shape, dtype=torch.bool).tril_(first - 1)
        count += int(((block < same**2) & earlier).any(dim=1).sum())
    return count


def _per_class(
    generated: Tensor, classes: Sequence[str | None], real: Tensor | None, reference_classes: Sequence[str | None]
) -> dict[str, dict]:
    assert len(classes) in (0, len(generated)) and len(reference_classes) in (0, 0 if real is None else len(real))
    found = {}
    for name in sorted({name for name in classes if name is not None}):
        members = generated[[i for i, other in enumerate(classes) if other == name]]
        found[name] = {"n": len(members), "mean_distance": _mean_distance(members), "real_distance": None}
        if real is not None and name in reference_classes:
            rows = [i for i, other in enumerate(reference_classes) if other == name]
            found[name]["real_distance"] = _mean_distance(real[rows])
    return found
