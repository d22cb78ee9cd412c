"""Pitch of made clips against what was wanted: tones of known pitch, noise, silence."""

import sys

import numpy as np
import pytest
import torch
from torch import Tensor

from audio_gen.errors import ConfigError
from audio_gen.evaluation.pitch import measure_pitch, track
from tests.sounds import noise, pluck, sine

RATE = 22050
Clip = tuple[Tensor, int]


def hz(midi: float) -> float:
    return 440 * 2 ** ((midi - 69) / 12)


def tone(midi: float, sec: float = 0.4, rate: int = RATE) -> Clip:
    return torch.from_numpy(sine(hz(midi), sec, rate)), rate


def gliding(midi: float, semitones: float, sec: float = 0.8) -> Clip:
    f0_hz = np.geomspace(hz(midi), hz(midi + semitones), round(sec * RATE))
    return torch.from_numpy(np.sin(2 * np.pi * np.cumsum(f0_hz) / RATE).astype(np.float32)), RATE


def test_a_tone_is_followed() -> None:
    wav = torch.cat([torch.from_numpy(sine(440, 0.5)), torch.zeros(RATE // 2)])
    found = track(wav, RATE, f_min_hz=200, f_max_hz=900)
    assert found.f0_hz.shape == found.voiced.shape == found.sounding.shape == (1 + len(wav) // 512,)
    assert found.sounding[:20].all() and not found.sounding[24:].any()
    np.testing.assert_allclose(found.f0_hz[2:18], 440, rtol=0.005)
    assert found.voiced[2:18].all() and not (found.voiced & found.sounding)[24:].any()


def test_a_narrow_range_is_no_error() -> None:
    found = track(*tone(69), f_min_hz=420, f_max_hz=460)
    assert np.median(found.f0_hz[found.voiced]) == pytest.approx(440, rel=0.005)


@pytest.mark.parametrize("midi", [24.0, 60.3, 84.0, 102.0, 107.0])
@pytest.mark.parametrize("rate", [22050, 44100])
def test_wanted_pitches_are_heard_from_low_to_high(midi: float, rate: int) -> None:
    told = measure_pitch([tone(midi, rate=rate)], [midi])
    assert told["accuracy"] == told["accuracy_octave"] == told["n"] == 1
    assert told["error_cents"] == pytest.approx(0, abs=25)
    assert told["voiced"] == pytest.approx(1, abs=0.15)


def test_accuracy_is_the_share_of_clips_that_are_right() -> None:
    told = measure_pitch([tone(60), tone(61), tone(72), tone(60.3)], [60, 60, 60, 60])
    assert told["accuracy"] == 0.5
    assert told["accuracy_octave"] == 0.75
    assert told["error_cents"] == pytest.approx(65, abs=6)  # of 0, 100, 1200 and 30
    assert told["drift_cents"] == pytest.approx(0, abs=11)
    assert told["method"] == "pyin"


@pytest.mark.parametrize("factor", [1 / 3, 1.5, 3, 5])
def test_a_tone_far_off_is_wrong(factor: float) -> None:
    wav = torch.from_numpy(pluck(factor * hz(60), 0.4))
    assert measure_pitch([(wav, RATE)], [60])["accuracy"] == 0


def test_drift_is_the_spread_within_a_clip() -> None:
    told = measure_pitch([gliding(60, 1.0), gliding(60, 1.0), tone(64)], [60.5, None, 64])
    assert told["drift_cents"] == pytest.approx(80, abs=15)  # 10 to 90 % of a semitone
    assert told["accuracy"] == 1 and told["n"] == 3


def test_noise_counts_as_wrong_where_a_pitch_was_wanted_and_not_at_all_elsewhere() -> None:
    rush = torch.from_numpy(noise(0.5)), RATE
    told = measure_pitch([rush, tone(60)], [60, 60])
    assert told["accuracy"] == 0.5 and told["n"] == 2
    assert 0.4 < float(told["voiced"] or 0) < 0.7
    alone = measure_pitch([rush], [None])
    assert alone["n"] == 0
    assert [alone[key] for key in ("accuracy", "accuracy_octave", "error_cents", "voiced", "drift_cents")] == [None] * 5


def test_what_cannot_be_heard_is_left_out() -> None:
    broken = torch.full((RATE,), float("nan"))
    clips = [tone(60), (torch.zeros(RATE), RATE), tone(60, 0.05), (broken, RATE), (broken[:0], RATE), tone(60)]
    told = measure_pitch(clips, [60, 60, 60, 60, None, 130])
    assert told["n"] == 1 and told["accuracy"] == 1
    assert measure_pitch([], [])["n"] == 0


def test_workers_do_not_change_the_figures() -> None:
    clips, wanted = [tone(60), tone(62), gliding(65, 1)], [60.0, 61.0, 65.0]
    assert measure_pitch(clips, wanted, workers=1) == measure_pitch(clips, wanted, workers=3)


def test_an_unknown_method_and_a_missing_package_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="'yin' is unknown; use pyin or crepe"):
        measure_pitch([tone(60)], [60], method="yin")
    monkeypatch.setitem(sys.modules, "torchcrepe", None)
    with pytest.raises(ConfigError, match=r'pip install "audio-gen\[eval\]"'):
        measure_pitch([tone(60)], [60], method="crepe")


def test_crepe_hears_a_tone() -> None:
    pytest.importorskip("torchcrepe", exc_type=ImportError)
    told = measure_pitch([tone(69), tone(70)], [69, 69], method="crepe")
    assert told["accuracy"] == 0.5 and told["method"] == "crepe"
    assert measure_pitch([tone(100)], [100], method="crepe")["n"] == 0  # beyond its range
    found = track(*tone(69), method="crepe")
    assert found.f0_hz.shape == found.voiced.shape == found.sounding.shape
