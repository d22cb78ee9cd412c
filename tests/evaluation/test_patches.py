"""The front end of YAMNet and VGGish: where a sine lands, how many patches there are, what is left out."""

import math

import pytest
import torch

from audio_gen.evaluation.embeddings.patches import N_MELS, cut_patches
from tests.sounds import noise, sine

RATE = 16000


def mel(hz: float) -> float:
    return 1127 * math.log1p(hz / 700)


@pytest.mark.parametrize("f0_hz", [440.0, 1000.0, 5000.0])
def test_a_sine_lights_its_band(f0_hz: float) -> None:
    patch = cut_patches(torch.from_numpy(sine(f0_hz, 1.0, RATE)), 0.001, 48)[0]
    # Band i has its peak at the i + 1st of 66 points that are evenly spaced in mel.
    band = (mel(f0_hz) - mel(125)) / (mel(7500) - mel(125)) * (N_MELS + 1) - 1
    assert abs(int(patch.mean(0).argmax()) - band) < 1


def test_the_offset_is_the_floor() -> None:
    assert torch.equal(cut_patches(torch.zeros(RATE), 0.001, 48), torch.full((1, 96, 64), 0.001).log())


@pytest.mark.parametrize(
    ("frames", "patches"), [(1, 1), (96, 1), (119, 1), (121, 2), (144, 2), (169, 3), (192, 3), (10_000, 207)]
)
def test_patches_cover_the_clip_but_for_half_a_hop(frames: int, patches: int) -> None:
    samples = 512 + (frames - 1) * 160
    assert cut_patches(torch.from_numpy(noise(samples / RATE, RATE)), 0.001, 48).shape == (patches, 96, 64)


def test_patches_are_every_hop_of_the_whole() -> None:
    wav = torch.from_numpy(noise(3.0, RATE))
    whole = cut_patches(wav, 0.001, 48)
    later = cut_patches(wav[2 * 48 * 160 :], 0.001, 48)
    torch.testing.assert_close(whole[2:], later)


def test_silent_patches_are_left_out_unless_there_is_no_other() -> None:
    wav = torch.zeros(10 * RATE)
    assert len(cut_patches(wav, 0.001, 96)) == 10
    wav[:100] = 0.5
    assert len(cut_patches(wav, 0.001, 96)) == 1
