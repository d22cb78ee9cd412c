"""Layers that several networks share."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class AdaptiveNorm2d(nn.Module):
    """Group normalisation whose scale and shift follow a condition (AdaLN, Peebles and Xie 2023), or are learned."""

    def __init__(self, *, channels: int, condition_dim: int = 0, groups: int = 8) -> None:
        """With `condition_dim` 0 scale and shift are plain parameters."""
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels, affine=condition_dim == 0)
        self.project = nn.Linear(condition_dim, 2 * channels) if condition_dim else None
        if self.project is not None:
            nn.init.zeros_(self.project.weight)
            nn.init.zeros_(self.project.bias)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Normalise x (B, C, H, W), given condition (B, K) where the layer has one."""
        x = self.norm(x)
        if self.project is None:
            return x
        scale, shift = self.project(condition)[:, :, None, None].chunk(2, dim=1)
        return torch.addcmul(shift, x, 1 + scale)


class ResBlock2d(nn.Module):
    """Two 3x3 convolutions around a skip; the second starts at zero, so that a new block does nothing."""

    def __init__(self, *, channels: int, condition_dim: int = 0) -> None:
        """A block for x (B, channels, H, W)."""
        super().__init__()
        self.norm = AdaptiveNorm2d(channels=channels, condition_dim=condition_dim)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)
        assert self.conv2.bias is not None
        nn.init.zeros_(self.conv2.bias)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """x (B, C, H, W) -> (B, C, H, W)."""
        return x + self.conv2(F.silu(self.conv1(F.silu(self.norm(x, condition)))))
