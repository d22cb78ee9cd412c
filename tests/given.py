"""Conditions of batches, shortly."""

import math

from torch import Tensor

from audio_gen.models.contract import CLASS, PITCH, Conditions


def given(class_id: Tensor, pitch: Tensor) -> Conditions:
    """Classes (B,) and pitches (B,) of a batch."""
    return Conditions(len(class_id), {CLASS: class_id, PITCH: pitch})


def one(class_id: int = -1, pitch: float = math.nan) -> Conditions:
    """Class and pitch of a batch of one."""
    return Conditions.one({CLASS: class_id, PITCH: pitch})
