"""A discriminator of log-mels along time: each moment is judged by all bands of the frames around it."""

import torch
from torch import Tensor, nn

from audio_gen.models.codecs.patches import STRIDE, patched
from audio_gen.models.contract import CLASS, Conditions
from audio_gen.models.time_blocks import TimeBlock

GATE = 0.5  # of a new block


class TimeDiscriminator(nn.Module):
    """Blocks along time on patches of all bands and four frames; each patch has a logit, given the class.

    Source: PatchGAN, Isola 2017; projection discriminator, Miyato and Koyama 2018.
    """

    def __init__(self, *, n_mels: int, n_classes: int, width: int = 256, depth: int = 3, kernel: int = 5) -> None:
        """For mel images (B, n_mels, L), L a multiple of 4."""
        super().__init__()
        self.stem = nn.Linear(STRIDE * n_mels, width)
        self.blocks = nn.ModuleList(TimeBlock(channels=width, kernel=kernel) for _ in range(depth))
        for block in self.blocks:
            assert isinstance(block.gate, Tensor)
            nn.init.constant_(block.gate, GATE)
        self.norm = nn.LayerNorm(width)
        self.score = nn.Linear(width, 1)
        self.classes = nn.Embedding(n_classes, width)
        nn.init.normal_(self.classes.weight)

    def forward(self, mel: Tensor, features: Tensor | None, conditions: Conditions) -> tuple[Tensor, Tensor]:
        """Score mel images.

        Args:
            mel: Normalised log-mel (B, M, L).
            features: Not used.
            conditions: Conditions of the B images; all classes are known.

        Returns:
            Mean logits of images (B,), and those of L / 4 patches in each (B, L / 4).
        """
        h = self.stem(patched(mel))
        for block in self.blocks:
            h = block(h)
        h = self.norm(h)
        classes = self.classes(conditions.get(CLASS, h.device))
        logits = self.score(h)[..., 0] + torch.einsum("bnc,bc->bn", h, classes) * h.shape[2] ** -0.5
        return logits.mean(1), logits
