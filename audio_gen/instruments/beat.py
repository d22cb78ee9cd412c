"""Beats: loops of drums at an exact tempo, as WAV, stems and MIDI."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from pydantic import Field, field_validator
from torch import Tensor

from audio_gen.artefacts.sidecar import of_played, write_sidecar
from audio_gen.audio.onset import amplitude
from audio_gen.audio.sampler_chunks import write_loop
from audio_gen.errors import ConfigError
from audio_gen.generation.clip_file import dithered
from audio_gen.generation.finish import PEAK_DB, SILENT, SUBTYPES
from audio_gen.generation.outputs import claimed
from audio_gen.instruments.learned_style import LearnedStyle, learn_style
from audio_gen.instruments.parts import PartSettings, Plan, Source, rendered_parts
from audio_gen.instruments.patterns import OPEN, Pattern, Style, key_of, step_beats, styled, styles
from audio_gen.instruments.play import load_source, rate_of
from audio_gen.instruments.request import MOST_SEED, PlayedRequest
from audio_gen.instruments.sampler import Part, mix
from audio_gen.instruments.zones import Instrument
from audio_gen.midi.score import DRUM_CHANNEL, Note, Score
from audio_gen.midi.write import write_score
from audio_gen.reporter import SILENT as NO_REPORT
from audio_gen.reporter import Reporter
from audio_gen.text import shortened

LEARNED = "learned:"
SLOWEST, FASTEST, MOST_BARS = 20.0, 400.0, 256
LONGEST_SEC = 600.0  # of a loop
BEFORE_SEC = 0.1  # silence before the first hit of a rendering, into which its lead goes
NOTE_SEC = 0.05
# Where kinds of drums stand, -1 (left) to 1 (right), as the audience sees a kit.
PANS = {
    "hihat": 0.25, "tom": -0.25, "cymbal": -0.35, "crash": -0.35, "ride": -0.3, "shaker": 0.35, "perc": 0.35,
    "rim": 0.15, "clap": -0.1,
}  # fmt: skip
KINDS_HEARD = ("kick", "snare", "hihat", "open", "clap", "rim", "tom", "cymbal", "shaker", "perc")  # of learned styles
# Levels of kinds of drums in a beat, against a kick at 0 dB; sounds of a kit are as loud as each other.
GAINS_DB = {"hihat": -9.0, "rim": -5.0, "shaker": -10.0, "clap": -3.0, "snare": -2.0, "tom": -3.0,
            "cymbal": -9.0, "crash": -8.0, "ride": -10.0, "perc": -6.0}  # fmt: skip


class BeatRequest(PlayedRequest):
    """Options of `beat`."""

    source: Path
    """A run or a kit of drums."""
    out: Path
    """Folder for the results."""
    bpm: float | None = None
    """Tempo; None is the style's."""
    bars: int = Field(default=4, ge=1, le=MOST_BARS)
    """Length in bars."""
    style: str = "four"
    """A style of the package, or learned:FOLDER, which learns from loops."""
    swing: float | None = Field(default=None, ge=0.5, le=0.75)
    """Place of every second 16th: 0.5 is even, 0.66 a triplet; None is the style's."""
    count: int = Field(default=8, ge=1, le=1000)
    """Number of variations."""
    seed: int = Field(default=0, ge=0, lt=MOST_SEED)
    """First seed, of the patterns; the sounds are those of one kit."""
    kit_seed: int = Field(default=0, ge=0, lt=MOST_SEED)
    """Seed of the sounds of a run."""
    stems: bool = False
    """Also write a WAV for each kind of drum."""

    @field_validator("bpm")
    @classmethod
    def _check_bpm(cls, bpm: float | None) -> float | None:
        if bpm is not None and not SLOWEST <= bpm <= FASTEST:
            raise ValueError(f"{bpm:g} must be between {SLOWEST:g} and {FASTEST:g}; try 124")
        return bpm

    @field_validator("style")
    @classmethod
    def _check_style(cls, style: str) -> str:
        if style == LEARNED:
            raise ValueError(f"{LEARNED} needs a folder of loops: {LEARNED}FOLDER")
        if not style.startswith(LEARNED) and style not in styles():
            raise ValueError(f"{shortened(style)} is unknown; use {', '.join(styles())}, or {LEARNED}FOLDER")
        return style


@dataclass(frozen=True)
class Beats:
    """What was written.

    Attributes:
        paths: The WAVs.
        bpm: Their tempo.
        duration_sec: Length of each.
        stems: The stems of all.
    """

    paths: list[Path]
    bpm: float
    duration_sec: float
    stems: list[Path] = field(default_factory=list)


