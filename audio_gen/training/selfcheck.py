"""Evaluation during a run, and its best step: the newest whose figure is within noise of the lowest.

The minimum of noisy figures is biased low, and longer training helps; so a later step is preferred if noise alone
explains its higher figure.
Source: the one-standard-error rule, Breiman 1984 (CART), section 3.4.3.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import torch
from torch import nn

from audio_gen.training.events import Evaluated, Event, Note
from audio_gen.training.hooks import Moment
from audio_gen.training.schedule import Budget
from audio_gen.training.state import Part, StateRegistry, is_duration, is_row

EVALUATION_SHARE = 0.05  # of the time trained so far
# If the standard error is unknown. Two draws of 256 samples of one model differ by this much.
RELATIVE_NOISE = 0.1
# `mrmel` of a vocoder uses the same clips each time, so it has no sampling noise; a smaller difference is inaudible.
VALIDATION_NOISE = 0.01


@dataclass(frozen=True)
class Figure:
    """The figure of a step.

    Attributes:
        step: The step.
        value: Lower is better; infinite if nearly all samples are silent.
        noise: The standard error of the value.
    """

    step: int
    value: float
    noise: float


def figure(step: int, value: float, noise: float | None, relative: float = RELATIVE_NOISE) -> Figure:
    """A step's figure; without a finite `noise`, its noise is a share of the value."""
    value = math.inf if math.isnan(value) else value
    if noise is None or not math.isfinite(noise):
        noise = relative * abs(value) if math.isfinite(value) else 0.0
    return Figure(step, value, noise)


def chosen(figures: Sequence[Figure]) -> Figure | None:
    """The best of figures in the order of their steps; None without figures."""
    if not figures:
        return None
    lowest = min(figures, key=lambda one: one.value)
    return [one for one in figures if one.value <= lowest.value + lowest.noise][-1]


class SelfCheck:
    """Evaluates the averaged model at previews, and keeps the figures.

    Attributes:
        figures: The figures that pick the best step.
        judged_by: "evaluation"; "validation" for a task that generates no clips; "" if no figure is measured.
            Validation does not measure samples: a GAN's is the error of the encoder estimate, and that of a VAE is
            lowest while the KL weight is still small.
    """

    def __init__(
        self, evaluate: Callable[[nn.Module], dict[str, float]] | None, model: nn.Module, *, by: str | None,
        previews: int, budget: Budget, emit: Callable[[Event], None],
    ) -> None:  # fmt: skip
        """Evaluate at previews.

        Args:
            evaluate: Measures samples of a model; its first figure, lower is better, picks the best step. None for a
                model that generates nothing, or a short run.
            model: The averaged model.
            by: Name of the validation figure that picks the best step; None if the evaluation does.
            previews: Number of previews in the whole run.
            budget: The run's length.
            emit: Takes events.
        """
        self.figures: list[Figure] = []
        self.judged_by = ("" if evaluate is None else "evaluation") if by is None else "validation"
        self._by = by
        self._evaluate, self._model, self._previews = evaluate, model, previews
        self._budget, self._emit, self._spent_sec = budget, emit, 0.0

    def register(self, registry: StateRegistry) -> None:
        """Register the figures and the time of evaluations for checkpoints."""
        registry.register(
            "figures",
            Part(
                lambda: [astuple(one) for one in self.figures], self._load_figures,
                lambda rows: isinstance(rows, list) and all(is_row(row, 3) for row in rows),
            ),
        )  # fmt: skip
        registry.register("evaluation_sec", Part(lambda: self._spent_sec, self._load_spent, is_duration))

    def __call__(self, moment: Moment) -> None:
        """Evaluate at a preview, unless evaluations exceed their share of the time; no figures are no evaluation."""
        if self._evaluate is None or not moment.passes(self._previews):
            return
        if self._spent_sec > EVALUATION_SHARE * self._budget.elapsed_sec():
            self._emit(Note(f"step {moment.step}: not evaluated, to save time"))
            return
        started = time.monotonic()
        with torch.no_grad():
            values = self._evaluate(self._model)
        self._spent_sec += time.monotonic() - started
        if not values:
            return
        self._emit(Evaluated(moment.step, values, self._spent_sec, self._budget.elapsed_sec()))
        if self._by is None:
            self.figures.append(figure(moment.step, next(iter(values.values())), values.get("kad_se")))

    def validated(self, step: int, values: Mapping[str, float]) -> None:
        """Add the figure of a validation, if it is there and picks the best step."""
        if self._by is not None and self._by in values:
            self.figures.append(figure(step, values[self._by], None, VALIDATION_NOISE))

    def best(self) -> Figure | None:
        """The best step's figure; None without figures."""
        return chosen(self.figures)

    def newest_is_best(self) -> bool:
        """Whether the current weights are the best; a step without a figure counts as the last one with a figure."""
        best = self.best()
        return best is None or best == self.figures[-1]

    def _load_figures(self, rows: list[Any]) -> None:
        self.figures = [Figure(*row) for row in rows]

    def _load_spent(self, seconds: float) -> None:
        self._spent_sec = max(self._spent_sec, seconds)
