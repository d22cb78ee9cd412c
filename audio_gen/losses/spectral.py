"""Losses on spectrograms and waves: pure, unweighted scalars."""

import torch
from torch import Tensor, nn


def mel_l1(made: Tensor, target: Tensor, floor: float, weight: Tensor | None = None) -> Tensor:
    """Mean absolute difference of log-mels in nats, where everything below the floor counts as the floor.

    Args:
        made: (B, M, L), not clamped.
        target: (B, M, L).
        floor: In nats.
        weight: How much each frame counts (B, L); None counts all alike.

    Returns:
        A scalar. Where both are below the floor the difference is zero and so is its gradient; where only `made` is, it
        still has one.
    """
    below = (target <= floor) & (made <= floor)
    difference = (made - target.clamp(min=floor)).abs().masked_fill(below, 0.0)
    if weight is None:
        return difference.mean()
    return (difference.mean(1) * weight).sum() / weight.sum().clamp(min=1e-6)


def difference_l1(made: Tensor, target: Tensor, floor: float, dim: int) -> Tensor:
    """Mean absolute difference of first differences along `dim` (-1: time, onsets; -2: frequency, partials), in nats."""
    made, target = made.clamp(min=floor), target.clamp(min=floor)
    return (made.diff(dim=dim) - target.diff(dim=dim)).abs().mean()


class MultiResolutionMel(nn.Module):
    """Log-mel L1 and spectral convergence over several STFT sizes (auraloss; Yamamoto 2020).

    Bands grow with the size, so that every band has bins.
    """

    SIZES = {256: 20, 512: 40, 1024: 80, 2048: 128, 4096: 160}

    def __init__(self, sample_rate: int) -> None:
        """For waves at `sample_rate` Hz."""
        super().__init__()
        from auraloss.freq import STFTLoss

        self.losses = nn.ModuleList(
            STFTLoss(
                fft_size=size, hop_size=size // 4, win_length=size, scale="mel", n_bins=bands, sample_rate=sample_rate,
                w_sc=0.0, w_log_mag=1.0, w_lin_mag=0.0, eps=1e-5 ** 2,
            )
            for size, bands in self.SIZES.items()
        )  # fmt: skip

    def forward(self, made: Tensor, target: Tensor) -> Tensor:
        """made and target (B, 1, T) -> scalar."""
        return torch.stack([loss(made, target) for loss in self.losses]).mean()
