"""Adapters for models of transformers, on tiny ones with random weights."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from audio_gen.errors import DataError
from audio_gen.evaluation.embeddings import load_embedding
from tests.sounds import noise, sine

transformers = pytest.importorskip("transformers")


def tiny_clap(folder: Path) -> Path:
    torch.manual_seed(0)
    audio = {
        "num_mel_bins": 64, "spec_size": 256, "patch_embeds_hidden_size": 16, "depths": [1, 1],
        "num_attention_heads": [2, 2], "hidden_size": 32, "num_hidden_layers": 2, "projection_dim": 24,
        "patch_size": 4, "patch_stride": [4, 4], "window_size": 8,
    }  # fmt: skip
    text = {"vocab_size": 20, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
            "intermediate_size": 16, "projection_dim": 24}  # fmt: skip
    config = transformers.ClapConfig(audio_config=audio, text_config=text, projection_dim=24)
    transformers.ClapModel(config).save_pretrained(folder)
    transformers.ClapFeatureExtractor(truncation="rand_trunc", padding="repeatpad").save_pretrained(folder)
    return folder


def tiny_encodec(folder: Path) -> Path:
    torch.manual_seed(0)
    config = transformers.EncodecConfig(
        num_filters=4, hidden_size=12, codebook_dim=12, codebook_size=16, num_lstm_layers=1, target_bandwidths=[1.5]
    )
    transformers.EncodecModel(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("name", "make", "dimensions", "sample_rate"),
    [("clap-laion-audio", tiny_clap, 24, 48000), ("encodec-emb", tiny_encodec, 12, 24000)],
)
def test_a_local_model(
    tmp_path: Path, name: str, make: Callable[[Path], Path], dimensions: int, sample_rate: int
) -> None:
    embed = load_embedding(name, path=make(tmp_path / "model"))
    assert (embed.name, embed.dimensions, embed.sample_rate, len(embed.digest)) == (name, dimensions, sample_rate, 12)
    wavs = [sine(440, 0.3, sample_rate), noise(0.2, sample_rate), noise(0.2, sample_rate)[:1]]
    clips = [torch.from_numpy(wav) for wav in wavs]
    made = embed(clips)
    assert made.shape == (3, dimensions) and made.isfinite().all() and made.dtype == torch.float32
    torch.testing.assert_close(made, torch.cat([embed([clip]) for clip in clips]), atol=1e-5, rtol=1e-5)
    assert (made[0] - made[1]).norm() > 0
    assert embed([]).shape == (0, dimensions)


@pytest.mark.parametrize("name", ["clap-laion-audio", "clap-laion-music", "encodec-emb"])
def test_what_cannot_be_reached_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def unreachable(*args: object, **kwargs: object) -> None:
        raise OSError("We couldn't connect\nto the Hub")

    for kind in (transformers.ClapModel, transformers.EncodecModel):
        monkeypatch.setattr(kind, "from_pretrained", unreachable)
    with pytest.raises(DataError, match="give its folder as the path") as caught:
        load_embedding(name)
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="is not a folder with a model"):
        load_embedding(name, path=tmp_path / "nowhere")
