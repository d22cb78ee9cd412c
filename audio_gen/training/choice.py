"""Which step of a run is its best: the newest whose figure is within noise of the lowest.

The lowest of several noisy figures is too low by luck, and a longer training is worth something; so a step that came
later is preferred where noise alone explains that its figure is higher.
Source: the one-standard-error rule, Breiman 1984 (CART), section 3.4.3.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

# Where the standard error is not known. Two draws of 256 samples of one model differ by as much.
RELATIVE_NOISE = 0.1
# `mrmel` of a vocoder is of the same clips every time, and has no noise of drawing; less is not heard.
VALIDATION_NOISE = 0.01


@dataclass(frozen=True)
class Figure:
    """What a step was worth.

    Attributes:
        step: The step.
        value: Lower is better; infinite where next to nothing could be heard.
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
    """The best of figures in the order of their steps; None where there are none."""
    if not figures:
        return None
    lowest = min(figures, key=lambda one: one.value)
    return [one for one in figures if one.value <= lowest.value + lowest.noise][-1]
