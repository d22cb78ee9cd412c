"""Find latent directions: draw clips, measure descriptors, and try moves on other clips.

A descriptor's direction is its gradient at each clip, in the metric of the model's latents, so that a move is as likely
as it can be; `moves` follows it. The others are the principal components of the latents.
Source: directions of an attribute with others held, Shen 2020 (InterFaceGAN); principal components, Härkönen 2020
(GANSpace).
"""

from collections.abc import Callable, Collection

import numpy as np
import torch
from torch import Tensor

from audio_gen.errors import CheckpointError, ConfigError
from audio_gen.generation.descriptors import DESCRIPTORS, describe_mel, descriptors_of, steps_of
from audio_gen.generation.directions import Direction, Directions, names_of
from audio_gen.generation.latents import Latents
from audio_gen.generation.moves import move
from audio_gen.generation.pipeline import Pipeline
from audio_gen.models.contract import PITCH, SCALARS

Advance = Callable[[float], object]

PRINCIPAL = 5  # named components
MEASURED = 20  # clips that are moved both ways
TRIMMED = 0.05  # of the clips at either end, against outliers
LEAST_FREEDOM = 32  # degrees of freedom after class means and pitch
LEAST_VARIANCE = 1e-8  # of the largest
RIGHT = 0.1  # of a step: a move in the right direction
BLOCK = 32  # clips decoded at a time, so that memory stays small


def clips_needed(pipeline: Pipeline, count: int) -> int:
    """Number of clips that `find_directions` decodes or moves, for a progress bar."""
    principal = min(PRINCIPAL, pipeline.codec.latent.dim)
    return count + 2 * MEASURED * (len(descriptors_of(pipeline.spec)) + principal)


def find_directions(pipeline: Pipeline, count: int, seed: int, advance: Advance = lambda amount: None) -> Directions:
    """Find the directions of a model from clips that it generates.

    Class and pitch are regressed out of latents and descriptors, so that directions describe differences between clips
    of one class and pitch.

    Args:
        pipeline: The model.
        count: Clips to fit to; MEASURED more are drawn to measure the effects.
        seed: Seed of the first clip.
        advance: Called with the number of clips decoded.

    Raises:
        ConfigError: There are too few clips for the number of classes.
        CheckpointError: Most of them are silent.
    """
    descriptors = descriptors_of(pipeline.spec)
    held_out = pipeline.latents(range(seed + count, seed + count + MEASURED))
    known, table = _drawn_and_measured(pipeline, range(seed, seed + count), advance)
    spreads = trimmed(without_conditions(known, table)).std(0)
    varies = spreads >= torch.tensor([descriptor.least for descriptor in descriptors.values()])
    principal, shares = principal_directions(without_conditions(known, known.z.mean(1).double()))
    names = names_of(descriptors, min(PRINCIPAL, len(principal)))
    untried = [Direction(name, dict.fromkeys(descriptors, 0.0)) for name in names]
    found = Directions(
        principal, tuple(untried), dict(zip(descriptors, spreads.tolist(), strict=True)), pipeline.digest,
        {"n": count, "seed": seed},
    )  # fmt: skip
    facts = []
    for i, name in enumerate(names):
        change = torch.cat([sign * _changes(pipeline, held_out, found, {name: sign}, advance) for sign in (1.0, -1.0)])
        change = torch.where(varies, change, 0.0)
        sizes = change.abs()
        if i < len(descriptors):
            sizes[:, i], right = change[:, i], float((change[:, i] >= RIGHT).double().mean()) if len(change) else 0.0
            facts.append(Direction(name, _effects(sizes, descriptors), right=right))
        else:
            facts.append(Direction(name, _effects(change, descriptors), share=shares[i - len(descriptors)]))
    return Directions(found.principal, tuple(facts), found.spreads, found.digest, found.source)


