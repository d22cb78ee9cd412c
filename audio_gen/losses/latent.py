"""Losses on latents: pure, unweighted scalars."""

from torch import Tensor


def kl_divergence(mu: Tensor, logvar: Tensor, free_nats: float = 0.0) -> Tensor:
    """KL(N(mu, exp(logvar)) || N(0, 1)), summed over dimensions and averaged over the batch, in nats.

    Args:
        mu: (B, D).
        logvar: (B, D).
        free_nats: What each dimension may cost on average without being pushed down (Kingma 2016, free bits).

    Source: Kingma and Welling 2014, appendix B.
    """
    per_dimension = 0.5 * (mu.square() + logvar.exp() - 1 - logvar).mean(0)
    return per_dimension.clamp(min=free_nats).sum()


def active_dimensions(mu: Tensor, threshold: float = 0.01) -> int:
    """How many dimensions of mu (N, D) vary by more than `threshold` over the clips (Burda 2016)."""
    return int((mu.var(0, unbiased=False) > threshold).sum())
