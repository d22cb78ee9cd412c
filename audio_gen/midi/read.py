"""Read MIDI files of type 0 and 1 as scores; what is missing in a file is completed, and said."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from audio_gen.errors import DataError
from audio_gen.midi.score import BEND, CHANNELS, EXPRESSION, PAN, USUAL, VOLUME, Curve, Note, Score
from audio_gen.text import clipped, one_line

if TYPE_CHECKING:
    import mido

USUAL_TEMPO = 500_000  # microseconds a quarter note, of a file that sets none
BEND_SEMITONES, BEND_FULL = 2.0, 8192  # the usual range of pitch bends, and the wheel's end
LONGEST_SEC = 12 * 3600.0
MOST_BYTES, MOST_TICKS = 64 << 20, 1 << 40
LEAST_SEC = 0.001  # of a note whose end is at its start
SHOWN = 120
PROGRAM_MESSAGE, PEDAL, ALL_SOUND_OFF, RESET, ALL_NOTES_OFF = "program_change", 64, 120, 121, 123
CONTROLS = {7: VOLUME, 11: EXPRESSION, 10: PAN}
DATA_COARSE, DATA_FINE, RPN_FINE, RPN_COARSE = 6, 38, 100, 101
NO_RPN, BEND_RANGE_RPN = (127, 127), (0, 0)


def read_score(path: Path) -> Score:
    """Read a MIDI file.

    Tempo changes, sustain pedal, volume, expression, pan, pitch bend with its range, programmes and both ways to end a
    note are followed. A note without an end lasts until its key is struck again, or to the end of its track.

    Args:
        path: The file.

    Raises:
        DataError: It is missing, damaged, of type 2, has no notes, or lasts more than 12 hours.
    """
    import mido

    name = one_line(path)
    if path.is_dir():
        raise DataError(f"{name}: is a folder, not a MIDI file; the MIDI file comes last")
    if not path.is_file():
        raise DataError(f"{name}: no such file; check the path")
    if path.stat().st_size > MOST_BYTES:
        raise DataError(f"{name}: is too large for a MIDI file ({path.stat().st_size >> 20} MB); give a .mid")
    try:
        file = mido.MidiFile(path, clip=True)
    except Exception as e:  # mido raises many kinds for bytes that are no MIDI
        why = clipped(one_line(str(e) or type(e).__name__), SHOWN)
        raise DataError(f"{name}: is not a readable MIDI file ({why}); export it again as a .mid of type 0 or 1") from e
    if file.type == 2:
        raise DataError(f"{name}: is of type 2 (independent patterns), which has no common time; save it as type 1")
    events = []
    last = 0
    for number, track in enumerate(file.tracks):
        ticks = 0
        for message in track:
            ticks += message.time
            if ticks > MOST_TICKS:
                raise DataError(f"{name}: lasts longer than 12 hours; check its times, or cut it")
            events.append((ticks, number, message))
        last = max(last, ticks)
    clock, read = _Clock(file, last), _Reader()
    if clock.seconds(clock.end) > LONGEST_SEC:
        hours = clock.seconds(clock.end) / 3600
        raise DataError(f"{name}: lasts {hours:.3g} hours, and at most 12 are played; check its tempo, or cut it")
    for ticks, number, message in sorted(events, key=lambda event: event[:2]):
        read.take(clock.seconds(ticks), number, message)
    read.finish(clock.seconds(clock.end))
    if not read.notes:
        raise DataError(f"{name}: has no notes; give a MIDI file with notes")
    curves = {key: Curve(USUAL[key[1]], *zip(*points, strict=True)) for key, points in read.points.items()}
    return Score(
        tuple(sorted(read.notes)), curves, clock.tempos(), read.track_names, read.beats_per_bar,
        tuple(f"{name}: {text}" for text in read.faults()),
    )  # fmt: skip


class _Clock:
    """Ticks of a file in seconds."""

    def __init__(self, file: "mido.MidiFile", end: int) -> None:
        division, self.end = file.ticks_per_beat, end
        self._changes = [(0, USUAL_TEMPO)]
        self._fixed: float | None = None
        if division < 0:  # SMPTE: frames a second in the high byte, ticks a frame in the low one
            division &= 0xFFFF
            self._fixed = 1 / ((256 - (division >> 8)) * max(1, division & 0xFF))
        self._division = max(1, division)
        for track in file.tracks:
            ticks = 0
            for message in track:
                ticks += message.time
                if message.type == "set_tempo":
                    self._changes.append((ticks, max(1, message.tempo)))
        self._changes.sort(key=lambda change: change[0])
        self._starts = [0.0]
        for (before, tempo), (now, _) in zip(self._changes, self._changes[1:], strict=False):
            self._starts.append(self._starts[-1] + (now - before) * tempo / self._division / 1e6)
        self._at = 0

    def seconds(self, ticks: int) -> float:
        """The time of a tick."""
        if self._fixed is not None:
            return ticks * self._fixed
        while self._at + 1 < len(self._changes) and self._changes[self._at + 1][0] <= ticks:
            self._at += 1
        while self._changes[self._at][0] > ticks:
            self._at -= 1
        start, tempo = self._changes[self._at]
        return self._starts[self._at] + (ticks - start) * tempo / self._division / 1e6

    def tempos(self) -> tuple[tuple[float, float], ...]:
        """Changes of the tempo in seconds and bpm; of those at one time the last one."""
        found = {at: 6e7 / tempo for at, (_, tempo) in zip(self._starts, self._changes, strict=True)}
        return tuple(found.items())


@dataclass
class _Held:
    start_sec: float
    velocity: int
    program: int
    track: int
    released: bool = False  # its key is up, and the pedal holds it


@dataclass
class _Reader:
    """Turns messages, in the order of time, into notes and controllers."""

    notes: list[Note] = field(default_factory=list)
    points: dict[tuple[int, str], list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))
    track_names: dict[int, str] = field(default_factory=dict)
    beats_per_bar: float = 4.0

    def __post_init__(self) -> None:
        self._held: dict[tuple[int, int], list[_Held]] = defaultdict(list)
        self._program, self._pedal = [0] * CHANNELS, [False] * CHANNELS
        self._bend, self._range = [0.0] * CHANNELS, [BEND_SEMITONES] * CHANNELS
        self._rpn = [NO_RPN] * CHANNELS
        self._signed = False
        self._unended = 0

    def take(self, at: float, track: int, message: "mido.Message") -> None:
        """One message at a time in seconds."""
        kind = message.type
        if kind == "track_name":
            self.track_names.setdefault(track, one_line(message.name.strip()))
        elif kind == "time_signature" and not self._signed:
            self._signed, self.beats_per_bar = True, 4 * message.numerator / message.denominator
        elif kind == "note_on" and message.velocity:
            self._strike(at, track, message)
        elif kind in ("note_on", "note_off"):
            self._release(at, message.channel, message.note)
        elif kind == PROGRAM_MESSAGE:
            self._program[message.channel] = message.program
        elif kind == "pitchwheel":
            self._bend[message.channel] = message.pitch / BEND_FULL
            self._add(at, message.channel, BEND, message.pitch / BEND_FULL * self._range[message.channel])
        elif kind == "control_change":
            self._control(at, message.channel, message.control, message.value)

    def finish(self, at: float) -> None:
        """End what still sounds."""
        for (channel, pitch), held in list(self._held.items()):
            self._unended += sum(not one.released for one in held)
            while held:
                self._end(at, channel, pitch, held.pop(0))

    def faults(self) -> list[str]:
        """What was wrong with the file."""
        if not self._unended:
            return []
        return [f"{self._unended} notes have no end, and last to the end of the file"]

    def _strike(self, at: float, track: int, message: "mido.Message") -> None:
        held = self._held[message.channel, message.note]
        for one in [one for one in held if one.released]:  # struck again while the pedal holds it
            held.remove(one)
            self._end(at, message.channel, message.note, one)
        held.append(_Held(at, message.velocity, self._program[message.channel], track))

    def _release(self, at: float, channel: int, pitch: int) -> None:
        held = self._held[channel, pitch]
        down = next((one for one in held if not one.released), None)
        if down is None:
            return
        if self._pedal[channel]:
            down.released = True
        else:
            held.remove(down)
            self._end(at, channel, pitch, down)

    def _end(self, at: float, channel: int, pitch: int, held: _Held) -> None:
        length = max(LEAST_SEC, at - held.start_sec)
        self.notes.append(Note(held.start_sec, pitch, length, held.velocity, channel, held.program, held.track))

    def _control(self, at: float, channel: int, control: int, value: int) -> None:
        if name := CONTROLS.get(control):
            self._add(at, channel, name, max(-1.0, (value - 64) / 63) if name == PAN else value / 127)
        elif control == PEDAL:
            self._pedal[channel] = value >= 64
            if not self._pedal[channel]:
                self._lift(at, channel, lambda held: held.released)
        elif control == RPN_COARSE:
            self._rpn[channel] = (value, self._rpn[channel][1])
        elif control == RPN_FINE:
            self._rpn[channel] = (self._rpn[channel][0], value)
        elif control in (DATA_COARSE, DATA_FINE) and self._rpn[channel] == BEND_RANGE_RPN:
            whole, fine = int(self._range[channel]), self._range[channel] % 1
            self._range[channel] = value + fine if control == DATA_COARSE else whole + value / 100
            if self._bend[channel]:
                self._add(at, channel, BEND, self._bend[channel] * self._range[channel])
        elif control in (ALL_SOUND_OFF, ALL_NOTES_OFF):
            self._lift(at, channel, lambda held: control == ALL_SOUND_OFF or not self._pedal[channel])
        elif control == RESET:
            self._pedal[channel], self._bend[channel] = False, 0.0
            self._lift(at, channel, lambda held: held.released)
            self._add(at, channel, EXPRESSION, USUAL[EXPRESSION])
            self._add(at, channel, BEND, 0.0)

    def _lift(self, at: float, channel: int, which: Callable[[_Held], bool]) -> None:
        for (of, pitch), held in list(self._held.items()):
            for one in [one for one in held if of == channel and which(one)]:
                held.remove(one)
                self._end(at, channel, pitch, one)

    def _add(self, at: float, channel: int, name: str, value: float) -> None:
        self.points[channel, name].append((at, value))
