"""Variations of a sound: points on the way from it to new samples, at a measured distance."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from audio_gen.audio.stereo import on_mel
from audio_gen.errors import ConfigError
from audio_gen.generation.blend import Blend, line
from audio_gen.generation.latents import Latents
from audio_gen.generation.level import level_db, set_level
from audio_gen.generation.pipeline import Pipeline, check_temperature
from audio_gen.generation.source import Source
from audio_gen.generation.spacing import at_distance

DB_OF_AMOUNT = 10.0  # an amount of 1
FARTHEST = 1.5  # positions beyond the new sample, at 1, leave the distribution
CLOSE_DB = 0.5  # of the distance that was asked for


@dataclass(frozen=True)
class Variation:
    """A variation of a sound. Its distance is that of the log-mels, without the rows of stereo.

    Attributes:
        latents: Its latent, a set of one.
        mel: Its log-mel (1, M, L), with what is left of the residual.
        position: Between the sound, at 0, and the new sample, at 1.
        distance_db: From the sound, see `mel_distance_db`.
    """

    latents: Latents
    mel: Tensor
    position: float
    distance_db: float

    def note(self, amount: float) -> str | None:
        """A note for the user if no position is as far as the amount asks for."""
        wanted_db = DB_OF_AMOUNT * amount
        if self.distance_db >= wanted_db - CLOSE_DB:
            return None
        return f"{self.distance_db:.1f} dB from the clip instead of {wanted_db:.1f}: this is as far as it goes"


def check_amount(amount: float, temperature: float) -> None:
    """Refuse an amount that is not between 0 and 1, or a temperature outside its range, by a ConfigError."""
    if not 0 <= amount <= 1:
        raise ConfigError(f"amount ({amount:g}) must be between 0 (the same clip) and 1 (a new one); try 0.3")
    check_temperature(temperature)


def vary(
    pipeline: Pipeline, clip: Source, amount: float, seeds: Sequence[int], temperature: float = 1.0
) -> list[Variation]:
    """Move from a sound towards a new sample for each seed, under the same conditions, by a measured distance.

    Points move on a line. A VAE's density consists of blends, so points between two of its points are likely too, and
    the mapping of a GAN makes its latent space linear. The arcs of a Gaussian latent space would leave both
    distributions.

    Args:
        pipeline: The model.
        clip: The sound.
        amount: 0 gives the sound itself, 0.3 a variation at a distance of 3 dB, 1 one at 10 dB.
        seeds: One per variation.
        temperature: Of the new samples.

    Raises:
        ConfigError: The amount is not between 0 and 1, or the temperature is out of its range.
    """
    check_amount(amount, temperature)
    conditions = clip.latents.conditions
    draws = pipeline.prior.sample(
        conditions.repeat(len(seeds)), [torch.Generator().manual_seed(seed) for seed in seeds], temperature=temperature
    )
    return [_variation(pipeline, clip, Latents.one(z, conditions), DB_OF_AMOUNT * amount) for z in draws]


def _variation(pipeline: Pipeline, clip: Source, drawn: Latents, wanted_db: float) -> Variation:
    if not wanted_db:
        return Variation(clip.latents, clip.mel, 0.0, 0.0)
    # The drawn sample has no residual, so that of the clip fades on the way; the level of the clip stays.
    floor, n_mels = pipeline.codec.mel_floor, pipeline.spec.n_mels
    level = level_db(clip.mel[:, :n_mels])
    mel = on_mel(pipeline.decode(drawn), n_mels, lambda rows: set_level(rows, level, floor))
    path = Blend(pipeline, (clip, Source(drawn, mel, gain_db=clip.gain_db)))
    position, distance_db = at_distance(
        lambda at: path.mel(line(at))[:, :n_mels], clip.mel[:, :n_mels], wanted_db, FARTHEST
    )
    weights = line(torch.tensor([position]))
    return Variation(path.points(weights), path.mel(weights), position, distance_db)
