"""Loudness by BS.1770: known levels of a sine, of one channel and of two."""

import math

import numpy as np
import pytest
import torch

from audio_gen.audio.loudness import loudness_lufs
from tests.sounds import noise, sine

RATE = 48000
SINE = torch.from_numpy(sine(997, 2.0, RATE, amplitude=1.0))


def test_a_full_scale_sine_in_one_of_two_channels() -> None:
    """The example of the standard: 0 dBFS at 997 Hz in the left channel reads -3.01 LUFS."""
    assert loudness_lufs(torch.stack([SINE, 0 * SINE]), RATE) == pytest.approx(-3.01, abs=0.01)


@pytest.mark.parametrize("sec", [0.1, 2.0])
def test_one_channel_is_as_loud_in_any_shape(sec: float) -> None:
    wav = torch.from_numpy(noise(sec, RATE))
    assert loudness_lufs(wav, RATE) == loudness_lufs(wav[None], RATE)


@pytest.mark.parametrize("sec", [0.1, 2.0])
def test_powers_of_channels_add(sec: float) -> None:
    wav = torch.from_numpy(np.stack([noise(sec, RATE, seed=1), 0.1 * noise(sec, RATE, seed=1)]))
    one, both = loudness_lufs(wav[0], RATE), loudness_lufs(wav, RATE)
    assert both - one == pytest.approx(10 * math.log10(1.01), abs=1e-3)
    equal = wav[:1].expand(2, -1)
    assert loudness_lufs(equal, RATE) - one == pytest.approx(10 * math.log10(2), abs=1e-3)
    assert loudness_lufs(equal * torch.tensor([[1], [-1]]), RATE) == pytest.approx(loudness_lufs(equal, RATE))


def test_silence_has_no_loudness() -> None:
    assert math.isnan(loudness_lufs(torch.zeros(2, RATE), RATE))
