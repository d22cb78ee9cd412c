"""The classes, pitches and velocities that a model knows, and conditions from a user's request."""

import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from audio_gen.data.names import meant
from audio_gen.errors import ConfigError
from audio_gen.models.contract import CLASS, PITCH, UNKNOWN, UNKNOWN_CLASS, VELOCITY, Conditions
from audio_gen.text import SHOWN_CHARACTERS, clipped, one_line, shortened

SHOWN_CLASSES = 20
LOUDEST = 127  # MIDI velocity
PITCH_TOLERANCE = 0.5  # semitones outside the trained range that an out-of-tune sound may be
OCTAVE = 12.0  # semitones

Outside = Literal["refuse", "clamp", "fold"]


@dataclass(frozen=True)
class Vocabulary:
    """The classes, pitches and velocities that a model was trained on.

    Attributes:
        model: Name of the model in messages.
        classes: Names in the order of their numbers; empty for a model without classes.
        pitch_range: Lowest and highest MIDI pitch; None for a model without pitch.
        velocity_range: Lowest and highest MIDI velocity; None for a model without velocity.
    """

    model: str
    classes: tuple[str, ...]
    pitch_range: tuple[float, float] | None
    velocity_range: tuple[float, float] | None = None

    def requested(
        self, class_name: str | None = None, pitch: float | None = None, velocity: float | None = None,
        outside: Outside = "refuse",
    ) -> Conditions:  # fmt: skip
        """Conditions of one clip; None is unknown, and drawn.

        Args:
            class_name: Name of a class.
            pitch: MIDI pitch.
            velocity: MIDI velocity from 0 to 127; limited to the trained range.
            outside: Treatment of a pitch outside the trained range: an error ("refuse"), the nearest end of the
                range ("clamp"), or the same note in the nearest octave within it ("fold").

        Raises:
            ConfigError: The model does not know the class or the pitch, or has no classes, pitches or velocities.
        """
        number, midi, loudness = self.class_id(class_name), self.pitch(pitch, outside), self.velocity(velocity)
        values: dict[str, float | None] = {
            CLASS: None if number == UNKNOWN_CLASS else number, PITCH: none_if_unknown(midi),
            VELOCITY: none_if_unknown(loudness),
        }  # fmt: skip
        return Conditions.one(values)

    def known(
        self, class_names: Sequence[str | None] = (), pitches: Sequence[float | None] = (),
        velocities: Sequence[float | None] = (),
    ) -> Conditions:  # fmt: skip
        """Conditions of one clip: the first known class, pitch and velocity."""
        number, midi = self.known_class(class_names), self.known_pitch(pitches)
        loudness = next((self.velocity(one) for one in velocities if one is not None and self.velocity_range), UNKNOWN)
        values: dict[str, float | None] = {
            CLASS: None if number == UNKNOWN_CLASS else number, PITCH: none_if_unknown(midi),
            VELOCITY: none_if_unknown(loudness),
        }  # fmt: skip
        return Conditions.one(values)

    def labels(self, conditions: Conditions) -> dict[str, Any]:
        """The conditions of one clip for people and JSON: "class", "pitch", and "velocity" for a model that has it."""
        found: dict[str, Any] = {
            CLASS: self.class_name(int(conditions.class_id[0])), PITCH: none_if_unknown(float(conditions.pitch[0])),
        }  # fmt: skip
        if self.velocity_range is not None:
            found[VELOCITY] = none_if_unknown(float(conditions.velocity[0]))
        return found

    def class_id(self, name: str | None) -> int:
        """The index of a class; -1 for None.

        Raises:
            ConfigError: The model has no classes, or not this one.
        """
        if name is None:
            return UNKNOWN_CLASS
        shown = clipped(one_line(name), SHOWN_CHARACTERS)
        if not self.classes:
            raise ConfigError(f"class ({shown}): {self.model} was trained without classes; remove the class")
        found = meant(name, self.classes)
        if len(found) > 1:
            some = ", ".join(map(shortened, found[:SHOWN_CLASSES])) + (", .." if found[SHOWN_CLASSES:] else "")
            raise ConfigError(f"class ({shown}) is ambiguous: {self.model} knows {some}; write one of them exactly")
        if not found:
            near = difflib.get_close_matches(name[:SHOWN_CHARACTERS], self.classes, n=len(self.classes), cutoff=0.5)
            ordered = near + [c for c in self.classes if c not in near]
            more = f" and {len(ordered) - SHOWN_CLASSES} more" if len(ordered) > SHOWN_CLASSES else ""
            raise ConfigError(
                f"class ({shown}) is unknown to {self.model}; it knows {', '.join(ordered[:SHOWN_CLASSES])}{more}"
            )
        return self.classes.index(found[0])

    def pitch(self, pitch: float | None, outside: Outside = "refuse") -> float:
        """The pitch for the model; NaN for None. For `outside` see `requested`.

        Raises:
            ConfigError: The model has no pitch, or was trained on other pitches; or `outside` is unknown.
        """
        if outside not in get_args(Outside):
            raise ConfigError(f"outside ({shortened(outside)}): unknown; use {', '.join(get_args(Outside))}")
        if pitch is None:
            return UNKNOWN
        if self.pitch_range is None:
            raise ConfigError(f"pitch ({pitch:g}): {self.model} was trained without pitches; remove the pitch")
        low, high = self.pitch_range
        if math.isfinite(pitch) and outside != "refuse":
            return min(max(folded(pitch, low, high) if outside == "fold" else pitch, low), high)
        if not low <= pitch <= high:
            raise ConfigError(
                f"pitch ({pitch:g}) must be in the trained range, MIDI {low:g} to {high:g}; try {(low + high) / 2:.0f}"
            )
        return float(pitch)

    def velocity(self, velocity: float | None) -> float:
        """The velocity for the model; NaN for None.

        Raises:
            ConfigError: It is not a MIDI velocity, or the model was trained without.
        """
        if velocity is None:
            return UNKNOWN
        if self.velocity_range is None:
            raise ConfigError(
                f"velocity ({velocity:g}): {self.model} was trained without velocities; remove the velocity"
            )
        if not 0 <= velocity <= LOUDEST:
            raise ConfigError(f"velocity ({velocity:g}) must be a MIDI velocity from 0 to {LOUDEST}; try 100")
        return float(min(max(velocity, self.velocity_range[0]), self.velocity_range[1]))

    def known_class(self, names: Sequence[str | None]) -> int:
        """The index of the first name that is a class of the model; -1 without one."""
        found = (matched(name, self.classes) for name in names if name is not None)
        return next((self.classes.index(name) for name in found if name is not None), UNKNOWN_CLASS)

    def known_pitch(self, pitches: Sequence[float | None]) -> float:
        """The first pitch that is known and within the trained range; NaN without one."""
        if self.pitch_range is None:
            return UNKNOWN
        low, high = self.pitch_range[0] - PITCH_TOLERANCE, self.pitch_range[1] + PITCH_TOLERANCE
        return next((float(p) for p in pitches if p is not None and low <= p <= high), UNKNOWN)

    def class_name(self, class_id: int) -> str | None:
        """The name of a class; None for -1."""
        return self.classes[class_id] if class_id >= 0 else None


def matched(name: str, known: Sequence[str]) -> str | None:
    """The one known name that `audio_gen.data.names.meant` finds; None if there is none, or several."""
    found = meant(name, known)
    return found[0] if len(found) == 1 else None


def folded(pitch: float, low: float, high: float) -> float:
    """A MIDI pitch, moved by octaves into a range, or next to it if the range is narrower than an octave."""
    if pitch < low:
        return pitch + OCTAVE * math.ceil((low - pitch) / OCTAVE)
    return pitch - OCTAVE * math.ceil((pitch - high) / OCTAVE) if pitch > high else pitch


def none_if_unknown(value: float) -> float | None:
    """For JSON, which has no NaN."""
    return None if math.isnan(value) else value
