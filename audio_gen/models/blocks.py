"""Layers that several networks share, and network inputs of conditions."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

PATCH = 4  # bands and frames of a mel image per pixel of the convolutions
PITCH_OFFSET, PITCH_UNIT = 60.0, 24.0  # MIDI; scales pitches to about -2 to 2
VELOCITY_OFFSET, VELOCITY_UNIT = 64.0, 32.0  # MIDI; scales velocities to about -2 to 2
SCALAR_INPUTS = 2  # network inputs per pitch or velocity
GROUPS = 8  # of channels in group normalisation


def pitch_inputs(pitch: Tensor) -> Tensor:
    """MIDI pitches (B,) as network inputs (B, 2): scaled, 0 if unknown; and 1 if known."""
    return _scalar_inputs(pitch, PITCH_OFFSET, PITCH_UNIT)


def velocity_inputs(velocity: Tensor) -> Tensor:
    """MIDI velocities (B,) as network inputs (B, 2), as for pitches."""
    return _scalar_inputs(velocity, VELOCITY_OFFSET, VELOCITY_UNIT)


def _scalar_inputs(value: Tensor, offset: float, unit: float) -> Tensor:
    known = torch.isfinite(value)
    scaled = torch.where(known, (value - offset) / unit, 0.0)
    return torch.stack([scaled, known.to(scaled.dtype)], dim=1)


def stage_sizes(n_mels: int, frames: int, stages: int) -> list[tuple[int, int]]:
    """Height and width at each stage: patches, then halves, rounded up."""
    sizes = [(-(-n_mels // PATCH), -(-frames // PATCH))]
    for _ in range(stages - 1):
        sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
    return sizes


def pad_to(x: Tensor, height: int, width: int) -> Tensor:
    """Repeat the last row and column of x (B, C, H, W) up to (height, width)."""
    return F.pad(x, (0, width - x.shape[-1], 0, height - x.shape[-2]), mode="replicate")


def patched(project: nn.Module, features: Tensor, height: int) -> Tensor:
    """Features of bands (B, F, M) as an image of patches (B, C, height, 1), through `project` from F * PATCH to C."""
    padded = F.pad(features, (0, PATCH * height - features.shape[-1]))
    patches = padded.unflatten(2, (-1, PATCH)).permute(0, 2, 1, 3).flatten(2)  # (B, H, F * PATCH)
    return project(patches).transpose(1, 2)[..., None]


class AdaptiveNorm2d(nn.Module):
    """Group normalisation with scale and shift from a condition (AdaLN, Peebles and Xie 2023), or as parameters."""

    def __init__(self, *, channels: int, condition_dim: int = 0, groups: int = GROUPS) -> None:
        """With `condition_dim` 0 scale and shift are plain parameters."""
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels, affine=condition_dim == 0)
        self.project = nn.Linear(condition_dim, 2 * channels) if condition_dim else None
        if self.project is not None:
            nn.init.zeros_(self.project.weight)
            nn.init.zeros_(self.project.bias)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Normalise x (B, C, H, W), given condition (B, K) if the layer has one."""
        x = self.norm(x)
        if self.project is None:
            return x
        scale, shift = self.project(condition)[:, :, None, None].chunk(2, dim=1)
        return torch.addcmul(shift, x, 1 + scale)


class ResBlock2d(nn.Module):
    """Two 3x3 convolutions with a skip; the second starts at zero, so a new block is the identity."""

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


class PlainBlock(nn.Module):
    """Two 3x3 convolutions with a skip, no normalisation; the second starts at zero. Source: Huang 2024 (R3GAN)."""

    def __init__(self, *, channels: int) -> None:
        """A block for x (B, channels, H, W)."""
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)
        assert self.conv2.bias is not None
        nn.init.zeros_(self.conv2.bias)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, H, W) -> (B, C, H, W)."""
        return x + self.conv2(F.silu(self.conv1(F.silu(x))))


class ModulatedBlock(nn.Module):
    """Two 3x3 convolutions with a skip, no normalisation; w scales and shifts the input; the second starts at zero.

    Source: Huang 2024 (R3GAN) for residual blocks without normalisation; AdaLN from Peebles and Xie 2023.
    """

    def __init__(self, *, channels: int, w_dim: int) -> None:
        """A block for x (B, channels, H, W) and w (B, w_dim)."""
        super().__init__()
        self.style = nn.Linear(w_dim, 2 * channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.style.bias)
        nn.init.normal_(self.style.weight, std=0.1 * w_dim**-0.5)
        nn.init.zeros_(self.conv2.weight)
        assert self.conv2.bias is not None
        nn.init.zeros_(self.conv2.bias)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """x (B, C, H, W) -> (B, C, H, W)."""
        scale, shift = self.style(w)[:, :, None, None].chunk(2, dim=1)
        return x + self.conv2(F.silu(self.conv1(F.silu(torch.addcmul(shift, x, 1 + scale)))))
