"""Write scores as MIDI files of type 1."""

import bisect
from pathlib import Path
from typing import Any

from audio_gen.files import write_atomic
from audio_gen.midi.score import CHANNELS, Score

TICKS_PER_BEAT = 960
ORDER = {"note_off": 0, "program_change": 1, "note_on": 2}  # of messages at one tick


def write_score(path: Path, score: Score) -> None:
    """Write the notes, programmes and tempos of a score; a track for each channel.

    Args:
        path: The file.
        score: The score; controllers are not written.
    """
    import mido

    file = mido.MidiFile(type=1, ticks_per_beat=TICKS_PER_BEAT)
    starts = [at for at, _ in score.tempos]
    ticks = [0.0]
    for (at, bpm), (then, _) in zip(score.tempos, score.tempos[1:], strict=False):
        ticks.append(ticks[-1] + (then - at) * bpm / 60 * TICKS_PER_BEAT)

    def tick(sec: float) -> int:
        i = max(0, bisect.bisect_right(starts, sec) - 1)
        return max(0, round(ticks[i] + (sec - starts[i]) * score.tempos[i][1] / 60 * TICKS_PER_BEAT))

    conductor = mido.MidiTrack()
    events: list[tuple[int, Any]] = [
        (tick(at), mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(bpm))) for at, bpm in score.tempos
    ]
    numerator = round(score.beats_per_bar)
    if numerator == score.beats_per_bar and numerator > 0:
        events.append((0, mido.MetaMessage("time_signature", numerator=numerator, denominator=4)))
    _fill(conductor, sorted(events, key=lambda event: event[0]))
    file.tracks.append(conductor)
    for channel in range(CHANNELS):
        notes = [note for note in score.notes if note.channel == channel]
        if not notes:
            continue
        track, program = mido.MidiTrack(), None
        if name := score.track_names.get(notes[0].track):
            track.append(mido.MetaMessage("track_name", name=name))
        events = []
        for note in notes:
            if note.program != program and not note.is_drum:
                program = note.program
                events.append((tick(note.start_sec), mido.Message("program_change", channel=channel, program=program)))
            on = tick(note.start_sec)
            how = {"channel": channel, "note": note.pitch}
            events.append((on, mido.Message("note_on", velocity=note.velocity, **how)))
            events.append((max(on + 1, tick(note.end_sec)), mido.Message("note_off", velocity=0, **how)))
        _fill(track, sorted(events, key=lambda event: (event[0], ORDER[event[1].type])))
        file.tracks.append(track)
    write_atomic(path, lambda temporary: file.save(temporary))


def _fill(track: Any, events: list[tuple[int, Any]]) -> None:
    """Append messages with the time since the one before."""
    now = 0
    for at, message in events:
        message.time = at - now
        now = at
        track.append(message)
