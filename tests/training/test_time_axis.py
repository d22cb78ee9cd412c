"""The time axis of a run: chosen by the sounds, kept by the run, taken from a bundle, and what it does to blends."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from audio_gen.artefacts.bundle import load_bundle
from audio_gen.config import read_yaml
from audio_gen.errors import CheckpointError, ConfigError
from audio_gen.files import write_json
from audio_gen.generation.interpolate import between
from audio_gen.generation.pipeline import Pipeline
from audio_gen.models.decay_axis import decay_end
from audio_gen.models.registry import parts_of
from audio_gen.training.events import Note
from audio_gen.training.tasks.run import train_run
from audio_gen.training.tasks.time_axis import time_axis_of
from tests.sounds import RATE, noise, sine, write

CONFIGS = Path(__file__).parents[2] / "configs"
QUICK = ["train.previews=0", "train.validations=0", "train.lr=1e-12", "augment=0", "net.latent_dim=12"]


def decaying(folder: Path, count: int = 12) -> Path:
    """Noises that fall by 50 dB in 0.08 to 0.4 s."""
    for i, sec in enumerate(np.geomspace(0.08, 0.4, count)):
        time = np.arange(round(0.45 * RATE)) / RATE
        write(folder / f"{i}.wav", noise(0.45, amplitude=0.99, seed=i)[: len(time)] * 10 ** (-2.5 * time / sec))
    return folder


def sustained(folder: Path, count: int = 12) -> Path:
    for i in range(count):
        write(folder / f"{i}.wav", sine(200.0 + 40 * i, 0.2 + 0.02 * i))
    return folder


def train(source: Path, run: Path, model: str, *overrides: str, steps: int = 1, **more: Any) -> list[str]:
    """Train for a few steps; returns the notes."""
    notes: list[str] = []
    train_run(
        source, run, model=model, config_file=CONFIGS / model / "tiny.yaml", overrides=[*QUICK, *overrides],
        steps=steps, device="cpu", on_event=lambda event: notes.append(event.text) if isinstance(event, Note) else None,
        **more,
    )  # fmt: skip
    return notes


@pytest.mark.parametrize("model", ["vae", "gan"])
def test_the_sounds_decide(tmp_path: Path, model: str) -> None:
    notes = train(decaying(tmp_path / "hits"), tmp_path / "hits-run", model)
    assert "100% of the clips decay, so net.time_axis is decay: blends have lengths in between" in notes
    assert time_axis_of(load_bundle(tmp_path / "hits-run")) == "decay"
    notes = train(sustained(tmp_path / "tones"), tmp_path / "tones-run", model)
    assert any("net.time_axis is seconds" in note for note in notes)
    assert time_axis_of(load_bundle(tmp_path / "tones-run")) == "seconds"
    # unaligned clips have no common onset
    train(tmp_path / "hits", tmp_path / "keep-run", model, "data.onset=keep")
    assert time_axis_of(load_bundle(tmp_path / "keep-run")) == "seconds"


@pytest.mark.parametrize("model", ["vae", "gan"])
def test_a_decay_axis_needs_aligned_onsets(tmp_path: Path, model: str) -> None:
    with pytest.raises(ConfigError, match=r"net\.time_axis=decay: it aligns no onsets"):
        train(decaying(tmp_path / "hits"), tmp_path / "run", model, "net.time_axis=decay", "data.onset=keep")


def test_a_start_without_a_discriminator_names_the_setting(tmp_path: Path) -> None:
    hits = decaying(tmp_path / "hits")
    train(hits, tmp_path / "first", "vae")
    with pytest.raises(CheckpointError, match=r"without a discriminator.*add --set adversarial\.start=1$"):
        train(hits, tmp_path / "second", "vae", "adversarial.start=0.1", init=tmp_path / "first")


def test_a_run_keeps_its_axis(tmp_path: Path) -> None:
    hits, run = decaying(tmp_path / "hits"), tmp_path / "run"
    train(hits, run, "gan")
    assert read_yaml(run / "config.yaml")["net"]["time_axis"] == "decay"
    train(hits, run, "gan", steps=2)  # with the settings file, which says nothing of it
    assert time_axis_of(load_bundle(run)) == "decay"


@pytest.mark.parametrize("model", ["vae", "gan"])
def test_a_run_of_an_earlier_version_goes_on_as_it_was(tmp_path: Path, model: str) -> None:
    hits, run = decaying(tmp_path / "hits"), tmp_path / "run"
    train(hits, run, model, "net.time_axis=seconds")
    settings = read_yaml(run / "config.yaml")
    del settings["net"]["time_axis"]
    settings.pop("adversarial", None)
    write_json(run / "config.yaml", settings)  # JSON is YAML
    train_run(hits, run, model=model, steps=2, device="cpu")
    args = parts_of(load_bundle(run))["codec"].args
    assert "decay_onset" not in args and "grain" not in args


@pytest.mark.parametrize("model", ["vae", "gan"])
def test_a_start_from_a_bundle_takes_its_axis(tmp_path: Path, model: str) -> None:
    hits = decaying(tmp_path / "hits")
    for axis in ("decay", "seconds"):
        train(hits, tmp_path / axis, model, f"net.time_axis={axis}")
        train(hits, tmp_path / f"from-{axis}", model, init=tmp_path / axis)
        assert time_axis_of(load_bundle(tmp_path / f"from-{axis}")) == axis
    with pytest.raises(CheckpointError, match=r"add --set net\.time_axis=decay"):
        train(hits, tmp_path / "other", model, "net.time_axis=seconds", init=tmp_path / "decay")


@pytest.mark.parametrize("model", ["vae", "gan"])
def test_a_blend_has_a_length_in_between(tmp_path: Path, model: str) -> None:
    train(decaying(tmp_path / "hits"), tmp_path / "run", model)
    pipeline = Pipeline.load(tmp_path / "run", vocoder="griffinlim", device="cpu")
    assert pipeline.onset is not None
    onset, points = pipeline.onset / pipeline.spec.hop_length, pipeline.latents(range(64))
    frames = pipeline.codec.length_frames(points.z)
    assert frames is not None
    short, long = points[int(frames.argmin())], points[int(frames.argmax())]
    middle = between(short, long, torch.tensor([0.5]))
    ends = [
        float(decay_end(pipeline.decode(point), pipeline.codec.mel_floor) - onset) for point in (short, middle, long)
    ]
    assert ends[2] > 2 * ends[0]
    assert ends[1] == pytest.approx((ends[0] * ends[2]) ** 0.5, rel=0.2)
    asked = pipeline.codec.length_frames(middle.z)
    assert asked is not None
    assert ends[1] == pytest.approx(float(asked), rel=0.2)


def test_the_card_names_the_axis(tmp_path: Path) -> None:
    train(decaying(tmp_path / "hits"), tmp_path / "run", "vae")
    assert "\n- time axis: decay\n" in (tmp_path / "run" / "bundle" / "README.md").read_text()
