"""Accompany a track: drums and bass that follow its beats and chords, as stems, MIDI and a mix."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from pydantic import Field, field_validator
from torch import Tensor

from audio_gen.artefacts.sidecar import of_played, write_sidecar
from audio_gen.audio.io import read_blocks, write_wav_blocks
from audio_gen.audio.limiter import Limiter
from audio_gen.audio.loudness import loudness_lufs
from audio_gen.audio.music_features import music_features
from audio_gen.audio.onset import amplitude
from audio_gen.data.tempo import beats_of
from audio_gen.errors import AudioFileError, ConfigError
from audio_gen.generation.finish import PEAK_DB, SUBTYPES
from audio_gen.generation.outputs import claimed
from audio_gen.generation.stored_sound import StoredSound, check_sound
from audio_gen.instruments.arrangement import (
    BASS_PROGRAM,
    FASTEST_BPM,
    TrackMap,
    bass_notes,
    drum_notes,
    halved,
    map_track,
    usual_style,
)
from audio_gen.instruments.beat import kind_parts
from audio_gen.instruments.parts import PartSettings, Plan, Source, rendered_parts
from audio_gen.instruments.patterns import OPEN, key_of, styles
from audio_gen.instruments.play import load_source
from audio_gen.instruments.request import MOST_SEED, PlayedRequest
from audio_gen.instruments.sampler import Part, mix
from audio_gen.midi.general_midi import ORDER, program_class
from audio_gen.midi.score import DRUM_CHANNEL, Note, Score
from audio_gen.midi.write import write_score
from audio_gen.reporter import SILENT, Reporter
from audio_gen.text import one_line, shortened

DRUMS, BASS, MIX, MIDI = "drums", "bass", "mix", "accompaniment"
BELOW_DB = {DRUMS: 5.0, BASS: 7.0}  # the loudness of a part below that of the track
HEARD_SEC = 120.0  # of a part and of the track, whose loudness is compared
READ_SAMPLES = 1 << 18
DUCK_DB, DUCK_BEFORE_SEC, DUCK_AFTER_SEC = 3.0, 0.005, 0.15  # of the track under a kick
SHORTEST_SEC = 4.0


class AccompanyRequest(PlayedRequest):
    """Options of `accompany`."""

    track: Path
    """The track."""
    out: Path
    """Folder for mix, stems and MIDI."""
    drums: Path
    """A run or kit of drums."""
    bass: Path | None = None
    """A run or kit with pitches, for the bass; None is without bass."""
    style: str | None = None
    """A style of drums; None is by the tempo."""
    bpm: float | None = Field(default=None, ge=40, le=240)
    """Tempo of the track; None finds it."""
    seed: int = Field(default=0, ge=0, lt=MOST_SEED)
    """Of the patterns."""
    kit_seed: int = Field(default=0, ge=0, lt=MOST_SEED)
    """Of the sounds."""
    level_db: float = Field(default=0.0, ge=-40, le=20, allow_inf_nan=False)
    """Level of the accompaniment, over the usual one."""

    @field_validator("style")
    @classmethod
    def _check_style(cls, style: str | None) -> str | None:
        if style is not None and style not in styles():
            raise ValueError(f"{shortened(style)} is unknown; use {', '.join(styles())}")
        return style


@dataclass(frozen=True)
class Accompaniment:
    """What was written.

    Attributes:
        mix: The track with drums and bass.
        stems: Drums, and bass.
        midi: The notes.
        track: What was found in the track.
        notes: The notes of each part.
    """

    mix: Path
    stems: list[Path]
    midi: Path
    track: TrackMap
    notes: dict[str, list[Note]]


def accompany(request: AccompanyRequest, reporter: Reporter = SILENT) -> Accompaniment:
    """Add drums and bass to a track, on its beats and its chords; nothing plays where the track is silent.

    Args:
        request: The options.
        reporter: Gets notes and progress.

    Raises:
        AudioGenError: The track has no steady beat, a file cannot be used, or a result would be replaced.
    """
    measured = check_sound(request.track)
    drums = load_source(request.drums, request.vocoder, request.device)
    if not drums.plays_drums:
        raise ConfigError(f"--with {drums.name}: plays pitches, not drums; give a run or a kit of drums")
    bass = None if request.bass is None else load_source(request.bass, request.vocoder, request.device)
    if bass is not None and not bass.plays_pitches:
        raise ConfigError(f"--bass {bass.name}: plays no pitches; give a run that was trained with pitches")
    sound = StoredSound(request.track, measured, request.rate or measured.sample_rate)
    track = heard_track(request.track, sound, request.bpm, reporter)
    style = styles()[request.style or usual_style(track.bpm)]
    notes = {DRUMS: drum_notes(track, style, request.seed)}
    if not notes[DRUMS]:
        raise AudioFileError(f"{one_line(request.track)}: is too quiet between its beats for drums; give another track")
    kicks = [note for note in notes[DRUMS] if note.pitch == key_of("kick")]
    if bass is not None:
        notes[BASS] = bass_notes(track, kicks, style.beats)
        if not notes[BASS]:
            reporter.note(f"{one_line(request.track)}: no chords are found in it; there is no bass")
            bass, notes = None, {DRUMS: notes[DRUMS]}
    stems = {name: request.out / f"{name}.wav" for name in notes}
    outputs = [request.out / f"{MIX}.wav", *stems.values()]
    if any(path.exists() and path.samefile(request.track) for path in outputs):
        raise ConfigError(f"--out {one_line(request.out)}: the track itself would be replaced; choose another folder")
    files = [f"{MIX}.wav", f"{MIX}.json", f"{MIDI}.mid", *(path.name for path in stems.values())]
    digest = ",".join(one.pipeline.digest for one in (drums, bass) if one is not None and one.pipeline is not None)
    score = Score(
        tuple(sorted(note for some in notes.values() for note in some)), tempos=_tempos(track),
    )  # fmt: skip
    with claimed(request.out, files, command=request.origin, bundle=digest, force=request.force, reporter=reporter):
        parts = {DRUMS: _drum_parts(notes[DRUMS], drums, request, reporter)}
        if bass is not None:
            parts[BASS] = _bass_parts(notes[BASS], bass, request, reporter)
        _write(request, sound, track, score, parts, kicks, stems, reporter)
        write_score(request.out / f"{MIDI}.mid", score)
        about = of_played(
            source=one_line(request.track),
            parts=[{"name": n, "plays": one.name} for n, one in ((DRUMS, drums), (BASS, bass)) if one is not None],
            duration_sec=sound.samples / sound.sample_rate, sample_rate=sound.sample_rate, command=request.origin,
            more={"bpm": round(track.bpm, 3), "key": track.key.name, "seed": request.seed, "bundle": digest},
        )  # fmt: skip
        write_sidecar(request.out / f"{MIX}.wav", about)
    return Accompaniment(
        request.out / f"{MIX}.wav", list(stems.values()), request.out / f"{MIDI}.mid", track, notes
    )  # fmt: skip


def heard_track(path: Path, sound: StoredSound, bpm: float | None, reporter: Reporter = SILENT) -> TrackMap:
    """The beats, chords and density of a track.

    Raises:
        AudioFileError: It is too short, or has no steady beat.
    """
    name = one_line(path)
    if sound.samples < SHORTEST_SEC * sound.sample_rate:
        raise AudioFileError(f"{name}: is {sound.samples / sound.sample_rate:.1f} s long; at least 4 s are needed")
    starts = range(0, sound.samples, READ_SAMPLES)
    blocks = (sound.mono(at, min(READ_SAMPLES, sound.samples - at))[0].numpy() for at in starts)
    features = music_features(blocks, sound.sample_rate)
    beats = beats_of(features, bpm)
    if bpm is not None and len(beats.positions) < 4:
        raise AudioFileError(f"{name}: has fewer than four beats at {bpm:g} bpm; give a longer track, or another --bpm")
    if len(beats.positions) < 4 or not (beats.steady or bpm is not None):
        raise AudioFileError(
            f"{name}: has no steady beat (confidence {beats.confidence:.2f}, 0.2 is needed); give its tempo with --bpm "
            "if it has one"
        )
    if bpm is None and beats.bpm > FASTEST_BPM:
        reporter.note(
            f"{name}: its tempo of {beats.bpm:.1f} bpm is taken as {beats.bpm / 2:.1f}; --bpm sets another one"
        )
        beats = halved(beats, features)
    return map_track(features, beats)


def _tempos(track: TrackMap) -> tuple[tuple[float, float], ...]:
    """The tempo of each beat, so that the MIDI file's beats are those of the track."""
    times = track.beats_sec
    before = max(1, round(times[0] * track.bpm / 60))  # whole beats before the first one
    found = [] if times[0] <= 0.001 else [(0.0, float(60 * before / times[0]))]
    found += [(float(a), float(60 / (b - a))) for a, b in itertools.pairwise(times) if b > a]
    return tuple([(0.0, found[0][1]), *found[1:]] if found else [(0.0, 120.0)])


