import pytest
import torch

from audio_gen.audio.mel import LOG_FLOOR, MelFrontEnd, MelSpec, mel_filters
from audio_gen.vocoding.bands import nnls_amplitude, pinv_filters
from audio_gen.vocoding.griffinlim import GriffinLimVocoder

SPEC = MelSpec.preset("44khz_128band_512x")
FRONT_END = MelFrontEnd(SPEC)
FRAMES = 60


def decaying_chord(f0_hz: float) -> torch.Tensor:
    time = torch.arange(SPEC.samples(FRAMES)) / SPEC.sample_rate
    partials = sum(torch.sin(2 * torch.pi * f0_hz * k * time) / k for k in (1, 2, 3, 4))
    return (0.3 * partials * torch.exp(-3 * time))[None, None]


def batch() -> torch.Tensor:
    noise = 0.1 * torch.randn(1, 1, SPEC.samples(FRAMES), generator=torch.Generator().manual_seed(0))
    return torch.cat([decaying_chord(220), decaying_chord(311), noise])


def test_the_pseudo_inverse_undoes_the_filters():
    product = mel_filters(SPEC) @ pinv_filters(SPEC)
    torch.testing.assert_close(product, torch.eye(SPEC.n_mels), atol=1e-4, rtol=0)


def test_amplitudes_are_not_negative_and_have_the_mel():
    mel = FRONT_END(batch())
    amplitude = nnls_amplitude(mel, SPEC)
    assert amplitude.shape == (3, SPEC.n_bins, FRAMES) and (amplitude >= 0).all()

    def error(amplitude: torch.Tensor) -> float:
        return float((mel_filters(SPEC) @ amplitude - mel.exp()).norm() / mel.exp().norm())

    start = error(nnls_amplitude(mel, SPEC, iterations=0))
    assert error(amplitude) < 0.8 * start and error(amplitude) < 0.02


def test_a_batch_is_its_clips_bit_for_bit():
    vocoder, mel = GriffinLimVocoder(SPEC, iterations=8), FRONT_END(batch())
    together = vocoder(mel)
    assert torch.equal(together, torch.cat([vocoder(clip) for clip in mel.split(1)]))
    assert torch.equal(together, vocoder(mel))
    assert not torch.equal(together, GriffinLimVocoder(SPEC, iterations=8, seed=1)(mel))


def test_training_settings_change_nothing():
    vocoder, mel = GriffinLimVocoder(SPEC, iterations=4), FRONT_END(decaying_chord(220))
    expected = vocoder(mel)
    with torch.enable_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(vocoder(mel.clone().requires_grad_()), expected)


def test_a_sine_keeps_its_frequency():
    f0_hz = 1000.0
    wav = 0.5 * torch.sin(2 * torch.pi * f0_hz * torch.arange(SPEC.samples(FRAMES)) / SPEC.sample_rate)
    made = GriffinLimVocoder(SPEC)(FRONT_END(wav[None, None]))[0, 0]
    strongest = torch.fft.rfft(made * torch.hann_window(len(made))).abs().argmax()
    # A mel band is 1.5 bins wide here, so the frequency is known to a part of a bin of 21.5 Hz.
    assert strongest * SPEC.sample_rate / len(made) == pytest.approx(f0_hz, abs=8)


@pytest.mark.parametrize("frames", [1, 2, 3, 17])
def test_lengths_are_exact(frames: int):
    mel = FRONT_END(decaying_chord(220)[..., : SPEC.samples(frames)])
    made = GriffinLimVocoder(SPEC, iterations=2)(mel)
    assert made.shape == (1, 1, SPEC.samples(frames)) and made.isfinite().all()


def test_other_specs_work():
    spec = MelSpec(sample_rate=16000, n_fft=300, hop_length=100, n_mels=20, f_min=50.0, f_max=7000.0)
    wav = decaying_chord(220)[..., :16000]
    made = GriffinLimVocoder(spec, iterations=8)(MelFrontEnd(spec)(wav))
    assert made.shape == wav.shape and made.isfinite().all()


def test_silence_in_is_silence_out():
    made = GriffinLimVocoder(SPEC)(torch.full((1, SPEC.n_mels, FRAMES), LOG_FLOOR))
    assert made.isfinite().all() and made.abs().max() < 10 ** (-90 / 20)


def test_silence_around_a_sound_stays_silent():
    wav = decaying_chord(220)
    wav[..., SPEC.samples(30) :] = 0
    made = GriffinLimVocoder(SPEC)(FRONT_END(wav))
    assert made.isfinite().all() and made[..., SPEC.samples(36) :].abs().max() < 10 ** (-60 / 20)
