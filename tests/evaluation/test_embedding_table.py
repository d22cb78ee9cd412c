"""The table of embeddings: names, and what is said where weights are missing."""

import sys
from pathlib import Path

import pytest
import torch

from audio_gen.errors import ConfigError, DataError
from audio_gen.evaluation.embeddings import NAMES, external, load_embedding
from audio_gen.evaluation.embeddings.base import BATCH_WINDOWS, digest_of, mean_over_windows
from audio_gen.evaluation.embeddings.external import Vggish, _vggish
from tests.sounds import noise, sine


def test_the_default_comes_first_and_unknown_names_are_refused() -> None:
    assert NAMES[0] == "yamnet" and len(set(NAMES)) == len(NAMES)
    with pytest.raises(ConfigError, match="did you mean 'vggish'"):
        load_embedding("vgish")
    with pytest.raises(ConfigError, match="use yamnet"):
        load_embedding("???")


def test_mean_over_windows_of_uneven_clips() -> None:
    counts = [1, 3, 2 * BATCH_WINDOWS, 5, BATCH_WINDOWS - 1, 1]
    wavs = [torch.arange(count, dtype=torch.float32) + i for i, count in enumerate(counts)]
    sizes: list[int] = []

    def network(windows: torch.Tensor) -> torch.Tensor:
        sizes.append(len(windows))
        return torch.cat([windows, windows**2], 1)

    made = mean_over_windows(wavs, lambda wav: wav[:, None], network, 2)
    torch.testing.assert_close(made, torch.stack([torch.stack([w.mean(), (w**2).mean()]) for w in wavs]))
    assert sum(sizes) == sum(counts) and set(sizes[:-1]) == {BATCH_WINDOWS}


def test_the_digest_tells_weights_shapes_and_use_apart() -> None:
    weights = [torch.arange(6.0), torch.tensor(1.0)]
    others = [
        digest_of(weights, "a"),
        digest_of(weights, "b"),
        digest_of([weights[0].reshape(2, 3), weights[1]], "a"),
        digest_of([weights[0] + 1e-6, weights[1]], "a"),
        digest_of(weights[:1], "a"),
    ]
    assert len(set(others)) == len(others) and digest_of(list(weights), "a") == others[0]


@pytest.mark.parametrize("name", ["clap-laion-audio", "clap-laion-music", "encodec-emb"])
def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(DataError, match=r'transformers is not installed; pip install "transformers') as caught:
        load_embedding(name)
    assert "\n" not in str(caught.value)


def test_vggish_needs_a_path_that_fits(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="path of a state dict"):
        load_embedding("vggish")
    path = tmp_path / "weights.pth"
    for content in (None, {"a": torch.zeros(2)}, [1, 2]):
        if content is not None:
            torch.save(content, path)
        with pytest.raises(DataError, match="contains no weights of VGGish"):
            load_embedding("vggish", path=path)


def test_vggish_takes_weights_by_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = _vggish()
    assert sum(p.numel() for p in network.parameters()) == 72_141_184  # as published
    # The whole of it is 290 MB; its shapes on the meta device are enough to name and order the weights.
    path = tmp_path / "weights.pth"
    names = ["features.%d.weight", "features.%d.bias"]
    weights = {names[i % 2] % (i // 2): w for i, w in enumerate(network.state_dict().values())}
    monkeypatch.setattr(external, "load_plain", lambda path: weights)
    embed = Vggish(path)
    wavs = [torch.from_numpy(sine(440, 1.0, 16000)), torch.from_numpy(noise(0.1, 16000))]
    made = embed(wavs)
    assert made.shape == (2, 128) and made.isfinite().all()
    torch.testing.assert_close(made[1:], embed(wavs[1:]), atol=1e-5, rtol=1e-5)
