"""Draw clips without duplicates: draw more than requested, and skip those too close to another."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from audio_gen.audio.similarity import between_mels
from audio_gen.errors import ConfigError
from audio_gen.generation.latents import Latents
from audio_gen.generation.pipeline import MAX_SEED, Pipeline

CLEAR_DB = 1.5  # of log-mel between two clips; 1 is not heard, and a vocoder may take some away
# Times as many clips as are wanted, and the most beyond these: so many are tried until enough of them differ.
DRAWN = ((1, 0), (2, 512), (8, 2048))


@dataclass(frozen=True)
class Distinct:
    """Clips that differ.

    Attributes:
        latents: B points, in the order of their seeds.
        seeds: Theirs, B.
        wanted: How many were asked for.
        temperature: They were drawn with.
    """

    latents: Latents
    seeds: list[int]
    wanted: int
    temperature: float = 1.0

    @property
    def shortage(self) -> str | None:
        """What to tell where the model has too few; None where it has enough."""
        if len(self.seeds) >= self.wanted:
            return None
        sounds = "1 sound" if len(self.seeds) == 1 else f"{len(self.seeds)} sounds that differ to the ear"
        fix = "--every-seed makes the others too" if self.temperature else "--truncation 0.7 gives variety"
        return f"of {self.wanted} asked for, the model has {sounds}; {fix}"


def draw_distinct(
    pipeline: Pipeline,
    count: int,
    seed: int = 0,
    *,
    class_name: str | None = None,
    pitch: float | None = None,
    velocity: float | None = None,
    temperature: float = 1.0,
    batch: int = 16,
) -> Distinct:
    """Draw clips that differ, as many of each class as the first `count` seeds have.

    Seeds from `seed` on are tried in order, at most eight times as many as are wanted, and those too near to one
    before are passed over.

    Args:
        pipeline: The model.
        count: How many are wanted.
        seed: The first seed.
        class_name: As for `Pipeline.sample`, as are the others and their errors.
        pitch: See there.
        velocity: See there.
        temperature: See there.
        batch: Clips at a time on a GPU.
    """
    if count < 1:
        raise ConfigError(f"n ({count}) must be at least 1 clip; try 16")

    asked: dict[str, Any] = {
        "class_name": class_name, "pitch": pitch, "velocity": velocity, "temperature": temperature,
    }  # fmt: skip
    points = pipeline.latents(range(seed, seed + count), **asked)
    classes = points.conditions.class_id
    quotas = {int(c): int((classes == c).sum()) for c in classes.unique()}
    mels = pipeline.decode(points, batch)
    kept: list[int] = []
    for factor, most in DRAWN:
        stop = seed + count + min(count * (factor - 1), most)
        if seeds := range(seed + len(points), min(stop, MAX_SEED + 1)):
            more = pipeline.latents(seeds, **asked)
            points, mels = Latents.join([points, more]), torch.cat([mels, pipeline.decode(more, batch)])
        kept, enough = [], True
        for class_id, quota in quotas.items():
            own = torch.nonzero(points.conditions.class_id == class_id)[:, 0]
            some = [int(own[i]) for i in apart_from_others(between_mels(mels[own]), quota, CLEAR_DB)]
            kept, enough = kept + some, enough and len(some) == quota
        if enough:
            break
    rows = sorted(kept)
    return Distinct(Latents.join([points[i] for i in rows]), [seed + i for i in rows], count, temperature)


def apart_from_others(apart: Tensor, count: int, least: float) -> list[int]:
    """Choose clips that differ, in the order that they come in, so that common sounds stay common.

    Those farthest from all others would be the odd ones: where a tenth of the clips are broken, most of a choice.

    Args:
        apart: Distances (N, N).
        count: How many at most.
        least: A clip that is nearer than this to one chosen before is passed over.

    Returns:
        Rows in order.
    """
    chosen: list[int] = []
    for row in range(len(apart)):
        if len(chosen) == count:
            break
        if not chosen or float(apart[row, chosen].min()) >= least:
            chosen.append(row)
    return chosen
