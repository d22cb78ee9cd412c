"""Variations of a clip: points around its latent, from barely changed to quite another clip."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from audio_gen.errors import ConfigError
from audio_gen.generation.latents import Latents
from audio_gen.generation.pipeline import Pipeline

CENTRE_DRAWS = 64


def vary(pipeline: Pipeline, clip: Latents, amount: float, seeds: Sequence[int], temperature: float = 1.0) -> Latents:
    """Move from a clip towards a new sample for each seed, class and pitch held.

    The way is an arc around the centre of the density, not a line: a line would pass nearer to the centre than either
    end, and clips near the centre are bland. For a Gaussian density every point of the arc is as typical as a sample.

    Args:
        pipeline: The model.
        clip: A set of one.
        amount: 0 gives the clip itself, 1 a new sample.
        seeds: One for each variation.
        temperature: Of the new samples.

    Returns:
        As many points as seeds.

    Raises:
        ConfigError: The amount is not between 0 and 1.
    """
    if not 0 <= amount <= 1:
        raise ConfigError(f"amount ({amount:g}) must be between 0 (the same clip) and 1 (a new one); try 0.3")
    condition = int(clip.class_id[0]), float(clip.pitch[0])
    centre = _centre(pipeline, *condition)
    draws = [pipeline.density.sample(torch.Generator().manual_seed(seed), *condition, temperature) for seed in seeds]
    return Latents.join([Latents.one(arc(clip.z[0], z, centre, amount), *condition) for z in draws])


def arc(z: Tensor, other: Tensor, centre: Tensor, amount: float) -> Tensor:
    """The point on the arc from z to other around centre (all (D,)); exactly z at amount 0."""
    angle = amount * math.pi / 2
    return z + (math.cos(angle) - 1) * (z - centre) + math.sin(angle) * (other - centre)


def _centre(pipeline: Pipeline, class_id: int, pitch: float) -> Tensor:
    """Mean of the density at a condition, from some draws."""
    generator = torch.Generator().manual_seed(0)
    draws = [pipeline.density.sample(generator, class_id, pitch, 1.0) for _ in range(CENTRE_DRAWS)]
    return torch.stack(draws).mean(0)
