"""The energy score, and a network head that draws samples and is trained by it."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

TINY = 1e-6  # keeps the gradient of a norm finite at zero


def energy_score(truth: Tensor, draws: Tensor, groups: Sequence[int]) -> Tensor:
    """The energy score of samples of a distribution: in expectation least where they are from that of the truth.

    Mean distance of the samples to the truth, less half the mean distance of two samples. It is summed over several
    divisions of the D numbers into groups of equal size, each averaged over the groups and divided by the square root
    of their size: a norm of all numbers at once says little about each.

    Args:
        truth: (.., D).
        draws: K >= 2 independent samples each (K, .., D).
        groups: Sizes of groups; each divides D.

    Returns:
        (..), in float32.

    Source: Gneiting and Raftery 2007, eq. 22, beta 1; as a loss of audio latents Shao et al. 2025 (2510.27688).
    """
    truth, draws = truth.float(), draws.float()
    count = len(draws)
    away = draws - truth
    pairs = [draws[i] - draws[j] for i in range(count) for j in range(i)]
    total = truth.new_zeros(truth.shape[:-1])
    for size in groups:
        near = torch.stack([_norm(one, size) for one in away]).mean(0)
        apart = torch.stack([_norm(one, size) for one in pairs]).mean(0)
        total = total + (near - apart / 2) / math.sqrt(size)
    return total


def _norm(x: Tensor, size: int) -> Tensor:
    """Euclidean norms of the groups of x (.., D), averaged over the groups (..)."""
    return (x.unflatten(-1, (-1, size)).square().sum(-1) + TINY).sqrt().mean(-1)


class SampleHead(nn.Module):
    """A residual MLP of a context and noise; the noise enters each block.

    Source: the energy transformer head of Shao et al. 2025 (2510.27688, section 3.3).
    """

    def __init__(self, *, context_dim: int, out_dim: int, width: int, noise_dim: int, blocks: int = 3) -> None:
        """`blocks` residual blocks, `width` wide."""
        super().__init__()
        self.noise_dim = noise_dim
        self.context = nn.Linear(context_dim, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(blocks))
        self.inner = nn.ModuleList(nn.Linear(width, 2 * width) for _ in range(blocks))
        self.noise = nn.ModuleList(nn.Linear(noise_dim, 2 * width, bias=False) for _ in range(blocks))
        self.outer = nn.ModuleList(nn.Linear(width, width) for _ in range(blocks))
        self.last = nn.LayerNorm(width)
        self.out = nn.Linear(width, out_dim)

    def forward(self, context: Tensor, noise: Tensor) -> Tensor:
        """Context (.., H) and noise (.., E) from N(0, I), which may have more leading axes, -> (.., D)."""
        x = self.context(context)
        for norm, inner, mix, outer in zip(self.norms, self.inner, self.noise, self.outer, strict=True):
            value, gate = (inner(norm(x)) + mix(noise)).chunk(2, dim=-1)
            x = x + outer(value * F.silu(gate))
        return self.out(self.last(x))
