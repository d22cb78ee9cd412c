"""The vocoder that comes with the package, tuned on a folder, is used where kept-out files gain by it."""

from pathlib import Path
from typing import Any

import pytest
import torch

from audio_gen import checkpoint
from audio_gen.audio.mel import MelSpec
from audio_gen.checkpoint import load_bundle, save_bundle
from audio_gen.cli import tuning
from audio_gen.cli.tuning import tuned_vocoder
from audio_gen.data.store import Cache
from audio_gen.models.vocoder import Vocoder
from audio_gen.training.tasks.run import resolve_config
from audio_gen.training.tasks.source import open_source
from tests.sounds import write_notes

SPEC = MelSpec(sample_rate=16000, n_fft=512, hop_length=256, n_mels=40)
ARGS = {"dim": 8, "blocks": 1, "expansion": 1, "low_projections": 1, "projections": 1}


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    folder = write_notes(tmp_path / "notes", count=30, sec=0.3)
    settings = resolve_config(tmp_path / "r", "vocoder", None, [], {"train": {"steps": 1}})
    return open_source(folder, tmp_path / "r", settings, SPEC, lambda event: None)


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A vocoder "small" that has learned something wrong: it turns everything down."""
    torch.manual_seed(0)
    network = Vocoder(**SPEC.to_dict(), **ARGS)
    network.head.bias.data[: SPEC.n_bins] = -1.0
    tensors = {f"model.{key}": value for key, value in network.state_dict().items()}
    config = {"model": "vocoder", "args": {**SPEC.to_dict(), **ARGS}, "mel": SPEC.to_dict()}
    save_bundle(tmp_path / "vocoders" / "small", config, tensors)
    monkeypatch.setattr(checkpoint, "SHIPPED", tmp_path / "vocoders")
    return tmp_path / "vocoders" / "small"


def tuned(cache: Cache, run: Path, spec: MelSpec = SPEC) -> tuple[str | None, str]:
    return tuned_vocoder(
        cache, spec, run, minutes=0.05, seed=0, device="cpu", force=False, tell=lambda event: None
    )  # fmt: skip


@pytest.mark.parametrize("gain", [0.9, 0.995, 1.1])
def test_it_is_used_where_it_is_better(
    cache: Cache, shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gain: float
) -> None:
    distances = iter([0.5, 0.5 * gain])
    monkeypatch.setattr(tuning, "_distance", lambda vocoder, cache: next(distances))
    choice, told = tuned(cache, tmp_path / "v")
    assert choice == (str(tmp_path / "v") if gain < 0.99 else None)
    assert f"from 0.500 to {0.5 * gain:.3f}" in told and ("no gain" in told) == (choice is None)
    began, ended = (load_bundle(path) for path in (shipped, tmp_path / "v"))
    assert ended.config["args"] == began.config["args"] and ended.digest != began.digest


def test_the_distance_is_that_of_copies(cache: Cache, shipped: Path) -> None:
    def distance(vocoder: Any) -> float:
        return tuning._distance(vocoder, cache)

    class Silence:
        spec = SPEC

        def __call__(self, mel: torch.Tensor) -> torch.Tensor:
            return torch.zeros(1, 1, SPEC.samples(mel.shape[-1]))

    from audio_gen.generation.vocoders import load_vocoder

    assert 0 < distance(load_vocoder("griffinlim:4", SPEC)) < distance(load_vocoder("griffinlim:1", SPEC))
    assert distance(load_vocoder("small", SPEC)) < distance(Silence())


def test_without_a_shipped_one_or_kept_out_files_it_says_so(cache: Cache, shipped: Path, tmp_path: Path) -> None:
    other = MelSpec.preset("22khz_80band_256x")
    assert tuned(cache, tmp_path / "v", other)[0] is None and "griffinlim" in tuned(cache, tmp_path / "v", other)[1]
    cache.clips.on_side = lambda split: torch.arange(2).numpy()  # type: ignore[method-assign]
    choice, told = tuned(cache, tmp_path / "v")
    assert choice is None and "2 kept-out files are too few" in told
    assert not (tmp_path / "v").exists()
