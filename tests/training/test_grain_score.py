"""The score of a codec's grain is least where grain is distributed as what the mean leaves out."""

import pytest
import torch
from torch import Tensor

from audio_gen.models.codecs.patches import STRIDE
from audio_gen.training.tasks.sequence.grain import averaged, frame_steps, grain_score

ROWS, PATCHES = 16, 64


def grain(count: int, *, smooth: int = 1, steady: float = 0.0, seed: int = 0) -> Tensor:
    """Patches (count, N, 4 R) of unit variance: noise over `smooth` frames, with a share that stays for all frames."""
    draw = torch.Generator().manual_seed(seed)
    frames = torch.randn(count, ROWS, STRIDE * PATCHES + smooth - 1, generator=draw)
    frames = torch.nn.functional.avg_pool1d(frames, smooth, 1) * smooth**0.5
    frames = (1 - steady) ** 0.5 * frames + steady**0.5 * torch.randn(count, ROWS, 1, generator=draw)
    return frames.unflatten(2, (PATCHES, STRIDE)).transpose(1, 2).flatten(2)


@pytest.mark.parametrize(
    ("truth", "wrong"),
    [
        ({"smooth": 2}, {}), ({}, {"smooth": 2}),
        ({"steady": 0.2}, {}), ({}, {"steady": 0.2}),
    ],
)  # fmt: skip
def test_grain_like_the_truth_scores_best(truth: dict, wrong: dict) -> None:
    real = grain(64, **truth)
    right, other = (
        grain_score(real, torch.stack([grain(64, **kind, seed=seed) for seed in (1, 2)]), ROWS)
        for kind in (truth, wrong)
    )
    assert float(right) < float(other) - 0.003


def test_grain_that_jumps_at_borders_scores_worse() -> None:
    def cut(patches: Tensor) -> Tensor:  # each patch from another sound
        return torch.stack([patches[:, i].roll(i, 0) for i in range(PATCHES)], dim=1)

    real, draws = grain(128, smooth=4), torch.stack([grain(128, smooth=4, seed=seed) for seed in (1, 2)])
    jumping = torch.stack([cut(one) for one in draws])
    assert float(grain_score(real, draws, ROWS)) < float(grain_score(real, jumping, ROWS)) - 0.003


def test_parts_of_the_score() -> None:
    frames = torch.arange(8.0).expand(2, 8).unflatten(1, (2, STRIDE))  # two rows that rise from frame to frame
    patches = frames.transpose(0, 1).flatten(1)[None]
    assert torch.equal(frame_steps(patches, 2), torch.ones(1, 7, 2))
    assert torch.equal(averaged(patches, 2), torch.tensor([[2.0, 3, 4, 5, 2, 3, 4, 5]])[None])
