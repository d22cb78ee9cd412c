import librosa
import pytest
import torch

from audio_gen.audio.distance import BANDS_BY_N_FFT, DB_PER_NAT, mel_distance_db, mrmel

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


def test_mel_distance_is_the_mean_over_cells_that_sound() -> None:
    a = torch.full((1, 4, 5), -9.0)
    a[:, 0, :2] = 0.0
    b = a.clone()
    assert float(mel_distance_db(a, b)) == 0
    b[:, 0, :2] = 10 / DB_PER_NAT  # 10 dB louder, in all cells that sound
    assert float(mel_distance_db(a, b)) == pytest.approx(10, abs=1e-4)
    c = a.clone()
    c[:, 1, 0] = 0.0  # of three cells one sounds in one only: it differs by 60 dB
    assert float(mel_distance_db(a, c)) == float(mel_distance_db(c, a)) == pytest.approx(20, abs=1e-4)
    assert mel_distance_db(torch.cat([a, b, c]), a).shape == (3,)
    silence = torch.full((1, 4, 5), -9.0)
    assert float(mel_distance_db(silence, silence)) == 0


def test_cells_that_are_empty_in_both_do_not_dilute_the_distance() -> None:
    a, b = torch.full((1, 4, 5), -9.0), torch.full((1, 4, 5), -9.0)
    a[:, 0], b[:, 0] = 0.0, 1.0
    padded = [torch.nn.functional.pad(x, (0, 7, 0, 9), value=-9.0) for x in (a, b)]
    assert float(mel_distance_db(*padded)) == float(mel_distance_db(a, b)) == pytest.approx(DB_PER_NAT)
