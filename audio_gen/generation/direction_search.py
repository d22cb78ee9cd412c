"""Find latent directions: draw clips, measure descriptors, regress latents on them.

A descriptor's direction is its covariance with the latent, which stays in the model's distribution of latents; its
length is scaled by its measured effect. The others are the principal components of the latent.
Source: linear directions of an attribute, Shen 2020 (InterFaceGAN); principal components, Härkönen 2020 (GANSpace).
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from audio_gen.errors import CheckpointError, ConfigError
from audio_gen.generation.descriptors import DESCRIPTORS, describe_mel
from audio_gen.generation.directions import Direction, Directions
from audio_gen.generation.latents import Latents
from audio_gen.generation.pipeline import Pipeline
from audio_gen.models.contract import PITCH, SCALARS

Advance = Callable[[float], object]

PRINCIPAL = 5
MEASURED = 64  # clips that are moved both ways, the same ones each time, so that differences are exact
ROUNDS = 3  # of measuring the effect and scaling the length
TRIMMED = 0.05  # of the clips at either end, against outliers
STEP_LIMIT, LENGTH_LIMIT, LEAST_STEP = 2.0, 4.0, 0.05  # factors; longer directions leave the model's distribution
LEAST_FREEDOM = 32  # degrees of freedom after class means and pitch
FOLDS = 5
BLOCK = 32  # clips decoded at a time, so that memory stays small
RIDGE_STRENGTHS = np.logspace(-2, 5, 15)


def clips_needed(pipeline: Pipeline, count: int) -> int:
    """Number of clips that `find_directions` decodes, for a progress bar."""
    principal = min(PRINCIPAL, pipeline.codec.latent.dim)
    return count + 2 * MEASURED * (ROUNDS * len(DESCRIPTORS) + principal)


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
    held_out = pipeline.latents(range(seed + count, seed + count + MEASURED))
    known, table = _drawn_and_measured(pipeline, range(seed, seed + count), advance)
    w = without_conditions(known, known.z.mean(1).double())  # (B, N, D) -> (B, D)
    y = trimmed(without_conditions(known, table))
    spreads = y.std(0)
    varies = spreads >= torch.tensor([descriptor.least for descriptor in DESCRIPTORS.values()])
    # A constant descriptor has no direction; dividing its rounding errors would produce one.
    y = torch.where(varies, y / spreads.clamp(min=1e-12), 0.0)
    trials = _Trials(pipeline, held_out, spreads.clamp(min=1e-12), varies, advance)
    vectors = calibrated((y.T @ w / len(w)).float(), trials)
    principal, shares = principal_directions(w)
    effects = torch.cat([vectors[1], trials.effects(principal)])
    rows = [dict(zip(DESCRIPTORS, row, strict=True)) for row in effects.tolist()]
    facts = [Direction(name, rows[i], r2=cross_validated_r2(w, y[:, i])) for i, name in enumerate(DESCRIPTORS)]
    facts += [Direction(f"pca{i + 1}", rows[len(DESCRIPTORS) + i], share=share) for i, share in enumerate(shares)]
    return Directions(
        torch.cat([vectors[0], principal]),
        tuple(facts),
        dict(zip(DESCRIPTORS, spreads.tolist(), strict=True)),
        pipeline.digest,
        {"n": count, "seed": seed},
    )


def _drawn_and_measured(pipeline: Pipeline, seeds: range, advance: Advance) -> tuple[Latents, Tensor]:
    """Draw clips; returns points (B) and descriptors (B, 5) of those that are not silent."""
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


class _Trials:
    """Held-out clips that are moved along directions, to measure effects."""

    def __init__(self, pipeline: Pipeline, points: Latents, spreads: Tensor, varies: Tensor, advance: Advance) -> None:
        self._pipeline, self._points, self._advance = pipeline, points, advance
        self._spreads, self._varies = spreads, varies

    def effects(self, vectors: Tensor) -> Tensor:
        """Effects (N, 5) of +1 along each of vectors (N, D) on each descriptor, in its standard deviations."""
        return torch.stack([self._effect(vector) for vector in vectors])

    def _effect(self, vector: Tensor) -> Tensor:
        up, down = (self._tables(step * vector) for step in (1, -1))
        change = trimmed_mean((up - down) / 2 / self._spreads)
        return torch.where(self._varies, change, 0.0)

    def _tables(self, step: Tensor) -> Tensor:
        return _measured(self._pipeline, self._points.with_z(self._points.z + step), self._advance)


def trimmed_mean(change: Tensor) -> Tensor:
    """Means (N,) of change (B, N), without silent clips and the outer TRIMMED."""
    from scipy.stats import trim_mean

    change = change[~change.isnan().any(1)]
    return (
        torch.from_numpy(trim_mean(change.numpy(), TRIMMED, axis=0))
        if len(change)
        else change.new_zeros(change.shape[1])
    )


def calibrated(vectors: Tensor, trials: _Trials) -> tuple[Tensor, Tensor]:
    """Scale vectors (5, D), one per descriptor, until +1 changes it by about one standard deviation.

    Returns:
        The vectors, and their effects (5, 5).
    """
    length = torch.ones(len(vectors))
    for last in [False] * (ROUNDS - 1) + [True]:
        effects = trials.effects(length[:, None] * vectors)
        if last:
            break
        diagonal = effects.diagonal().float()
        # Linear through zero; a direction with hardly any effect, or a reverse one, keeps its length.
        step = torch.where(diagonal > LEAST_STEP, 1 / diagonal, 1.0).clamp(1 / STEP_LIMIT, STEP_LIMIT)
        length = (length * step).clamp(1 / LENGTH_LIMIT, LENGTH_LIMIT)
    return length[:, None] * vectors, effects


def principal_directions(w: Tensor) -> tuple[Tensor, list[float]]:
    """Principal components of latents (B, D) with mean 0, one standard deviation long, and their shares."""
    from sklearn.decomposition import PCA

    pca = PCA(min(PRINCIPAL, *w.shape), svd_solver="full").fit(w.numpy())
    vectors = pca.components_ * np.sqrt(pca.explained_variance_)[:, None]
    return torch.from_numpy(vectors).float(), pca.explained_variance_ratio_.tolist()


def cross_validated_r2(w: Tensor, y: Tensor) -> float:
    """Cross-validated R2 of a ridge regression of y (B,) on latents w (B, D), at least 0.

    The ridge's strength is cross-validated within each fold.
    """
    from sklearn.linear_model import RidgeCV
    from sklearn.model_selection import cross_val_predict

    if not bool(y.any()):
        return 0.0
    scale = w.std().clamp(min=1e-12)
    predicted = cross_val_predict(RidgeCV(RIDGE_STRENGTHS), (w / scale).numpy(), y.numpy(), cv=FOLDS)
    error = (y - torch.from_numpy(predicted)).square().mean() / y.square().mean()
    return max(0.0, 1 - float(error))
