"""Variations: from the sound itself to a new sample, at a measured distance."""

import dataclasses

import pytest
import torch

from audio_gen.audio.distance import mel_distance_db
from audio_gen.errors import ConfigError
from audio_gen.generation.latents import Latents
from audio_gen.generation.level import level_db, set_level, shift_level
from audio_gen.generation.pipeline import Pipeline
from audio_gen.generation.source import Source
from audio_gen.generation.vary import FARTHEST, vary
from tests.generation.models import FRAMES, SPEC
from tests.given import one


@pytest.fixture(scope="module")
def clip(pipeline: Pipeline) -> Source:
    return Source.exact(pipeline, pipeline.latents([5], class_name="drum", pitch=60))


@pytest.fixture(scope="module")
def file(pipeline: Pipeline) -> Source:
    """A sound that the model cannot express."""
    point, generator = pipeline.latents([5], class_name="drum", pitch=60), torch.Generator().manual_seed(0)
    mel = pipeline.decode(point)[0] + 0.5 * torch.randn(SPEC.n_mels, FRAMES, generator=generator)
    return Source.of_file(pipeline, point, mel.clamp(min=pipeline.codec.mel_floor), torch.zeros(1, 1))


def test_amount_zero_is_the_sound_itself(pipeline: Pipeline, clip: Source, file: Source) -> None:
    for source in (clip, file):
        for same in vary(pipeline, source, 0.0, range(3)):
            assert torch.equal(same.latents.z, source.latents.z) and torch.equal(same.mel, source.mel)
            assert (same.position, same.distance_db) == (0.0, 0.0)


@pytest.mark.parametrize("amount", [0.1, 0.3, 0.6])
def test_an_amount_is_a_distance(pipeline: Pipeline, clip: Source, file: Source, amount: float) -> None:
    for source in (clip, file):
        for varied in vary(pipeline, source, amount, range(6)):
            measured = float(mel_distance_db(varied.mel, source.mel))
            assert measured == pytest.approx(10 * amount, abs=0.5) and varied.distance_db == pytest.approx(measured)
            assert varied.note(amount) is None
            assert varied.latents.conditions.same(one(1, 60.0))


def test_points_lie_on_the_line_to_the_new_sample(pipeline: Pipeline, clip: Source) -> None:
    (varied,) = vary(pipeline, clip, 0.4, [7])
    draw = pipeline.prior.sample(one(1, 60.0), [torch.Generator().manual_seed(7)])
    torch.testing.assert_close(varied.latents.z, torch.lerp(clip.latents.z, draw, varied.position))
    level = level_db(clip.mel)
    expected = set_level(pipeline.decode(varied.latents), level, pipeline.codec.mel_floor)
    torch.testing.assert_close(varied.mel, expected, atol=1e-4, rtol=0)


def test_the_residual_fades_with_the_position(pipeline: Pipeline, file: Source) -> None:
    assert file.residual is not None
    (varied,) = vary(pipeline, file, 0.3, [7])
    floor = pipeline.codec.mel_floor
    expected = (pipeline.decode(varied.latents) + (1 - varied.position) * file.residual).clamp(min=floor)
    expected = set_level(expected, level_db(file.mel), floor)
    torch.testing.assert_close(varied.mel, expected, atol=1e-3, rtol=0)


def test_a_quiet_file_has_quiet_variations_that_differ_in_more_than_level(pipeline: Pipeline, file: Source) -> None:
    """At 20 dB less, an amount goes as far towards the new sample as it does at the level of the model."""
    floor = pipeline.codec.mel_floor
    quieter = shift_level(file.mel, torch.tensor([-20.0]), floor)[0]
    quiet = Source.of_file(pipeline, file.latents, quieter, torch.zeros(1, 1))
    assert quiet.gain_db == pytest.approx(file.gain_db - 20, abs=0.5)
    loud, soft = (vary(pipeline, source, 0.5, [7])[0] for source in (file, quiet))
    assert float(level_db(soft.mel)) == pytest.approx(float(level_db(loud.mel)) - 20, abs=2)
    assert soft.position == pytest.approx(loud.position, rel=0.3)


def test_what_is_out_of_reach_is_as_far_as_it_goes(pipeline: Pipeline, clip: Source) -> None:
    stuck = dataclasses.replace(pipeline, parts={**pipeline.parts, "prior": Still(clip.latents)})
    (varied,) = vary(stuck, clip, 0.3, [0])
    assert varied.distance_db == pytest.approx(0, abs=1e-3) and 0 < varied.position <= FARTHEST
    assert "0.0 dB from the clip instead of 3.0" in str(varied.note(0.3))


class Still(torch.nn.Module):
    """A prior whose draws are always one point."""

    def __init__(self, point: Latents) -> None:
        super().__init__()
        self.z = point.z

    def sample(self, *_: object, **__: object) -> torch.Tensor:
        return self.z


@pytest.mark.parametrize("amount", [-0.1, 1.1, float("nan")])
def test_wrong_amounts(pipeline: Pipeline, clip: Source, amount: float) -> None:
    with pytest.raises(ConfigError, match=r"between 0 .* and 1"):
        vary(pipeline, clip, amount, [0])


@pytest.mark.parametrize("temperature", [-1, 1e39, float("nan")])
def test_wrong_temperatures(pipeline: Pipeline, clip: Source, temperature: float) -> None:
    with pytest.raises(ConfigError, match=r"temperature .* between 0 and 100"):
        vary(pipeline, clip, 0.5, [4], temperature)


@pytest.mark.parametrize("amount", [0.1, 0.3, 1.0])
def test_a_variation_is_as_loud_as_the_clip(pipeline: Pipeline, clip: Source, file: Source, amount: float) -> None:
    for source in (clip, file):
        for varied in vary(pipeline, source, amount, range(4)):
            assert float(level_db(varied.mel)) == pytest.approx(float(level_db(source.mel)), abs=0.01)
