"""Changes of training sounds as a condition, so that new sounds are like the unchanged ones."""

import torch
from torch import Tensor, nn

from audio_gen.models.contract import GAIN, SPEED, Conditions

SCALES = {SPEED: 2.0, GAIN: 6.0}  # semitones and dB that are 1 in the network


class Changes(nn.Module):
    """Speed and gain of a window's sound as features; zero for a sound without changes.

    Source: Karras et al. 2022, appendix F.2 (augmentations that do not leak into samples).
    """

    def __init__(self, width: int) -> None:
        """Features of this width."""
        super().__init__()
        self.weight = nn.Linear(len(SCALES), width, bias=False)
        nn.init.zeros_(self.weight.weight)

    def forward(self, conditions: Conditions, device: torch.device) -> Tensor:
        """Features (B, width) of the changes in conditions of B windows; an unknown one is none."""
        values = [conditions.get(name, device).nan_to_num(0.0) / scale for name, scale in SCALES.items()]
        features: Tensor = self.weight(torch.stack(values, dim=1))
        return features
