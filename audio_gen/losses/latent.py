"""Losses on latents: pure, unweighted scalars."""

from torch import Tensor


def kl_divergence(mu: Tensor, logvar: Tensor, free_nats: float = 0.0) -> Tensor:
    """KL(N(mu, exp(logvar)) || N(0, 1)), summed over dimensions and averaged over the batch, in nats.

    Args:
        mu: (B, D).
        logvar: (B, D).
        free_nats: KL of each dimension without a gradient (free bits, Kingma 2016).

    Source: Kingma and Welling 2014, appendix B.
    """
    per_dimension = 0.5 * (mu.square() + logvar.exp() - 1 - logvar).mean(0)
    return per_dimension.clamp(min=free_nats).sum()


def active_dimensions(mu: Tensor, threshold: float = 0.01) -> int:
    """Number of dimensions of mu (N, D) with a variance above `threshold` over the clips (Burda 2016)."""
    return int((mu.var(0, unbiased=False) > threshold).sum())
