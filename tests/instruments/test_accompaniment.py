"""Harmony, density and placement of an accompaniment, on a track whose chords and beats are known."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from audio_gen.audio.music_features import music_features
from audio_gen.data.tempo import beats_of
from audio_gen.instruments.arrangement import TrackMap, bass_notes, drum_notes, map_track
from audio_gen.instruments.harmony import Chord, chords_of_chroma, key_of_chroma
from audio_gen.instruments.patterns import key_of, styles
from audio_gen.midi.score import pitch_to_hz

RATE, BPM = 22050, 100.0
CHORDS = [Chord(0, False), Chord(9, True), Chord(5, False), Chord(7, False)]  # C Am F G
BEAT = 60 / BPM


def track(silent_bar: int | None = None, bars: int = 16) -> np.ndarray:
    """Chords that are struck on each beat, a chord for each bar."""
    out = np.zeros(round((bars * 4 * BEAT + 1) * RATE), np.float32)
    t = np.arange(round(BEAT * RATE)) / RATE
    for beat in range(4 * bars):
        if silent_bar is not None and beat // 4 == silent_bar:
            continue
        chord = CHORDS[beat // 4 % 4]
        x = sum(np.sin(2 * np.pi * k * pitch_to_hz(48 + tone) * t) / k for tone in chord.tones for k in (1, 2, 3))
        x = x + (1.5 if beat % 4 == 0 else 0.6) * np.random.default_rng(beat).normal(0, 1, len(t)) * np.exp(-60 * t)
        first = round(beat * BEAT * RATE)
        out[first : first + len(t)] += (0.1 * x * np.exp(-3 * t)).astype(np.float32)
    return out


def mapped(wav: np.ndarray) -> TrackMap:
    features = music_features([wav], RATE)
    return map_track(features, beats_of(features))


def test_chords_and_key_are_found() -> None:
    rows = np.zeros((16, 12))
    for i, row in enumerate(rows):
        row[list(CHORDS[i // 4].tones)] = 1 / np.sqrt(3)
    key = key_of_chroma(rows)
    assert key == CHORDS[0] and key.name == "C"
    assert chords_of_chroma(rows, key) == [CHORDS[i // 4] for i in range(16)]
    rows[5] = 0
    assert chords_of_chroma(rows, key)[5] is None
    assert chords_of_chroma(np.zeros((0, 12)), key) == []


def test_the_accompaniment_lies_on_the_tracks_beats_and_chords() -> None:
    found = mapped(track())
    assert found.bpm == pytest.approx(BPM, rel=0.01) and found.key.name == "C"
    drums = drum_notes(found, styles()["rock"], seed=0)
    at = np.array([note.start_sec for note in drums])
    off = np.abs((at + BEAT / 4) % (BEAT / 2) - BEAT / 4)
    assert len(at) > 60 and np.mean(off < 0.02) > 0.97
    kicks = [note for note in drums if note.pitch == key_of("kick")]
    bass = bass_notes(found, kicks)
    tones = [CHORDS[int(note.start_sec / BEAT + 0.1) // 4 % 4].tones for note in bass]
    assert len(bass) > 20
    assert np.mean([note.pitch % 12 in tone for note, tone in zip(bass, tones, strict=True)]) > 0.9
    assert all(note.end_sec <= later.start_sec + 1e-6 for note, later in itertools.pairwise(bass))


def test_nothing_plays_in_a_silent_bar() -> None:
    found = mapped(track(silent_bar=8))
    start, end = 32 * BEAT + 0.7 * BEAT, 36 * BEAT - 0.05  # the last chord rings into it
    drums = drum_notes(found, styles()["rock"], seed=0)
    notes = [*drums, *bass_notes(found, [note for note in drums if note.pitch == 36])]
    assert not [note for note in notes if start <= note.start_sec < end]
    gate = found.gate(np.array([33.5 * BEAT, 34 * BEAT, 35 * BEAT, 20 * BEAT, 40 * BEAT]))
    assert list(gate) == [0, 0, 0, 1, 1]


def test_soft_bars_have_fewer_drums(tmp_path: Path) -> None:
    wav = track()
    half = len(wav) // 2
    wav[:half] *= 10 ** (-18 / 20)
    found = mapped(wav)
    drums = drum_notes(found, styles()["rock"], seed=0)
    early = [note for note in drums if note.start_sec < half / RATE - 2]
    late = [note for note in drums if note.start_sec > half / RATE + 2]
    assert 0 < len(early) < 0.75 * len(late)
    assert np.mean([n.velocity for n in early]) < np.mean([n.velocity for n in late])
