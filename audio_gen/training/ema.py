"""Averaged weights, which are what is validated and exported."""

import copy

import torch
from torch import nn


class Ema:
    """An exponential moving average of a module's parameters; buffers are copied.

    The decay ramps up with the number of updates, so that short runs are averaged over what they have.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        """Start from the module as it is."""
        self.module = copy.deepcopy(module).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Move towards `module` after step number `step`, from 0."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.module.parameters()), list(module.parameters()), 1 - decay)
        for mine, theirs in zip(self.module.buffers(), module.buffers(), strict=True):
            mine.copy_(theirs)
