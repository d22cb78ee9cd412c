"""Augmentation of log-mels, for small folders."""

import torch
from torch import Tensor

GAIN_NATS = 0.7  # 6 dB
TILT_NATS = 0.7  # 6 dB from the middle band to the lowest and highest
LOG_STRETCH = 0.25
SHIFT_BANDS = 2.0
CLIPS_AT_FULL_STRENGTH = 150


def auto_strength(clips: int) -> float:
    """Augmentation strength for a number of clips: 1 up to 150 clips, then inversely proportional."""
    return min(1.0, CLIPS_AT_FULL_STRENGTH / clips)


def augment_mel(
    mel: Tensor, frames: Tensor, generator: torch.Generator, *, strength: float, floor: float, shift_bands: bool,
    onset: float = 0.0, change_speed: bool = True,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Change gain, spectral tilt and speed of each clip, and shift its bands slightly; silence stays silent.

    Args:
        mel: Log-mel in nats (B, M, L).
        frames: Frames of each clip without padding (B,).
        generator: Source of all randomness.
        strength: 0 for no change, 1 for the full ranges.
        floor: Nats at and below which a value is silence.
        shift_bands: Shift bands up or down; not for clips with a pitch label.
        change_speed: Also change the speed.
        onset: Frame up to which the speed is unchanged, so that onsets do not move.

    Returns:
        The changed log-mel (B, M, L), and its frames without padding (B,).
    """
    draws = strength * (2 * torch.rand(4, len(mel), 1, generator=generator, device=mel.device) - 1)
    gain, tilt, stretch, shift = draws  # (B, 1) each
    speed = (LOG_STRETCH * stretch * change_speed).exp()
    grid = torch.arange(mel.shape[-1], device=mel.device, dtype=mel.dtype)
    mel = read_linear(mel, torch.where(grid < onset, grid, onset + (grid - onset) * speed))
    if shift_bands:
        bands = torch.arange(mel.shape[1], device=mel.device, dtype=mel.dtype)
        mel = read_linear(mel.mT, bands + SHIFT_BANDS * shift).mT
    slope = torch.linspace(-1, 1, mel.shape[1], device=mel.device)
    change = GAIN_NATS * gain + TILT_NATS * tilt * slope  # (B, M)
    changed = torch.where(mel > floor, mel + change[..., None], mel)
    stretched = onset + (frames - onset).clamp(min=0) / speed[:, 0]
    return changed, stretched.ceil().long().clamp(1, mel.shape[-1])


def read_linear(x: Tensor, position: Tensor) -> Tensor:
    """Interpolate x (B, N, K) linearly along its last axis at positions (B, J) -> (B, N, J)."""
    position = position.clamp(0, x.shape[-1] - 1)
    low = position.long().clamp(max=max(x.shape[-1] - 2, 0))
    high = (low + 1).clamp(max=x.shape[-1] - 1)
    weight = (position - low)[:, None]

    def at(index: Tensor) -> Tensor:
        return x.gather(2, index[:, None].expand(-1, x.shape[1], -1))

    return torch.lerp(at(low), at(high), weight)
