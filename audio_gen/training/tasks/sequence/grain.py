"""The score of a codec's grain: is it distributed as what the codec's mean leaves out?"""

from collections.abc import Sequence

from torch import Tensor

from audio_gen.models.codecs.patches import STRIDE
from audio_gen.models.priors.energy import energy_score

BANDS = (1, 4, 16)  # of the groups that are scored, besides single numbers and whole patches
AVERAGED = (4, 16)  # patches: what stays over them is scored too
STEP_BANDS = (1, 4)  # of the groups of steps from frame to frame


def grain_score(truth: Tensor, draws: Tensor, rows: int) -> Tensor:
    """How far drawn grain is from the truth in distribution.

    The sum of the energy scores of patches, of their means over time, and of steps from frame to frame. A score of
    patches alone says little about what lies across their borders, and about what stays.

    Args:
        truth: What the mean leaves out of normalised patches (B, N, 4 R).
        draws: Two draws of it (2, B, N, 4 R).
        rows: R.
    """
    sizes = [1, *(STRIDE * bands for bands in BANDS if rows % bands == 0)]
    total = _score(truth, draws, [*sizes, STRIDE * rows])
    for count in AVERAGED:
        if truth.shape[-2] >= count:
            total = total + _score(averaged(truth, count), averaged(draws, count), sizes)
    bands = [bands for bands in STEP_BANDS if rows % bands == 0]
    return total + _score(frame_steps(truth, rows), frame_steps(draws, rows), bands)


def averaged(patches: Tensor, count: int) -> Tensor:
    """Patches (.., N, 4 R) -> the means of `count` at a time (.., N // count, 4 R)."""
    parts = patches.shape[-2] // count
    return patches[..., : parts * count, :].unflatten(-2, (parts, count)).mean(-2)


def frame_steps(patches: Tensor, rows: int) -> Tensor:
    """The steps from frame to frame (.., 4 N - 1, R) of patches (.., N, 4 R), also across borders."""
    frames = patches.unflatten(-1, (rows, STRIDE)).transpose(-1, -2).flatten(-3, -2)
    return frames[..., 1:, :] - frames[..., :-1, :]


def _score(truth: Tensor, draws: Tensor, groups: Sequence[int]) -> Tensor:
    return energy_score(truth, draws, groups).mean() / len(groups)
