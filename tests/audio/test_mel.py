import librosa
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audio_gen.audio.mel import LOG_FLOOR, PRESETS, MelFrontEnd, MelSpec, mel_filters
from audio_gen.audio.stft import overlap_add
from audio_gen.errors import ConfigError, MelMismatchError

SPEC = MelSpec.preset("44khz_128band_512x")
SMALL = MelSpec(sample_rate=16000, n_fft=256, hop_length=64, n_mels=20)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return 0.2 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", PRESETS)
def test_filters_are_those_of_librosa(name: str):
    spec = PRESETS[name]
    expected = librosa.filters.mel(sr=spec.sample_rate, n_fft=spec.n_fft, n_mels=spec.n_mels)
    np.testing.assert_allclose(mel_filters(spec).numpy(), expected, atol=1e-6)


@pytest.mark.parametrize(
    "spec", [*PRESETS.values(), MelSpec(16001, 512, 128, 20, 0, 900), MelSpec(48000, 1024, 256, 40, 50, 9000)]
)
def test_filters_are_those_of_torchaudio_to_the_bit(spec: MelSpec):
    melscale_fbanks = pytest.importorskip("torchaudio.functional").melscale_fbanks
    known = melscale_fbanks(spec.n_bins, spec.f_min, spec.f_max, spec.n_mels, spec.sample_rate, "slaney", "slaney")
    assert torch.equal(mel_filters(spec), known.T)


@pytest.mark.parametrize("name", PRESETS)
def test_mel_is_that_of_bigvgan(name: str):
    meldataset = pytest.importorskip("bigvgan.meldataset")
    spec = PRESETS[name]
    wav = noise(2, 1, spec.samples(80))
    wav[..., 10000:20000] = 0
    wav[..., 20000:30000] *= 1e-3
    wav = wav.clamp(-1, 1)
    expected = meldataset.mel_spectrogram(
        wav[:, 0], spec.n_fft, spec.n_mels, spec.sample_rate, spec.hop_length, spec.n_fft, 0, None
    )
    torch.testing.assert_close(MelFrontEnd(spec)(wav), expected, atol=1e-4, rtol=0)


def test_a_sine_lights_its_bin():
    k = 100
    wav = torch.sin(2 * torch.pi * k / SPEC.n_fft * torch.arange(SPEC.samples(40)))[None, None]
    front_end = MelFrontEnd(SPEC)
    inner = slice(4, -4)
    assert (front_end.magnitude(wav)[0, :, inner].argmax(0) == k).all()
    assert (front_end(wav)[0, :, inner].argmax(0) == mel_filters(SPEC)[:, k].argmax()).all()


def test_silence_is_the_floor():
    assert MelFrontEnd(SPEC)(torch.zeros(1, 1, 5120)).eq(torch.tensor(LOG_FLOOR)).all()


@pytest.mark.parametrize("frames", [1, 2, 3, 7, 100])
def test_whole_frames_give_one_column_each(frames: int):
    samples = SPEC.samples(frames)
    assert MelFrontEnd(SPEC)(noise(2, 1, samples)).shape == (2, SPEC.n_mels, frames)
    assert SPEC.frames(samples) == frames


