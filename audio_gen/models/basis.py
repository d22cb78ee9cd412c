"""Principal components of log-mels: the linear path that networks start from."""

from dataclasses import dataclass

import torch
from torch import Tensor

MIN_SCALE = 1e-3


@dataclass(frozen=True)
class Basis:
    """Whitened principal components of N rows of F numbers.

    Attributes:
        mean: (F,).
        scale: Deviation of all numbers from their mean, a scalar.
        analysis: (R, F): (row - mean) / scale -> components of unit variance.
        synthesis: (F, R): its inverse on the span of the components.
    """

    mean: Tensor
    scale: Tensor
    analysis: Tensor
    synthesis: Tensor


@torch.no_grad()
def principal_components(rows: Tensor, rank: int) -> Basis:
    """The first `rank` components of rows (N, F), N >= 1; fewer where N - 1 is smaller."""
    mean = rows.mean(0)
    flat = rows - mean
    scale = flat.std(unbiased=flat.numel() > 1).clamp(min=MIN_SCALE)
    rank = min(rank, len(flat) - 1)
    if rank < 1:
        return Basis(mean, scale, flat.new_zeros(0, flat.shape[1]), flat.new_zeros(flat.shape[1], 0))
    values, vectors = torch.linalg.eigh(flat @ flat.T)  # Gram matrix: N is far below F
    values, vectors = values.flip(0)[:rank].clamp(min=1e-6), vectors.flip(1)[:, :rank]
    basis = (flat.T @ vectors) / values.sqrt()  # (F, rank), orthonormal
    deviation = (values / len(flat)).sqrt() / scale
    return Basis(mean, scale, (basis / deviation).T, basis * deviation)
