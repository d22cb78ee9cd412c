"""Style layers, each with a latent: moving some of them mixes the styles of two clips."""

import re

from audio_gen.errors import ConfigError
from audio_gen.generation.latents import Latents
from audio_gen.models.contract import LatentShape

RANGE = re.compile(r"\s*(\d{1,9})\s*(?:-\s*(\d{1,9})\s*)?")


def parse_layers(text: str, count: int) -> range:
    """Layers from "2-4" (both included), "3", "coarse" or "fine" (the first and the second half).

    Args:
        text: The option's value.
        count: Number of layers of the model; 0 is the coarsest.

    Raises:
        ConfigError: The text is invalid, the layers are out of range, or the model has only one.
    """
    if count < 2:
        raise ConfigError(f"--layers {text}: this model has no layers; remove --layers")
    half = (count + 1) // 2
    halves = {"coarse": range(half), "fine": range(half, count)}
    if (named := halves.get(text.strip().lower())) is not None:
        return named
    match = RANGE.fullmatch(text)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, -1)
    if not first <= last < count:
        raise ConfigError(
            f"--layers {text}: must be coarse, fine, or within 0-{count - 1} (0 is the coarsest); try 0-{half - 1}"
        )
    return range(first, last + 1)


def mix_layers(start: Latents, end: Latents, layers: range, shape: LatentShape) -> Latents:
    """The start with some layers' latents from the end; the conditions stay the start's.

    Args:
        start: A set of one.
        end: A set of one.
        layers: Which layers are the end's.
        shape: Of the model's latents.

    Returns:
        A set of one with a latent for each layer. Source: style mixing, Karras 2019.
    """
    mixed = shape.per_layer(start.z).clone()
    mixed[:, layers.start : layers.stop] = shape.per_layer(end.z)[:, layers.start : layers.stop]
    return start.with_z(mixed)
