"""Positions on a path between sounds, by measured distance instead of by index."""

from collections.abc import Callable

import torch
from torch import Tensor

from audio_gen.audio.distance import mel_distance_db

Path = Callable[[Tensor], Tensor]  # positions (B,) -> log-mels (B, M, L)

DECODED = 65  # points whose distances are summed, for a first estimate
CORRECTED = 4  # times, until the distances of the steps themselves are equal: a partial that glides has a long way
REFINED, AT_ONCE = 3, 8  # of the search for a distance: 8 points between the two nearest, three times


def equal_steps(path: Path, count: int) -> tuple[Tensor, Tensor]:
    """Positions whose sounds are equally far apart.

    Args:
        path: The log-mels at positions from 0 to 1.
        count: Number of positions, at least 2, both ends included.

    Returns:
        Positions (count,), and the sums of the distances of the steps in dB (count,), 0 for the first.
    """
    positions = torch.linspace(0, 1, DECODED)
    passed = travelled(path(positions))
    found: list[tuple[float, Tensor, Tensor]] = []
    for _ in range(1 + CORRECTED):
        if not passed[-1]:
            return torch.linspace(0, 1, count), torch.zeros(count)
        positions = inverse(torch.linspace(0, 1, count) * passed[-1], passed, positions)
        passed = travelled(path(positions))
        found.append((float(passed.diff().std(correction=0) / passed[-1].clamp(min=1e-9)), positions, passed))
    return min(found, key=lambda one: one[0])[1:]


def travelled(mels: Tensor) -> Tensor:
    """The sums (B,) of the distances of log-mels (B, M, L) from one to the next, in dB."""
    return torch.cat([torch.zeros(1), mel_distance_db(mels[1:], mels[:-1]).cumsum(0)])


def inverse(wanted: Tensor, rising: Tensor, positions: Tensor) -> Tensor:
    """Positions (N,) at which a rising curve, given as (K,) values at positions (K,), takes the values wanted (N,)."""
    after = torch.searchsorted(rising, wanted).clamp(1, len(rising) - 1)
    low, high = rising[after - 1], rising[after]
    share = ((wanted - low) / (high - low).clamp(min=1e-9)).clamp(0, 1)
    return torch.lerp(positions[after - 1], positions[after], share)


def at_distance(path: Path, start: Tensor, wanted_db: float, farthest: float) -> tuple[float, float]:
    """The first position on a path whose sound has a given distance from the start.

    Args:
        path: The log-mels at positions from 0, the start.
        start: Log-mel (1, M, L) of the start.
        wanted_db: See `mel_distance_db`.
        farthest: The largest position.

    Returns:
        The position and its distance in dB; the position of the largest distance if none is as far as wanted.
    """
    low, high = 0.0, farthest
    for _ in range(REFINED):
        positions = torch.linspace(low, high, AT_ONCE + 1)[1:]
        distances = mel_distance_db(path(positions), start)
        beyond = torch.nonzero(distances >= wanted_db)[:, 0]
        if not len(beyond):  # in the first round: later ones end at a point that is far enough
            break
        first = int(beyond[0])
        low, high = (low if first == 0 else float(positions[first - 1])), float(positions[first])
    nearest = int(distances.argmax()) if not len(beyond) else first
    return float(positions[nearest]), float(distances[nearest])
