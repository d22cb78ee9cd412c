"""The discriminator of a GAN on mel images, given the conditions."""

from torch import Tensor, nn
from torch.nn import functional as F

from audio_gen.models.blocks import (
    PATCH,
    SCALAR_INPUTS,
    PlainBlock,
    pad_to,
    patched,
    pitch_inputs,
    stage_sizes,
    velocity_inputs,
)
from audio_gen.models.contract import CLASS, PITCH, VELOCITY, Conditions

EMBEDDED_SCALAR = 32
LOCAL_STAGE = 1


class Projection(nn.Module):
    """Logits from features and conditions: a linear score, and how well features and condition agree.

    Source: Miyato and Koyama 2018 (projection discriminator).
    """

    def __init__(self, *, dim: int, n_classes: int, velocity: bool = False) -> None:
        """For features (B, dim)."""
        super().__init__()
        self.score = nn.Linear(dim, 1)
        self.classes = nn.Embedding(n_classes + 1, dim)
        self.pitch = _embedding(dim)
        self.velocity = _embedding(dim) if velocity else None
        nn.init.normal_(self.classes.weight, std=dim**-0.5)

    def forward(self, x: Tensor, conditions: Conditions) -> Tensor:
        """Features (B, dim) -> logits (B,); high is real."""
        condition = self.classes(conditions.get(CLASS, x.device) + 1)
        condition = condition + self.pitch(pitch_inputs(conditions.get(PITCH, x.device)))
        if self.velocity is not None:
            condition = condition + self.velocity(velocity_inputs(conditions.get(VELOCITY, x.device)))
        return self.score(x)[:, 0] + (x * condition).sum(1) * x.shape[1] ** -0.5


def _embedding(dim: int) -> nn.Sequential:
    """Embedding of the inputs of a pitch or a velocity."""
    return nn.Sequential(nn.Linear(SCALAR_INPUTS, EMBEDDED_SCALAR), nn.SiLU(), nn.Linear(EMBEDDED_SCALAR, dim))


class MelDiscriminator(nn.Module):
    """2-D residual network on patches of the mel image, with a projection of the conditions at the end.

    In addition to the whole image it scores local patches after the second stage (Isola 2017), which train the grain.
    """

    def __init__(
        self, *, n_mels: int, frames: int, channels: tuple[int, ...] = (32, 64, 96, 128), blocks: int = 1,
        n_classes: int = 0, features: int = 0, dim: int = 256, velocity: bool = False,
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
        self.projection = Projection(dim=dim, n_classes=n_classes, velocity=velocity)

    def forward(self, mel: Tensor, features: Tensor | None, conditions: Conditions) -> tuple[Tensor, Tensor]:
        """Score mel images.

        Args:
            mel: Normalised log-mel (B, M, L).
            features: Features of bands (B, F, M), if the network takes them.
            conditions: Conditions of the B images.

        Returns:
            Logits of whole images (B,), and of P patches in each (B, P).
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
        return self.projection(F.silu(x), conditions), local
