"""Clamp at a floor, with a gradient that can still raise values."""

from typing import Any

import torch
from torch import Tensor


class _Floored(torch.autograd.Function):
    """Clamp from below; the gradient passes where it raises a value and stops where it lowers one below the floor."""

    @staticmethod
    def forward(ctx: Any, raw: Tensor, floor: float) -> Tensor:
        ctx.save_for_backward(raw < floor)
        return raw.clamp(min=floor)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (below,) = ctx.saved_tensors
        return gradients[0].masked_fill(below & (gradients[0] > 0), 0.0), None


def floored(raw: Tensor, floor: float) -> Tensor:
    """`raw` clamped at `floor`, so that silence can end: values below have a gradient, but only upwards.

    With one in both directions nothing holds what is silent already, and it sinks until gradients overflow.
    """
    return _Floored.apply(raw, floor)
