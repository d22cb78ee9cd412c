"""Bring a sound's controls into the range of a target: octaves, levels, onsets and brightness."""

import math
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

NEAR_SEMITONES = 7.0  # between the medians of two ranges of pitches, from which octaves are moved
OUTSIDE = 0.1  # share of the pitches beyond the target's, which is told
EDGE = 0.01  # of the target's pitches, at each end, do not count as its range


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
        """Octaves by which the pitches move: as few as bring their median near to the target's."""
        if not self.pitched:
            return 0
        if self.kept.octaves is not None:
            return self.kept.octaves
        away = self.target.middle - self.source.middle
        return round(math.copysign(math.ceil(max(0.0, abs(away) - NEAR_SEMITONES) / 12), away))

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
                f"moved {count} octave{'s' if count > 1 else ''} {'up' if self.octaves > 0 else 'down'}, to the "
                "pitches of the target"
            )
        if self.pitched and (outside := self._outside()) > OUTSIDE:
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

    def _outside(self) -> float:
        """Share of the sound's pitches that the target does not have."""
        share = self.target.pitches.cumsum(0) / self.target.pitches.sum().clamp(min=1e-9)
        inside = ((share > EDGE) & (share < 1 - EDGE))[:, None].float()
        mine: Tensor = shifted_pitch(self.source.pitches[:, None], 12 * self.octaves)
        lost = float(self.source.pitches.sum() - mine.sum())
        return float(((mine * (1 - inside)).sum() + lost) / self.source.pitches.sum().clamp(min=1e-9))
