"""Principal components of log-mels: the linear path that networks start from."""

from dataclasses import dataclass

import torch
from torch import Tensor

# Not scikit-learn's PCA: with far more numbers a row than rows, its solvers decompose (N, F) or (F, F), where the N x N
# products of the rows suffice.
MIN_SCALE = 1e-3
MIN_SHARE = 1e-6  # of the largest eigenvalue; what is smaller is rounding, or the difference between two copies
MIN_DEVIATION = 1e-6  # of a number, in the units of the rows: rounding where all rows are equal
FARTHEST = 8.0  # no row lies farther out along a component: one that few rows differ in has less variance than 1
CHUNK = 4096  # columns in float64 at a time


@dataclass(frozen=True)
class Basis:
    """Whitened principal components of N rows of F numbers.

    Attributes:
        mean: (F,).
        scale: Deviation of all numbers from their mean, a scalar.
        analysis: (R, F): (row - mean) / scale -> components of unit variance, or less.
        synthesis: (F, R): its inverse on the span of the components.
    """

    mean: Tensor
    scale: Tensor
    analysis: Tensor
    synthesis: Tensor


@torch.no_grad()
def principal_components(rows: Tensor, rank: int) -> Basis:
    """The first principal components of rows.

    Components below MIN_SHARE of the largest eigenvalue are dropped: whitening would blow up rounding errors.

    Args:
        rows: (N, F), N >= 1.
        rank: Components at most; there are fewer where the rows span fewer.
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
