"""Drums and bass that follow a track: its beats, its chords and how dense it is."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from audio_gen.audio.music_features import MusicFeatures
from audio_gen.data.tempo import BEATS_PER_BAR, Beats
from audio_gen.instruments.harmony import Chord, beat_chroma, chords_of_chroma, key_of_chroma
from audio_gen.instruments.patterns import OPEN, STEPS_PER_BEAT, Style, key_of, styled
from audio_gen.midi.score import DRUM_CHANNEL, SEMITONES, Note

LEAST_SILENCE_SEC = 0.4
GATE_FALL_SEC, GATE_RISE_SEC = 0.2, 0.01
SILENT_DB = 40.0  # below the loud parts of a track, for a whole beat: nothing is played
SOFT_DB, LOUD_DB = 14.0, 6.0  # below the loud parts: bars with few, some and all drums
NOTE_SEC = 0.05
BASS_LOWEST = 38  # MIDI: from D2 up, an octave
BASS_PROGRAM = 33  # fingered bass
BASS_VELOCITIES = (104, 88)  # of the first beat of a bar, and of others
BASS_SHARE = 0.92  # of the time until the next note
BASS_CHANNEL = 1
LEAST_BASS_SEC = 0.04
FASTEST_BPM = 150.0  # found tempos above it are halved
SPARSE = ("kick", "hihat")  # what a soft bar keeps
SPARSE_STEP = 2 * STEPS_PER_BEAT  # a sparse bar keeps hits on every second beat
PLAYED_STEP = 2  # 16ths: only 8ths are played, as close to the track's beats as these are known


@dataclass(frozen=True)
class TrackMap:
    """What a track is like along its beats.

    Attributes:
        beats_sec: Times of the beats; an interval between two is a beat.
        downbeat: Number of the first beat of a bar.
        chords: A chord for each interval; None in silence.
        density: For each interval 0 (silence) to 3 (loud).
        key: Its key.
        bpm: Its tempo.
        silences_sec: Starts and ends (N, 2) of its silences.
    """

    beats_sec: np.ndarray
    downbeat: int
    chords: list[Chord | None]
    density: np.ndarray
    key: Chord
    bpm: float
    silences_sec: np.ndarray

    def silent_at(self, sec: float) -> bool:
        """Whether a time lies in a silence."""
        return bool(((self.silences_sec[:, 0] <= sec) & (sec < self.silences_sec[:, 1])).any())

    def gate(self, times_sec: np.ndarray) -> np.ndarray:
        """A gain (T,) that is 0 in silences; it falls after their starts and is back before their ends."""
        gain = np.ones(len(times_sec), np.float32)
        for start, end in self.silences_sec:
            falls = 1 - (times_sec - start) / GATE_FALL_SEC
            rises = 1 - (end - times_sec) / GATE_RISE_SEC
            inside = (times_sec >= start) & (times_sec < end)
            gain[inside] = np.clip(np.maximum(falls, rises), 0, 1)[inside]
        return gain


def halved(beats: Beats, features: MusicFeatures) -> Beats:
    """Every second beat, of those two rows the one with the stronger onsets.

    A fast tempo is often twice that of the music, and at half of a fast one an accompaniment fits all the same.
    """
    rise = np.maximum(np.diff(features.mel_db, axis=0, prepend=features.mel_db[:1]), 0).mean(1)
    frames = np.clip(np.round(beats.positions / features.hop_length).astype(int), 0, len(rise) - 1)
    strength = np.maximum.reduce([rise[np.clip(frames + shift, 0, len(rise) - 1)] for shift in (-1, 0, 1)])
    first = int(strength[1::2].mean() > strength[::2].mean()) if len(strength) > 1 else 0
    downbeat = (beats.downbeat - first) // 2 % BEATS_PER_BAR if beats.downbeat >= first else 0
    return replace(beats, bpm=beats.bpm / 2, positions=beats.positions[first::2], downbeat=downbeat, loop_beats=None)


def map_track(features: MusicFeatures, beats: Beats) -> TrackMap:
    """Find the chords and the density of a track between its beats."""
    times = beats.positions / features.sample_rate
    if len(times) > 1:  # the last beat lasts as long as the one before it
        times = np.append(times, min(2 * times[-1] - times[-2], features.samples / features.sample_rate))
    chroma = beat_chroma(features, list(times))
    key = key_of_chroma(chroma)
    level = 10 * np.log10(np.mean(10 ** (features.mel_db / 10), axis=1) + 1e-12)
    loud = float(np.quantile(level, 0.9))
    rate = features.frame_rate
    peaks, means = [], []
    for start, stop in itertools.pairwise(times):
        part = level[round(start * rate) : max(round(start * rate) + 1, round(stop * rate))]
        peaks.append(float(part.max(initial=-200.0)))
        means.append(float(np.mean(part)) if len(part) else -200.0)
    loudest, mean = np.array(peaks), np.array(means)
    bar = np.convolve(np.pad(mean, (2, 1), mode="edge"), np.ones(4) / 4, mode="valid") if len(mean) > 3 else mean
    density = 1 + (bar > loud - SOFT_DB).astype(int) + (bar > loud - LOUD_DB)
    density[loudest < loud - SILENT_DB] = 0
    silences = _spans(level < loud - SILENT_DB, rate)
    return TrackMap(times, beats.downbeat, chords_of_chroma(chroma, key), density, key, beats.bpm, silences)


def _spans(silent: np.ndarray, frame_rate: float) -> np.ndarray:
    """Starts and ends (N, 2) in seconds of silences that are long enough to be heard as such."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], silent.astype(int), [0]])))
    spans = edges.reshape(-1, 2) / frame_rate
    return spans[spans[:, 1] - spans[:, 0] >= LEAST_SILENCE_SEC]


