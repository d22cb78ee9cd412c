"""What a model's floor means to a vocoder: silence, and nothing sudden above it."""

import torch
from torch import Tensor

from audio_gen.audio.mel import LOG_FLOOR


def subtract_floor(mel: Tensor, floor: float) -> Tensor:
    """Log-mel without the amplitude of a model's floor.

    A model that clamps mels at a floor cannot tell silence from what is a little above. Were the floor alone taken for
    silence, an error of a hundredth of a nat would switch a faint hiss on; so the floor's amplitude is taken from all
    of it, which far above the floor changes nothing.

    Args:
        mel: Natural-log mel of any shape.
        floor: In nats; what lies there or below is silence.

    Returns:
        Natural-log mel of the same shape, nowhere below LOG_FLOOR.

    Source: Boll 1979 (spectral subtraction).
    """
    left = -torch.expm1(floor - mel.clamp(min=floor))  # of the amplitude, 0 at the floor
    return torch.where(left > 0, mel + left.clamp(min=1e-30).log(), LOG_FLOOR).clamp(min=LOG_FLOOR)
