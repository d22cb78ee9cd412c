"""MIDI files as scores: known times, and what is wrong in a file."""

from collections.abc import Sequence
from pathlib import Path

import mido
import pytest

from audio_gen.errors import DataError
from audio_gen.midi.read import read_score
from audio_gen.midi.score import BEND, PAN, VOLUME, Note, Score
from audio_gen.midi.write import write_score

TICKS = 480


def on(time: int, note: int, velocity: int = 100, channel: int = 0) -> mido.Message:
    return mido.Message("note_on", time=time, note=note, velocity=velocity, channel=channel)


def off(time: int, note: int, channel: int = 0) -> mido.Message:
    return mido.Message("note_off", time=time, note=note, channel=channel)


def control(time: int, number: int, value: int) -> mido.Message:
    return mido.Message("control_change", time=time, control=number, value=value)


def tempo(time: int, bpm: float) -> mido.MetaMessage:
    return mido.MetaMessage("set_tempo", time=time, tempo=mido.bpm2tempo(bpm))


def saved(path: Path, *tracks: Sequence[object], kind: int = 1) -> Path:
    file = mido.MidiFile(type=kind, ticks_per_beat=TICKS)
    for messages in tracks:
        file.tracks.append(mido.MidiTrack(messages))
    file.save(path)
    return path


def test_a_change_of_tempo_in_another_track_moves_notes(tmp_path: Path) -> None:
    conductor = [tempo(0, 120), tempo(TICKS, 60)]
    notes = [on(0, 60), off(TICKS, 60), on(TICKS, 62), off(TICKS, 62)]
    score = read_score(saved(tmp_path / "a.mid", conductor, notes))
    # One beat of 0.5 s, then beats of a second.
    assert [(n.start_sec, n.length_sec, n.pitch) for n in score.notes] == [(0.0, 0.5, 60), (1.5, 1.0, 62)]
    assert [bpm for _, bpm in score.tempos] == pytest.approx([120, 60])


def test_a_note_on_without_velocity_ends_a_note(tmp_path: Path) -> None:
    (note,) = read_score(saved(tmp_path / "a.mid", [on(0, 60), on(TICKS, 60, velocity=0)])).notes
    assert note.length_sec == pytest.approx(0.5)


def test_the_pedal_holds_notes(tmp_path: Path) -> None:
    messages = [control(0, 64, 127), on(0, 60), off(TICKS, 60), on(0, 64), off(TICKS, 64), control(TICKS, 64, 0)]
    first, second = read_score(saved(tmp_path / "a.mid", messages)).notes
    assert (first.end_sec, second.end_sec) == pytest.approx((1.5, 1.5))


def test_a_key_that_is_struck_again_ends_the_held_note(tmp_path: Path) -> None:
    messages = [control(0, 64, 127), on(0, 60), off(TICKS, 60), on(0, 60), off(TICKS, 60), control(0, 64, 0)]
    first, second = read_score(saved(tmp_path / "a.mid", messages)).notes
    assert first.end_sec == pytest.approx(second.start_sec) == pytest.approx(0.5)


def test_bends_follow_their_range(tmp_path: Path) -> None:
    wide = [control(0, 101, 0), control(0, 100, 0), control(0, 6, 12)]
    bend = mido.Message("pitchwheel", pitch=4096, time=TICKS)
    score = read_score(saved(tmp_path / "a.mid", [*wide, on(0, 60), bend, off(TICKS, 60)]))
    curve = score.curve(0, BEND)
    assert (curve.at(0.4), curve.at(0.6)) == (0.0, 6.0)


def test_volume_and_pan_are_curves(tmp_path: Path) -> None:
    messages = [control(0, 7, 127), control(0, 10, 0), on(0, 60), control(TICKS, 10, 127), off(0, 60)]
    score = read_score(saved(tmp_path / "a.mid", messages))
    assert score.curve(0, VOLUME).at(0.1) == 1.0 and score.curve(1, VOLUME).at(0.1) == pytest.approx(100 / 127)
    assert (score.curve(0, PAN).at(0.1), score.curve(0, PAN).at(0.6)) == (-1.0, 1.0)


