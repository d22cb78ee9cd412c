"""Scores on the time of a recording whose tempo drifts."""

from dataclasses import replace

import numpy as np

from audio_gen.midi.alignment import align, alone, matched, merged
from audio_gen.midi.score import Note, Score, pitch_to_hz

RATE = 22050
MELODY = (60, 64, 67, 65, 62, 59, 60, 72, 71, 67, 69, 65, 64, 62, 57, 60)


def melody(seed: int = 0, count: int = 40) -> Score:
    rng = np.random.default_rng(seed)
    starts = np.cumsum(rng.choice([0.25, 0.5, 0.5, 0.75], count))
    pitches = [MELODY[int(rng.integers(len(MELODY)))] for _ in range(count)]
    return Score(tuple(Note(float(at), pitch, 0.22) for at, pitch in zip(starts, pitches, strict=True)))


def drifted(score: Score, offset: float) -> Score:
    def at(sec: float) -> float:
        return offset + sec + 0.4 * np.sin(sec / 3)

    return score.of([replace(note, start_sec=at(note.start_sec)) for note in score.notes])


def played(score: Score) -> np.ndarray:
    out = np.zeros(round((score.end_sec + 1) * RATE), np.float32)
    for note in score.notes:
        t = np.arange(round(0.5 * RATE)) / RATE
        tone = sum(np.sin(2 * np.pi * k * pitch_to_hz(note.pitch) * t) / k**2 for k in (1, 2, 3)) * np.exp(-6 * t)
        first = round(note.start_sec * RATE)
        part = out[first : first + len(t)]
        part += 0.3 * tone[: len(part)]
    return out


def test_a_drifting_recording_is_followed() -> None:
    score = melody()
    true = drifted(score, 2.3)
    found = align(played(true), RATE, score)
    errors = [abs(a.start_sec - b.start_sec) for a, b in zip(found.score.notes, true.notes, strict=True)]
    assert found.f1 > 0.9
    assert np.mean(np.array(errors) < 0.05) > 0.9 and np.median(errors) < 0.02


def test_the_score_of_another_recording_does_not_fit() -> None:
    assert align(played(drifted(melody(1), 1.0)), RATE, melody(2)).f1 < 0.6


def test_silence_fits_nothing() -> None:
    assert align(np.zeros(5 * RATE, np.float32), RATE, melody()).f1 == 0


def test_notes_alone_end_where_others_begin() -> None:
    notes = (Note(0, 60, 0.5), Note(1, 62, 2.0), Note(2, 64, 0.5), Note(4, 65, 0.05), Note(5, 66, 1.0))
    found = alone(Score(notes), 0.1, 0.2)
    # The third begins while the second sounds, and the fourth is short.
    assert [(note.pitch, note.length_sec) for note in found] == [(60, 0.5), (62, 1.0), (66, 1.0)]


def test_onsets_are_matched_once() -> None:
    assert list(merged([0.0, 0.01, 0.5])) == [0.0, 0.5]
    assert matched(np.array([0.0, 0.03]), np.array([0.02]), 0.05) == 1
