"""Principal components of log-mels, the linear path that networks start from."""

from dataclasses import dataclass

import torch
from torch import Tensor

# Not scikit-learn's PCA: with F far above N, its solvers decompose (N, F) or (F, F), although the N x N
# products of the rows suffice.
MIN_SCALE = 1e-3
MIN_SHARE = 1e-6  # of the largest eigenvalue; smaller ones are rounding, or differences between copies
MIN_DEVIATION = 1e-6  # in units of the rows: rounding if all rows are equal
FARTHEST = 8.0  # limit of a row along a component, so rare components have a variance below 1
CHUNK = 4096  # columns in float64 at a time


@dataclass(frozen=True)
class Basis:
    """Whitened principal components of N rows of F numbers.

    Attributes:
        mean: (F,).
        scale: Standard deviation of all numbers from `mean`, a scalar.
        analysis: (R, F): (row - mean) / scale -> components of at most unit variance.
        synthesis: (F, R): its inverse on the span of the components.
    """

    mean: Tensor
    scale: Tensor
    analysis: Tensor
    synthesis: Tensor


@torch.no_grad()
def principal_components(rows: Tensor, rank: int) -> Basis:
    """Compute the first principal components of rows.

    Components below MIN_SHARE of the largest eigenvalue are dropped: whitening would amplify rounding errors.

    Args:
        rows: (N, F), N >= 1.
        rank: Maximum number of components.
    """
    mean = rows.mean(0)
    flat = rows - mean
    scale = flat.std(unbiased=flat.numel() > 1).clamp(min=MIN_SCALE)
    gram = flat.new_zeros(len(flat), len(flat), dtype=torch.float64)  # N is far below F
    for part in flat.split(CHUNK, dim=1):
        gram += part.double() @ part.double().T
    values, vectors = torch.linalg.eigh(gram)
    values, vectors = values.flip(0), vectors.flip(1)  # largest first
    least = max(MIN_SHARE * float(values[0]), flat.numel() * MIN_DEVIATION**2)
    rank = min(rank, len(flat) - 1, int((values > least).sum()))
    values, vectors = values[:rank].to(flat), vectors[:, :rank].to(flat)
    basis = (flat.T @ vectors) / values.sqrt()  # (F, rank), orthonormal
    deviation = torch.maximum((values / len(flat)).sqrt(), values.sqrt() * vectors.abs().amax(0) / FARTHEST) / scale
    return Basis(mean, scale, (basis / deviation).T, basis * deviation)
