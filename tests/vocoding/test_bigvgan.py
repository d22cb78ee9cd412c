"""Others' vocoders with random weights, what is refused, and mels that are none."""

import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from audio_gen.audio.mel import LOG_FLOOR, MelFrontEnd
from audio_gen.errors import AudioGenError, CheckpointError, ConfigError, DataError, MelMismatchError
from audio_gen.vocoding.bigvgan import BIGVGAN_CONFIG, BIGVGAN_WEIGHTS
from audio_gen.vocoding.load import load_vocoder
from audio_gen.vocoding.long import vocode_blocks, vocode_long
from audio_gen.vocoding.silence import between_silence
from audio_gen.vocoding.stream import context_frames, stream
from audio_gen.vocoding.vocoder import check_mel
from tests.generation.models import SPEC

CONFIG: dict[str, Any] = {
    "resblock": "1", "upsample_rates": [8, 8, 4], "upsample_kernel_sizes": [16, 16, 8],
    "upsample_initial_channel": 32, "resblock_kernel_sizes": [3, 7], "resblock_dilation_sizes": [[1, 3, 5], [1, 3, 5]],
    "use_tanh_at_final": False, "use_bias_at_final": False, "activation": "snakebeta", "snake_logscale": True,
    "num_mels": 40, "n_fft": 512, "hop_size": 256, "win_size": 512, "sampling_rate": 22050, "fmin": 0, "fmax": None,
}  # fmt: skip


def write_bigvgan(folder: Path, *, normed: bool = True) -> Path:
    """What its `save_pretrained` writes, of a small network with random weights."""
    bigvgan = pytest.importorskip("bigvgan.bigvgan")
    torch.manual_seed(0)
    network = bigvgan.BigVGAN(bigvgan.AttrDict(CONFIG))
    for parameter in network.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    if not normed:
        network.remove_weight_norm()
    folder.mkdir(exist_ok=True)
    torch.save({"generator": network.state_dict()}, folder / BIGVGAN_WEIGHTS)
    return write_config(folder)


def write_config(folder: Path, **changes: Any) -> Path:
    (folder / BIGVGAN_CONFIG).write_text(json.dumps(CONFIG | changes))
    return folder


@pytest.fixture(scope="module")
def bigvgan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bigvgan(tmp_path_factory.mktemp("bigvgan"))


@pytest.fixture
def own_copy(bigvgan: Path, tmp_path: Path) -> Path:
    (tmp_path / BIGVGAN_WEIGHTS).write_bytes((bigvgan / BIGVGAN_WEIGHTS).read_bytes())
    return write_config(tmp_path)


def log_mel(frames: int) -> torch.Tensor:
    noise = 0.1 * torch.randn(1, 1, SPEC.samples(frames), generator=torch.Generator().manual_seed(0))
    return MelFrontEnd(SPEC)(noise)


@pytest.mark.parametrize("frames", [1, 2, 3, 17])
def test_bigvgan_has_our_mel_and_lengths(bigvgan: Path, frames: int) -> None:
    vocoder = load_vocoder(f"bigvgan:{bigvgan}", SPEC)
    assert vocoder.spec == SPEC and vocoder.name.startswith(f"bigvgan:{bigvgan} (")
    wav = vocoder(log_mel(frames).expand(2, -1, -1))
    assert wav.shape == (2, 1, SPEC.samples(frames)) and wav.isfinite().all() and not wav.requires_grad


