"""Discriminators: how real a mel image or a latent looks, given class and pitch."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from audio_gen.models.mapping import pitch_inputs
from audio_gen.models.vae import PATCH, pad_to, patched, stage_sizes

EMBEDDED_PITCH = 32
LOCAL_STAGE = 1


class PlainBlock(nn.Module):
    """Two 3x3 convolutions around a skip, no normalisation; the second starts at zero. Source: Huang 2024 (R3GAN)."""

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


class Projection(nn.Module):
    """Logits from features and conditions: a linear score, and how well features and condition agree.

    Source: Miyato and Koyama 2018 (projection discriminator).
    """

    def __init__(self, *, dim: int, n_classes: int) -> None:
        """For features (B, dim)."""
        super().__init__()
        self.score = nn.Linear(dim, 1)
        self.classes = nn.Embedding(n_classes + 1, dim)
        self.pitch = nn.Sequential(nn.Linear(2, EMBEDDED_PITCH), nn.SiLU(), nn.Linear(EMBEDDED_PITCH, dim))
        nn.init.normal_(self.classes.weight, std=dim**-0.5)

    def forward(self, x: Tensor, class_id: Tensor, pitch: Tensor) -> Tensor:
        """Features (B, dim), class numbers (B,), MIDI pitches (B,) -> logits (B,); high is real."""
        condition = self.classes(class_id + 1) + self.pitch(pitch_inputs(pitch))
        return self.score(x)[:, 0] + (x * condition).sum(1) * x.shape[1] ** -0.5


class MelDiscriminator(nn.Module):
    """2-D residual network on patches of the mel image, with a projection of the conditions at its end.

    Beside the whole image it judges places in it, from the second stage (Isola 2017): grain is learned from there.
    """

    def __init__(
        self, *, n_mels: int, frames: int, channels: tuple[int, ...] = (32, 64, 96, 128), blocks: int = 1,
        n_classes: int = 0, features: int = 0, dim: int = 256,
    ) -> None:  # fmt: skip
        """For mel images (B, n_mels, frames), and features of bands (B, features, n_mels)."""
        super().__init__()
        self.sizes = stage_sizes(n_mels, frames, len(channels))
        self.stem = nn.Conv2d(1, channels[0], PATCH, stride=PATCH)
        self.features = nn.Linear(features * PATCH, channels[0]) if features else None
        self.stages, self.downs = nn.ModuleList(), nn.ModuleList()
        for i, width in enumerate(channels):
            self.stages.append(nn.Sequential(*(PlainBlock(channels=width) for _ in range(blocks))))
            if i + 1 < len(channels):
                self.downs.append(nn.Conv2d(width, channels[i + 1], 2, stride=2))
        height, width = self.sizes[-1]
        self.local = nn.Conv2d(channels[min(LOCAL_STAGE, len(channels) - 1)], 1, 1)
        self.flat = nn.Linear(channels[-1] * height * width, dim)
        self.projection = Projection(dim=dim, n_classes=n_classes)

    def forward(self, mel: Tensor, features: Tensor | None, class_id: Tensor, pitch: Tensor) -> tuple[Tensor, Tensor]:
        """How real mel images are.

        Args:
            mel: Normalised log-mel (B, M, L).
            features: Of bands (B, F, M), where the network has any.
            class_id: Class numbers (B,), -1 for none.
            pitch: MIDI pitches (B,), NaN for none.

        Returns:
            Logits of whole images (B,), and of P places in each (B, P).
        """
        x = self.stem(pad_to(mel[:, None], PATCH * self.sizes[0][0], PATCH * self.sizes[0][1]))
        if self.features is not None and features is not None:
            x = x + patched(self.features, features, self.sizes[0][0])
        for i, stage in enumerate(self.stages):
            x = stage(x)
            if i == min(LOCAL_STAGE, len(self.downs)):
                local = self.local(F.silu(x)).flatten(1)
            if i < len(self.downs):
                x = self.downs[i](pad_to(x, 2 * self.sizes[i + 1][0], 2 * self.sizes[i + 1][1]))
        x = self.flat(F.silu(x).flatten(1))
        return self.projection(F.silu(x), class_id, pitch), local


class LatentDiscriminator(nn.Module):
    """A residual network on latents, with a projection of the conditions at its end."""

    unit: Tensor

    def __init__(self, *, latent_dim: int, n_classes: int = 0, width: int = 256, blocks: int = 2) -> None:
        """For latents (B, latent_dim)."""
        super().__init__()
        self.register_buffer("unit", torch.ones(latent_dim))
        self.stem = nn.Linear(latent_dim, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width)) for _ in range(blocks)
        )
        self.projection = Projection(dim=width, n_classes=n_classes)
        for block in self.blocks:
            nn.init.zeros_(block[-1].weight)  # type: ignore[index]
            nn.init.zeros_(block[-1].bias)  # type: ignore[index]

    @torch.no_grad()
    def look_at(self, size: Tensor) -> None:
        """Let large components of mels count more.

        Args:
            size: What a step of each w makes of the mel (D,), in any unit.
        """
        unit = size.clamp(min=0).sqrt()
        self.unit.copy_(unit / unit.square().mean().sqrt().clamp(min=1e-8))

    def forward(self, w: Tensor, class_id: Tensor, pitch: Tensor) -> Tensor:
        """w (B, D), class numbers (B,), MIDI pitches (B,) -> logits (B,); high is real."""
        x = self.stem(w * self.unit)
        for block in self.blocks:
            x = x + block(x)
        return self.projection(F.silu(x), class_id, pitch)
