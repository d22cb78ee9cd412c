"""Where sounds begin and end: known answers, to the sample."""

import math

import numpy as np
import pytest

from audio_gen.audio.onset import envelope, fade_in, lead_samples, onset, rise_sec, silent_until, sound_end
from tests.sounds import noise

RATE = 44100
BEGIN = 3000


def carrier(samples: int) -> np.ndarray:
    """Ones of alternating sign: every sample is at full level."""
    return np.where(np.arange(samples) % 2, -1.0, 1.0)


def hit(before: int = BEGIN, samples: int = RATE // 2) -> np.ndarray:
    """Silence, then full level that decays by 60 dB in half a second."""
    decay = 10 ** (-3 * np.arange(samples) / (RATE // 2))
    return np.concatenate([np.zeros(before), carrier(samples) * decay]).astype(np.float32)


@pytest.mark.parametrize("before", [0, 1, 44, BEGIN])
def test_a_hit_begins_at_its_first_sample(before: int) -> None:
    assert onset(hit(before), RATE) == silent_until(hit(before), RATE) == before


@pytest.mark.parametrize(("hiss_db", "audible"), [(-50.5, BEGIN), (-45, 0)])
def test_a_hit_after_hiss_begins_at_the_hit(hiss_db: float, audible: int) -> None:
    hiss = 10 ** (hiss_db / 20) * carrier(BEGIN)
    wav = hit()
    wav[:BEGIN] = hiss
    assert onset(wav, RATE) == BEGIN
    assert silent_until(wav, RATE) == audible  # hiss within 50 dB of the peak is part of the sound


def test_level_does_not_matter() -> None:
    assert onset(1e-4 * hit(), RATE) == onset(100 * hit(), RATE) == BEGIN


def test_a_swell_begins_at_its_start() -> None:
    ramp = np.linspace(0, 1, RATE) * carrier(RATE)  # -60 dB is reached after 1 ms, -40 dB after 10
    wav = np.concatenate([np.zeros(BEGIN), ramp]).astype(np.float32)
    assert onset(wav, RATE) == BEGIN + math.floor(0.001 * (RATE - 1)) + 1
    fast = np.concatenate([np.zeros(BEGIN), np.linspace(0, 1, 400), np.ones(RATE)])  # a hit: 9 ms to the top
    assert onset(fast, RATE) == BEGIN + math.floor(0.01 * 399) + 1


@pytest.mark.parametrize("samples", [0, 1, 1000])
def test_silence_begins_at_0_and_ends_there(samples: int) -> None:
    silence = np.zeros(samples, np.float32)
    assert onset(silence, RATE) == silent_until(silence, RATE) == sound_end(silence) == 0
    assert math.isnan(rise_sec(silence, RATE))


@pytest.mark.parametrize(("below_db", "end"), [(60, 22050), (30, 11025), (20, 7350)])
def test_a_sound_ends_where_it_has_decayed(below_db: float, end: int) -> None:
    assert sound_end(hit(), below_db) == pytest.approx(BEGIN + end, abs=1)
    assert sound_end(1e-3 * hit(), below_db) == sound_end(hit(), below_db)


def test_a_sound_that_goes_on_ends_with_its_last_sample() -> None:
    assert sound_end(noise(0.1)) == len(noise(0.1))


@pytest.mark.parametrize("rise_ms", [5, 20])
def test_the_rise_of_a_ramp(rise_ms: float) -> None:
    ramp = np.concatenate([np.linspace(0, 1, round(rise_ms * RATE / 1000)), np.ones(RATE // 10)])
    wav = np.concatenate([np.zeros(BEGIN), ramp * carrier(len(ramp))])
    assert rise_sec(wav, RATE) == pytest.approx(0.8e-3 * rise_ms, abs=0.3e-3)  # 10 to 90 %


def test_the_rise_of_a_step_is_that_of_the_envelope() -> None:
    # A mean square over 1 ms grows evenly: from 0.01 to 0.81 in 0.8 ms.
    assert rise_sec(hit(), RATE) == pytest.approx(0.8e-3, abs=0.05e-3)


def test_the_envelope_of_a_sine() -> None:
    level = envelope(np.sin(2 * np.pi * 2000 * np.arange(RATE) / RATE), RATE)
    assert level.shape == (RATE,)
    assert level[100:-100] == pytest.approx(1 / math.sqrt(2), abs=0.01)


def test_a_fade_in() -> None:
    wav = np.ones((2, 500), np.float32)
    fade_in(wav, RATE)
    assert (wav[:, 0] == 0).all() and (wav[:, 22:] == 1).all()
    assert wav[0, 11] == pytest.approx(0.5) and (np.diff(wav[0, :23]) > 0).all()
    short = np.ones(3, np.float32)
    fade_in(short, RATE)
    assert short[0] == 0 and short.max() < 1
    assert lead_samples(RATE) == 44