def beat(request: BeatRequest, reporter: Reporter = NO_REPORT) -> Beats:
    """Write loops of drums: each has a WAV, a MIDI file and a sidecar.

    A loop is bars x beats x 60 / bpm seconds long, exact to the sample. What rings at its end goes on at its start.

    Args:
        request: The options.
        reporter: Gets notes and progress.

    Raises:
        AudioGenError: The run, the kit or the folder cannot be used, or a result would be replaced.
    """
    source = load_source(request.source, request.vocoder, request.device)
    if not source.plays_drums:
        raise ConfigError(f"{source.name}: plays pitches, not drums; give a run or a kit of drums")
    rate = request.rate or rate_of(source)
    instrument: Instrument | None = None
    style: Style | LearnedStyle
    if request.style.startswith(LEARNED):
        instrument = kit_for(source, KINDS_HEARD, request, reporter)
        style = learn_style(Path(request.style.removeprefix(LEARNED)).expanduser(), instrument, reporter)
    else:
        style = styles()[request.style]
    bpm = request.bpm or style.bpm
    swing = style.swing if request.swing is None else request.swing
    samples = round(request.bars * style.beats * 60 / bpm * rate)
    if samples > LONGEST_SEC * rate:
        minutes = samples / rate / 60
        raise ConfigError(
            f"--bars {request.bars}: last {minutes:.3g} minutes at {bpm:g} bpm; at most 10 minutes are written"
        )
    name = "learned" if isinstance(style, LearnedStyle) else request.style
    stems_of = [f"{name}-{bpm:g}bpm-{request.seed + i:04d}" for i in range(request.count)]
    patterns = [_pattern(style, request.bars, request.seed + i) for i in range(request.count)]
    kinds = list(dict.fromkeys(kind for pattern in patterns for kind in pattern.kinds))
    groups = list(dict.fromkeys(map(group_of, kinds)))
    files = [f"{stem}{end}" for stem in stems_of for end in (".wav", ".json", ".mid")]
    if request.stems:
        files += [f"{stem}/{kind}.wav" for stem in stems_of for kind in groups]
    digest = source.pipeline.digest if source.pipeline is not None else ""
    done: list[Path] = []
    stem_paths: list[Path] = []

    def write(path: Path, wav: Tensor) -> None:
        write_loop(path, dithered(wav) if request.bits == "16" else wav, rate, SUBTYPES[request.bits])

    with claimed(request.out, files, command=request.origin, bundle=digest, force=request.force, reporter=reporter):
        instrument = instrument or kit_for(source, kinds, request, reporter)
        with reporter.progress("Playing", request.count, "loops") as advance:
            for i, (stem, pattern) in enumerate(zip(stems_of, patterns, strict=True)):
                score = pattern_score(pattern, bpm, swing)
                parts = kind_parts(score.notes, pattern.kinds, instrument)
                wavs = {kind: looped(score, [part], rate, samples) for kind, part in parts.items()}
                whole = torch.stack(list(wavs.values())).sum(0) if wavs else torch.zeros(2, samples)
                gain = amplitude(PEAK_DB) / max(float(whole.abs().max()), SILENT)
                path = request.out / f"{stem}.wav"
                write(path, whole * gain)
                write_score(path.with_suffix(".mid"), score)
                about = of_played(
                    source=None, parts=[{"name": "drums", "plays": source.name, "bundle": digest}],
                    duration_sec=samples / rate, sample_rate=rate, command=request.origin,
                    more={"bpm": bpm, "bars": request.bars, "style": request.style, "swing": swing,
                          "seed": request.seed + i},
                )  # fmt: skip
                write_sidecar(path, about)
                done.append(path)
                for kind, wav in wavs.items() if request.stems else ():
                    stem_paths.append(request.out / stem / f"{kind}.wav")
                    write(stem_paths[-1], wav * gain)
                advance(1)
    return Beats(done, bpm, samples / rate, stem_paths)


def _pattern(style: "Style | LearnedStyle", bars: int, seed: int) -> Pattern:
    if isinstance(style, LearnedStyle):
        return style.sample(bars, seed)
    return styled(style, bars, np.random.default_rng(seed))


def kit_for(source: Source, kinds: Sequence[str], request: BeatRequest, reporter: Reporter) -> Instrument:
    """The kit that plays, with sounds of the kinds that are needed."""
    notes = [Note(0.0, key_of(kind), NOTE_SEC, channel=DRUM_CHANNEL) for kind in kinds]
    settings = PartSettings(channel=DRUM_CHANNEL + 1, seed=request.kit_seed)
    plan = Plan(settings, notes, source, "drums")
    return rendered_parts([plan], request.temperature, "fold", reporter)[0].instrument


def pattern_score(pattern: Pattern, bpm: float, swing: float) -> Score:
    """The score of a pattern at a tempo."""
    notes = [
        Note(step_beats(step, swing) * 60 / bpm, key_of(kind), NOTE_SEC, velocity, DRUM_CHANNEL)
        for step, kind, velocity in pattern.hits()
    ]
    return Score(tuple(sorted(notes)), tempos=((0.0, bpm),), beats_per_bar=float(pattern.beats))


def kind_parts(notes: Sequence[Note], kinds: Sequence[str], instrument: Instrument) -> dict[str, Part]:
    """A part for each kind of drum, at its level and place; hi-hats stay together, since they stop each other.

    Args:
        notes: Notes of drums.
        kinds: The kinds that the keys of the notes mean.
        instrument: The kit that plays them.
    """
    groups: dict[str, list[Note]] = {}
    keys = {key_of(kind): group_of(kind) for kind in kinds}
    for note in notes:
        groups.setdefault(keys[note.pitch], []).append(note)
    return {
        kind: Part(kind, instrument, some, GAINS_DB.get(kind, 0.0), PANS.get(kind, 0.0))
        for kind, some in groups.items()
    }


def group_of(kind: str) -> str:
    """The part of a kind of drum: open and closed hi-hats are one, since they stop each other."""
    return "hihat" if kind == OPEN else kind


def looped(score: Score, parts: Sequence[Part], rate: int, samples: int) -> Tensor:
    """Parts as a loop (2, samples): what rings after its end is added to its start."""
    before = round(BEFORE_SEC * rate)
    later = score.of([])

    def moved(part: Part) -> Part:
        return replace(
            part, notes=[replace(note, start_sec=note.start_sec + before / rate) for note in part.notes]
        )  # fmt: skip

    out = torch.zeros(2, samples)
    at = -before
    for block in mix(later, [moved(part) for part in parts], rate):
        places = torch.arange(at, at + block.shape[1]) % samples
        out.index_add_(1, places, block)
        at += block.shape[1]
    return out
