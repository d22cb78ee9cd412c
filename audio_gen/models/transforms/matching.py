"""Bring a sound's controls into the range of a target: octaves, levels, onsets and brightness."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from audio_gen.models.contract import Kept
from audio_gen.models.transforms.sound import (
    COARSE,
    FINE,
    SMOOTHINGS,
    Controls,
    Ranges,
    Smoothing,
    matched,
    shifted_pitch,
)

MOST_OCTAVES, OCTAVE_COST = 4, 0.05
MANY = 0.3  # share of the pitches beyond the target's usual ones, from which octaves are moved
OUTSIDE = 0.1  # share of the pitches beyond the target's, which is told
EDGE, RARE = 0.01, 0.05  # shares of the target's pitches beyond its range, and its usual range, at each end


@dataclass(frozen=True)
class Matching:
    """What is done to the controls of a sound.

    Attributes:
        source: The sound's ranges.
        target: The target's.
        kept: What is kept of the sound.
    """

    source: Ranges
    target: Ranges
    kept: Kept

    @property
    def pitched(self) -> bool:
        """Whether pitches are kept: both the sound and the target have some."""
        return self.kept.pitch and self.source.is_pitched and self.target.is_pitched

    @property
    def smoothing(self) -> Smoothing:
        """How controls are averaged over time."""
        return COARSE if self.pitched else FINE

    @cached_property
    def octaves(self) -> int:
        """Octaves by which the pitches move: as few as bring most of them to the target's usual ones."""
        if not self.pitched:
            return 0
        if self.kept.octaves is not None:
            return self.kept.octaves
        moves = sorted(range(-MOST_OCTAVES, MOST_OCTAVES + 1), key=abs)
        fits = (octaves for octaves in moves if self._outside(octaves, RARE) <= MANY)
        return next(fits, min(moves, key=lambda octaves: self._outside(octaves, RARE) + OCTAVE_COST * abs(octaves)))

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done, for the user."""
        found = []
        if self.kept.pitch and self.source.is_pitched != self.target.is_pitched:
            which = "the target has" if self.source.is_pitched else "it has"
            found.append(f"{which} no steady pitches; it follows levels, onsets and brightness")
        if self.octaves:
            count = abs(self.octaves)
            found.append(
                f"moved {count} octave{'s' if count > 1 else ''} {'up' if self.octaves > 0 else 'down'}"
                + (", to the pitches of the target" if self.kept.octaves is None else "")
            )
        if self.pitched and (outside := self._outside(self.octaves, EDGE)) > OUTSIDE:
            found.append(
                f"{outside:.0%} of its pitches are outside the target's range, where the result may sound less like it"
            )
        return tuple(found)

    def __call__(self, found: Controls) -> Controls:
        """The controls of the sound in the target's range."""
        row = SMOOTHINGS.index(self.smoothing)
        loudness = found.loudness_db
        if self.kept.levels:
            loudness = matched(loudness, self.source.loudness_db[row], self.target.loudness_db[row])
        bands = zip(found.brightness_db, self.source.brightness_db, self.target.brightness_db, strict=True)
        return Controls(
            shifted_pitch(found.salience, 12 * self.octaves), loudness,
            matched(found.onset, self.source.onset, self.target.onset), torch.stack([matched(*band) for band in bands]),
        )  # fmt: skip

    def _outside(self, octaves: int, edge: float) -> float:
        """Share of the sound's pitches, moved by octaves, beyond all but a share of the target's at each end."""
        share = self.target.pitches.cumsum(0) / self.target.pitches.sum().clamp(min=1e-9)
        inside = ((share > edge) & (share < 1 - edge))[:, None].float()
        mine: Tensor = shifted_pitch(self.source.pitches[:, None], 12 * octaves)
        lost = float(self.source.pitches.sum() - mine.sum())
        return float(((mine * (1 - inside)).sum() + lost) / self.source.pitches.sum().clamp(min=1e-9))
