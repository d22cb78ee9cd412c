"""Nearest-neighbour measures of two sets of embeddings: precision, recall, density, coverage, NDB."""

import math

import numpy as np
import torch
from torch import Tensor

from audio_gen.evaluation.pairs import checked, squared_blocks

# A neighbour on the rim of a ball is outside, however its distance was rounded.
RIM = 1 - 1e-9
CLIPS_PER_BIN = 5
SIGNIFICANT = 1.959964  # standard deviations of a normal, 5 % beyond on both sides


def nearest(points: Tensor, bank: Tensor, count: int = 1) -> tuple[Tensor, Tensor]:
    """Return the distances (N, count), ascending, and indices (N, count) of the rows of `bank` nearest to each point.

    Args:
        points: Vectors (N, D).
        bank: Vectors (M, D), M >= count.
        count: Neighbours of each point.
    """
    points, bank = checked(points), checked(bank, count)
    found = [torch.topk(block, count, dim=1, largest=False) for _, block in squared_blocks(points, bank)]
    return torch.cat([part.values for part in found]).sqrt(), torch.cat([part.indices for part in found])


def prdc(reference: Tensor, made: Tensor, k: int = 5) -> dict[str, float | int]:
    """Return precision, recall, density and coverage from balls that reach to each clip's k-th neighbour in its set.

    Precision is the share of made clips in a ball of a real one, recall the share of real clips in a ball of a made
    one, density (which may exceed 1) in how many balls of real clips a made one is, of k; coverage, the most robust,
    the share of real clips with a made one in their ball: 1 - 1 / 2^k for two large samples of one distribution.

    Args:
        reference: Vectors (N, D) of real sounds, N >= 2.
        made: Vectors (M, D), M >= 2.
        k: Neighbours that a ball reaches to; fewer where a set has no more.

    Returns:
        "precision", "recall", "density", "coverage", and the "k" that was used.

    Source: Kynkaanniemi 2019 (precision, recall); Naeem 2020 (density, coverage).
    """
    reference, made = checked(reference, 2), checked(made, 2)
    k = max(1, min(k, len(reference) - 1, len(made) - 1))
    real_radii, made_radii = _squared_radii(reference, k), _squared_radii(made, k)
    recalled = torch.zeros(len(reference), dtype=torch.bool)
    covered = torch.zeros(len(reference), dtype=torch.bool)
    balls = torch.zeros(len(made), dtype=torch.long)
    for first, block in squared_blocks(reference, made):
        part = slice(first, first + len(block))
        recalled[part] = (block < made_radii).any(dim=1)
        inside = block < real_radii[part, None]
        covered[part] = inside.any(dim=1)
        balls += inside.sum(dim=0)
    return {
        "precision": float((balls > 0).double().mean()),
        "recall": float(recalled.double().mean()),
        "density": float(balls.double().mean() / k),
        "coverage": float(covered.double().mean()),
        "k": k,
    }


def ndb(reference: Tensor, made: Tensor, bins: int = 50, seed: int = 0) -> float:
    """Return the share of bins that hold significantly more or fewer made clips than real ones; by chance 0.05.

    Args:
        reference: Vectors (N, D) of real sounds, which k-means divides into the bins.
        made: Vectors (M, D).
        bins: Fewer are made where a bin would have under 5 real clips on average.
        seed: Of k-means.

    Returns:
        The share, or nan where the reference is too small, or too much the same, for two bins.

    Source: Richardson and Weiss 2018 (NDB; a two-sample test of proportions at 5 %).
    """
    from sklearn.cluster import KMeans  # takes a second to import, which training's checks need not wait for

    reference, made = checked(reference), checked(made)
    bins = min(bins, len(reference) // CLIPS_PER_BIN, len(torch.unique(reference, dim=0)))
    if bins < 2:
        return math.nan
    # Far from the origin k-means would lose precision; float32 halves its time.
    centre = reference.mean(dim=0)
    real_bins = KMeans(bins, n_init=1, random_state=seed).fit((reference - centre).float().numpy())
    made_bins = real_bins.predict((made - centre).float().numpy())
    n, m = len(reference), len(made)
    real_counts, made_counts = (np.bincount(labels, minlength=bins) for labels in (real_bins.labels_, made_bins))
    pooled = (real_counts + made_counts) / (n + m)
    error = np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    return float((np.abs(real_counts / n - made_counts / m) > SIGNIFICANT * error).mean())


def _squared_radii(vectors: Tensor, k: int) -> Tensor:
    """Squared distance (N,) to the k-th neighbour, just not reaching it; equal clips are always within."""
    # The nearest of a set to its own clip is that clip.
    parts = [block.kthvalue(k + 1, dim=1).values for _, block in squared_blocks(vectors, vectors)]
    return (torch.cat(parts) * RIM).clamp(min=torch.finfo(torch.float64).tiny)
