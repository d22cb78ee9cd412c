"""The energy score: trains a network that draws from a distribution, without a discriminator."""

from collections.abc import Sequence

from torch import Tensor

SMALL = 1e-6  # keeps the gradient of a norm at 0 finite


def energy_score(target: Tensor, first: Tensor, second: Tensor, groups: Sequence[tuple[int, ...]]) -> Tensor:
    """The mean energy score of two independent draws, over several ways to group numbers.

    It is least, on average, where draws have the target's distribution within each group. Distances are root mean
    squares, so groups of any size weigh the same.

    Args:
        target: (.., H, W).
        first: One draw, of its shape.
        second: Another.
        groups: Height and width of the groups, which divide H and W.

    Source: Gneiting and Raftery 2007, eq. 22.
    """
    total = target.new_zeros(())
    for height, width in groups:
        near = _distance(target - first, height, width) + _distance(target - second, height, width)
        total = total + (near - _distance(first - second, height, width)) / 2
    return total / len(groups)


def _distance(difference: Tensor, height: int, width: int) -> Tensor:
    if (height, width) == (1, 1):
        return difference.abs().mean()
    blocks = difference.unflatten(-1, (-1, width)).unflatten(-3, (-1, height))  # (.., H/h, h, W/w, w)
    return (blocks.square().mean(dim=(-3, -1)) + SMALL).sqrt().mean()
