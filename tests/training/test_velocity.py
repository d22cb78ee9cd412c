"""Velocity as a condition: off unless asked for, learned from labels, asked for when sampling."""

from pathlib import Path
from typing import Any

import pytest
import torch

from audio_gen.artefacts.bundle import load_bundle
from audio_gen.errors import ConfigError
from audio_gen.generation.pipeline import Pipeline
from audio_gen.training.tasks.run import train_run
from tests.sounds import pluck, write

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.mark.parametrize("model", ["vae", "gan"])
def test_a_run_learns_velocities_where_that_is_asked_for(model: str, tmp_path: Path) -> None:
    for i in range(12):
        write(tmp_path / f"sounds/bell-{50 + i:03d}-{20 + 8 * i:03d}.wav", 0.05 * (i + 1) * pluck(200.0 + 20 * i, 0.3))
    how: dict[str, Any] = {"config_file": CONFIGS / model / "tiny.yaml", "device": "cpu"}
    quick = ["train.steps=2", "train.previews=0", "train.validations=0"]
    train_run(tmp_path / "sounds", tmp_path / "plain", model=model, overrides=quick, **how)
    assert "velocity_range" not in load_bundle(tmp_path / "plain").config
    train_run(
        tmp_path / "sounds", tmp_path / "run", model=model, overrides=[*quick, "net.use_velocity=true"], **how
    )  # fmt: skip
    config = load_bundle(tmp_path / "run").config
    assert config["velocity_range"] == [20.0, 108.0] and config["codec"]["args"]["velocity"] is True
    plain, struck = (Pipeline.load(tmp_path / name, vocoder="griffinlim:1", device="cpu") for name in ("plain", "run"))
    assert set(struck.codec.conditions) == {"pitch", "velocity"}
    points = struck.latents(range(3), velocity=64)
    assert points.conditions.velocity.tolist() == [64.0] * 3
    assert set(struck.latents(range(30)).conditions.velocity.tolist()) <= {20.0 + 8 * i for i in range(12)}
    assert bool(torch.isfinite(struck.decode(points)).all())
    with pytest.raises(ConfigError, match="without velocities"):
        plain.sample(1, velocity=64)
