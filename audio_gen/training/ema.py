"""Exponential moving average (EMA) of the weights, for validation and export."""

import copy

import torch
from torch import nn

RAMP_SHARE = 0.1  # longest half-life, as a share of the images seen so far


class Ema:
    """The EMA of a module's parameters except frozen ones; buffers are copied.

    The decay ramps up with the number of updates, so that short runs average over their own length.
    """

    def __init__(
        self, module: nn.Module, decay: float, half_life_images: float | None = None, batch_size: int = 1
    ) -> None:
        """Start from the module's weights; `half_life_images`, with `batch_size` images a step, replaces `decay`."""
        self.module = copy.deepcopy(module).eval().requires_grad_(False)
        self.decay, self.half_life_images, self.batch_size = decay, half_life_images, batch_size

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Move towards `module` after step number `step`, from 0."""
        pairs = zip(self.module.parameters(), module.parameters(), strict=True)
        moving = [(mine, theirs) for mine, theirs in pairs if theirs.requires_grad]  # frozen ones are equal in both
        if moving:
            mine, theirs = map(list, zip(*moving, strict=True))
            torch._foreach_lerp_(mine, theirs, 1 - self.decay_at(step))
        for copied, buffer in zip(self.module.buffers(), module.buffers(), strict=True):
            copied.copy_(buffer)

    def decay_at(self, step: int) -> float:
        """The decay after step number `step`, from 0. Source of `half_life_images`: Karras 2020 (StyleGAN2-ADA)."""
        if self.half_life_images is None:
            return min(self.decay, (1 + step) / (10 + step))
        half_life = min(self.half_life_images, RAMP_SHARE * self.batch_size * (step + 1))
        return 0.5 ** (self.batch_size / max(half_life, 1e-8))
