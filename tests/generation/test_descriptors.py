"""Descriptors of log-mels whose figures are known."""

import math

import pytest
import torch
from torch import Tensor

from audio_gen.audio.mel import MelFrontEnd, MelSpec
from audio_gen.generation.descriptors import MONO_NAMES, describe_mel
from audio_gen.models.pitch_axis import hz_to_mel, mel_to_hz
from tests import sounds

SPEC = MelSpec(sample_rate=22050, n_fft=512, hop_length=256, n_mels=40)
FLOOR = -9.0
FRAMES = 60


def described(mel: Tensor) -> dict[str, float]:
    return dict(zip(MONO_NAMES, describe_mel(mel[None], SPEC, FLOOR)[0].tolist(), strict=True))


def flat(envelope_db: Tensor) -> Tensor:
    """The same level in all bands, frame by frame: dB (L,) -> log-mel (M, L)."""
    return (envelope_db / 20 * math.log(10)).expand(SPEC.n_mels, -1).clamp(min=FLOOR)


def one_band(band: int) -> Tensor:
    mel = torch.full((SPEC.n_mels, FRAMES), FLOOR)
    mel[band, 5:30] = -1.0
    return mel


def test_brightness_is_the_frequency_of_a_single_band() -> None:
    edges = torch.linspace(0.0, float(hz_to_mel(torch.tensor(11025.0))), SPEC.n_mels + 2)
    for band in (3, 20, 39):
        hz = float(mel_to_hz(edges[band + 1]))
        assert described(one_band(band))["brightness"] == pytest.approx(math.log2(hz / 1000), abs=1e-3)


def test_brightness_of_a_sine_is_its_frequency() -> None:
    mel = MelFrontEnd(SPEC)(torch.from_numpy(sounds.sine(2000.0, 0.5, sample_rate=22050)).float()[None, None])[0]
    assert described(mel)["brightness"] == pytest.approx(1.0, abs=0.1)


def test_loudness_counts_in_db_and_moves_nothing_else() -> None:
    quiet = flat(torch.linspace(0, -60, FRAMES)) - 1.5
    quiet[::3] += 1.0
    soft, loud = described(quiet), described(quiet + 6 / 20 * math.log(10))
    assert loud["loudness"] - soft["loudness"] == pytest.approx(6.0, abs=0.01)
    assert all(loud[name] == pytest.approx(soft[name], abs=0.01) for name in MONO_NAMES if name != "loudness")
    assert described(flat(torch.full((FRAMES,), -20.0)))["loudness"] == pytest.approx(-20.0, abs=1e-3)


def test_attack_is_the_time_to_rise_wherever_it_begins() -> None:
    for onset in (0, 7):
        for rise in (1, 2, 8):
            amplitude = ((torch.arange(FRAMES) - onset + 1) / rise).clamp(0, 1)
            told = described(flat(20 * amplitude.clamp(min=1e-6).log10()))["attack"]
            assert 2**told == pytest.approx(0.4 * rise / SPEC.frame_rate, rel=0.01)


@pytest.mark.parametrize("onset", [0, 9])
def test_length_is_the_time_until_40_db_below_the_peak(onset: int) -> None:
    for db_per_frame in (2.0, 4.0):
        frame = torch.arange(FRAMES) - onset
        decay = torch.where(frame < 0, -120.0, -db_per_frame * frame)
        frames = 2 ** described(flat(decay - 10))["length"] * SPEC.frame_rate
        assert frames == pytest.approx(40 / db_per_frame, abs=1.0)


def test_noise_is_noisier_than_a_tone_at_any_tilt() -> None:
    noise = flat(torch.full((FRAMES,), -20.0))
    tilted = noise - 0.05 * torch.arange(SPEC.n_mels)[:, None]
    tone = noise - 4.0
    tone[::8] += 4.0
    assert described(noise)["noisiness"] == pytest.approx(0.0, abs=1e-3)
    assert -1.0 < described(tilted)["noisiness"] < 0
    assert described(tone)["noisiness"] < -10


def test_a_silent_clip_has_no_figures_and_harms_no_other() -> None:
    mel = torch.stack([torch.full((SPEC.n_mels, FRAMES), FLOOR), one_band(4)])
    table = describe_mel(mel, SPEC, FLOOR)
    assert bool(table[0].isnan().all()) and bool(table[1].isfinite().all())
    assert torch.equal(table[1], describe_mel(mel[1:], SPEC, FLOOR)[0])
