"""Slaney's mel scale, as in torchaudio and librosa, which import slowly."""

import math

import torch
from torch import Tensor

# Slaney's scale: linear up to 1 kHz, then 27 mel for each factor of 6.4.
_HZ_PER_MEL, _LOG_FROM_HZ, _NATS_PER_MEL = 200 / 3, 1000.0, math.log(6.4) / 27
_LOG_FROM_MEL = _LOG_FROM_HZ / _HZ_PER_MEL


def hz_to_mel(hz: float) -> float:
    """A frequency on Slaney's mel scale."""
    return hz / _HZ_PER_MEL if hz < _LOG_FROM_HZ else _LOG_FROM_MEL + math.log(hz / _LOG_FROM_HZ) / _NATS_PER_MEL


def mel_to_hz(mel: Tensor) -> Tensor:
    """Frequencies in Hz of places on Slaney's mel scale, any shape."""
    upper = _LOG_FROM_HZ * torch.exp(_NATS_PER_MEL * (mel - _LOG_FROM_MEL))
    return torch.where(mel >= _LOG_FROM_MEL, upper, _HZ_PER_MEL * mel)
