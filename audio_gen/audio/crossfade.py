"""Fade from one sound to another at constant power."""

import torch
from torch import Tensor


def crossfade(old: Tensor, new: Tensor, correlation: float) -> Tensor:
    """Fade from `old` (C, n) to `new` (C, n), with the loss of power by their correlation, above -1, made up for."""
    fade = torch.linspace(0, 1, old.shape[-1])
    power = fade**2 + (1 - fade) ** 2 + 2 * correlation * fade * (1 - fade)
    return ((1 - fade) * old + fade * new) * power.rsqrt()
