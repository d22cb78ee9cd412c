"""Choosing a vocoder, and sounds that are too long to go through at once."""

import json
import math
from pathlib import Path

import pytest
import torch

from audio_gen.artefacts.bundle import save_bundle
from audio_gen.audio.mel import MelFrontEnd, MelSpec
from audio_gen.errors import AudioGenError, CheckpointError, ConfigError, MelMismatchError
from audio_gen.generation.pipeline import Pipeline
from audio_gen.models.registry import Part, packed
from audio_gen.training.tasks.vocoder import VocoderNet
from audio_gen.vocoding.griffinlim import GriffinLimVocoder
from audio_gen.vocoding.load import load_vocoder
from audio_gen.vocoding.long import OVERLAP_FRAMES, vocode_long
from audio_gen.vocoding.network import VocoderNetwork
from audio_gen.vocoding.renderer import NetworkVocoder
from audio_gen.vocoding.silence import LEAD_SEC
from tests.generation.models import SPEC, write_bundle


@pytest.fixture
def network(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    args = {**SPEC.to_dict(), **VocoderNet(dim=8, blocks=1).model_dump()}
    config, tensors = packed({"vocoder": Part("vocoder", args, VocoderNetwork(**args).state_dict())})
    save_bundle(tmp_path / "vocoder", {**config, "mel": SPEC.to_dict()}, tensors)
    return tmp_path / "vocoder"


def test_the_classical_way_takes_any_mel_and_is_its_default() -> None:
    for choice in (None, "griffinlim", "griffinlim:3"):
        vocoder = load_vocoder(choice, SPEC)
        assert vocoder.name.startswith("griffinlim") and vocoder.spec == SPEC
    assert load_vocoder("griffinlim", None).spec == MelSpec.preset("44khz_128band_512x")


def test_where_none_is_named_it_is_the_shipped_network_if_it_takes_the_mel() -> None:
    for spec in (None, *map(MelSpec.preset, ("44khz_128band_512x", "22khz_80band_256x"))):
        assert load_vocoder(None, spec).name.startswith("small ")
    assert load_vocoder(None, MelSpec.preset("44khz_128band_512x")).spec == load_vocoder(None, None).spec
    assert load_vocoder(None, SPEC).name == "griffinlim"


@pytest.mark.parametrize(
    ("choice", "kind", "told"),
    [
        ("griffinlim:0", ConfigError, "1 to 10000 iterations"),
        ("griffinlim:", ConfigError, "1 to 10000 iterations"),
        ("griffinlim:many", ConfigError, "1 to 10000 iterations"),
        ("smal", ConfigError, "did you mean 'small'"),
        ("small:many", ConfigError, "must have 0 to 10000 iterations"),
        ("no/path:3", ConfigError, "there is no such path"),
        ("griffinlin", ConfigError, "did you mean 'griffinlim'"),
        ("runs/none", ConfigError, "no such path; use griffinlim"),
    ],
)
def test_other_choices_are_told(choice: str, kind: type[AudioGenError], told: str) -> None:
    with pytest.raises(kind, match=told):
        load_vocoder(choice, SPEC)


def test_a_network_from_its_bundle(network: Path, bundle: Path) -> None:
    vocoder = load_vocoder(str(network), SPEC)
    wav = vocoder(torch.zeros(2, SPEC.n_mels, 9))
    assert wav.shape == (2, 1, 9 * SPEC.hop_length) and not wav.requires_grad
    assert load_vocoder(str(network), None).spec == SPEC
    with pytest.raises(MelMismatchError, match="n_mels 128 against 40"):
        load_vocoder(str(network), MelSpec.preset("44khz_128band_512x"))
    with pytest.raises(CheckpointError, match="is a vae; give a run made with --model vocoder"):
        load_vocoder(str(bundle), SPEC)


def test_a_path_is_always_a_folder(network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_vocoder(network, SPEC).name == load_vocoder(str(network), SPEC).name
    monkeypatch.chdir(tmp_path)
    network.rename("small")
    assert load_vocoder(Path("small"), None).spec == SPEC
    with pytest.raises(ConfigError, match="there is no such path"):
        load_vocoder(Path("griffinlim"), SPEC)
    model = write_bundle(tmp_path / "model")
    assert Pipeline.load(model, vocoder=Path("small"), device="cpu").vocoder.spec == SPEC


def test_a_bundle_from_before_iterations_were_arguments(tmp_path: Path) -> None:
    torch.manual_seed(0)
    args = {**SPEC.to_dict(), "dim": 8, "blocks": 1, "expansion": 3}
    network = VocoderNetwork(**args, low_projections=16, projections=2)
    weights = {f"model.{key}": value for key, value in network.state_dict().items()}
    about = {"format": 1, "model": "vocoder", "args": args, "mel": SPEC.to_dict()}
    save_bundle(tmp_path / "old", about, weights)
    config = tmp_path / "old" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text(encoding="utf-8")), "format": 1}), encoding="utf-8")
    mel = torch.zeros(1, SPEC.n_mels, 9)
    torch.testing.assert_close(load_vocoder(str(tmp_path / "old"), SPEC)(mel), NetworkVocoder(network, "new", 8)(mel))