def test_a_note_without_an_end_lasts_and_is_told(tmp_path: Path) -> None:
    score = read_score(saved(tmp_path / "a.mid", [on(0, 60), on(TICKS, 62), off(TICKS, 62)]))
    assert score.notes[0].end_sec == pytest.approx(1.0)
    assert "1 notes have no end" in score.notes_on_file[0]


@pytest.mark.parametrize(
    ("content", "told"), [(b"", "not a readable MIDI file"), (b"RIFF1234WAVE", "not a readable MIDI file"),
                          (b"MThd\0\0\0\6\0\1\0\1\1\xe0MTrk\0\0\0\x20\x00\x90", "MIDI file")],
)  # fmt: skip
def test_what_is_no_midi_file_is_refused(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "a.mid").write_bytes(content)
    with pytest.raises(DataError, match=told):
        read_score(tmp_path / "a.mid")


def test_type_2_no_notes_and_no_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="type 2"):
        read_score(saved(tmp_path / "two.mid", [on(0, 60), off(9, 60)], kind=2))
    with pytest.raises(DataError, match="no notes"):
        read_score(saved(tmp_path / "none.mid", [tempo(0, 120)]))
    with pytest.raises(DataError, match="no such file"):
        read_score(tmp_path / "missing.mid")


def test_a_file_of_days_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="hours"):
        read_score(saved(tmp_path / "a.mid", [tempo(0, 4), on(0, 60), off(10**8, 60)]))


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    notes = (Note(0.25, 60, 0.5, 90, 0, 5), Note(0.5, 36, 0.1, 110, 9), Note(3.0, 67, 1.0, 64, 0, 7))
    tempos = ((0.0, 90.0), (2.0, 150.0))
    write_score(tmp_path / "a.mid", Score(notes, tempos=tempos, beats_per_bar=3.0))
    found = read_score(tmp_path / "a.mid")
    assert found.beats_per_bar == 3.0
    for one, other in zip(found.notes, notes, strict=True):
        assert (one.pitch, one.velocity, one.channel, one.program) == (
            other.pitch, other.velocity, other.channel, other.program
        )  # fmt: skip
        assert (one.start_sec, one.length_sec) == pytest.approx((other.start_sec, other.length_sec), abs=1e-3)


def test_notes_before_the_first_tempo_change_are_kept_in_order(tmp_path: Path) -> None:
    """A time signature is at 0 although tempos follow: no message may have a negative time."""
    score = Score((Note(0.0, 60, 0.5), Note(4.0, 62, 0.5)), tempos=((0.0, 100.0), (1.0, 120.0), (2.0, 80.0)))
    write_score(tmp_path / "a.mid", score)
    assert [note.start_sec for note in read_score(tmp_path / "a.mid").notes] == pytest.approx([0.0, 4.0], abs=1e-3)


def raw(path: Path, events: bytes) -> Path:
    """A file of one track from the bytes of its events."""
    end = b"\x00\xff\x2f\x00"
    body = events + end
    header = b"MThd\0\0\0\6\0\1\0\1\1\xe0"
    path.write_bytes(header + b"MTrk" + len(body).to_bytes(4, "big") + body)
    return path


def test_a_wrong_key_signature_and_endless_times_are_refused(tmp_path: Path) -> None:
    note = b"\x00\x90\x3c\x40\x83\x60\x80\x3c\x00"
    assert len(read_score(raw(tmp_path / "good.mid", note)).notes) == 1
    with pytest.raises(DataError, match="not a readable MIDI file"):
        read_score(raw(tmp_path / "key.mid", b"\x00\xff\x59\x02\x40\x09" + note))
    with pytest.raises(DataError, match="12 hours"):
        read_score(raw(tmp_path / "long.mid", b"\xff" * 60 + b"\x7f\x90\x3c\x40" + note))
    with pytest.raises(DataError, match="comes last"):
        read_score(tmp_path)
