"""Squared distances between all rows of two sets, in blocks, so that no N x N matrix is in memory."""

from collections.abc import Iterator

import torch
from torch import Tensor

BLOCK_ROWS = 512
# Twice the rounding of |a|^2 + |b|^2 - 2 ab in float64 at 1,000 dimensions; closer rows are equal.
EQUAL = 1e-13
MEDIAN_CLIPS = 5000


def checked(vectors: Tensor, least: int = 1) -> Tensor:
    """Return vectors (N, D) as float64 on the CPU.

    Raises:
        ValueError: They are not (N, D), fewer than `least`, or not all finite.
    """
    if vectors.dim() != 2 or len(vectors) < least:
        raise ValueError(f"vectors have the shape {tuple(vectors.shape)}, not (N >= {least}, D); give more clips.")
    if not torch.isfinite(vectors).all():
        broken = int((~torch.isfinite(vectors)).any(dim=1).sum())
        raise ValueError(f"{broken} of {len(vectors)} vectors are not finite; remove those clips.")
    return vectors.detach().to("cpu", torch.float64)


def squared_blocks(rows: Tensor, columns: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Yield (first row, squared distances (up to BLOCK_ROWS, M)) for all rows (N, D) against columns (M, D).

    Rows that are equal to rounding have a distance of exactly 0. The caller may change a block.
    """
    # Centred: far from the origin, small distances are lost in the difference of large squares.
    centre = columns.mean(dim=0)
    columns = columns - centre
    norms = columns.square().sum(dim=1)
    for first in range(0, len(rows), BLOCK_ROWS):
        yield first, _block(rows[first : first + BLOCK_ROWS] - centre, columns, norms)


def squared_upper_blocks(vectors: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Yield (first row, squared distances (B, N - first)) of vectors (N, D) to themselves and to later ones.

    Each block begins with the square of its rows (B, B); the rest follows by symmetry.
    """
    vectors = vectors - vectors.mean(dim=0)
    norms = vectors.square().sum(dim=1)
    for first in range(0, len(vectors), BLOCK_ROWS):
        yield first, _block(vectors[first : first + BLOCK_ROWS], vectors[first:], norms[first:])


def _block(rows: Tensor, columns: Tensor, column_norms: Tensor) -> Tensor:
    norms = rows.square().sum(dim=1)[:, None] + column_norms
    squared = torch.addmm(norms, rows, columns.T, alpha=-2)
    return squared.masked_fill_(squared < EQUAL * norms, 0.0)


def all_distances(vectors: Tensor) -> Tensor:
    """Return the distances of the N (N - 1) / 2 pairs of vectors (N, D), float32, in any order."""
    count = len(vectors)
    found = torch.empty(count * (count - 1) // 2)
    filled = 0
    for _, block in squared_upper_blocks(vectors):
        above = torch.ones(block.shape, dtype=torch.bool).triu_(diagonal=1)
        part = block[above].sqrt_()
        found[filled : filled + len(part)] = part
        filled += len(part)
    assert filled == len(found)
    return found


def median_distance(reference: Tensor) -> float:
    """Return the median distance between vectors of the reference (N, D), the default kernel bandwidth.

    Above 5,000 vectors, 5,000 of them are used. If most coincide it is the mean distance, if all do 1.

    Source: the median heuristic, Gretton 2012 (sec. 8); from the reference only, Chung 2025 (KAD).
    """
    vectors = checked(reference)
    if len(vectors) > MEDIAN_CLIPS:
        chosen = torch.randperm(len(vectors), generator=torch.Generator().manual_seed(0))[:MEDIAN_CLIPS]
        vectors = vectors[chosen]
    distances = all_distances(vectors)
    if len(distances) == 0:
        return 1.0
    # torch.median takes the lower of the middle two, and is linear in time.
    return float(distances.median()) or float(distances.double().mean()) or 1.0
