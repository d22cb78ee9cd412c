"""The energy score is least for draws from the target's distribution, and for numbers that go together."""

import pytest
import torch
from torch import Tensor

from audio_gen.losses.energy import energy_score

WHOLE = [(1, 2)]


def score(target: Tensor, draw: Tensor, again: Tensor, groups: list[tuple[int, ...]]) -> float:
    return float(energy_score(target[:, None], draw[:, None], again[:, None], groups))


def pair(deviation: float, together: float) -> Tensor:
    """Pairs of numbers (N, 2) with a deviation and a correlation."""
    x = torch.randn(40_000, 2)
    return deviation * torch.stack([x[:, 0], together * x[:, 0] + (1 - together**2) ** 0.5 * x[:, 1]], dim=1)


@pytest.mark.parametrize("groups", [[(1, 1)], WHOLE])
def test_the_right_spread_is_best(groups: list[tuple[int, ...]]) -> None:
    torch.manual_seed(0)
    target = pair(1.0, 0.0)
    found = {s: score(target, pair(s, 0.0), pair(s, 0.0), groups) for s in (0.0, 0.5, 1.0, 1.5)}
    assert min(found, key=lambda s: found[s]) == 1.0


def test_the_right_correlation_is_best_for_groups_only() -> None:
    torch.manual_seed(0)
    target = pair(1.0, 0.9)
    joint = {c: score(target, pair(1.0, c), pair(1.0, c), WHOLE) for c in (0.0, 0.9)}
    single = {c: score(target, pair(1.0, c), pair(1.0, c), [(1, 1)]) for c in (0.0, 0.9)}
    assert joint[0.9] < joint[0.0] - 0.01
    assert single[0.9] == pytest.approx(single[0.0], abs=0.005)


def test_equal_draws_have_a_finite_gradient() -> None:
    draw = torch.zeros(3, 4, 4, requires_grad=True)
    energy_score(torch.zeros(3, 4, 4), draw, draw, [(1, 1), (2, 2), (4, 4)]).backward()
    assert draw.grad is not None and bool(draw.grad.isfinite().all())