def _drum_parts(notes: Sequence[Note], source: Source, request: AccompanyRequest, reporter: Reporter) -> list[Part]:
    """A part for each kind of drum, at its level."""
    settings = PartSettings(channel=DRUM_CHANNEL + 1, seed=request.kit_seed)
    (whole,) = rendered_parts(
        [Plan(settings, notes, source, DRUMS)], request.temperature, "fold", reporter
    )  # fmt: skip
    return list(kind_parts(notes, (*ORDER, OPEN), whole.instrument).values())


def _bass_parts(notes: Sequence[Note], source: Source, request: AccompanyRequest, reporter: Reporter) -> list[Part]:
    class_name = program_class(BASS_PROGRAM, source.classes)
    values = {"channel": 2, "seed": request.kit_seed, "class": class_name}
    plan = Plan(PartSettings.model_validate(values), notes, source, BASS)
    return rendered_parts([plan], request.temperature, "fold", reporter)


def _write(
    request: AccompanyRequest, sound: StoredSound, track: TrackMap, score: Score, parts: dict[str, list[Part]],
    kicks: Sequence[Note], stems: dict[str, Path], reporter: Reporter,
) -> None:  # fmt: skip
    """Write the stems, and the mix through a limiter."""
    rate, samples, subtype = sound.sample_rate, sound.samples, SUBTYPES[request.bits]
    dither = request.bits == "16"
    wanted = loudness_lufs(sound.read(0, min(samples, round(HEARD_SEC * rate))), rate)
    gains = {}
    for name, some in parts.items():
        start = min(note.start_sec for part in some for note in part.notes)
        level = loudness_lufs(_first(mix(score, some, rate, samples=samples), start, rate), rate)
        up = wanted - BELOW_DB[name] - level + request.level_db
        gains[name] = amplitude(up) if np.isfinite(up) else 1.0

    def part_blocks(name: str) -> Iterator[Tensor]:
        at = 0
        for block in mix(score, parts[name], rate, samples=samples):
            gate = track.gate(np.arange(at, at + block.shape[1]) / rate)
            yield block * gains[name] * torch.from_numpy(gate)
            at += block.shape[1]

    for name, path in stems.items():
        write_wav_blocks(path, Limiter(rate, PEAK_DB)(part_blocks(name)), rate, subtype, dither=dither)
    limiter = Limiter(rate, PEAK_DB)

    def together() -> Iterator[Tensor]:
        at = 0
        with reporter.progress("Mixing", samples / rate, "s") as advance:
            # The stems as they were written, so that the mix is the sum of them and the track.
            for blocks in zip(*(read_blocks(path) for path in stems.values()), strict=True):
                part = sound.read(at, len(blocks[0]))
                part = part.expand(2, -1) * _ducked(kicks, at, part.shape[1], rate)
                yield part + torch.from_numpy(np.sum(blocks, axis=0).T)
                at += part.shape[1]
                advance(part.shape[1] / rate)

    write_wav_blocks(request.out / f"{MIX}.wav", limiter(together()), rate, subtype, dither=dither)


