"""What clips are like as signals: known answers for sines, noise, ramps, clipping and offsets."""

import math
import warnings

import numpy as np
import pytest
import torch
from torch import Tensor

from audio_gen.audio.loudness import k_weighting
from audio_gen.evaluation.signal import FIELDS, compare, describe

RATE = 44100


def sine(f0_hz: float, sec: float = 2.0, peak: float = 1.0, rate: int = RATE) -> Tensor:
    return (peak * torch.sin(2 * math.pi * f0_hz * torch.arange(round(sec * rate), dtype=torch.float64) / rate)).float()


def noise(sec: float = 2.0, rate: int = RATE) -> Tensor:
    return 0.1 * torch.randn(round(sec * rate), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("rate", [22050, 44100, 48000, 96000])
def test_a_full_scale_sine_of_997_hz_has_minus_3_01_lufs(rate: int) -> None:
    assert describe(sine(997, rate=rate), rate)["loudness_lufs"] == pytest.approx(-3.01, abs=0.03)


def test_k_weighting_has_the_numbers_of_the_standard_at_48_khz() -> None:
    shelf = [1.53512485958697, -2.69169618940638, 1.19839281085285], [1.0, -1.69065929318241, 0.73248077421585]
    high_pass = [1.0, -2.0, 1.0], [1.0, -1.99004745483398, 0.99007225036621]
    for ours, a, b in zip(k_weighting(48000), shelf, high_pass, strict=True):
        np.testing.assert_allclose(ours, np.convolve(a, b), atol=1e-10)


def test_loudness_leaves_silence_out_and_grows_by_the_gain() -> None:
    tone = sine(997, peak=0.1)
    told = describe(tone, RATE)["loudness_lufs"]
    assert told == pytest.approx(-23.01, abs=0.03)
    half_silent = describe(torch.cat([tone, 0 * tone]), RATE)
    assert half_silent["loudness_lufs"] == pytest.approx(told, abs=0.7)  # 3 of its 18 sounding blocks sound in part
    assert describe(sine(997, peak=0.2), RATE)["loudness_lufs"] == pytest.approx(told + 6.02, abs=0.01)
    assert describe(sine(997, sec=0.3, peak=0.1), RATE)["loudness_lufs"] == pytest.approx(told, abs=0.1)
    assert math.isnan(describe(sine(997, peak=2e-4), RATE)["loudness_lufs"])  # below the absolute gate


@pytest.mark.parametrize("f0_hz", [110.0, 440.0, 3000.0])
def test_a_sine_at_minus_20_dbfs(f0_hz: float) -> None:
    told = describe(sine(f0_hz, peak=0.1), RATE)
    assert told["centroid_hz"] == pytest.approx(f0_hz, rel=0.01, abs=3)
    assert told["rolloff_hz"] == pytest.approx(f0_hz, abs=2 * RATE / 2048)
    assert told["peak_db"] == pytest.approx(-20, abs=0.01)
    assert told["crest_db"] == pytest.approx(3.01, abs=0.02)
    assert told["flatness"] < 1e-3
    assert told["clipped_share"] == told["silent_share"] == 0
    assert told["dc"] == pytest.approx(0, abs=1e-5)
    assert told["length_sec"] == 2


def test_white_noise_is_flat_and_its_energy_is_spread_evenly() -> None:
    told = describe(noise(), RATE)
    assert told["flatness"] == pytest.approx(math.exp(-0.5772), abs=0.01)  # of exponentially distributed powers
    assert told["centroid_hz"] == pytest.approx(RATE / 4, rel=0.02)
    assert told["rolloff_hz"] == pytest.approx(0.95 * RATE / 2, rel=0.01)


@pytest.mark.parametrize("rise_sec", [0.1, 0.3])
def test_attack_of_a_linear_ramp_is_four_fifths_of_it(rise_sec: float) -> None:
    wav = sine(1000, 1.0)
    ramp = (torch.arange(len(wav)) / (rise_sec * RATE)).clamp(max=1)
    assert describe(0.5 * wav * ramp, RATE)["attack_sec"] == pytest.approx(0.8 * rise_sec, abs=0.006)
    late = torch.cat([torch.zeros(RATE // 2), 0.5 * wav * ramp])
    assert describe(late, RATE)["attack_sec"] == pytest.approx(0.8 * rise_sec, abs=0.006)


def test_attack_of_an_abrupt_start_is_that_of_the_smoothing() -> None:
    assert describe(sine(1000, 0.5), RATE)["attack_sec"] == pytest.approx(0.008, abs=0.002)
    assert describe(torch.tensor([0.9]), RATE)["attack_sec"] == pytest.approx(0, abs=0.002)


def test_clipping_is_flat_tops_at_full_scale_only() -> None:
    # |sin| is above 1/2 for two thirds of a period.
    assert describe((2 * sine(100)).clamp(-1, 1), RATE)["clipped_share"] == pytest.approx(2 / 3, abs=0.01)
    assert describe((2 * sine(100)).clamp(-1, 0.5), RATE)["clipped_share"] == pytest.approx(1 / 3, abs=0.01)
    assert describe((2 * sine(100)).clamp(-0.9, 0.9), RATE)["clipped_share"] == 0
    assert describe(sine(440), RATE)["clipped_share"] == 0
    ends = torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, -1.0])
    assert describe(ends, RATE)["clipped_share"] == pytest.approx(0.3)


def test_an_offset_is_told_and_does_not_move_the_centroid() -> None:
    told = describe(sine(440, peak=0.1) + 0.25, RATE)
    assert told["dc"] == pytest.approx(0.25, abs=1e-4)
    assert told["centroid_hz"] == pytest.approx(440, rel=0.01)
    assert describe(sine(440, peak=0.1) - 0.25, RATE)["dc"] == pytest.approx(-0.25, abs=1e-4)
    assert math.isnan(describe(torch.full((RATE,), 0.25), RATE)["centroid_hz"])


def test_silence_is_counted_and_left_out_of_the_rest() -> None:
    tone = sine(440, 1.0, 0.1)
    told, of_tone = describe(torch.cat([tone, 0 * tone, 0 * tone]), RATE), describe(tone, RATE)
    assert told["silent_share"] == pytest.approx(2 / 3, abs=0.01)
    assert told["crest_db"] == pytest.approx(3.01, abs=0.1)
    assert told["centroid_hz"] == pytest.approx(of_tone["centroid_hz"], rel=0.01)
    assert told["flatness"] < 1e-3


@pytest.mark.parametrize("length", [0, 1, 2, 100, RATE])
@pytest.mark.parametrize("value", [0.0, 1e-5, math.nan, math.inf])
def test_silent_and_broken_clips_have_no_figures_and_no_warnings(length: int, value: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        told = describe(torch.full((length,), value), RATE)
    assert tuple(told) == FIELDS
    assert told["length_sec"] == length / RATE
    assert all(math.isnan(told[f]) for f in ("loudness_lufs", "peak_db", "crest_db", "centroid_hz", "attack_sec"))
    if length and math.isfinite(value):
        assert told["silent_share"] == 1 and told["clipped_share"] == 0


@pytest.mark.parametrize("length", [1, 2, 3, 17, 440, 441, 442, 2047, 17639, 17640, 17641])
@pytest.mark.parametrize("rate", [8000, RATE])
def test_any_length_can_be_described(length: int, rate: int) -> None:
    told = describe(noise()[:length], rate)
    assert tuple(told) == FIELDS
    assert all(isinstance(value, float) for value in told.values())
    assert math.isfinite(told["loudness_lufs"]) and math.isfinite(told["attack_sec"])


def test_the_distance_is_the_wasserstein_distance() -> None:
    def distance(real: list[float], made: list[float]) -> float:
        return compare({"peak_db": np.array(real)}, {"peak_db": np.array(made)})["peak_db"]["distance"]

    assert distance([3.0, 1.0, 2.0], [2.0, 1.0, 3.0]) == 0
    assert distance([3.0, 1.0, 2.0], [8.0, 6.0, 7.0]) == pytest.approx(5)
    assert distance([0.0], [0.0, 0.0, 3.0]) == pytest.approx(1)


def test_comparison_is_in_spreads_of_the_real_clips() -> None:
    values = np.linspace(0, 100, 101)
    real = {"centroid_hz": values, "dc": 0 * values, "flatness": values * np.nan}
    made = {"centroid_hz": np.append(values + 25, np.nan), "dc": 0 * values + 5e-4, "flatness": values}
    told = compare(real, made)
    assert list(told) == ["dc", "centroid_hz", "flatness"]
    assert told["centroid_hz"]["real"] == pytest.approx({"p10": 10, "median": 50, "p90": 90})
    assert told["centroid_hz"]["generated"] == pytest.approx({"p10": 35, "median": 75, "p90": 115})
    assert told["centroid_hz"]["distance"] == pytest.approx(0.5)  # 25 over 50
    assert told["dc"]["distance"] == pytest.approx(0.5)  # no spread: over the least that is worth telling
    assert told["flatness"]["distance"] is None
    assert told["flatness"]["real"] == {"p10": None, "median": None, "p90": None}
    assert compare(real, real)["centroid_hz"]["distance"] == 0


def test_silence_around_a_sound_does_not_change_its_loudness() -> None:
    tone = torch.sin(2 * torch.pi * 440 * torch.arange(22050) / 44100) * torch.linspace(1, 0.1, 22050)
    padded = torch.cat([torch.zeros(8820), tone, torch.zeros(66150)])
    assert describe(padded, 44100)["loudness_lufs"] == pytest.approx(describe(tone, 44100)["loudness_lufs"], abs=0.1)
