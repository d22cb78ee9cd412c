"""Steps by measured distance: known curves, and paths of a model."""

import pytest
import torch
from torch import Tensor

from audio_gen.audio.distance import DB_PER_NAT, mel_distance_db
from audio_gen.generation.interpolate import PathBetween
from audio_gen.generation.pipeline import Pipeline
from audio_gen.generation.source import Source
from audio_gen.generation.spacing import at_distance, equal_steps, inverse


def squared(positions: Tensor) -> Tensor:
    """Log-mels (B, 2, 3) whose level rises by 10 dB times the square of the position."""
    return (10 / DB_PER_NAT * positions.square())[:, None, None].expand(-1, 2, 3)


def test_steps_of_a_known_curve() -> None:
    positions, distances = equal_steps(squared, 5)
    torch.testing.assert_close(positions, torch.linspace(0, 1, 5).sqrt(), atol=0.01, rtol=0)
    torch.testing.assert_close(distances, torch.tensor([0.0, 2.5, 5.0, 7.5, 10.0]), atol=0.01, rtol=0)
    assert positions[0] == 0 and positions[-1] == 1


def test_a_path_that_stands_still() -> None:
    positions, distances = equal_steps(lambda at: torch.zeros(len(at), 2, 3), 3)
    assert positions.tolist() == [0, 0.5, 1] and distances.tolist() == [0, 0, 0]


def test_the_inverse_of_a_curve_with_a_flat_part() -> None:
    curve, positions = torch.tensor([0.0, 1.0, 1.0, 3.0]), torch.tensor([0.0, 1.0, 2.0, 3.0])
    assert inverse(torch.tensor([0.0, 0.5, 2.0, 3.0]), curve, positions).tolist() == [0, 0.5, 2.5, 3]


def test_a_known_distance_is_found() -> None:
    position, distance_db = at_distance(squared, squared(torch.zeros(1)), 3.0, 1.5)
    assert position == pytest.approx(0.3**0.5, abs=0.005) and distance_db == pytest.approx(3, abs=0.1)
    position, distance_db = at_distance(squared, squared(torch.zeros(1)), 90.0, 1.5)
    assert position == 1.5 and distance_db == pytest.approx(22.5, abs=0.01)


def test_steps_of_a_model_are_equally_far_apart(pipeline: Pipeline, gan: Pipeline) -> None:
    for model in (pipeline, gan):
        ends = [model.latents([seed], class_name="bell", pitch=60) for seed in (1, 5)]
        path = PathBetween(model, *(Source.exact(model, end) for end in ends))
        positions, _ = path.steps(7)
        mels = path.mel(positions)
        apart = mel_distance_db(mels[1:], mels[:-1])
        assert float(apart.max() / apart.min()) < 1.05
