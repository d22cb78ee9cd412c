"""Blends of sounds: weighted averages of their latents, decoded with the residuals and at the level of the sounds."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from audio_gen.audio.stereo import on_mel
from audio_gen.generation.latents import Latents
from audio_gen.generation.level import level_db, limited, set_level, shift_level
from audio_gen.generation.pipeline import Pipeline
from audio_gen.generation.source import Source
from audio_gen.models.contract import CLASS, SCALARS, Conditions


@dataclass(frozen=True)
class Blend:
    """Sounds between several ends.

    Classes have no middle. If the ends' classes differ (or only one has a pitch or a velocity), a blend is decoded with
    the conditions of each end, and the log-mels are mixed. The residuals of the ends are carried to the blend and fade
    with their weights, so that a blend of one end is that end exactly. Gains and levels are averaged in dB. So are the
    level differences of left and right, and their coherence as an angle: the width moves along.

    Attributes:
        pipeline: The model.
        ends: K sounds.
    """

    pipeline: Pipeline
    ends: Sequence[Source]

    def points(self, weights: Tensor) -> Latents:
        """The latents of blends with weights (B, K) that sum to 1; weights outside 0 to 1 extrapolate."""
        return blended([end.latents for end in self.ends], weights)

    def mel(self, weights: Tensor, batch: int = 16) -> Tensor:
        """Log-mels (B, M, L) of blends with weights (B, K); `batch` is for a GPU."""
        points, floor, n_mels = self.points(weights), self.pipeline.codec.mel_floor, self.pipeline.spec.n_mels
        mel = self._decoded(points, weights, batch)
        share = weights.clamp(0, 1)
        for end, weight in zip(self.ends, share.T, strict=True):
            residual = end.carried(self.pipeline, points)
            if residual is not None:
                mel = mel + weight[:, None, None] * residual
        gains_db = share @ torch.tensor([end.gain_db for end in self.ends])
        levels_db = share @ torch.cat([level_db(end.mel[:, :n_mels]) for end in self.ends])

        def levelled(rows: Tensor) -> Tensor:
            return set_level(shift_level(rows, gains_db, floor), levels_db, floor)

        mel = on_mel(limited(mel, self.pipeline.spec, floor), n_mels, levelled)
        for end, weight in zip(self.ends, weights.T, strict=True):  # rounding must not change the ends
            mel = torch.where((weight == 1)[:, None, None], end.mel, mel)
        return mel

    def _decoded(self, points: Latents, weights: Tensor, batch: int) -> Tensor:
        """The points decoded with the conditions of each end, mixed."""
        moving = interpolated([end.latents.conditions for end in self.ends])
        groups: list[tuple[Conditions, Tensor]] = []
        for end, weight in zip(self.ends, weights.T, strict=True):
            conditions = end.latents.conditions.repeat(len(points))
            for name in moving:
                conditions = conditions.replaced(name, points.conditions.get(name))
            same = next((i for i, (known, _) in enumerate(groups) if known.same(conditions)), None)
            if same is None:
                groups.append((conditions, weight))
            else:
                groups[same] = conditions, groups[same][1] + weight
        if len(groups) == 1:
            return self.pipeline.decode(Latents(points.z, groups[0][0]), batch)
        mels = [
            weight[:, None, None] * self.pipeline.decode(Latents(points.z, conditions), batch)
            for conditions, weight in groups
        ]
        return torch.stack(mels).sum(0)


def line(positions: Tensor) -> Tensor:
    """Weights (B, 2) of positions (B,) between two ends, from 0 to 1."""
    return torch.stack([1 - positions, positions], dim=1)


def bilinear(rows: Tensor, columns: Tensor) -> Tensor:
    """Weights (B, 4) of four corners, row by row, at rows (B,) and columns (B,) from 0 to 1."""
    weights = [row * column for row in (1 - rows, rows) for column in (1 - columns, columns)]
    return torch.stack(weights, dim=1)


def blended(ends: Sequence[Latents], weights: Tensor) -> Latents:
    """Weighted averages of latents.

    Args:
        ends: K sets of one.
        weights: (B, K), each row with the sum 1.

    Returns:
        B points, with a latent per style layer if an end has that. Pitch (in semitones) and velocity are averaged if
        all ends have one; class, and conditions of some ends only, are those of the end with the largest weight.
    """
    count = max(end.z.shape[1] for end in ends)
    z = torch.cat([end.z.expand(-1, count, -1) for end in ends])  # (K, N, D)
    conditions = [end.conditions for end in ends]
    largest = len(ends) - 1 - weights.flip(1).argmax(1)  # of equal ones the last
    values = {}
    for name in (CLASS, *SCALARS):
        if any(name in one.values for one in conditions):
            known = torch.cat([one.get(name) for one in conditions])  # (K,)
            values[name] = known[largest] if name not in interpolated(conditions) else weights @ known
    return Latents(torch.einsum("bk,knd->bnd", weights, z), Conditions(len(weights), values))


def interpolated(ends: Sequence[Conditions]) -> list[str]:
    """Names of the conditions that have a middle: numbers that all ends have."""
    return [name for name in SCALARS if all(bool(torch.isfinite(one.get(name)).all()) for one in ends)]
