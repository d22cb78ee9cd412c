"""Variations of a clip: points around its latent."""

from collections.abc import Sequence

import torch

from audio_gen.errors import ConfigError
from audio_gen.generation.latents import Latents
from audio_gen.generation.pipeline import Pipeline, check_temperature


def vary(pipeline: Pipeline, clip: Latents, amount: float, seeds: Sequence[int], temperature: float = 1.0) -> Latents:
    """Move from a clip towards a new sample for each seed, under the same conditions.

    Points move on a line. A VAE's density consists of blends, so points between two of its points are likely too, and
    the mapping of a GAN makes its latent space linear. The arcs of a Gaussian latent space would leave both
    distributions.

    Args:
        pipeline: The model.
        clip: A set of one.
        amount: 0 gives the clip itself, 1 a new sample.
        seeds: One per variation.
        temperature: Of the new samples.

    Returns:
        As many points as seeds.

    Raises:
        ConfigError: The amount is not between 0 and 1, or the temperature is out of its range.
    """
    if not 0 <= amount <= 1:
        raise ConfigError(f"amount ({amount:g}) must be between 0 (the same clip) and 1 (a new one); try 0.3")
    check_temperature(temperature)
    conditions = clip.conditions.repeat(len(seeds))
    draws = pipeline.prior.sample(
        conditions, [torch.Generator().manual_seed(seed) for seed in seeds], temperature=temperature
    )
    return Latents(torch.lerp(clip.z, draws, amount), conditions)
