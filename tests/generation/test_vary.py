"""Variations: from the clip itself to a new sample."""

import pytest
import torch

from audio_gen.errors import ConfigError
from audio_gen.generation.pipeline import Pipeline
from audio_gen.generation.vary import vary
from tests.given import one


def test_amount_zero_is_the_clip_and_one_a_sample(pipeline: Pipeline) -> None:
    clip = pipeline.latents([5], class_name="drum", pitch=60)
    same = vary(pipeline, clip, 0.0, range(3))
    assert torch.equal(same.z, clip.z.expand(3, -1, -1))
    assert torch.equal(pipeline.decode(same[2]), pipeline.decode(clip))
    fresh = vary(pipeline, clip, 1.0, [7])
    expected = pipeline.prior.sample(one(1, 60.0), [torch.Generator().manual_seed(7)])
    torch.testing.assert_close(fresh.z, expected)


def test_more_amount_is_further_away_and_conditions_are_held(pipeline: Pipeline) -> None:
    clip = pipeline.latents([5], class_name="drum", pitch=60)
    distances = [float((vary(pipeline, clip, a, range(8)).z - clip.z).norm(dim=2).mean()) for a in (0, 0.2, 0.5, 1)]
    assert distances == sorted(distances) and distances[1] > 0
    varied = vary(pipeline, clip, 0.5, range(8))
    assert varied.conditions.same(one(1, 60.0).repeat(8))


def test_half_way_is_between_the_clip_and_the_sample(pipeline: Pipeline) -> None:
    clip = pipeline.latents([3])
    ends = [vary(pipeline, clip, amount, [7]).z for amount in (0.0, 1.0)]
    assert torch.allclose(vary(pipeline, clip, 0.5, [7]).z, (ends[0] + ends[1]) / 2, atol=1e-6)


@pytest.mark.parametrize("amount", [-0.1, 1.1, float("nan")])
def test_wrong_amounts(pipeline: Pipeline, amount: float) -> None:
    with pytest.raises(ConfigError, match=r"between 0 .* and 1"):
        vary(pipeline, pipeline.latents([0]), amount, [0])


@pytest.mark.parametrize("temperature", [-1, 1e39, float("nan")])
def test_wrong_temperatures(pipeline: Pipeline, temperature: float) -> None:
    with pytest.raises(ConfigError, match=r"temperature .* between 0 and 100"):
        vary(pipeline, pipeline.latents([3]), 0.5, [4], temperature)
