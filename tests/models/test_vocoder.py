import math

import pytest
import torch

from audio_gen.audio.inversion import GriffinLimVocoder, nnls_amplitude
from audio_gen.audio.mel import LOG_FLOOR, MelFrontEnd
from audio_gen.generation.vocoders import NetworkVocoder
from audio_gen.models import build_model
from audio_gen.models.vocoder import Vocoder, VocosHead

ARGS = {"sample_rate": 16000, "n_fft": 512, "hop_length": 256, "n_mels": 40, "f_min": 0.0, "f_max": 8000.0}


@pytest.mark.parametrize("kind", [Vocoder, VocosHead])
@pytest.mark.parametrize("frames", [1, 2, 17])
def test_length_is_frames_times_hop(kind: type, frames: int) -> None:
    wav = kind(**ARGS, dim=16, blocks=1)(torch.randn(2, 40, frames) - 4)
    assert wav.shape == (2, 1, 256 * frames)
    assert torch.isfinite(wav).all()


def test_silence_in_is_silence_out() -> None:
    wav = Vocoder(**ARGS, dim=16, blocks=1)(torch.full((1, 40, 20), LOG_FLOOR))
    assert float(wav.detach().abs().max()) < 10 ** (-90 / 20)


def test_an_untrained_network_keeps_the_amplitudes_that_it_starts_from() -> None:
    model = Vocoder(**ARGS, dim=16, blocks=1)
    mel = torch.randn(1, 40, 9) - 4
    start = nnls_amplitude(mel, model.spec, iterations=0)
    assert torch.allclose(model.spectrum(mel).abs(), start, rtol=1e-3, atol=1e-6)


def test_an_untrained_network_is_griffin_lim_with_as_many_iterations() -> None:
    model = Vocoder(**ARGS, dim=16, blocks=1)
    mel = MelFrontEnd(model.spec)(torch.randn(1, 1, 4096, generator=torch.Generator().manual_seed(0)) * 0.1)
    expected = GriffinLimVocoder(model.spec, iterations=3)(mel)
    torch.testing.assert_close(
        NetworkVocoder(model.eval(), model.spec, "untrained", 3)(mel), expected, atol=1e-4, rtol=0
    )
    assert not torch.allclose(model(mel), expected, atol=1e-2)


@pytest.mark.parametrize("samples", [4096, 100_000])  # the longer one goes in parts, side by side
def test_iterations_with_a_gradient_are_those_without(samples: int) -> None:
    model = Vocoder(**ARGS, dim=16, blocks=1, low_projections=3)
    for parameter in model.parameters():
        parameter.data.add_(0.02 * torch.randn_like(parameter))
    mel = MelFrontEnd(model.spec)(0.1 * torch.randn(2, 1, samples))
    for iterations in (None, 2):
        with torch.no_grad():
            expected = model(mel, iterations=iterations)
        torch.testing.assert_close(model(mel, iterations=iterations), expected, atol=1e-5, rtol=0)


def test_it_overfits_one_batch() -> None:
    torch.manual_seed(0)
    model = Vocoder(**ARGS, dim=32, blocks=2)
    front_end = MelFrontEnd(model.spec)
    time = torch.arange(4096) / 16000
    wav = (0.3 * torch.sin(2 * math.pi * 5000 * time))[None, None]  # above the low part
    mel, target = front_end(wav), front_end.stft(wav)
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    errors = []
    for _ in range(120):
        loss = (model.spectrum(mel) - target)[:, model.first_bin :].abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        errors.append(float(loss.detach()))
    assert errors[-1] < 0.2 * errors[0]


def test_weights_go_through_a_bundle() -> None:
    model = Vocoder(**ARGS, dim=16, blocks=1).eval()
    tensors = {f"model.{key}": value for key, value in model.state_dict().items()}
    again = build_model({"model": "vocoder", "args": {**ARGS, "dim": 16, "blocks": 1}}, tensors)
    mel = torch.randn(1, 40, 5)
    assert torch.equal(model(mel), again(mel))