@pytest.mark.parametrize("frames", [5, 64, 64 + OVERLAP_FRAMES, 64 + OVERLAP_FRAMES + 1, 300])
def test_long_sounds_in_blocks(frames: int) -> None:
    class Constant:
        name, spec = "constant", SPEC

        def __call__(self, mel: torch.Tensor, onset: float | None = None) -> torch.Tensor:
            return mel[:, :1].repeat_interleave(SPEC.hop_length, dim=2)

    ramp = torch.linspace(0, 1, frames).expand(SPEC.n_mels, -1)
    wav = vocode_long(Constant(), ramp, block_frames=64)
    torch.testing.assert_close(wav[0], ramp[0].repeat_interleave(SPEC.hop_length))


PRESETS = ["44khz_128band_512x", "22khz_80band_256x"]  # the network's own, and one of half its rate


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("choice", ["griffinlim:1", "small:0", "small:1"])
def test_before_an_onset_there_is_silence(choice: str, preset: str) -> None:
    spec = MelSpec.preset(preset)
    wav, at = torch.zeros(1, spec.samples(40)), spec.samples(20) + 100
    wav[:, at:] = 0.3 * torch.randn(wav.shape[1] - at, generator=torch.Generator().manual_seed(0))
    mel, vocoder = MelFrontEnd(spec)(wav[None]), load_vocoder(choice, spec)
    made = vocoder(mel, at)
    assert made.shape == (1, 1, wav.shape[1]) and torch.equal(vocoder(mel.repeat(2, 1, 1), at)[1:], made)
    silent = at - math.ceil(LEAD_SEC * spec.sample_rate)
    assert not made[..., :silent].any() and float(made[..., at : at + 500].abs().max()) > 0.1
    assert float(vocoder(mel)[..., :silent].abs().max()) > 1e-4


@pytest.mark.parametrize("block_frames", [16, 32, 64])
def test_blocks_before_an_onset_are_silent(block_frames: int) -> None:
    wav, at = torch.zeros(1, SPEC.samples(150)), SPEC.samples(70) + 30
    wav[:, at:] = 0.3 * torch.sin(torch.arange(wav.shape[1] - at) / 4)
    mel = MelFrontEnd(SPEC)(wav[None])[0]
    made = vocode_long(load_vocoder("griffinlim:2", SPEC), mel, block_frames, onset=at)
    assert made.shape == wav.shape and not made[:, : at - math.ceil(LEAD_SEC * SPEC.sample_rate)].any()
    assert float(made[:, at : at + 200].abs().max()) > 0.1


def test_real_sound_through_blocks() -> None:
    sound = 0.5 * torch.sin(torch.arange(256 * 200) / 8.0)[None, None]
    mel = MelFrontEnd(SPEC)(sound)[0]
    wav = vocode_long(load_vocoder("griffinlim:8", SPEC), mel, block_frames=64)
    loud = wav.unfold(-1, 1024, 1024).square().mean(-1).sqrt()
    assert float(loud[0, 2:-2].min()) > 0.2  # no holes at the joins


@pytest.mark.posix
@pytest.mark.parametrize("choice", ["small", "small:2", None])
def test_a_shipped_name_goes_before_a_folder_of_that_name(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, choice: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("small", "small:2", "griffinlim", "bigvgan", "griffinlim:8"):
        (tmp_path / name).symlink_to(bundle)  # a VAE, which is no vocoder
    assert load_vocoder(choice, None).name.startswith("small (")
    assert isinstance(load_vocoder("griffinlim:8", SPEC), GriffinLimVocoder)
    for path in ("./small", "path:small", f"{tmp_path}/small", "small/"):
        with pytest.raises(CheckpointError, match="is a vae"):
            load_vocoder(path, None)
    with pytest.raises(ConfigError, match="give bigvgan: and its folder"):
        load_vocoder("bigvgan", None)
