"""Which step is the best: the newest within noise of the lowest."""

import math

import pytest

from audio_gen.training.selfcheck import RELATIVE_NOISE, Figure, chosen, figure


def step_of(values: list[float], noise: float = 0.1) -> int:
    found = chosen([Figure(i, value, noise) for i, value in enumerate(values)])
    assert found is not None
    return found.step


@pytest.mark.parametrize(
    ("values", "step"),
    [
        ([0.68, 1.0, 2.13], 0),
        ([3.0, 2.0, 1.0], 2),
        ([1.0, 0.5, 0.58], 2),  # within noise of the lowest
        ([1.0, 0.5, 0.58, 0.9], 2),
        ([0.55, 0.5, 0.61], 1),
        ([math.inf, 4.0, math.inf], 1),
        ([math.inf, math.inf], 1),
        ([-0.05, 0.02], 1),  # unbiased figures may be below zero
    ],
)
def test_the_newest_within_noise_of_the_lowest(values: list[float], step: int) -> None:
    assert step_of(values) == step


def test_deciding_at_each_step_gives_what_deciding_at_the_end_does() -> None:
    """So a bundle that is written as a run goes is that of the best step of all."""
    values = [math.sin(7 * i) + 0.02 * i for i in range(60)]
    kept = -1
    for count in range(1, 61):
        if step_of(values[:count]) == count - 1:
            kept = count - 1
    assert kept == step_of(values)


def test_noise_that_is_not_known_is_a_share_of_the_value() -> None:
    assert figure(1, 2.0, None).noise == figure(1, 2.0, math.nan).noise == RELATIVE_NOISE * 2
    assert figure(1, 2.0, 0.3).noise == 0.3
    assert figure(1, math.nan, None) == Figure(1, math.inf, 0.0)
    assert chosen([]) is None