def usual_style(bpm: float) -> str:
    """The style that suits a tempo."""
    return "boombap" if bpm < 100 else "rock" if bpm < 128 else "break" if bpm < 150 else "dnb"


def drum_notes(track: TrackMap, style: Style, seed: int) -> list[Note]:
    """Drums on the beats of a track: few where it is soft, none where it is silent, and a fill before it changes."""
    rng = np.random.default_rng(seed)
    beats = len(track.density)
    notes: list[Note] = []
    start = track.downbeat - style.beats if track.downbeat else 0
    for first in range(start, beats, style.beats):
        inside = [i for i in range(max(0, first), min(beats, first + style.beats))]
        if not inside or not any(track.density[i] for i in inside):
            continue
        bar = (first - start) // style.beats
        pattern = styled(style.model_copy(update={"bars": [style.bars[bar % len(style.bars)]], "fill": {}}), 1, rng)
        changes = first + style.beats < beats and abs(
            int(track.density[min(beats - 1, first + style.beats)]) - int(track.density[inside[-1]])
        )  # fmt: skip
        hits = pattern.hits()
        if changes and style.fill:
            filled = styled(style.model_copy(update={"bars": [{**style.bars[0], **style.fill}], "fill": {}}), 1, rng)
            half = style.steps // 2
            hits = [hit for hit in hits if hit[0] < half] + [hit for hit in filled.hits() if hit[0] >= half]
        for step, kind, velocity in hits:
            beat = first + step // STEPS_PER_BEAT
            if not 0 <= beat < beats or step % PLAYED_STEP:
                continue
            density = int(track.density[beat])
            if not density or (
                density == 1 and (kind not in SPARSE or step % (SPARSE_STEP if kind == "kick" else STEPS_PER_BEAT))
            ):
                continue
            if density < 3 and kind == OPEN:
                continue
            at = step_time(track.beats_sec, beat, step % STEPS_PER_BEAT)
            if track.silent_at(at):
                continue
            softer = (0.7, 0.85, 1.0)[density - 1]
            notes.append(Note(at, key_of(kind), NOTE_SEC, max(1, round(velocity * softer)), DRUM_CHANNEL))
    return sorted(notes)


def bass_notes(track: TrackMap, kicks: Sequence[Note], beats_per_bar: int = BEATS_PER_BAR) -> list[Note]:
    """A bass on the tones of the chords, with the kick where there is one, and on the beat where a chord begins."""
    beats = len(track.density)
    starts: dict[int, tuple[float, int]] = {}
    kick_times = np.array([note.start_sec for note in kicks])
    for beat in range(beats):
        chord = track.chords[beat]
        if chord is None or not track.density[beat]:
            continue
        begin, stop = track.beats_sec[beat], track.beats_sec[beat + 1]
        new = beat == 0 or track.chords[beat - 1] != chord
        near = kick_times[(kick_times >= begin - 0.02) & (kick_times < stop - 0.02)]
        downbeat = (beat - track.downbeat) % beats_per_bar == 0
        if new or downbeat:
            starts[round(begin * 1000)] = (float(begin), beat)
        for at in near:
            starts[round(at * 1000)] = (float(at), beat)
    places = [starts[key] for key in sorted(starts)]
    notes: list[Note] = []
    for i, (at, beat) in enumerate(places):
        chord = track.chords[beat]
        assert chord is not None
        until = places[i + 1][0] if i + 1 < len(places) else float(track.beats_sec[beat + 1])
        until = min(until, _sounding_until(track, beat))
        first = (beat - track.downbeat) % beats_per_bar == 0 or i == 0 or track.chords[places[i - 1][1]] != chord
        tone = chord.root if first or i % 4 != 3 else chord.tones[2]
        pitch = BASS_LOWEST + (tone - BASS_LOWEST) % SEMITONES
        if until - at > LEAST_BASS_SEC and not track.silent_at(at):
            notes.append(
                Note(
                    at, pitch, BASS_SHARE * (until - at), BASS_VELOCITIES[0 if first else 1], BASS_CHANNEL, BASS_PROGRAM
                )
            )
    return notes


def _sounding_until(track: TrackMap, beat: int) -> float:
    """The start of the next silent beat."""
    for i in range(beat, len(track.density)):
        if not track.density[i]:
            return float(track.beats_sec[i])
    return float(track.beats_sec[-1])


def step_time(beats_sec: np.ndarray, beat: int, step: int) -> float:
    """When a 16th of a beat is, in seconds."""
    begin, stop = beats_sec[beat], beats_sec[beat + 1]
    return float(begin + (stop - begin) * step / STEPS_PER_BEAT)
