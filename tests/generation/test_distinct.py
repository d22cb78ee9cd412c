"""Clips of which no two are twins."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from audio_gen.audio.similarity import between_mels
from audio_gen.errors import ConfigError
from audio_gen.generation.distinct import CLEAR_DB, distinct_rows, draw_distinct
from audio_gen.generation.latents import Latents
from audio_gen.generation.pipeline import MAX_SEED, Pipeline
from tests.given import one


def apart(*places: float) -> Tensor:
    """Distances of points on a line."""
    x = torch.tensor(places, dtype=torch.float32)
    return (x[:, None] - x).abs()


@pytest.mark.parametrize(
    ("places", "count", "kept"),
    [
        ((0, 0.5, 2, 5, 9), 10, [0, 2, 3, 4]),  # 1 is too near to 0
        ((0, 0.5, 2, 5, 9), 3, [0, 2, 3]),  # the first that are far enough
        ((0, 0.5, 2, 5, 9), 1, [0]),
        ((0, 2, 4, 6), 4, [0, 1, 2, 3]),
        ((5, 5, 5), 3, [0]),
        ((0, 1, 2), 3, [0, 2]),  # 2 is too near to 1, which is not there
        ((3,), 1, [0]),
        ((0, 1.5), 2, [0, 1]),
    ],
)
def test_clips_too_near_to_one_before_are_passed_over(places: tuple[float, ...], count: int, kept: list[int]) -> None:
    distances = apart(*places)
    assert distinct_rows(distances, count, 1.5) == kept
    assert torch.equal(distances, apart(*places))


def nearest_db(pipeline: Pipeline, points: Latents) -> float:
    """Of clips of one class."""
    mels, nearest = pipeline.decode(points), float("inf")
    for class_id in points.conditions.class_id.unique():
        distances = between_mels(mels[points.conditions.class_id == class_id]).fill_diagonal_(torch.inf)
        nearest = min(nearest, float(distances.min()))
    return nearest


def test_clips_differ_and_seeds_say_how(pipeline: Pipeline) -> None:
    found = draw_distinct(pipeline, 12, seed=5)
    assert len(found.seeds) == len(found.latents) == 12 and found.shortage is None
    assert found.seeds == sorted(set(found.seeds)) and found.seeds[0] >= 5 and found.seeds[-1] < 5 + 8 * 12
    again = pipeline.latents(found.seeds)
    assert torch.equal(again.z, found.latents.z) and again.conditions.same(found.latents.conditions)
    assert nearest_db(pipeline, found.latents) >= CLEAR_DB
    plain = pipeline.latents(range(5, 17))
    assert torch.equal(
        found.latents.conditions.class_id.bincount(), plain.conditions.class_id.bincount()
    )  # as many of each class


def test_the_same_seed_gives_the_same_clips(pipeline: Pipeline) -> None:
    first, second = (draw_distinct(pipeline, 6, seed=2, batch=batch) for batch in (16, 1))
    assert first.seeds == second.seeds and torch.equal(first.latents.z, second.latents.z)


def test_one_clip_is_that_of_its_seed(pipeline: Pipeline) -> None:
    for seed in (0, 4, MAX_SEED):
        found = draw_distinct(pipeline, 1, seed)
        assert found.seeds == [seed] and torch.equal(found.latents.z, pipeline.latents([seed]).z)


def test_class_and_pitch_are_those_asked_for(pipeline: Pipeline) -> None:
    found = draw_distinct(pipeline, 4, class_name="drum", pitch=60)
    assert found.latents.conditions.same(one(1, 60.0).repeat(4))


class Repeating:
    """A model whose seeds give one of `sounds` clips in turn."""

    def __init__(self, pipeline: Pipeline, sounds: int) -> None:
        self._pipeline, self._sounds, self.spec = pipeline, sounds, pipeline.spec

    def latents(self, seeds: range, **asked: object) -> Latents:
        return self._pipeline.latents([seed % self._sounds for seed in seeds], class_name="bell", pitch=60)

    def decode(self, points: Latents, batch: int) -> Tensor:
        return self._pipeline.decode(points, batch)


@pytest.mark.parametrize(("sounds", "told"), [(1, "1 sound"), (3, "3 sounds that differ audibly")])
def test_twins_are_left_out_and_a_shortage_is_told(pipeline: Pipeline, sounds: int, told: str) -> None:
    found = draw_distinct(Repeating(pipeline, sounds), 8)  # type: ignore[arg-type]
    assert found.seeds == list(range(sounds))
    assert found.shortage == f"of 8 requested, the model has {told}; --every-seed adds similar ones"
    cold = replace(found, temperature=0.0).shortage
    assert cold == f"of 8 requested, the model has {told}; --truncation 0.7 gives variety"


def test_temperature_0_gives_the_sounds_that_there_are(gan: Pipeline) -> None:
    found = draw_distinct(gan, 3, class_name="drum", pitch=60, temperature=0)
    assert found.seeds == [0] and str(found.shortage).startswith("of 3 requested, the model has 1 sound; --truncation")


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"count": 0}, r"n \(0\) must be at least 1"),
        ({"count": 1, "seed": -1}, r"seeds \(-1 to -1\)"),
        ({"count": 2, "seed": MAX_SEED}, r"2\^63"),
        ({"count": 1, "temperature": -1.0}, "temperature"),
        ({"count": 1, "class_name": "tuba"}, "it knows"),
    ],
)
def test_what_cannot_be_is_told(pipeline: Pipeline, asked: dict, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        draw_distinct(pipeline, **asked)


def test_distances_of_mels() -> None:
    mel = torch.full((3, 40, 60), -9.0)
    mel[0, 4:8, 4:40] = 0.0  # whole cells, of 2 bands and 4 frames
    mel[1] = mel[0] - 1.5  # the same sound, quieter
    mel[2, 30:34, 4:40] = 0.0  # as loud, elsewhere
    distances = between_mels(mel)
    torch.testing.assert_close(distances, distances.mT)
    assert float(distances[0, 1]) == pytest.approx(0, abs=1e-4) and float(distances.diagonal().abs().max()) < 1e-4
    assert float(distances[0, 2]) == pytest.approx(45, abs=1e-3)  # each cell of either is silent in the other
