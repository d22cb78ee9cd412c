"""The vocoder of a folder is the one that is nearest on its held-out files."""

from pathlib import Path
from typing import Any

import pytest
import torch

from audio_gen.artefacts import bundle
from audio_gen.artefacts.bundle import load_bundle, save_bundle
from audio_gen.audio.mel import MelSpec
from audio_gen.data.store import Cache
from audio_gen.models.registry import Part, packed
from audio_gen.studio import vocoder_choice
from audio_gen.studio.vocoder_choice import Choice, Training, chosen_vocoder
from audio_gen.training.tasks.run import resolve_config
from audio_gen.training.tasks.source import open_source
from audio_gen.vocoding.network import VocoderNetwork
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
    network = VocoderNetwork(**SPEC.to_dict(), **ARGS)
    network.head.bias.data[: SPEC.n_bins] = -1.0
    config, tensors = packed({"vocoder": Part("vocoder", {**SPEC.to_dict(), **ARGS}, network.state_dict())})
    save_bundle(tmp_path / "vocoders" / "small", {**config, "mel": SPEC.to_dict()}, tensors)
    monkeypatch.setattr(bundle, "SHIPPED", tmp_path / "vocoders")
    return tmp_path / "vocoders" / "small"


def chosen(cache: Cache, run: Path, spec: MelSpec = SPEC) -> Choice:
    return chosen_vocoder(
        cache, spec, run, minutes=0.05, seed=0, device="cpu", force=False, training=Training(lambda event: None)
    )  # fmt: skip


@pytest.mark.parametrize(
    ("distances", "best"),
    [
        ((0.5, 0.5, 0.48, 0.45), "run"),
        ((0.5, 0.5, 0.48, 0.49), "probe"),
        ((0.5, 0.45, 0.46), "griffinlim"),
        ((0.5, 0.6, 0.498), None),
        ((0.5, 0.6, 0.7), None),
    ],
)
def test_what_is_nearest_on_kept_out_files_is_used(
    cache: Cache, shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, distances: tuple[float, ...],
    best: str | None,
) -> None:  # fmt: skip
    given = iter(distances)
    monkeypatch.setattr(vocoder_choice, "_distance", lambda vocoder, cache: next(given))
    choice, told, saved_min = chosen(cache, tmp_path / "v")
    places = {"run": str(tmp_path / "v"), "probe": str(tmp_path / "v-probe")}
    assert choice == {**places, "griffinlim": "griffinlim", None: None}[best]
    assert all(f"{distance:.3f}" in told for distance in distances)
    tuned = "small trained on these sounds for 0.0 minutes"
    name = {"run": tuned, "probe": "small after a short tuning", "griffinlim": best, None: "small"}[best]
    assert told.endswith(f"Chosen vocoder: {name}.")
    long = best in ("run", "probe")
    assert (tmp_path / "v").exists() == long  # only where the probe came nearer
    assert saved_min == pytest.approx(0 if long else 0.8 * 0.2 * 0.05)
    began, ended = (load_bundle(path) for path in (shipped, tmp_path / ("v" if long else "v-probe")))
    assert ended.config["vocoder"] == began.config["vocoder"] and ended.digest != began.digest


def test_the_distance_is_that_of_copies(cache: Cache, shipped: Path) -> None:
    def distance(vocoder: Any) -> float:
        return vocoder_choice._distance(vocoder, cache)

    class Silence:
        spec = SPEC

        def __call__(self, mel: torch.Tensor, onset: float | None) -> torch.Tensor:
            return torch.zeros(1, 1, SPEC.samples(mel.shape[-1]))

    from audio_gen.vocoding.load import load_vocoder

    assert 0 < distance(load_vocoder("griffinlim:4", SPEC)) < distance(load_vocoder("griffinlim:1", SPEC))
    assert distance(load_vocoder("small", SPEC)) < distance(Silence())


def test_a_mel_that_the_shipped_one_does_not_speak(cache: Cache, shipped: Path, tmp_path: Path) -> None:
    choice, told, _ = chosen(cache, tmp_path / "v", MelSpec.preset("22khz_80band_256x"))
    assert choice is None and "griffinlim" in told and "small" not in told
    assert not (tmp_path / "v").exists()


def test_half_its_rate_is_heard_but_not_tuned(cache: Cache, shipped: Path, tmp_path: Path) -> None:
    _, told, _ = chosen(cache, tmp_path / "v", MelSpec(sample_rate=8000, n_fft=256, hop_length=128, n_mels=20))
    assert "small 1." in told and "trained" not in told


def test_too_few_kept_out_files(cache: Cache, shipped: Path, tmp_path: Path) -> None:
    cache.clips.on_side = lambda split: torch.arange(2).numpy()  # type: ignore[method-assign]
    choice, told, _ = chosen(cache, tmp_path / "v")
    assert choice is None and "2 held-out files are too few" in told
    assert not (tmp_path / "v").exists()


def test_a_training_that_is_stopped_is_the_last(
    cache: Cache, shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []

    def stopped(source: Path, run: Path, *, on_event: Training, **more: Any) -> None:
        started.append(run)
        on_event.stopped_by = "SIGINT"

    monkeypatch.setattr(vocoder_choice, "train_run", stopped)
    chosen(cache, tmp_path / "v")
    assert started == [tmp_path / "v-probe"]
