"""Likeness: 0 for the same sound, whatever its level, its place and the silence around it."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from audio_gen.audio import similarity

RATE = 44_100


def hit(seed: int, decay_sec: float = 0.1, seconds: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    time = torch.arange(round(seconds * RATE)) / RATE
    return 0.5 * torch.randn(len(time), generator=generator) * torch.exp(-time / decay_sec)


def apart(a: Tensor, b: Tensor, rate_b: int = RATE) -> float:
    return float(similarity.distances(similarity.view(a, RATE)[None], similarity.view(b, rate_b)[None]))


def test_a_view_has_one_size_and_its_peak_at_0_db() -> None:
    for seconds in (0.01, 1.0, 4.0):
        found = similarity.view(hit(0, seconds=seconds), RATE)
        assert found.shape == (similarity.BANDS, similarity.FRAMES) and found.dtype == torch.float32
        assert float(found.max()) == 0 and float(found.min()) == similarity.FLOOR_DB


@pytest.mark.parametrize("gain_db", [-6, 6, -40])
def test_level_does_not_count(gain_db: float) -> None:
    assert apart(hit(0), hit(0) * 10 ** (gain_db / 20)) < 0.01


@pytest.mark.parametrize("shift_sec", [0.005, 0.1, 1.0])
def test_silence_around_a_sound_does_not_count(shift_sec: float) -> None:
    silence = torch.zeros(round(shift_sec * RATE))
    assert apart(hit(0), torch.cat([silence, hit(0), silence])) < 0.01


def test_a_short_hit_is_not_diluted_by_the_silence_after_it() -> None:
    # Both bands differ by 6 dB throughout; a mean over the whole 1.5 s would be a tenth of that.
    time = torch.arange(round(0.1 * RATE)) / RATE
    low, high = (torch.sin(2 * math.pi * hz * time) for hz in (500, 5000))
    assert 2 < apart(low + high, low + 0.5 * high) < 6.1


def test_other_noise_is_further_than_the_same_and_nearer_than_another_decay() -> None:
    same, other, longer = apart(hit(0), hit(0)), apart(hit(0), hit(1)), apart(hit(0), hit(0, decay_sec=0.5))
    assert same == 0 < other < longer


def test_silence_is_equal_to_itself_and_far_from_sound() -> None:
    silence = torch.zeros(RATE)
    assert apart(silence, silence) == 0 and apart(silence, hit(0)) > 10 and apart(torch.zeros(0), silence) == 0


def test_clips_of_two_rates_are_compared_where_both_have_bands() -> None:
    time = np.arange(RATE) / RATE
    wav = torch.from_numpy(np.sin(2 * np.pi * 440 * time) * np.exp(-8 * time)).float()
    assert similarity.view(wav, 22_050).isnan().any() and not similarity.view(wav, RATE).isnan().any()
    assert apart(wav, wav[::2], 22_050) < 1


def test_distances_are_those_of_the_definition() -> None:
    views = torch.stack([similarity.view(hit(i, decay_sec=0.05 + 0.02 * i), RATE) for i in range(70)])
    found = similarity.distances(views, views[:3])
    assert found.shape == (70, 3) and torch.all(found.diagonal() == 0)
    a, best = views[40, :, similarity.SHIFTS : similarity.SHIFTS + similarity.COMPARED], []
    for shift in range(2 * similarity.SHIFTS + 1):
        b = views[1, :, shift : shift + similarity.COMPARED]
        sounds = (a > similarity.FLOOR_DB) | (b > similarity.FLOOR_DB)
        best.append(float((a - b).abs()[sounds].mean()))
    assert float(found[40, 1]) == pytest.approx(min(best), rel=1e-4)
