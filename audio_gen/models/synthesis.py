"""The convolutional part of a GAN's generator: a latent and noise to a refinement of the mel image."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from audio_gen.models.vae import PATCH, patched, stage_sizes

NOISE_CHANNELS = PATCH * PATCH  # white noise at full resolution, a patch in a pixel


class ModulatedBlock(nn.Module):
    """Two 3x3 convolutions around a skip, no normalisation; w scales and shifts what goes in; the second begins at 0.

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


class Synthesis(nn.Module):
    """From coarse to fine; one w for each stage, noise at the finest, and an output that starts at zero.

    Noise goes into the finest features, and, scaled by these, straight to the output: a texture of patches that all
    look alike is else the easiest way to be as rough as noisy sounds are.
    """

    def __init__(
        self, *, n_mels: int, frames: int, channels: tuple[int, ...], blocks: int, w_dim: int, features: int
    ) -> None:
        """From one w (B, w_dim) for each of `len(channels)` stages to (B, n_mels, frames)."""
        super().__init__()
        self.sizes, self.n_mels, self.frames = stage_sizes(n_mels, frames, len(channels)), n_mels, frames
        height, width = self.sizes[-1]
        self.stem = nn.Linear(w_dim, channels[-1] * height * width)
        self.stages, self.ups = nn.ModuleList(), nn.ModuleList()
        for i in reversed(range(len(channels))):
            self.stages.append(nn.ModuleList(ModulatedBlock(channels=channels[i], w_dim=w_dim) for _ in range(blocks)))
            if i:
                self.ups.append(nn.Conv2d(channels[i], channels[i - 1], 1))
        self.features = nn.Linear(features * PATCH, channels[0]) if features else None
        self.noise = nn.Conv2d(NOISE_CHANNELS, channels[0], 1, bias=False)
        self.head = nn.Conv2d(channels[0], PATCH * PATCH, 3, padding=1)
        self.grain = nn.Conv2d(channels[0], PATCH * PATCH, 1)
        for last in (self.head, self.grain):
            nn.init.zeros_(last.weight)
            assert last.bias is not None
            nn.init.zeros_(last.bias)
        self.register_load_state_dict_pre_hook(_without_grain)

    def forward(self, w: Tensor, features: Tensor | None, noise: Tensor) -> Tensor:
        """w (B, K, w_dim) for K stages, features (B, F, M), noise (B or 1, 16, H, W) -> (B, M, L)."""
        height, width = self.sizes[-1]
        x = self.stem(w[:, 0]).unflatten(1, (-1, height, width))
        for i, stage in enumerate(self.stages):
            if i == len(self.stages) - 1:
                x = x + self.noise(noise)
                if self.features is not None and features is not None:
                    x = x + patched(self.features, features, self.sizes[0][0])
            for block in stage:  # type: ignore[attr-defined]
                x = block(x, w[:, i])
            if i < len(self.ups):
                height, width = self.sizes[len(self.sizes) - 2 - i]
                x = F.interpolate(self.ups[i](x), scale_factor=2, mode="nearest")[:, :, :height, :width]
        x = F.silu(x)
        patches = torch.addcmul(self.head(x), self.grain(x), noise)
        return F.pixel_shuffle(patches, PATCH)[:, 0, : self.n_mels, : self.frames]


def _without_grain(module: nn.Module, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    """Take over weights from before there was a grain: none is what it began with."""
    assert isinstance(module, Synthesis)
    for name, value in module.grain.state_dict().items():
        state.setdefault(f"{prefix}grain.{name}", torch.zeros_like(value))
