"""Draw clips without duplicates: draw more than requested, and skip those too close to another."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from audio_gen.audio.similarity import between_mels
from audio_gen.errors import ConfigError
from audio_gen.generation.latents import Latents
from audio_gen.generation.pipeline import MAX_SEED, Pipeline

CLEAR_DB = 1.5  # of log-mel between two clips; 1 is inaudible, and a vocoder may reduce the distance
# Attempts, as (multiple of the requested count, most extra clips), until enough clips differ.
DRAWN = ((1, 0), (2, 512), (8, 2048))


@dataclass(frozen=True)
class Distinct:
    """Clips that differ.

    Attributes:
        latents: B points, in the order of their seeds.
        seeds: Their seeds, B.
        requested: Number of requested clips.
        temperature: Temperature of the draws.
    """

    latents: Latents
    seeds: list[int]
    requested: int
    temperature: float = 1.0

    @property
    def shortage(self) -> str | None:
        """A message if the model has too few clips; None if it has enough."""
        if len(self.seeds) >= self.requested:
            return None
        sounds = "1 sound" if len(self.seeds) == 1 else f"{len(self.seeds)} sounds that differ audibly"
        fix = "--every-seed adds similar ones" if self.temperature else "--truncation 0.7 gives variety"
        return f"of {self.requested} requested, the model has {sounds}; {fix}"


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

    Seeds are tried in order from `seed` on, at most eight times the count; those too close to an earlier one are
    skipped.

    Args:
        pipeline: The model.
        count: Number of clips.
        seed: The first seed.
        class_name: See `Pipeline.sample`, also for the errors.
        pitch: See there.
        velocity: See there.
        temperature: See there.
        batch: Clips at a time on a GPU.
    """
    if count < 1:
        raise ConfigError(f"n ({count}) must be at least 1 clip; try 16")

    options: dict[str, Any] = {
        "class_name": class_name, "pitch": pitch, "velocity": velocity, "temperature": temperature,
    }  # fmt: skip
    points = pipeline.latents(range(seed, seed + count), **options)
    classes = points.conditions.class_id
    quotas = {int(c): int((classes == c).sum()) for c in classes.unique()}
    mels = pipeline.decode(points, batch)
    kept: list[int] = []
    for factor, most in DRAWN:
        stop = seed + count + min(count * (factor - 1), most)
        if seeds := range(seed + len(points), min(stop, MAX_SEED + 1)):
            more = pipeline.latents(seeds, **options)
            points, mels = Latents.join([points, more]), torch.cat([mels, pipeline.decode(more, batch)])
        kept, enough = [], True
        for class_id, quota in quotas.items():
            rows_of_class = torch.nonzero(points.conditions.class_id == class_id)[:, 0]
            distances = between_mels(mels[rows_of_class, : pipeline.spec.n_mels])
            some = [int(rows_of_class[i]) for i in distinct_rows(distances, quota, CLEAR_DB)]
            kept, enough = kept + some, enough and len(some) == quota
        if enough:
            break
    rows = sorted(kept)
    return Distinct(Latents.join([points[i] for i in rows]), [seed + i for i in rows], count, temperature)


def distinct_rows(distances: Tensor, count: int, least: float) -> list[int]:
    """Choose clips that differ, in order, so that common sounds stay common.

    A choice by largest distance would prefer outliers: with a tenth of the clips broken, it would mostly contain these.

    Args:
        apart: Distances (N, N).
        count: The most clips to choose.
        least: A clip closer than this to a chosen one is skipped.

    Returns:
        Rows in order.
    """
    chosen: list[int] = []
    for row in range(len(distances)):
        if len(chosen) == count:
            break
        if not chosen or float(distances[row, chosen].min()) >= least:
            chosen.append(row)
    return chosen
