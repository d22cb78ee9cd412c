import ast
import math
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import nn

import audio_gen
from audio_gen.artefacts.bundle import Bundle
from audio_gen.audio.mel import LOG_FLOOR, MelFrontEnd, MelSpec
from audio_gen.errors import ConfigError
from audio_gen.models.registry import VOCODER, Part, build_part, packed
from audio_gen.training.tasks.vocoder import VocoderNet
from audio_gen.vocoding.bands import nnls_amplitude
from audio_gen.vocoding.griffinlim import Backend, GriffinLimVocoder, refine
from audio_gen.vocoding.load import NETWORKS
from audio_gen.vocoding.network import VocoderNetwork
from audio_gen.vocoding.renderer import NetworkVocoder, Renderer

ARGS: dict[str, Any] = {
    "sample_rate": 16000,
    "n_fft": 512,
    "hop_length": 256,
    "n_mels": 40,
    "f_min": 0.0,
    "f_max": 8000.0,
}

BACKENDS = get_args(Backend)


def renderer(backend: Backend | None = None) -> Renderer:
    return Renderer(VocoderNetwork(**ARGS, **VocoderNet(dim=16, blocks=1).model_dump()), backend)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("frames", [1, 2, 17])
def test_length_is_frames_times_hop(backend: Backend, frames: int) -> None:
    wav = renderer(backend)(torch.randn(2, 40, frames) - 4)
    assert wav.shape == (2, 1, 256 * frames)
    assert torch.isfinite(wav).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_silence_in_is_silence_out(backend: Backend) -> None:
    wav = renderer(backend)(torch.full((1, 40, 20), LOG_FLOOR))
    assert float(wav.detach().abs().max()) < 10 ** (-90 / 20)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_untrained_network_keeps_the_amplitudes_that_it_starts_from(backend: Backend) -> None:
    render = renderer(backend)
    mel = torch.randn(1, 40, 9) - 4
    start = nnls_amplitude(mel, render.spec, iterations=0)
    assert torch.allclose(render.spectrum(mel).abs(), start, rtol=1e-3, atol=1e-6)


def test_an_untrained_network_is_griffin_lim_with_as_many_iterations() -> None:
    network = VocoderNetwork(**ARGS, **VocoderNet(dim=16, blocks=1).model_dump()).eval()
    mel = MelFrontEnd(network.spec)(torch.randn(1, 1, 4096, generator=torch.Generator().manual_seed(0)) * 0.1)
    expected = GriffinLimVocoder(network.spec, iterations=3)(mel)
    torch.testing.assert_close(NetworkVocoder(network, "untrained", 3)(mel), expected, atol=1e-4, rtol=0)
    assert not torch.allclose(Renderer(network)(mel), expected, atol=1e-2)


@pytest.mark.parametrize("samples", [4096, 100_000])  # the longer one goes in parts, side by side
def test_both_back_ends_render_the_same(samples: int) -> None:
    torch.manual_seed(0)
    network = VocoderNetwork(**ARGS, **VocoderNet(dim=16, blocks=1, low_projections=3).model_dump())
    for parameter in network.parameters():
        parameter.data.add_(0.02 * torch.randn_like(parameter))
    mel = MelFrontEnd(network.spec)(0.1 * torch.randn(2, 1, samples))
    for iterations in (None, 2):
        compiled = Renderer(network, "numba")(mel, iterations=iterations)
        assert not compiled.requires_grad and torch.equal(compiled, Renderer(network)(mel, iterations=iterations))
        for render in (Renderer.differentiable(network, mel.device), Renderer(network, "reference")):
            made = render(mel, iterations=iterations)
            assert made.requires_grad
            # A single sample may differ more, where a phase is left to rounding.
            assert float((made - compiled).detach().norm() / compiled.norm()) < 1e-4


def test_it_overfits_one_batch() -> None:
    torch.manual_seed(0)
    network = VocoderNetwork(**ARGS, **VocoderNet(dim=32, blocks=2).model_dump())
    render, front_end = Renderer(network, "reference"), MelFrontEnd(network.spec)
    time = torch.arange(4096) / 16000
    wav = (0.3 * torch.sin(2 * math.pi * 5000 * time))[None, None]  # above the low part
    mel, target = front_end(wav), front_end.stft(wav)
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    errors = []
    for _ in range(120):
        loss = (render.spectrum(mel) - target)[:, network.first_bin :].abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        errors.append(float(loss.detach()))
    assert errors[-1] < 0.2 * errors[0]


def test_weights_go_through_a_bundle() -> None:
    network = VocoderNetwork(**ARGS, **VocoderNet(dim=16, blocks=1).model_dump()).eval()
    config, tensors = packed(
        {VOCODER: Part("vocoder", {**ARGS, **VocoderNet(dim=16, blocks=1).model_dump()}, network.state_dict())}
    )
    bundle = Bundle(Path("a"), {"format": 2, "mel": ARGS, **config}, tensors, "0" * 12)
    again = build_part(bundle, VOCODER, NETWORKS, "a")
    mel = torch.randn(1, 40, 5)
    assert torch.equal(network(mel), again(mel))


def test_the_network_can_be_exported() -> None:
    network = VocoderNetwork(**ARGS, **VocoderNet(dim=16, blocks=1).model_dump()).eval()
    nn.init.normal_(network.head.weight)
    frames = torch.export.Dim("frames", min=2)
    program = torch.export.export(network, (torch.randn(1, 40, 12),), dynamic_shapes=({2: frames},))
    mel = torch.randn(1, 40, 31)
    torch.testing.assert_close(program.module()(mel), network(mel))
    types = {node.meta["val"].dtype for node in program.graph.nodes if isinstance(node.meta.get("val"), torch.Tensor)}
    assert types == {torch.float32}  # nothing complex


def test_numba_refuses_other_devices() -> None:
    spec = MelSpec(16000, 512, 256, 40)
    x, mel = torch.empty(1, 257, 4, dtype=torch.complex64, device="meta"), torch.empty(1, 40, 4, device="meta")
    with pytest.raises(ConfigError, match="numba works on the CPU only, the spectrum is on meta; use reference"):
        refine(x, mel, spec, [], backend="numba")


def test_one_class_is_called_vocoder() -> None:
    found = [
        path.name
        for path in Path(audio_gen.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef) and node.name == "Vocoder"
    ]
    assert found == ["vocoder.py"]
