"""Losses on spectrograms and waves: pure, unweighted scalars."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from audio_gen.audio.distance import BANDS_BY_N_FFT, CONVERGENCE_WEIGHT
from audio_gen.audio.mel import MEL_FLOOR, MelSpec, mel_filters

QUIET_NORM = 1e-2  # of a magnitude spectrogram; a quieter clip is silence


def mel_l1(generated: Tensor, target: Tensor, floor: float | Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean absolute difference of log-mels in nats; values below the floor count as the floor.

    Args:
        generated: (B, M, L), not clamped.
        target: (B, M, L).
        floor: In nats; a number, or one of each row (M, 1).
        weight: Weight of each frame (B, L); None for equal weights.

    Returns:
        A scalar. If both are below the floor, difference and gradient are zero.
    """
    below = (target <= floor) & (generated <= floor)
    difference = (generated - target.clamp(min=floor)).abs().masked_fill(below, 0.0)
    if weight is None:
        return difference.mean()
    return (difference.mean(1) * weight).sum() / weight.sum().clamp(min=1e-6)


def difference_l1(generated: Tensor, target: Tensor, floor: float | Tensor, dim: int) -> Tensor:
    """Mean absolute difference of first differences along `dim` (-1: time; -2: frequency), in nats."""
    generated, target = generated.clamp(min=floor), target.clamp(min=floor)
    return (generated.diff(dim=dim) - target.diff(dim=dim)).abs().mean()


def pooled_l1(generated: Tensor, target: Tensor, size: int) -> Tensor:
    """L1 of log-mels (B, M, L) averaged over squares of `size` bands and frames, in nats: shape without grain."""
    return (F.avg_pool2d(generated, size) - F.avg_pool2d(target, size)).abs().mean()


class _Floored(torch.autograd.Function):
    """Clamp from below; the gradient passes where it raises a value and stops where it lowers one below the floor."""

    @staticmethod
    def forward(ctx: Any, raw: Tensor, floor: float | Tensor) -> Tensor:
        ctx.save_for_backward(raw < floor)
        return raw.clamp(min=floor)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (below,) = ctx.saved_tensors
        return gradients[0].masked_fill(below & (gradients[0] > 0), 0.0), None


def floored(raw: Tensor, floor: float | Tensor) -> Tensor:
    """`raw` clamped at `floor`; values below the floor have a gradient only upwards, so that silence can end.

    With a gradient in both directions, silent values sink until gradients overflow.
    """
    return _Floored.apply(raw, floor)


class MultiResolutionMel(nn.Module):
    """The vocoder's distance as a loss: log-mel L1 and half the spectral convergence, over several STFT sizes.

    Like `audio_gen.audio.distance.mrmel`, but with the spectral convergence of each clip. Unlike auraloss's STFTLoss,
    it is flat below MEL_FLOOR.
    Source: Yamamoto 2020 (Parallel WaveGAN), on mel bands.
    """

    def __init__(self, sample_rate: int) -> None:
        """For waves at `sample_rate` Hz."""
        super().__init__()
        for size, bands in BANDS_BY_N_FFT.items():
            self.register_buffer(f"window_{size}", torch.hann_window(size), persistent=False)
            filters = mel_filters(MelSpec(sample_rate, size, size // 4, bands))
            self.register_buffer(f"filters_{size}", filters, persistent=False)

    def forward(self, generated: Tensor, target: Tensor, sizes: Iterable[int] = BANDS_BY_N_FFT) -> Tensor:
        """generated and target (B, 1, T) -> scalar, the mean over some of the STFT sizes."""
        return torch.stack([self._at(size, generated[:, 0], target[:, 0]) for size in sizes]).mean()

    def _at(self, size: int, generated: Tensor, target: Tensor) -> Tensor:
        window, filters = self.get_buffer(f"window_{size}"), self.get_buffer(f"filters_{size}")
        with torch.no_grad():
            real = torch.stft(target, size, size // 4, window=window, return_complex=True).abs()
            log_real = (filters @ real).clamp(min=MEL_FLOOR).log()
        spectrum = torch.view_as_real(torch.stft(generated, size, size // 4, window=window, return_complex=True))
        amplitude = (spectrum.square().sum(-1) + MEL_FLOOR**2).sqrt()
        log_l1 = ((filters @ amplitude).clamp(min=MEL_FLOOR).log() - log_real).abs().mean()
        norm = real.flatten(1).norm(dim=1).clamp(min=QUIET_NORM)
        return log_l1 + CONVERGENCE_WEIGHT * ((amplitude - real).flatten(1).norm(dim=1) / norm).mean()