def _changes(
    pipeline: Pipeline, points: Latents, directions: Directions, moves: dict[str, float], advance: Advance
) -> Tensor:
    """Changes (B, N) of descriptors by a move, in steps; without silent clips."""
    if set(moves) <= set(DESCRIPTORS):
        moved = move(pipeline, points, directions, moves)
        before, after = moved.before, moved.after
        advance(len(points))
    else:
        before = _measured(pipeline, points, lambda amount: None)
        after = _measured(pipeline, move(pipeline, points, directions, moves).points, advance)
    change = (after - before) / steps_of(pipeline.spec)
    return change[~change.isnan().any(1)]


def _effects(change: Tensor, descriptors: Collection[str]) -> dict[str, float]:
    """Trimmed means of changes (B, N), by descriptor."""
    from scipy.stats import trim_mean

    means = trim_mean(change.numpy(), TRIMMED, axis=0).tolist() if len(change) else [0.0] * len(descriptors)
    return dict(zip(descriptors, means, strict=True))


def _drawn_and_measured(pipeline: Pipeline, seeds: range, advance: Advance) -> tuple[Latents, Tensor]:
    """Draw clips; returns points (B) and descriptors (B, N) of those that are not silent."""
    points, rows = [], []
    for first in range(0, len(seeds), BLOCK):
        points.append(pipeline.latents(seeds[first : first + BLOCK]))
        rows.append(_measured(pipeline, points[-1], advance))
    drawn, table = Latents.join(points), torch.cat(rows).double()
    audible = ~table.isnan().any(1)
    silent = len(seeds) - int(audible.sum())
    if silent > len(seeds) / 2:
        raise CheckpointError(
            f"{pipeline.vocabulary.model}: {silent} of {len(seeds)} clips are silent; train it further"
        )
    return Latents(drawn.z[audible], drawn.conditions[audible]), table[audible]


def trimmed(y: Tensor) -> Tensor:
    """Figures (B, N), each column winsorised at the outer TRIMMED and centred."""
    low, high = y.quantile(torch.tensor([TRIMMED, 1 - TRIMMED], dtype=y.dtype), dim=0)
    y = y.clamp(low, high)
    return y - y.mean(0)


def _measured(pipeline: Pipeline, points: Latents, advance: Advance) -> Tensor:
    rows = []
    for first in range(0, len(points), BLOCK):
        mel = pipeline.decode(points[first : first + BLOCK], BLOCK)
        rows.append(describe_mel(mel, pipeline.spec, pipeline.codec.mel_floor))
        advance(len(mel))
    return torch.cat(rows)


def without_conditions(points: Latents, values: Tensor) -> Tensor:
    """Regress class means, pitch and velocity out of values (B, N); returns the residuals.

    Raises:
        ConfigError: There are too few points for the number of classes.
    """
    from sklearn.linear_model import LinearRegression

    conditions = points.conditions
    classes = conditions.class_id.unique()
    count = len(points)
    if count - len(classes) - 1 < LEAST_FREEDOM:
        enough = 8 * (len(classes) + LEAST_FREEDOM)
        raise ConfigError(f"n ({count} clips with sound) is too few for {len(classes)} classes; try {enough}")
    scalars = [conditions.get(name).double() for name in SCALARS if name == PITCH or name in conditions.values]
    scalars = [torch.where(x.isnan(), x.nanmean().nan_to_num(0.0), x) for x in scalars]
    known = torch.cat([(conditions.class_id[:, None] == classes).double(), torch.stack(scalars, 1)], dim=1).numpy()
    return values - torch.from_numpy(LinearRegression().fit(known, values.numpy()).predict(known))


def principal_directions(w: Tensor) -> tuple[Tensor, list[float]]:
    """Principal components (R, D) of latents (B, D) with mean 0, one standard deviation long, and their shares."""
    from sklearn.decomposition import PCA

    pca = PCA(min(w.shape), svd_solver="full").fit(w.numpy())
    kept = pca.explained_variance_ > LEAST_VARIANCE * pca.explained_variance_[0]
    kept[: min(PRINCIPAL, len(kept))] = True
    vectors = (pca.components_ * np.sqrt(pca.explained_variance_)[:, None])[kept]
    return torch.from_numpy(vectors).float(), pca.explained_variance_ratio_[kept].tolist()
