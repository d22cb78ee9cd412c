"""Class and pitch: what a user asks for, checked against what the model has learned."""

import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass

from audio_gen.data.names import meant
from audio_gen.errors import ConfigError
from audio_gen.generation.latents import UNKNOWN_CLASS, UNKNOWN_PITCH
from audio_gen.text import SHOWN_CHARACTERS, clipped, one_line, shortened

SHOWN_CLASSES = 20
PITCH_TOLERANCE = 0.5  # semitones beyond the trained range that a sound out of tune may lie


@dataclass(frozen=True)
class Conditions:
    """The classes and pitches of a model.

    Attributes:
        model: What messages call the model.
        classes: Names in the order of their numbers; empty for a model without classes.
        pitch_range: Lowest and highest MIDI pitch trained on; None for a model without pitch.
    """

    model: str
    classes: tuple[str, ...]
    pitch_range: tuple[float, float] | None

    def class_id(self, name: str | None) -> int:
        """The number of a class; -1 for None.

        Raises:
            ConfigError: The model has no classes, or none of this name.
        """
        if name is None:
            return UNKNOWN_CLASS
        told = clipped(one_line(name), SHOWN_CHARACTERS)
        if not self.classes:
            raise ConfigError(f"class ({told}): {self.model} was trained without classes; leave it out")
        found = meant(name, self.classes)
        if len(found) > 1:
            some = ", ".join(map(shortened, found[:SHOWN_CLASSES])) + (", .." if found[SHOWN_CLASSES:] else "")
            raise ConfigError(
                f"class ({told}) is ambiguous: {self.model} knows {some}; write one of them as it is here"
            )
        if not found:
            near = difflib.get_close_matches(name[:SHOWN_CHARACTERS], self.classes, n=len(self.classes), cutoff=0.5)
            ordered = near + [c for c in self.classes if c not in near]
            more = f" and {len(ordered) - SHOWN_CLASSES} more" if len(ordered) > SHOWN_CLASSES else ""
            raise ConfigError(
                f"class ({told}) is unknown to {self.model}; it knows {', '.join(ordered[:SHOWN_CLASSES])}{more}"
            )
        return self.classes.index(found[0])

    def pitch(self, pitch: float | None) -> float:
        """The pitch as the model takes it; NaN for None.

        Raises:
            ConfigError: The model has no pitch, or was trained on other pitches.
        """
        if pitch is None:
            return UNKNOWN_PITCH
        if self.pitch_range is None:
            raise ConfigError(f"pitch ({pitch:g}): {self.model} was trained without pitches; leave it out")
        low, high = self.pitch_range
        if not low <= pitch <= high:
            raise ConfigError(
                f"pitch ({pitch:g}) must lie in the trained range, MIDI {low:g} to {high:g}; try {(low + high) / 2:.0f}"
            )
        return float(pitch)

    def known_class(self, names: Sequence[str | None]) -> int:
        """The number of the first name that is a class of the model; -1 where none is."""
        found = (matched(name, self.classes) for name in names if name is not None)
        return next((self.classes.index(name) for name in found if name is not None), UNKNOWN_CLASS)

    def known_pitch(self, pitches: Sequence[float | None]) -> float:
        """The first pitch that is known and within the trained range; NaN where none is."""
        if self.pitch_range is None:
            return UNKNOWN_PITCH
        low, high = self.pitch_range[0] - PITCH_TOLERANCE, self.pitch_range[1] + PITCH_TOLERANCE
        return next((float(p) for p in pitches if p is not None and low <= p <= high), UNKNOWN_PITCH)

    def class_name(self, class_id: int) -> str | None:
        """The name of a class; None for -1."""
        return self.classes[class_id] if class_id >= 0 else None


def matched(name: str, known: Sequence[str]) -> str | None:
    """The known name that is meant, as `audio_gen.data.names.meant` decides; None if there is none, or several."""
    found = meant(name, known)
    return found[0] if len(found) == 1 else None


def pitch_or_none(pitch: float) -> float | None:
    """For JSON, which has no NaN."""
    return None if math.isnan(pitch) else pitch