def test_bigvgan_is_what_its_own_code_makes(bigvgan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    package = pytest.importorskip("bigvgan.bigvgan")
    network = package.BigVGAN(package.AttrDict(CONFIG)).eval()
    network.load_state_dict(torch.load(bigvgan / BIGVGAN_WEIGHTS, weights_only=True)["generator"])
    mel = log_mel(12)
    made = load_vocoder(f"bigvgan:{bigvgan / BIGVGAN_WEIGHTS}", None)(mel)
    assert capsys.readouterr().out == ""
    assert float(made.std()) > 1e-3
    with torch.no_grad():
        # Every vocoder works between two silences: the network sees the same mel as ours does.
        expected = between_silence(lambda padded, _: network(padded), mel, SPEC, None)
    torch.testing.assert_close(made, expected, atol=1e-5, rtol=0)


def test_bigvgan_without_weight_norm_is_the_same(bigvgan: Path, tmp_path: Path) -> None:
    plain = write_bigvgan(tmp_path / "plain", normed=False)
    mel = log_mel(5)
    made, expected = (load_vocoder(f"bigvgan:{folder}", SPEC)(mel) for folder in (plain, bigvgan))
    torch.testing.assert_close(made, expected, atol=1e-5, rtol=0)


def test_its_mel_is_ours() -> None:
    meldataset = pytest.importorskip("bigvgan.meldataset")
    t = torch.arange(SPEC.samples(60)) / SPEC.sample_rate
    noise = 0.3 * torch.randn(len(t), generator=torch.Generator().manual_seed(0)).clamp(-3, 3)
    wav = torch.stack([noise, 0.9 * torch.sin(2 * math.pi * 440 * t)])
    expected = meldataset.mel_spectrogram(wav, *(CONFIG[key] for key in (
        "n_fft", "num_mels", "sampling_rate", "hop_size", "win_size", "fmin", "fmax",
    )))  # fmt: skip
    torch.testing.assert_close(MelFrontEnd(SPEC)(wav[:, None]), expected, atol=1e-4, rtol=0)


def test_bigvgan_streams(bigvgan: Path) -> None:
    vocoder, mel = load_vocoder(f"bigvgan:{bigvgan}", SPEC), log_mel(90)
    whole = vocoder(mel)[0]
    made = torch.cat(list(stream(vocoder, mel[0].split([20, 1, 45, 24], dim=1))), dim=1)
    torch.testing.assert_close(made, whole, atol=1e-4, rtol=0)
    assert not made.requires_grad
    other, context = mel.clone(), context_frames(vocoder)
    other[..., 45] += 1
    heard = ((vocoder(other)[0] - whole)[0].abs() > 0).reshape(90, -1).any(dim=1).nonzero()[:, 0]
    assert 45 - context <= int(heard.min()) and int(heard.max()) <= 45 + context


@pytest.mark.parametrize(
    ("changes", "kind", "told"),
    [
        ({"fmax": 8000}, MelMismatchError, "the model and the vocoder bigvgan:.* f_max 11025.0 against 8000.0"),
        ({"num_mels": 80}, MelMismatchError, "n_mels 40 against 80"),
        ({"win_size": 400}, MelMismatchError, r"its window \(400 samples\) is not its n_fft \(512\)"),
        ({"upsample_rates": [8, 8, 8]}, CheckpointError, "do not give a hop of 256 samples"),
        ({"upsample_rates": "8"}, CheckpointError, "do not give a hop of 256 samples"),
        ({"upsample_initial_channel": 64}, CheckpointError, "do not fit a BigVGAN"),
        ({"activation": "gelu"}, CheckpointError, "do not fit a BigVGAN"),
    ],
)
def test_configs_that_do_not_fit(own_copy: Path, changes: dict, kind: type[AudioGenError], told: str) -> None:
    write_config(own_copy, **changes)
    with pytest.raises(kind, match=told) as e:
        load_vocoder(f"bigvgan:{own_copy}", SPEC)
    assert "\n" not in str(e.value)


def test_damaged_bigvgan(own_copy: Path) -> None:
    choice, weights = f"bigvgan:{own_copy}", own_copy / BIGVGAN_WEIGHTS
    data = weights.read_bytes()
    weights.write_bytes(data[: len(data) // 2])
    with pytest.raises(CheckpointError, match="missing, damaged or more than plain tensors"):
        load_vocoder(choice, SPEC)
    torch.save({"generator": Path}, weights)  # only a pickle can hold a class
    with pytest.raises(CheckpointError, match="more than plain tensors"):
        load_vocoder(choice, SPEC)
    torch.save({"model": {}}, weights)
    with pytest.raises(CheckpointError, match="has no generator"):
        load_vocoder(choice, SPEC)
    weights.unlink()
    with pytest.raises(CheckpointError, match="missing"):
        load_vocoder(choice, SPEC)
    (own_copy / BIGVGAN_CONFIG).write_text('{"n_fft": 512}')
    with pytest.raises(CheckpointError, match="lacks sampling_rate, hop_size"):
        load_vocoder(choice, SPEC)
    (own_copy / BIGVGAN_CONFIG).write_text("{")
    with pytest.raises(CheckpointError, match="missing or damaged"):
        load_vocoder(choice, SPEC)


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bigvgan.bigvgan", None)
    monkeypatch.setitem(sys.modules, "bigvgan", None)
    with pytest.raises(ConfigError, match=r'needs the package bigvgan .* pip install "audio-gen\[peers\]"'):
        load_vocoder(f"bigvgan:{write_config(tmp_path)}", SPEC)


@pytest.mark.parametrize("choice", ["bigvgan:", "bigvgan:runs/none"])
def test_a_path_that_is_none(choice: str) -> None:
    with pytest.raises(ConfigError, match=r"there is no such path; give bigvgan: and its folder"):
        load_vocoder(choice, SPEC)


def test_mels_of_sounds_pass() -> None:
    for scale in (0.0, 1e-4, 1.0):
        check_mel((MelFrontEnd(SPEC)(scale * torch.randn(1, 1, SPEC.samples(9)).clamp(-1, 1)))[0], SPEC)
    check_mel(torch.full((SPEC.n_mels, 1), LOG_FLOOR - 1), SPEC)


def damaged(value: float) -> torch.Tensor:
    mel = log_mel(30)[0]
    mel[7, 20] = mel[5, 12] = mel[9, 12] = value
    return mel


@pytest.mark.parametrize(
    ("mel", "kind", "told"),
    [
        (damaged(math.nan), DataError, r"noise.npy: holds nan in band 5 of frame 12 \(0.14 s"),
        (damaged(-math.inf), DataError, "holds -inf in band 5 of frame 12"),
        (log_mel(30)[0].exp(), DataError, "like amplitudes and not logarithms"),
        (torch.zeros(40, 30), DataError, "is between 0 and 0, like amplitudes"),
        (8.686 * log_mel(30)[0], DataError, "if it is in dB, divide it by 8.686"),
        (damaged(80), DataError, "unlike a natural-log mel of a sound"),
        (log_mel(30)[0].T, MelMismatchError, "has the shape 30x40, and the vocoder takes 40 bands"),
        (log_mel(30), MelMismatchError, "has the shape 1x40x30"),
        (log_mel(30)[0, :, :0], MelMismatchError, "has the shape 40x0"),
    ],
)
def test_mels_that_are_none(mel: torch.Tensor, kind: type[AudioGenError], told: str) -> None:
    with pytest.raises(kind, match=told) as e:
        check_mel(mel, SPEC, "noise.npy")
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("frames", [5, 64, 97, 300])
def test_pieces_are_the_whole(frames: int) -> None:
    vocoder, mel = load_vocoder("griffinlim:1", SPEC), log_mel(frames)[0]
    pieces = list(vocode_blocks(vocoder, mel, block_frames=64))
    assert all(piece.shape[1] <= SPEC.samples(64 + 32) for piece in pieces)
    assert torch.equal(torch.cat(pieces, dim=1), vocode_long(vocoder, mel, block_frames=64))
    assert sum(piece.shape[1] for piece in pieces) == SPEC.samples(frames)
