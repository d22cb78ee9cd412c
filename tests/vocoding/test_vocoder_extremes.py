"""Vocoders at the limits: silence, DC, full scale, the lowest and highest tones, the shortest clips.

The network with random weights shows what the path from mel to sound itself does; `small` is the one that is shipped.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import soundfile as sf
import torch
from torch import Tensor, nn

from audio_gen.audio.io import write_wav
from audio_gen.audio.mel import LOG_FLOOR, PRESETS, MelFrontEnd, MelSpec, mel_filters
from audio_gen.training.tasks.vocoder import VocoderNet
from audio_gen.vocoding.load import load_vocoder
from audio_gen.vocoding.network import VocoderNetwork
from audio_gen.vocoding.renderer import NetworkVocoder
from audio_gen.vocoding.vocoder import Vocoder

SILENCE = 10 ** (-90 / 20)
FADE_SEC = 0.01


def random_network(spec: MelSpec) -> Vocoder:
    """The default network but for its width, with a head that is not zero, so that all of it is heard."""
    torch.manual_seed(0)
    arguments: dict[str, Any] = spec.to_dict()
    network = VocoderNetwork(**arguments, **VocoderNet(dim=16).model_dump()).eval()
    nn.init.normal_(network.head.weight, std=0.05)
    return NetworkVocoder(network, "random")


MAKERS: dict[str, Callable[[MelSpec], Vocoder]] = {
    "griffinlim:4": lambda spec: load_vocoder("griffinlim:4", spec),
    "network": random_network,
    "small": lambda spec: load_vocoder("small", spec),
}


@pytest.fixture(scope="module", params=[(preset, kind) for preset in PRESETS for kind in MAKERS], ids="-".join)
def vocoder(request: pytest.FixtureRequest) -> Vocoder:
    preset, kind = request.param
    return MAKERS[kind](MelSpec.preset(preset))


def tone(spec: MelSpec, f0_hz: float, frames: int = 60) -> Tensor:
    """A sine at full scale (1, 1, T) that fades in and out: where one is cut off, the mel sees a click."""
    time = torch.arange(spec.samples(frames)) / spec.sample_rate
    edge = torch.minimum(time, time[-1] - time) / FADE_SEC
    return (edge.clamp(max=1) * torch.sin(2 * torch.pi * f0_hz * time))[None, None]


def again(vocoder: Vocoder, wav: Tensor) -> Tensor:
    return vocoder(MelFrontEnd(vocoder.spec)(wav))


def power_between(wav: Tensor, sample_rate: int, low_hz: float, high_hz: float) -> float:
    """Mean power of what a wave holds between two frequencies."""
    spectrum = torch.fft.rfft(wav.flatten().double(), norm="forward").abs().square()
    frequency = torch.fft.rfftfreq(wav.numel(), 1 / sample_rate)
    return float(2 * spectrum[(frequency >= low_hz) & (frequency <= high_hz)].sum())


def bands_around(spec: MelSpec, f0_hz: float) -> tuple[float, float]:
    """Edges of the mel bands that a tone falls into: where in them it lies the mel does not say."""
    filters = mel_filters(spec)
    # Neighbouring bins too, since no tone lights a single bin of a Hann window.
    near = (torch.arange(spec.n_bins) * spec.sample_rate / spec.n_fft - f0_hz).abs() <= spec.sample_rate / spec.n_fft
    bands = (filters[:, near] > 0).any(dim=1)
    bins = (filters[bands] > 0).any(dim=0).nonzero()[:, 0]
    return (int(bins[0]) - 1) * spec.sample_rate / spec.n_fft, (int(bins[-1]) + 1) * spec.sample_rate / spec.n_fft


def test_silence_stays_silent(vocoder: Vocoder) -> None:
    spec = vocoder.spec
    silence = MelFrontEnd(spec)(torch.zeros(1, 1, spec.samples(40)))
    assert (silence == LOG_FLOOR).all()
    assert float(vocoder(silence).abs().max()) < SILENCE


def test_silence_between_sounds_stays_silent(vocoder: Vocoder) -> None:
    spec = vocoder.spec
    mel = MelFrontEnd(spec)(torch.randn(1, 1, spec.samples(60), generator=torch.Generator().manual_seed(0)))
    mel[..., 20:40] = LOG_FLOOR
    wav = vocoder(mel).reshape(60, spec.hop_length)
    assert float(wav[:18].abs().amax(dim=1).min()) > 0.1
    # A frame's window reaches 1.5 hops beyond its own samples; further in, all frames are silent.
    assert float(wav[22:38].abs().max()) < SILENCE


def test_a_constant_is_no_noise(vocoder: Vocoder) -> None:
    rate = vocoder.spec.sample_rate
    wav = again(vocoder, torch.full((1, 1, vocoder.spec.samples(60)), 0.5))
    assert wav.isfinite().all() and float(wav.abs().max()) < 1
    # The first band weighs 0 Hz with nothing, so what comes back is the tone of some 30 Hz that has this mel. The bands
    # above the window's main lobe (2 bins) are empty; what is there leaks, below -45 dB of the constant's power.
    assert power_between(wav, rate, 1000, rate / 2) < 1e-4 * 0.5**2
    assert power_between(wav, rate, 0, 100) > 0.99 * float(wav.square().mean())


@pytest.mark.parametrize(("f0_hz", "highest"), [(440.0, 1.2), (1000.0, 1.4)])
def test_full_scale_is_not_clipped(vocoder: Vocoder, f0_hz: float, highest: float, tmp_path: Path) -> None:
    wav = again(vocoder, tone(vocoder.spec, f0_hz))[0]
    peak = float(wav.abs().max())
    # 440 Hz starts with the phases of a partial; 1 kHz, just above PARTIALS_BELOW_HZ, with those of noise, of which a
    # few projections leave a beat. Measured: 1.12 and 1.26.
    assert 0.9 < peak < highest
    gain = write_wav(tmp_path / "a.wav", wav, vocoder.spec.sample_rate)
    assert gain == (pytest.approx(0.999 / peak) if peak > 1 else 1.0)
    written = torch.from_numpy(sf.read(tmp_path / "a.wav", dtype="float32")[0])
    torch.testing.assert_close(written, wav[0] * gain, atol=1.1 / 32768, rtol=0)  # all of it, scaled; nothing is cut


@pytest.mark.parametrize("f0_hz", [20.0, 440.0, 1000.0, 10_000.0, 20_000.0])
def test_tones_keep_their_place(vocoder: Vocoder, f0_hz: float) -> None:
    rate = vocoder.spec.sample_rate
    if f0_hz > rate / 2:
        pytest.skip("above the Nyquist frequency")
    sound = 0.5 * tone(vocoder.spec, f0_hz)
    wav = again(vocoder, sound)
    total, original = float(wav.square().mean()), float(sound.square().mean())
    assert power_between(wav, rate, *bands_around(vocoder.spec, f0_hz)) > 0.95 * total
    # Amplitudes are kept, not powers: spread over a band of 60 bins at 20 kHz they make up to 12 dB less.
    assert original / 16 < total < 1.2 * original


@pytest.mark.parametrize("frames", [1, 2, 3, 127, 128, 129])
def test_lengths_are_exact(vocoder: Vocoder, frames: int) -> None:
    spec = vocoder.spec
    made = vocoder(torch.full((1, spec.n_mels, frames), -4.0))
    assert made.shape == (1, 1, spec.samples(frames)) and made.isfinite().all()
    noise = 0.1 * torch.randn(1, 1, spec.samples(frames), generator=torch.Generator().manual_seed(0))
    for samples in (spec.samples(frames), spec.samples(frames) - 1, spec.samples(frames - 1) + 1):
        back = again(vocoder, noise[..., :samples])  # a frame that is begun is a whole one
        assert back.shape == noise.shape and back.isfinite().all()


def test_a_batch_is_its_clips(vocoder: Vocoder) -> None:
    spec = vocoder.spec
    noise = 0.3 * torch.randn(1, 1, spec.samples(60), generator=torch.Generator().manual_seed(0))
    mel = MelFrontEnd(spec)(torch.cat([noise, tone(spec, 440), torch.full_like(noise, 0.5)]))
    singles = torch.cat([vocoder(clip) for clip in mel.split(1)])
    # Griffin-Lim goes clip by clip; a network's products may round otherwise in a batch: measured 4e-7.
    torch.testing.assert_close(vocoder(mel), singles, atol=1e-5, rtol=0)
