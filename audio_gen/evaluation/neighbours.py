"""Nearest-neighbour measures of two sets of embeddings: precision, recall, density, coverage, NDB."""

import math

import numpy as np
import torch
from torch import Tensor

from audio_gen.evaluation.pairs import checked, squared_blocks

# A neighbour on the rim of a ball is outside, whatever the rounding of its distance.
RIM = 1 - 1e-9
CLIPS_PER_BIN = 5
SIGNIFICANT = 1.959964  # standard deviations of a normal: 5 % are outside, on both sides together


def nearest(points: Tensor, bank: Tensor, count: int = 1) -> tuple[Tensor, Tensor]:
    """Return the distances (N, count), ascending, and indices (N, count) of the nearest rows of `bank`.

    Args:
        points: Vectors (N, D).
        bank: Vectors (M, D), M >= count.
        count: Neighbours of each point.
    """
    points, bank = checked(points), checked(bank, count)
    found = [torch.topk(block, count, dim=1, largest=False) for _, block in squared_blocks(points, bank)]
    return torch.cat([part.values for part in found]).sqrt(), torch.cat([part.indices for part in found])


def prdc(reference: Tensor, generated: Tensor, k: int = 5) -> dict[str, float | int]:
    """Return precision, recall, density and coverage, by balls around each clip up to its k-th neighbour in its set.

    Precision is the share of generated clips in a ball of a real one; recall the share of real clips in a ball of a
    generated one. Density is the mean number of real balls around a generated clip over k, and may exceed 1. Coverage,
    the most robust, is the share of real clips with a generated one in their ball: 1 - 1 / 2^k for two large samples of
    one distribution.

    Args:
        reference: Vectors (N, D) of real sounds, N >= 2.
        generated: Vectors (M, D), M >= 2.
        k: Number of the neighbour that a ball reaches to; lower if a set is too small.

    Returns:
        "precision", "recall", "density", "coverage", and the "k" that was used.

    Source: Kynkaanniemi 2019 (precision, recall); Naeem 2020 (density, coverage).
    """
    reference, generated = checked(reference, 2), checked(generated, 2)
    k = max(1, min(k, len(reference) - 1, len(generated) - 1))
    real_radii, generated_radii = _squared_radii(reference, k), _squared_radii(generated, k)
    recalled = torch.zeros(len(reference), dtype=torch.bool)
    covered = torch.zeros(len(reference), dtype=torch.bool)
    balls = torch.zeros(len(generated), dtype=torch.long)
    for first, block in squared_blocks(reference, generated):
        part = slice(first, first + len(block))
        recalled[part] = (block < generated_radii).any(dim=1)
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


def ndb(reference: Tensor, generated: Tensor, bins: int = 50, seed: int = 0) -> float:
    """Return the share of bins with significantly more or fewer generated clips than real ones; 0.05 by chance.

    Args:
        reference: Vectors (N, D) of real sounds; k-means divides them into bins.
        generated: Vectors (M, D).
        bins: Number of bins; fewer if they would hold under 5 real clips on average.
        seed: Seed of k-means.

    Returns:
        The share, or nan if the reference has too few different clips for two bins.

    Source: Richardson and Weiss 2018 (NDB; a two-sample test of proportions at 5 %).
    """
    from sklearn.cluster import KMeans  # takes a second to import; evaluations during training do not need it

    reference, generated = checked(reference), checked(generated)
    bins = min(bins, len(reference) // CLIPS_PER_BIN, len(torch.unique(reference, dim=0)))
    if bins < 2:
        return math.nan
    # Centred, because k-means loses precision far from the origin; float32 halves its time.
    centre = reference.mean(dim=0)
    real_bins = KMeans(bins, n_init=1, random_state=seed).fit((reference - centre).float().numpy())
    generated_bins = real_bins.predict((generated - centre).float().numpy())
    n, m = len(reference), len(generated)
    real_counts, generated_counts = (
        np.bincount(labels, minlength=bins) for labels in (real_bins.labels_, generated_bins)
    )
    pooled = (real_counts + generated_counts) / (n + m)
    error = np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    return float((np.abs(real_counts / n - generated_counts / m) > SIGNIFICANT * error).mean())


def _squared_radii(vectors: Tensor, k: int) -> Tensor:
    """Squared distance (N,) to just below the k-th neighbour; equal clips are always inside."""
    # The nearest clip of a set to a clip in it is the clip itself.
    parts = [block.kthvalue(k + 1, dim=1).values for _, block in squared_blocks(vectors, vectors)]
    return (torch.cat(parts) * RIM).clamp(min=torch.finfo(torch.float64).tiny)
