"""Tuning, steady parts, loops and prolonged notes, on sounds whose answers are known."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from audio_gen.instruments.prolong import prolonged
from audio_gen.instruments.steady import levels_db, steady_part
from audio_gen.instruments.sustain_loop import played, sustain_loop
from audio_gen.instruments.tuning import measured_cents, shifted
from audio_gen.midi.score import pitch_to_hz

RATE = 22050


def tone(pitch: float, sec: float = 2.0, *, decay: float = 0.0, attack: float = 0.02, held: float = 1.6) -> Tensor:
    """A tone of six harmonics (1, T) that is held, released, and may decay (in nats per second)."""
    t = np.arange(round(sec * RATE)) / RATE
    x = sum(np.sin(2 * np.pi * k * pitch_to_hz(pitch) * t + k) / k for k in range(1, 7))
    shape = np.minimum(t / attack, 1) * np.exp(-decay * t) * np.clip((held + 0.2 - t) / 0.2, 0, 1)
    return torch.from_numpy((0.2 * x * shape).astype(np.float32))[None]


@pytest.mark.parametrize("pitch", [40, 52.5, 60, 71, 84])
@pytest.mark.parametrize("cents", [-37, 0, 12])
def test_a_tone_is_measured_to_two_cents(pitch: float, cents: float) -> None:
    found = measured_cents(tone(pitch + cents / 100), RATE, pitch)
    assert found == pytest.approx(cents, abs=2)


def test_noise_and_silence_have_no_pitch() -> None:
    noise = torch.from_numpy(np.random.default_rng(0).normal(0, 0.1, (1, RATE)).astype(np.float32))
    assert measured_cents(noise, RATE, 60) is None
    assert measured_cents(torch.zeros(1, RATE), RATE, 60) is None


def test_a_shift_of_an_octave_is_half_as_long() -> None:
    up = shifted(tone(60), RATE, 12)
    assert up.shape[-1] == pytest.approx(RATE, abs=2)
    assert measured_cents(up, RATE, 72) == pytest.approx(0, abs=2)


def test_the_steady_part_lies_between_attack_and_release() -> None:
    steady = steady_part(levels_db(tone(60, attack=0.3).numpy(), RATE), 100.0)
    assert steady is not None and steady.sustained
    assert 15 <= steady.first <= 45 and 145 <= steady.stop <= 175


def test_a_note_that_decays_is_not_sustained() -> None:
    steady = steady_part(levels_db(tone(60, decay=2.0).numpy(), RATE), 100.0)
    assert steady is not None and not steady.sustained
    assert steady.slope_db_per_sec == pytest.approx(-2 * 20 / math.log(10), rel=0.25)
    assert sustain_loop(tone(60, decay=2.0), RATE, pitch_to_hz(60)) is None


def test_a_click_has_no_steady_part() -> None:
    x = torch.zeros(1, RATE)
    x[0, 100] = 1.0
    assert sustain_loop(x, RATE, None) is None


@pytest.mark.parametrize("pitch", [43, 60, 77])
def test_a_loop_does_not_click(pitch: int) -> None:
    wav = tone(pitch) + 0.002 * torch.randn(1, 2 * RATE, generator=torch.Generator().manual_seed(0))
    found = sustain_loop(wav, RATE, pitch_to_hz(pitch))
    assert found is not None
    out, loop = found
    peak = float(out.abs().max())
    # The wave before the loop's end is that before its start, so that nothing jumps at the join ..
    assert float((out[:, loop.stop - 1] - out[:, loop.first - 1]).abs().max()) < 0.01 * peak
    # .. nor where a player leaves the loop.
    usual = float(wav.diff().abs().max())
    assert float((out[:, loop.stop] - out[:, loop.stop - 1]).abs().max()) < 1.5 * usual
    held = played(out, loop, 5 * RATE)
    assert held.shape[-1] == 5 * RATE and float(held.diff().abs().max()) < 1.5 * usual
    levels = levels_db(held[:, RATE // 2 :].numpy(), RATE)[3:-3]
    assert np.ptp(levels) < 1.5
    # It is a whole number of periods.
    periods = (loop.stop - loop.first) * pitch_to_hz(pitch) / RATE
    assert abs(periods - round(periods)) < 0.08


def mel_of(levels: Tensor, rows: int = 8) -> Tensor:
    """A log-mel (rows, L) of a level in nats for each frame."""
    return levels[None].expand(rows, -1) + 0.05 * torch.randn(
        rows, len(levels), generator=torch.Generator().manual_seed(1)
    )


def test_a_held_note_keeps_its_level_and_its_release() -> None:
    levels = torch.cat([torch.linspace(-4, 0, 5), torch.zeros(60), torch.linspace(0, -8, 10)])
    mel = mel_of(levels)
    out = prolonged(mel, 8, 200, 40.0, -9.0, seed=0)
    assert out.shape == (8, 200 + 75 - 63) or abs(out.shape[1] - 210) < 12
    assert torch.equal(out[:, :30], mel[:, :30]) and torch.equal(out[:, -10:], mel[:, -10:])
    assert float(out[:, 20:190].mean(0).abs().max()) < 0.3
    # Nothing repeats at equal distances: the walk turns at random.
    assert not torch.equal(out[:, 70:90], out[:, 90:110])


def test_a_decaying_note_goes_on_to_decay() -> None:
    levels = torch.linspace(0, -3, 60)  # 3 nats in 1.5 s
    out = prolonged(mel_of(levels), 8, 120, 40.0, -9.0, seed=0)
    assert float(out[:, 110:118].mean()) == pytest.approx(-5.7, abs=0.7)
    assert float(out.min()) >= -9.0


def test_a_short_note_and_silence_stay() -> None:
    mel = mel_of(torch.linspace(-4, 0, 5))
    assert prolonged(mel, 8, 100, 40.0, -9.0, seed=0) is mel
    held = mel_of(torch.zeros(60))
    assert prolonged(held, 8, 30, 40.0, -9.0, seed=0) is held
