"""Adversarial losses and gradient penalties; logits are high for real."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def relativistic_d(logits_real: Tensor, logits_fake: Tensor) -> Tensor:
    """The discriminator's loss on pairs of logits (B,). Source: Jolicoeur-Martineau 2018; Huang 2024, eq. 2."""
    return F.softplus(logits_fake - logits_real).mean()


def relativistic_g(logits_real: Tensor, logits_fake: Tensor) -> Tensor:
    """The generator's loss on pairs of logits (B,)."""
    return F.softplus(logits_real - logits_fake).mean()


def gradient_penalty(logits: Tensor, *inputs: Tensor) -> Tensor:
    """Half the mean squared norm of the gradient of logits (B,) with respect to inputs (B, ...), differentiable.

    On real inputs it is R1, on fake ones R2. Source: Mescheder 2018, eq. 9; Huang 2024.
    """
    gradients = torch.autograd.grad(logits.sum(), inputs, create_graph=True)
    return 0.5 * torch.stack([g.float().square().flatten(1).sum(1).mean() for g in gradients]).sum()


def hinge_d(logits_real: Tensor, logits_fake: Tensor) -> Tensor:
    """The discriminator's hinge loss on logits of any shape. Source: Lim and Ye 2017."""
    return F.relu(1 - logits_real).mean() + F.relu(1 + logits_fake).mean()


def hinge_g(logits_fake: Tensor) -> Tensor:
    """The generator's hinge loss on logits of any shape, which is 0 above a logit of 1."""
    return F.relu(1 - logits_fake).mean()


def feature_matching(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """Mean L1 of a discriminator's activations, relative to the real ones. Source: Zeghidour 2021."""
    distances = [
        (r.detach() - f).abs().mean() / r.detach().abs().mean().clamp(min=1e-6) for r, f in zip(real, fake, strict=True)
    ]
    return torch.stack(distances).mean()