def _first(blocks: Iterator[Tensor], start_sec: float, rate: int) -> Tensor:
    """The first two minutes (2, T) of a part from its first note on."""
    wanted, start = round(HEARD_SEC * rate), int(start_sec * rate)
    found: list[Tensor] = []
    at = have = 0
    for block in blocks:
        part = block[:, max(0, start - at) :]
        found.append(part)
        at, have = at + block.shape[1], have + part.shape[1]
        if have >= wanted:
            break
    return torch.cat(found, dim=1)


def _ducked(kicks: Sequence[Note], at: int, count: int, rate: int) -> Tensor:
    """The gain (count,) of the track: lower under each kick."""
    gain = np.ones(count, np.float32)
    before, after = round(DUCK_BEFORE_SEC * rate), round(DUCK_AFTER_SEC * rate)
    dip = 1 - amplitude(-DUCK_DB)
    shape = dip * np.concatenate([np.linspace(0, 1, before), 0.5 + 0.5 * np.cos(np.linspace(0, np.pi, after))])
    for kick in kicks:
        first = round(kick.start_sec * rate) - before - at
        if -len(shape) < first < count:
            low, high = max(0, first), min(count, first + len(shape))
            gain[low:high] = np.minimum(gain[low:high], 1 - shape[low - first : high - first])
    return torch.from_numpy(gain)
