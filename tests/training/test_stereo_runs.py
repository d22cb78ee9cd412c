"""The channels of a run: chosen by the sounds, kept by the run, taken from a bundle; and what stereo models make."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from audio_gen.artefacts.bundle import load_bundle
from audio_gen.audio.channels import width_db
from audio_gen.config import DataSettings, read_yaml
from audio_gen.data.cache import build_cache
from audio_gen.errors import ConfigError, MelMismatchError
from audio_gen.generation.pipeline import Pipeline
from audio_gen.models.registry import bundle_mel
from audio_gen.training.tasks.run import train_run
from tests.sounds import RATE, noise, write

CONFIGS = Path(__file__).parents[2] / "configs"
QUICK = ["train.previews=1", "train.validations=1"]
SMALL = ["augment=0", "net.latent_dim=12"]
MODEL_RATE = 16000  # of configs/*/tiny.yaml


def folder_of(folder: Path, *, stereo: int, mono: int = 0) -> Path:
    for i in range(stereo + mono):
        fall = 10 ** (-2.5 * np.arange(round(0.3 * RATE)) / RATE / 0.3)
        sides = [noise(0.3, seed=2 * i + side) * fall for side in (0, 1 if i < stereo else 0)]
        write(folder / f"{i}.wav", np.stack(sides, axis=1) if i < stereo else sides[0])
    return folder


def train(source: Path, run: Path, model: str = "gan", *overrides: str, steps: int = 1, **more: Any) -> Path:
    small = [] if model == "vocoder" else SMALL
    return train_run(
        source, run, model=model, config_file=CONFIGS / model / "tiny.yaml", overrides=[*QUICK, *small, *overrides],
        steps=steps, device="cpu", **more,
    )  # fmt: skip


def channels_of(run: Path) -> tuple[int, int]:
    """Of the run's settings and of its bundle."""
    return read_yaml(run / "config.yaml")["data"]["channels"], bundle_mel(load_bundle(run)).channels


@pytest.mark.parametrize("model", ["gan", "vae"])
def test_a_stereo_folder_makes_stereo_clips(tmp_path: Path, model: str) -> None:
    run = train(folder_of(tmp_path / "sounds", stereo=8), tmp_path / "run", model)
    assert channels_of(run) == (2, 2)
    wav = Pipeline.load(run, device="cpu").sample(2, seed=0)
    assert wav.shape[1] == 2
    assert all(width_db(clip) > -12 for clip in wav)
    assert list((run / "previews").rglob("*.wav"))


def test_a_mono_folder_stays_mono_and_few_stereo_files_are_mixed(tmp_path: Path) -> None:
    run = train(folder_of(tmp_path / "sounds", stereo=1, mono=8), tmp_path / "run")
    assert channels_of(run) == (1, 1)
    assert Pipeline.load(run, device="cpu").sample(1).shape[1] == 1
    assert "stereo_bands" not in load_bundle(run).config["mel"]


def test_channels_can_be_set(tmp_path: Path) -> None:
    sounds = folder_of(tmp_path / "sounds", stereo=4, mono=4)
    assert channels_of(train(sounds, tmp_path / "one", "gan", "data.channels=1")) == (1, 1)
    assert channels_of(train(sounds, tmp_path / "two", "gan", "data.channels=2")) == (2, 2)
    with pytest.raises(ConfigError, match=r"cannot resume .*data.channels was 1, is 2"):
        train(sounds, tmp_path / "one", "gan", "data.channels=2", steps=2)


def test_a_run_of_an_earlier_version_goes_on_in_mono(tmp_path: Path) -> None:
    sounds = folder_of(tmp_path / "sounds", stereo=8)
    run = train(sounds, tmp_path / "run", "gan", "data.channels=1", "train.compact=false")
    settings = run / "config.yaml"
    lines = settings.read_text().splitlines()
    settings.write_text("\n".join(line for line in lines if "channels: 1" not in line and "stereo" not in line))
    train(sounds, run, steps=2)
    assert channels_of(run) == (1, 1)


def test_a_run_takes_the_channels_of_its_bundle(tmp_path: Path) -> None:
    stereo, mono = folder_of(tmp_path / "stereo", stereo=8), folder_of(tmp_path / "mono", stereo=0, mono=8)
    first = train(stereo, tmp_path / "first")
    assert channels_of(train(mono, tmp_path / "second", init=first)) == (2, 2)
    third = train(mono, tmp_path / "third")
    assert channels_of(train(stereo, tmp_path / "fourth", init=third)) == (1, 1)
    with pytest.raises(MelMismatchError, match="channels: 2 against 1"):
        train(stereo, tmp_path / "fifth", "gan", "data.channels=2", init=third)
    assert channels_of(train(stereo, tmp_path / "fifth", "gan", "data.channels=1", init=third)) == (1, 1)


def test_a_cache_decides_and_a_mono_cache_cannot_be_stereo(tmp_path: Path) -> None:
    sounds = folder_of(tmp_path / "sounds", stereo=8)
    build_cache(sounds, tmp_path / "mono.cache", sample_rate=MODEL_RATE, data=DataSettings(channels=1))
    build_cache(sounds, tmp_path / "stereo.cache", sample_rate=MODEL_RATE, data=DataSettings(channels=2))
    assert channels_of(train(tmp_path / "mono.cache", tmp_path / "a")) == (1, 1)
    assert channels_of(train(tmp_path / "stereo.cache", tmp_path / "b")) == (2, 2)
    assert channels_of(train(tmp_path / "stereo.cache", tmp_path / "c", "gan", "data.channels=1")) == (1, 1)
    with pytest.raises(ConfigError, match=r"data.channels \(2\): .*mono.cache is a cache of 1 channel"):
        train(tmp_path / "mono.cache", tmp_path / "d", "gan", "data.channels=2")


def test_a_vocoder_learns_mono_from_stereo_sounds(tmp_path: Path) -> None:
    run = train(folder_of(tmp_path / "sounds", stereo=8), tmp_path / "run", "vocoder", steps=1)
    assert channels_of(run) == (1, 1)


def test_the_first_sample_of_a_stereo_clip_is_that_of_the_earlier_side(tmp_path: Path) -> None:
    run = train(folder_of(tmp_path / "sounds", stereo=8), tmp_path / "run")
    pipeline = Pipeline.load(run, device="cpu")
    wav = torch.zeros(2, RATE)
    wav[0, 3000:] = 0.2 * torch.randn(RATE - 3000)
    wav[1, 2000:] = 0.1 * torch.randn(RATE - 2000)
    assert abs(pipeline.begin(wav) - (2000 - RATE // 1000)) < RATE // 1000
    image = pipeline.mel(wav)
    assert image.shape == (pipeline.spec.rows, pipeline.frames)
