"""A score: notes in seconds, and the controllers of its channels."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

DRUM_CHANNEL = 9  # counted from 0, as General MIDI has it
CHANNELS = 16
VOLUME, EXPRESSION, PAN, BEND = "volume", "expression", "pan", "bend"
USUAL = {VOLUME: 100 / 127, EXPRESSION: 1.0, PAN: 0.0, BEND: 0.0}  # of a channel without messages
MIDDLE_C, SEMITONES, A4, A4_HZ = 60, 12, 69, 440.0


@dataclass(frozen=True, order=True)
class Note:
    """A note.

    Attributes:
        start_sec: When its key goes down.
        pitch: MIDI key, 0 to 127; of drums, the drum.
        length_sec: Until it is released; the pedal holds it.
        velocity: 1 to 127.
        channel: 0 to 15; drums are on channel 9.
        program: General MIDI programme of the channel at its start, 0 to 127.
        track: Number of its track in the file.
    """

    start_sec: float
    pitch: int
    length_sec: float
    velocity: int = 100
    channel: int = 0
    program: int = 0
    track: int = 0

    @property
    def end_sec(self) -> float:
        """When it is released."""
        return self.start_sec + self.length_sec

    @property
    def is_drum(self) -> bool:
        """Whether it is on the channel of drums."""
        return self.channel == DRUM_CHANNEL


@dataclass(frozen=True)
class Curve:
    """A controller along a score, constant between its messages.

    Attributes:
        usual: Its value before the first message.
        times_sec: When it changes, ascending.
        values: What it changes to.
    """

    usual: float
    times_sec: Sequence[float] = ()
    values: Sequence[float] = ()

    def at(self, time_sec: float) -> float:
        """Its value at a time."""
        before = bisect_right(self.times_sec, time_sec)
        return self.values[before - 1] if before else self.usual

    def along(self, times_sec: np.ndarray) -> np.ndarray:
        """Its values at times (N,)."""
        before = np.searchsorted(np.asarray(self.times_sec, np.float64), times_sec, side="right")
        return np.concatenate([[self.usual], np.asarray(self.values, np.float64)])[before]

    def changes(self, start_sec: float, end_sec: float) -> bool:
        """Whether it has a message within a time."""
        return bisect_right(self.times_sec, start_sec) < bisect_right(self.times_sec, end_sec)


@dataclass(frozen=True)
class Score:
    """Notes in the order of their starts, and controllers.

    Attributes:
        notes: The notes.
        curves: Controllers by channel and name: "volume" and "expression", 0 to 1; "pan", -1 (left) to 1; "bend", in
            semitones.
        tempos: Times in seconds at which the tempo changes, each with the tempo in bpm; the first one is at 0.
        track_names: Names of the tracks by their numbers.
        beats_per_bar: Quarter notes in a bar, by the first time signature.
        notes_on_file: What was wrong with the file, in sentences.
    """

    notes: Sequence[Note]
    curves: Mapping[tuple[int, str], Curve] = field(default_factory=dict)
    tempos: Sequence[tuple[float, float]] = ((0.0, 120.0),)
    track_names: Mapping[int, str] = field(default_factory=dict)
    beats_per_bar: float = 4.0
    notes_on_file: Sequence[str] = ()

    @property
    def end_sec(self) -> float:
        """When the last note is released; 0 without notes."""
        return max((note.end_sec for note in self.notes), default=0.0)

    def curve(self, channel: int, name: str) -> Curve:
        """A controller of a channel."""
        return self.curves.get((channel, name)) or Curve(USUAL[name])

    def of(self, notes: Iterable[Note]) -> "Score":
        """The same controllers and tempos with other notes."""
        return replace(self, notes=tuple(sorted(notes)))

    def polyphony(self) -> int:
        """The most notes that sound at once."""
        events = sorted([(n.start_sec, 1) for n in self.notes] + [(n.end_sec, -1) for n in self.notes])
        return int(max(np.cumsum([step for _, step in events]), default=0))


def pitch_to_hz(pitch: float) -> float:
    """The frequency of a MIDI pitch in equal temperament."""
    return float(A4_HZ * 2 ** ((pitch - A4) / SEMITONES))
