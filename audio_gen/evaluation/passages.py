"""Search for passages of two seconds in long sounds, at any level and any place in time."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from audio_gen.evaluation.strips import SPEC, WINDOW, Strip

BLOCK_PLACES = 8192  # places at a time; their windows take 60 MB
ROWS_AT_ONCE = 512


@dataclass(frozen=True)
class Passages:
    """Windows of two seconds of some sounds, without silent ones.

    Attributes:
        windows: Log-mel (N, WINDOW, M) in dB.
        audible: Number of cells of each above the floor of its sound (N,).
        sounds: Number of the sound of each (N,).
        starts: First frame of each in its sound (N,).
    """

    windows: Tensor
    audible: Tensor
    sounds: Tensor
    starts: Tensor

    @classmethod
    def of(cls, strips: Sequence[Strip], most: int | None = None) -> "Passages":
        """The windows of sounds, one after the other; of more than `most`, evenly spaced ones."""
        places = [
            (n, WINDOW * i) for n, strip in enumerate(strips) for i in torch.nonzero(strip.sounding())[:, 0].tolist()
        ]
        if most is not None and len(places) > most:
            places = [places[i * len(places) // most] for i in range(most)]
        windows = [strips[n].mel[start : start + WINDOW].float() for n, start in places]
        audible = [strips[n].audible()[start : start + WINDOW].sum() for n, start in places]
        return cls(
            torch.stack(windows) if windows else torch.zeros(0, WINDOW, SPEC.n_mels),
            torch.stack(audible) if audible else torch.zeros(0),
            torch.tensor([n for n, _ in places], dtype=torch.long),
            torch.tensor([start for _, start in places], dtype=torch.long),
        )

    def __len__(self) -> int:
        """Number of windows, N."""
        return len(self.windows)

    def rows(self) -> Tensor:
        """The windows as rows (N, WINDOW * M) with a mean of 0."""
        rows = self.windows.flatten(1)
        return rows - rows.mean(1, keepdim=True)


@dataclass(frozen=True)
class Found:
    """The nearest passage to each window.

    Attributes:
        distance_db: Distance to it (N,), see `nearest_passages`; infinite if there is none.
        sounds: Number of the sound that holds it (N,).
        starts: Its first frame (N,).
    """

    distance_db: Tensor
    sounds: Tensor
    starts: Tensor


def nearest_passages(
    queries: Passages, bank: Sequence[Strip], *, other_sound: bool = False, apart: int | None = None
) -> Found:
    """Find the nearest passage of a bank to each window, at every frame of 50 ms.

    The distance is the root mean square difference of two log-mels in dB after their means are made equal, over as many
    cells as the fuller of the two has above its floor: silence does not dilute it. The strips of ten hours take 70 MB,
    and a search of 300 windows in them about a minute on one core.

    Args:
        queries: N windows.
        bank: The sounds to search.
        other_sound: Search only sounds of another number than the query's.
        apart: Search only the sound of the query's number, at least this many frames from it.
    """
    best = torch.full((len(queries),), math.inf)
    sounds, starts = (torch.zeros(len(queries), dtype=torch.long) for _ in range(2))
    for number, strip in enumerate(bank):
        same = queries.sounds == number
        wanted = same if apart is not None else ~same if other_sound else torch.ones_like(same)
        for rows in torch.nonzero(wanted)[:, 0].split(ROWS_AT_ONCE):
            for first, distance in _distances(queries, rows, strip):
                if apart is not None:
                    places = torch.arange(first, first + distance.shape[1])
                    distance.masked_fill_((places - queries.starts[rows, None]).abs() < apart, math.inf)
                found, place = distance.min(1)
                better = found < best[rows]
                best[rows[better]], sounds[rows[better]] = found[better], number
                starts[rows[better]] = first + place[better]
    return Found(best, sounds, starts)


def changes(passages: Passages) -> Tensor:
    """Distance (K,) of each window to the one that ends where it begins, if that sounds; as in `nearest_passages`."""
    follows = (passages.sounds[1:] == passages.sounds[:-1]) & (passages.starts[1:] - passages.starts[:-1] == WINDOW)
    rows = passages.rows()
    squared = (rows[1:] - rows[:-1]).square().sum(1)
    cells = torch.maximum(passages.audible[1:], passages.audible[:-1]).clamp(min=1)
    return (squared / cells).sqrt()[follows]


def _distances(queries: Passages, rows: Tensor, strip: Strip) -> Iterator[tuple[int, Tensor]]:
    """Yield the first place of a block, and distances (R, P) of some queries to the passages that begin in it."""
    wanted = queries.windows[rows].flatten(1)
    wanted = wanted - wanted.mean(1, keepdim=True)
    norms, cells = wanted.square().sum(1)[:, None], queries.audible[rows][:, None]
    audible = strip.audible()
    for first in range(0, len(strip) - WINDOW + 1, BLOCK_PLACES):
        part = slice(first, first + BLOCK_PLACES + WINDOW - 1)
        places = strip.mel[part].float().unfold(0, WINDOW, 1).transpose(1, 2).flatten(1)  # (P, M, W) -> (P, W * M)
        squares = places.square().sum(1) - places.shape[1] * places.mean(1).square()
        # The mean of a query is 0, so the product does not depend on that of a place.
        squared = torch.addmm(norms + squares, wanted, places.T, alpha=-2)
        filled = torch.maximum(cells, audible[part].unfold(0, WINDOW, 1).sum(1)).clamp(min=1)
        yield first, (squared.clamp(min=0) / filled).sqrt()
