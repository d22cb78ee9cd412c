"""Seams of loops and joins: what is found at a click, a step and a waveform that goes on."""

import numpy as np
import pytest

from audio_gen.audio.seam import join_seam, seam
from tests.sounds import RATE, noise, sine


def test_a_sine_of_whole_periods_loops_without_a_seam() -> None:
    found = seam(sine(441, 2.0)[None], RATE)
    assert found.step_z < 4 and found.slip_ratio < 1.1 and not found.clicks


def test_a_sine_cut_within_a_period_clicks() -> None:
    found = seam(sine(441, 2.0)[None, :-13], RATE)
    assert found.clicks and found.step_z > 10 and found.peak_jump > 0.5


@pytest.mark.parametrize("at", [RATE // 2, RATE + 77])
def test_a_click_at_a_join_is_found_where_it_is(at: int) -> None:
    wav = (sine(300, 3.0) + 0.01 * noise(3.0))[None].copy()
    assert not join_seam(wav, RATE, at).clicks
    wav[:, at:] += 0.2
    found = join_seam(wav, RATE, at)
    assert found.clicks and found.peak_jump > 0.2 and found.slip > 0.3
    assert not join_seam(wav, RATE, at + RATE).clicks


def test_noise_joined_to_noise_is_no_step_and_to_softer_noise_is_one() -> None:
    loud, other, soft = noise(2.0, seed=1), noise(2.0, seed=2), 0.1 * noise(2.0, seed=3)
    same = [join_seam(np.concatenate([loud, noise(2.0, seed=s)])[None], RATE, len(loud)) for s in range(10, 30)]
    assert np.mean([one.step_z < 2 for one in same]) >= 0.9 and not any(one.clicks for one in same)
    assert join_seam(np.concatenate([loud, soft])[None], RATE, len(loud)).step_z > 10
    assert join_seam(np.concatenate([loud, other])[None], RATE, len(loud)).step_z < 4


def test_both_channels_count() -> None:
    left, right = sine(441, 2.0), sine(441, 2.0)[:-13]
    assert seam(np.stack([left[:-13], right]), RATE).clicks
    both = np.stack([sine(441, 2.0), sine(882, 2.0)])
    both[1, RATE:] += 0.3
    assert join_seam(both, RATE, RATE).clicks


def test_what_is_too_short_to_tell_has_no_step() -> None:
    assert join_seam(noise(0.05)[None], RATE, 3).step_z == 0