@settings(max_examples=50, deadline=None)
@given(samples=st.integers(1, 5000))
def test_any_length_has_a_mel_and_comes_back_from_its_stft(samples: int):
    front_end, wav = MelFrontEnd(SMALL), noise(1, 1, samples)
    assert front_end(wav).shape == (1, SMALL.n_mels, -(-samples // SMALL.hop_length))
    assert front_end(wav).isfinite().all()
    torch.testing.assert_close(front_end.istft(front_end.stft(wav), samples), wav, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("n_fft", "hop_length"), [(300, 128), (256, 128), (256, 100)])
def test_hops_that_do_not_divide_the_window_come_back_too(n_fft: int, hop_length: int):
    front_end = MelFrontEnd(MelSpec(sample_rate=16000, n_fft=n_fft, hop_length=hop_length, n_mels=10))
    wav = noise(2, 1, 2000)
    torch.testing.assert_close(front_end.istft(front_end.stft(wav), 2000), wav, atol=1e-5, rtol=0)


def test_istft_is_the_nearest_wave():
    """The residual of a least-squares solution is orthogonal to the STFT of every wave."""
    front_end = MelFrontEnd(SMALL)
    spectrum = torch.complex(noise(1, SMALL.n_bins, 20, seed=1), noise(1, SMALL.n_bins, 20, seed=2))
    spectrum[:, [0, -1]] = spectrum[:, [0, -1]].real + 0j
    residual = spectrum - front_end.stft(front_end.istft(spectrum))
    other = front_end.stft(noise(1, 1, SMALL.samples(20), seed=3))
    twice = torch.full((1, SMALL.n_bins, 1), 2.0)  # a real signal's inner bins stand for two
    twice[:, [0, -1]] = 1
    inner = (twice * (residual * other.conj()).real).sum() / (residual.norm() * other.norm())
    assert abs(inner) < 1e-5


def test_overlap_add_counts_the_frames_over_each_sample():
    assert overlap_add(torch.ones(1, 3, 4), 2).tolist() == [[1, 1, 2, 2, 2, 2, 1, 1]]
    assert overlap_add(torch.ones(1, 2, 3), 2).tolist() == [[1, 1, 2, 1, 1]]


def test_gradients_reach_the_wave_even_from_silence():
    wav = torch.zeros(1, 1, 2048, requires_grad=True)
    front_end = MelFrontEnd(SMALL)
    (
        front_end(wav + 0.0).sum() + front_end.magnitude(wav).sum() + front_end.istft(front_end.stft(wav)).sum()
    ).backward()
    assert wav.grad is not None and wav.grad.isfinite().all() and wav.grad.abs().sum() > 0


def test_autocast_changes_nothing():
    front_end, wav = MelFrontEnd(SPEC), noise(1, 1, 5120)
    expected = front_end(wav)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(front_end(wav), expected)
    assert front_end(wav.to(torch.bfloat16)).dtype == torch.float32


def test_filters_first_made_in_inference_mode_can_be_trained_through():
    spec = MelSpec(sample_rate=16000, n_fft=256, hop_length=64, n_mels=17)
    with torch.inference_mode():
        mel_filters(spec)
    wav = noise(1, 1, 640).requires_grad_()
    MelFrontEnd(spec)(wav).sum().backward()


def test_the_front_end_adds_nothing_to_a_checkpoint():
    assert MelFrontEnd(SPEC).state_dict() == {}


def test_a_spec_survives_its_dict_and_hashes_alike():
    again = MelSpec.from_dict(SPEC.to_dict())
    assert again == SPEC and again.digest == SPEC.digest and len(SPEC.digest) == 12
    assert MelSpec(44100, 2048, 512, 128, 0, 22050).digest == SPEC.digest
    assert SPEC.digest != MelSpec.preset("22khz_80band_256x").digest
    assert SPEC.frame_rate == 44100 / 512


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n_fft": 256}, ["n_fft (256)", "hop_length (512)", "2048"]),
        ({"n_fft": 2047}, ["n_fft (2047)", "even", "2048"]),
        ({"n_mels": 400}, ["n_mels (400)", "370"]),
        ({"n_mels": 10**9}, ["n_mels (1000000000)", "4096"]),
        ({"f_min": 1000.0, "f_max": 1001.0}, ["n_fft", "widen"]),
        ({"f_max": 30000.0}, ["f_max (30000 Hz)", "22050"]),
        ({"f_min": -1.0}, ["f_min (-1 Hz)"]),
        ({"f_min": float("nan")}, ["f_min (nan)"]),
        ({"hop_length": 0}, ["hop_length (0)"]),
        ({"sample_rate": 44100.5}, ["sample_rate (44100.5)"]),
        ({"n_fftt": 2048}, ["'n_fftt'", "'n_fft'"]),
    ],
)
def test_a_wrong_value_is_told_in_one_line(change: dict, words: list[str]):
    with pytest.raises(ConfigError) as caught:
        MelSpec.from_dict({**SPEC.to_dict(), **change})
    message = str(caught.value)
    assert "\n" not in message and all(word in message for word in words), message


def test_a_missing_value_and_an_unknown_preset_are_told():
    with pytest.raises(ConfigError, match="lack n_fft"):
        MelSpec.from_dict({"sample_rate": 44100, "hop_length": 512, "n_mels": 128})
    with pytest.raises(ConfigError, match="did you mean '44khz_128band_512x'"):
        MelSpec.preset("44khz_128band")


def test_a_mismatch_names_both_sides_and_what_differs():
    other = MelSpec(sample_rate=44100, n_fft=2048, hop_length=256, n_mels=128)
    with pytest.raises(MelMismatchError) as caught:
        SPEC.check_same(other, "the cache drums", "the run kicks")
    message = str(caught.value)
    assert all(word in message for word in ("the cache drums", "the run kicks", "hop_length 512 against 256"))
    assert "n_mels" not in message
    SPEC.check_same(MelSpec.from_dict(SPEC.to_dict()), "a", "b")
