"""The level of log-mels: measured, set and shifted, with silence left at the floor; and the limits of images."""

import math

import torch
from torch import Tensor

from audio_gen.audio.mel import DB_PER_NAT, MelSpec
from audio_gen.audio.stereo import strip_limits


def level_db(mel: Tensor) -> Tensor:
    """Mean energy of log-mels (B, M, L), in dB (B,)."""
    # Clip by clip: a sum over a batch may round differently, and the ends must be exact.
    energy = torch.stack([torch.logsumexp(2 * clip.flatten(), dim=0) for clip in mel])
    return DB_PER_NAT / 2 * (energy - math.log(mel[0].numel()))


def set_level(mel: Tensor, wanted_db: Tensor, mel_floor: float) -> Tensor:
    """Shift log-mels (B, M, L) to levels (B,): midpoints of a line are often quieter than its ends."""
    return shift_level(mel, wanted_db - level_db(mel), mel_floor)


def shift_level(mel: Tensor, gain_db: Tensor, mel_floor: float) -> Tensor:
    """Shift log-mels (B, M, L) by gains (B,). Values at the floor are silence and stay."""
    return torch.where(mel > mel_floor, mel + gain_db[:, None, None] / DB_PER_NAT, mel).clamp(min=mel_floor)


def limited(image: Tensor, spec: MelSpec, mel_floor: float) -> Tensor:
    """An image (B, rows, L) with the mel at or above its floor, and the rows of stereo within their limits."""
    if not spec.stereo_bands:
        return image.clamp(min=mel_floor)
    low, high = strip_limits(spec.stereo_bands)
    mel, strip = image[:, : spec.n_mels], image[:, spec.n_mels :]
    return torch.cat([mel.clamp(min=mel_floor), strip.clamp(low, high)], dim=1)
