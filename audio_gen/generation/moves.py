"""Move clips along directions: change their descriptors by given amounts and hold the others.

For each clip, a damped Newton search finds the latent with the least move, in deviations of the model's latents, whose
descriptors have the requested values. One step along a fixed vector changes each clip by another amount, and other
descriptors with it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from statistics import median
from typing import Any

import torch
from torch import Tensor

from audio_gen.audio.parallel import side_by_side
from audio_gen.generation.descriptors import DESCRIPTORS, describe_mel, steps_of
from audio_gen.generation.directions import Directions
from audio_gen.generation.latents import Latents
from audio_gen.generation.pipeline import Pipeline
from audio_gen.models.contract import Conditions
from audio_gen.models.decay_axis import LONGEST

ROUNDS = 6  # of measuring the gradients
SHARES = (1.0, 0.5, 0.25, 0.1)  # of a step, until one of them is better
TOLERANCE = 0.2  # of a unit move: an error as bad as a move by one deviation
DONE = 0.05  # of a unit move; the search ends when all errors are smaller
FARTHEST = 6.0  # deviations, at most; samples are about 10 from the centre
WITHIN = 0.2  # of the request: what counts as reached
LENGTH = list(DESCRIPTORS).index("length")


@dataclass(frozen=True)
class Moved:
    """Clips after a move.

    Attributes:
        points: B points.
        before: Descriptors (B, 5), of stereo (B, 6), before the move; NaN for silent clips, which stay as they are. The
            length is that of the decay axis if the model has one: a decay may go on after the end of the clip.
        after: Descriptors after the move.
    """

    points: Latents
    before: Tensor
    after: Tensor


def move(pipeline: Pipeline, points: Latents, directions: Directions, moves: Mapping[str, float]) -> Moved:
    """Move clips by several amounts at once.

    Moves along principal components are added first; they hold nothing. All latents of a clip move alike. A clip's
    result does not depend on the other clips.

    Args:
        pipeline: The model.
        points: B points.
        directions: Those of the model.
        moves: Amounts by name: of a descriptor, in its `step`; of a principal component, in deviations.

    Raises:
        ConfigError: A name is unknown.
    """
    rows = {name: directions.index(name) for name in moves}
    z, descriptors, steps = points.z, directions.descriptors, steps_of(pipeline.spec)
    for name, amount in moves.items():
        if name not in descriptors:
            z = z + amount * directions.principal[rows[name] - len(descriptors)]
    start = points.with_z(z)
    wanted = torch.tensor([float(moves.get(name, 0.0)) for name in descriptors])
    searches = [_Search(pipeline, directions.principal, start[i]) for i in range(len(start))]
    found = torch.stack(side_by_side(lambda i: searches[i].solve(wanted), len(start)))
    shifts, before, after = found.split([z.shape[2], len(steps), len(steps)], dim=1)
    return Moved(start.with_z(start.z + shifts[:, None]), before * steps, after * steps)


class _Search:
    """The search for one clip. Figures are descriptors in steps, and a decay axis' length as the last."""

    def __init__(self, pipeline: Pipeline, principal: Tensor, point: Latents) -> None:
        self._codec, self._spec, self._device = pipeline.codec, pipeline.spec, pipeline.device
        self._principal, self._z, self._steps = principal, point.z[0], steps_of(pipeline.spec)
        self._conditions: Conditions = point.conditions.to(self._device)

    def solve(self, wanted: Tensor) -> Tensor:
        """The shift of the latent and the figures before and after, as (D + N + N,), for changes (N,) in steps."""
        before, gradients = self._measured(self._z)
        figures, coefficients = before, torch.zeros(len(self._principal))
        target = before + torch.cat([wanted, wanted[LENGTH : LENGTH + 1]])[: len(before)]
        if len(before) > len(wanted):
            assert self._codec.frames is not None
            target[-1] = target[-1].minimum(self._length_figure(torch.tensor(LONGEST * self._codec.frames)))
        best = self._cost(figures, target, coefficients)
        for i in range(ROUNDS if bool(figures.isfinite().all()) and bool(wanted.any()) else 0):
            if i:
                _, gradients = self._measured(self._shifted(coefficients))
            step = self._newton(gradients, target - figures, coefficients) - coefficients
            for share in SHARES:
                trial = coefficients + share * step
                trial = trial * (FARTHEST / trial.norm()).clamp(max=1.0)
                with torch.no_grad():
                    there = self._figures(self._shifted(trial))
                cost = self._cost(there, target, trial)
                if bool(cost < best):  # not if a figure is NaN
                    coefficients, figures, best = trial, there, cost
                    break
            else:
                break
            if float((target - figures).abs().max()) < DONE:
                break
        return torch.cat([coefficients @ self._principal, *(_told(x, len(wanted)) for x in (before, figures))])

    def _newton(self, gradients: Tensor, missing: Tensor, coefficients: Tensor) -> Tensor:
        """The coefficients of least norm (R,) that reach the target to first order, damped."""
        slopes = (gradients @ self._principal.T / TOLERANCE).double()  # (K, D) -> (K, R)
        goal = missing.double() / TOLERANCE + slopes @ coefficients.double()
        damped = slopes @ slopes.T + torch.eye(len(slopes), dtype=slopes.dtype)
        return (slopes.T @ torch.linalg.solve(damped, goal)).float()

    def _cost(self, figures: Tensor, target: Tensor, coefficients: Tensor) -> Tensor:
        return ((figures - target) / TOLERANCE).square().sum() + coefficients.square().sum()

    def _shifted(self, coefficients: Tensor) -> Tensor:
        return self._z + coefficients @ self._principal

    def _measured(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Figures (K,) of z (N, D), and their gradients (K, D) by a shift of all N latents."""
        with torch.enable_grad():
            z = z.detach().clone().requires_grad_()
            figures = self._figures(z)
            rows = [torch.autograd.grad(figure, z, retain_graph=True)[0].sum(0) for figure in figures]
        return figures.detach(), torch.stack(rows).nan_to_num(0.0, 0.0, 0.0)

    def _figures(self, z: Tensor) -> Tensor:
        z = z[None].to(self._device)
        mel = self._codec.decode(z, self._conditions).float().cpu()
        figures = describe_mel(mel, self._spec, self._codec.mel_floor)[0] / self._steps
        length = self._codec.length_frames(z)
        return figures if length is None else torch.cat([figures, self._length_figure(length.cpu())])

    def _length_figure(self, frames: Tensor) -> Tensor:
        return (frames / self._spec.frame_rate).log2() / self._steps[LENGTH]


def _told(figures: Tensor, count: int) -> Tensor:
    """Descriptors in steps (count,) of figures, of which there may be one more."""
    told = figures[:count].clone()
    if len(figures) > count:
        told[LENGTH] = figures[-1] + (told[LENGTH] - told[LENGTH])  # NaN for a silent clip
    return told


def moved_json(before: Tensor, after: Tensor) -> dict[str, dict[str, Any]] | None:
    """The descriptors (N,) of one clip before and after a move, in Hz, ms and dB; None for a silent clip."""
    if bool((before + after).isnan().any()):
        return None
    return {
        name: {"from": round(one.read(float(before[i])), 2), "to": round(one.read(float(after[i])), 2),
               "unit": one.reading, "steps": round(float(after[i] - before[i]) / one.step, 3)}
        for i, (name, one) in enumerate(islice(DESCRIPTORS.items(), len(before)))
    }  # fmt: skip


def move_lines(moves: Mapping[str, float], moved: Sequence[Mapping[str, Any] | None]) -> list[str]:
    """Lines on what moves did.

    Args:
        moves: The requested amounts.
        moved: Results of `moved_json`.
    """
    clips = [one for one in moved if one is not None]
    asked = {name: amount for name, amount in moves.items() if name in DESCRIPTORS and amount}
    if not asked or not clips:
        return []
    lines = []
    for name, amount in asked.items():
        steps, descriptor = [one[name]["steps"] for one in clips], DESCRIPTORS[name]
        near = sum(abs(step - amount) <= WITHIN * abs(amount) for step in steps)
        lines.append(
            f"{name}: asked for {descriptor.amount(amount * descriptor.step)}, reached "
            f"{descriptor.amount(median(steps) * descriptor.step)} (median), {near} of {len(clips)} within {WITHIN:.0%}"
        )
    others = {name: median(abs(one[name]["steps"]) for one in clips) for name in clips[0] if name not in asked}
    if others:
        drift = ", ".join(
            f"{name} {DESCRIPTORS[name].size(steps * DESCRIPTORS[name].step)}" for name, steps in others.items()
        )
        lines.append(f"the others moved by (median): {drift}")
    return lines
