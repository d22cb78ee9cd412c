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

# Of the median distance of real clips: what is nearer is the same clip.
SAME = 1e-4
MIN_HELD_OUT = 20
CLOSEST_PAIRS = 10


@dataclass(frozen=True)
class Nearness:
    """How many generated clips lie closer to a training clip than 99 % of real clips do."""

    threshold: float  # distance below which a generated clip counts as near
    share: float  # of the generated clips that count as near
    count: int  # of the generated clips that count as near
    real_share: float | None  # of held-out real clips that would count as near; None without any
    median_ratio: float  # median nearest distance of made clips / that of real ones; nan where the latter is unknown
    closest: list[tuple[int, int, float]]  # (made clip, training clip, distance), the ten closest, ascending
    nearest: Tensor  # (N,) distance of each made clip to its nearest training clip


def nearness(made: Tensor, train: Tensor, held_out: Tensor | None = None, *, quantile: float = 0.01) -> Nearness:
    """Compare the nearest distances of made to training clips with those of real clips to other real ones.

    The real ones are those of held-out to training clips where there are 20 held-out clips or more, else of each
    training clip to the nearest other. Pairs of a clip with itself are excluded; a generated clip that equals a
    training clip always counts.

    Args:
        made: Vectors (N, D).
        train: Vectors (M, D) of the training clips.
        held_out: Vectors (H, D) of real clips that were not trained on.
        quantile: Of the real distances, below which a generated clip counts as near.

    Source: nearest-neighbour test as in Meehan 2020, with the real data's own distances as its scale.
    """
    made, train = checked(made), checked(train)
    same = SAME * median_distance(train)
    real_nearest = None if held_out is None or len(held_out) == 0 else nearest(held_out, train)[0][:, 0]
    enough = held_out is not None and len(held_out) >= MIN_HELD_OUT
    real = _nearest_different(checked(held_out) if held_out is not None and enough else train, train, same)
    threshold = max(same, float(torch.quantile(real, quantile))) if len(real) else same
    distances, indices = (found[:, 0] for found in nearest(made, train))
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
    made: Tensor,
    reference: Tensor | None = None,
    classes: Sequence[str | None] | None = None,
    reference_classes: Sequence[str | None] | None = None,
) -> dict:
    """Mean distance between generated clips, and the same for real ones.

    Args:
        made: Vectors (N, D).
        reference: Vectors (M, D) of real sounds.
        classes: The class of each made clip, None where it has none.
        reference_classes: The class of each real clip.

    Returns:
        "mean_distance" of two made clips, "real_distance" of two real ones, their "ratio" (each None where there are no
        two clips), "duplicates": made clips that equal an earlier one, and "per_class": {name: {"n", "mean_distance",
        "real_distance"}}.
    """
    made = checked(made)
    real = None if reference is None else checked(reference)
    own, real_distance = _mean_distance(made), None if real is None else _mean_distance(real)
    return {
        "mean_distance": own,
        "real_distance": real_distance,
        "ratio": own / real_distance if own is not None and real_distance else None,
        "duplicates": _duplicates(made, SAME * median_distance(made if real is None else real)),
        "per_class": _per_class(made, classes or (), real, reference_classes or ()),
    }


def _nearest_different(points: Tensor, bank: Tensor, same: float) -> Tensor:
    """Distance of each point to the nearest of the bank that is not the same clip; points without one are left out."""
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
    made: Tensor, classes: Sequence[str | None], real: Tensor | None, reference_classes: Sequence[str | None]
) -> dict[str, dict]:
    assert len(classes) in (0, len(made)) and len(reference_classes) in (0, 0 if real is None else len(real))
    found = {}
    for name in sorted({name for name in classes if name is not None}):
        own = made[[i for i, other in enumerate(classes) if other == name]]
        found[name] = {"n": len(own), "mean_distance": _mean_distance(own), "real_distance": None}
        if real is not None and name in reference_classes:
            wanted = [i for i, other in enumerate(reference_classes) if other == name]
            found[name]["real_distance"] = _mean_distance(real[wanted])
    return found
