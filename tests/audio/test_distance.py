import librosa
import pytest
import torch

from audio_gen.audio.distance import BANDS_BY_N_FFT, mrmel

SAMPLE_RATE = 44100


def sine(f0_hz: float, seconds: float = 0.5) -> torch.Tensor:
    return 0.5 * torch.sin(2 * torch.pi * f0_hz * torch.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE)


def test_a_sound_is_at_no_distance_from_itself():
    assert mrmel(sine(440), sine(440), SAMPLE_RATE) == 0


def test_polarity_is_not_heard():
    assert mrmel(sine(440), -sine(440), SAMPLE_RATE) == pytest.approx(0, abs=1e-6)


def test_a_nearer_pitch_is_at_a_smaller_distance():
    assert 0.1 < mrmel(sine(440), sine(445), SAMPLE_RATE) < mrmel(sine(440), sine(880), SAMPLE_RATE)


def test_half_the_amplitude_everywhere_is_a_known_distance():
    noise = torch.randn(SAMPLE_RATE, generator=torch.Generator().manual_seed(0))
    # ln 2 between the log-mels, and half the original's norm times the weight of one half
    assert mrmel(noise, noise / 2, SAMPLE_RATE) == pytest.approx(0.6931 + 0.25, abs=1e-3)


def test_against_the_definition_written_out_with_librosa():
    generator = torch.Generator().manual_seed(1)
    original, made = sine(440) + 0.01 * torch.randn(22050, generator=generator), 0.3 * sine(450)
    total = 0.0
    for n_fft, n_mels in BANDS_BY_N_FFT.items():
        bands = torch.from_numpy(librosa.filters.mel(sr=SAMPLE_RATE, n_fft=n_fft, n_mels=n_mels))
        a, b = (
            torch.stft(x, n_fft, n_fft // 4, window=torch.hann_window(n_fft), return_complex=True).abs()
            for x in (original, made)
        )
        log_a, log_b = (torch.log(torch.clamp(bands @ x, min=1e-5)) for x in (a, b))
        total += float((log_a - log_b).abs().mean() + 0.5 * (a - b).norm() / a.norm())
    assert mrmel(original, made, SAMPLE_RATE) == pytest.approx(total / len(BANDS_BY_N_FFT), rel=1e-4)


def test_short_and_unequal_lengths_are_compared():
    assert mrmel(sine(440)[:100], sine(440)[:300], SAMPLE_RATE) == 0
    assert mrmel(torch.zeros(5000), torch.zeros(4000), SAMPLE_RATE) == 0
