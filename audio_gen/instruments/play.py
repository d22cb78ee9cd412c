"""Play MIDI files with models and kits."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator
from torch import Tensor

from audio_gen.artefacts.folders import is_run_or_bundle
from audio_gen.artefacts.sidecar import of_played, sidecar_path, write_sidecar
from audio_gen.audio.io import write_wav_blocks
from audio_gen.audio.limiter import Limiter
from audio_gen.audio.onset import amplitude
from audio_gen.errors import ConfigError
from audio_gen.generation.finish import PEAK_DB, SUBTYPES
from audio_gen.generation.outputs import claimed
from audio_gen.generation.pipeline import Pipeline
from audio_gen.instruments.kit_folder import is_kit, load_kit
from audio_gen.instruments.parts import Plan, Source, map_yaml, plan_parts, read_map, rendered_parts
from audio_gen.instruments.request import PlayedRequest
from audio_gen.instruments.sampler import Part, mix, peak_of
from audio_gen.midi.read import read_score
from audio_gen.midi.score import Score
from audio_gen.reporter import SILENT, Reporter
from audio_gen.text import one_line, shortened

LIMITED_DB = 3.0  # by which the loudest peak is limited, so that all else is louder
MOST_DIGITS = 6  # of the number of a track
STEMS = "-stems"  # ends the name of the folder of stems


class PlayRequest(PlayedRequest):
    """Options of `play`."""

    files: list[Path]
    """Runs, bundles or kits that play, and the MIDI file last."""
    out: Path | None = None
    """The WAV."""
    map: Path | None = None
    """A YAML file that says what plays which channel, as `--show-map` prints it."""
    tracks: list[str] = Field(default=[])
    """Names or numbers (from 1) of the tracks to play; none is all."""
    stems: bool = False
    """Also write a WAV for each part, into a folder next to the WAV."""
    outside: Literal["fold", "refuse"] = "fold"
    """Notes outside of the pitches of a model: fold moves them by octaves, refuse is an error."""

    @field_validator("files")
    @classmethod
    def _check_files(cls, files: list[Path]) -> list[Path]:
        if len(files) < 2:
            raise ValueError("give a run or a kit, and a MIDI file last: play RUN song.mid")
        return files

    @field_validator("out")
    @classmethod
    def _check_out(cls, out: Path | None) -> Path | None:
        return None if out is None else checked_wav(out)


def checked_wav(out: Path) -> Path:
    """The path of a WAV to write.

    Raises:
        ValueError: It has another suffix.
    """
    if out.suffix.lower() != ".wav":
        raise ValueError(
            f"{one_line(out)} must end in .wav; try {one_line(out.with_suffix('.wav').name or 'song.wav')}"
        )
    if out.is_dir():
        raise ValueError(f"{one_line(out)} is a folder; give another name")
    return out


@dataclass(frozen=True)
class PlayedFiles:
    """What was written.

    Attributes:
        path: The mix.
        stems: A WAV for each part, if asked for.
        plans: What played which notes.
        duration_sec: Length of the mix.
        notes: Number of notes.
        polyphony: The most notes at once.
    """

    path: Path
    plans: Sequence[Plan]
    duration_sec: float
    notes: int
    polyphony: int
    stems: list[Path] = field(default_factory=list)


def play(request: PlayRequest, reporter: Reporter = SILENT) -> PlayedFiles:
    """Play a MIDI file.

    Args:
        request: The options.
        reporter: Gets notes and progress.

    Raises:
        AudioGenError: A file cannot be used, no source can play the notes, or a result would be replaced.
    """
    out = request.out
    if out is None:
        raise ConfigError("--out: missing; give a WAV to write, such as --out song.wav")
    if any(out.exists() and path.exists() and out.samefile(path) for path in request.files):
        raise ConfigError(f"--out {one_line(out)}: is one of the inputs; choose another name")
    score, plans = planned(request, reporter)
    rate = request.rate or max(map(rate_of, (plan.source for plan in plans)))
    stems_folder = out.with_name(f"{out.stem}{STEMS}")
    stems = [stems_folder / f"{plan.name}.wav" for plan in plans] if request.stems else []
    names = [out.name, sidecar_path(out).name, *(f"{path.parent.name}/{path.name}" for path in stems)]
    digest = ",".join(sorted({one.source.pipeline.digest for one in plans if one.source.pipeline is not None}))
    with claimed(
        out.parent, names, command=request.origin, bundle=digest, force=request.force, reporter=reporter
    ):  # fmt: skip
        parts = rendered_parts(plans, request.temperature, request.outside, reporter)
        about = of_played(
            source=one_line(request.files[-1]), parts=[part_json(plan) for plan in plans], duration_sec=0.0,
            sample_rate=rate, command=request.origin, more={},
        )  # fmt: skip
        duration_sec = write_mix(
            out, score, parts, rate, request.bits, about, reporter, stems=stems
        )  # fmt: skip
    played = score.of([note for plan in plans for note in plan.notes])
    return PlayedFiles(out, plans, duration_sec, len(played.notes), played.polyphony(), stems)


def planned(request: PlayRequest, reporter: Reporter) -> tuple[Score, list[Plan]]:
    """The score of a request, and what plays it."""
    score = _tracks(read_score(request.files[-1]), request.tracks, request.files[-1])
    for text in score.notes_on_file:
        reporter.note(text)
    sources = [load_source(path, request.vocoder, request.device) for path in request.files[:-1]]
    given = [] if request.map is None else read_map(request.map)
    return score, plan_parts(score, sources, given, reporter)


def shown_map(request: PlayRequest, reporter: Reporter = SILENT) -> str:
    """The map that `play` would use, as YAML."""
    return map_yaml(planned(request, reporter)[1])


def load_source(path: Path, vocoder: str | None = None, device: str = "auto") -> Source:
    """Load a run, a bundle or a kit.

    Raises:
        ConfigError: It is neither, or a model that makes no single sounds.
    """
    name = one_line(path)
    if is_kit(path):
        return Source(name, instruments=load_kit(path))
    if not is_run_or_bundle(path):
        raise ConfigError(f"{name}: is neither a run nor a kit; give a run of `train`, or a folder that `kit` wrote")
    pipeline = Pipeline.load(path, vocoder=vocoder, device=device).require("sample")
    if pipeline.is_sequence:
        raise ConfigError(
            f"{name}: is a model of sequences, which has no single notes; give a run of --model gan or vae"
        )
    return Source(name, pipeline)


def rate_of(source: Source) -> int:
    """The sample rate of a source in Hz."""
    if source.pipeline is not None:
        return source.pipeline.spec.sample_rate
    return max(zone.sample_rate for one in source.instruments for zone in one.zones)


def part_json(plan: Plan) -> dict[str, Any]:
    """A part of a sidecar."""
    pipeline = plan.source.pipeline
    return {
        "name": plan.name, "plays": plan.source.name, **({} if pipeline is None else {"bundle": pipeline.digest}),
        **plan.settings.model_dump(by_alias=True, exclude_none=True),
    }  # fmt: skip


def write_mix(
    path: Path, score: Score, parts: Sequence[Part], rate: int, bits: str, about: dict[str, Any], reporter: Reporter,
    *, stems: Sequence[Path] = (),
) -> float:  # fmt: skip
    """Write parts as one WAV through a limiter, with its sidecar, and each part as a stem.

    Stems have one gain, and no limiter: their sum is the mix before it, but for a gain.

    Args:
        path: The WAV.
        score: Its controllers.
        parts: The parts.
        rate: Sample rate in Hz.
        bits: See `SUBTYPES`.
        about: The sidecar.
        reporter: Gets progress.
        stems: A WAV for each part; none writes no stems.

    Returns:
        Its length in seconds.
    """
    count, dither = sum(len(part.notes) for part in parts), bits == "16"
    done, passes = 0, 2 + 2 * bool(stems)
    with reporter.progress("Playing", count, "notes") as report:

        def advance(notes: float) -> None:
            report(notes / passes)

        peak = peak_of(mix(score, parts, rate, advance=advance))
        gain = amplitude(PEAK_DB + LIMITED_DB) / peak if peak > 0 else 1.0
        limiter = Limiter(rate, PEAK_DB)

        def counted() -> Iterator[Tensor]:
            nonlocal done
            for block in limiter(block * gain for block in mix(score, parts, rate, advance=advance)):
                done += block.shape[-1]
                yield block

        write_wav_blocks(path, counted(), rate, SUBTYPES[bits], dither=dither)
        if stems:
            one_by_one = [partial(mix, score, [part], rate, samples=done, advance=advance) for part in parts]
            largest = max(peak_of(blocks()) for blocks in one_by_one)
            common = amplitude(PEAK_DB) / largest if largest > 0 else 1.0
            for stem, blocks in zip(stems, one_by_one, strict=True):
                stem.parent.mkdir(parents=True, exist_ok=True)
                write_wav_blocks(stem, (block * common for block in blocks()), rate, SUBTYPES[bits], dither=dither)
    about = {**about, "duration_sec": round(done / rate, 6), "limited_db": round(limiter.reduction_db, 4)}
    write_sidecar(path, about)
    return done / rate


def _tracks(score: Score, wanted: Sequence[str], path: Path) -> Score:
    """A score with the tracks that a user names."""
    if not wanted:
        return score
    there = sorted({note.track for note in score.notes})
    chosen = set()
    for name in wanted:
        found = {int(name) - 1} & set(there) if name.isdecimal() and len(name) < MOST_DIGITS else set()
        found |= {track for track in there if name and score.track_names.get(track, "").casefold() == name.casefold()}
        if not found:
            known = ", ".join(f"{i + 1} {shortened(score.track_names.get(i, ''))}" for i in there[:20])
            raise ConfigError(f"--track {shortened(name)}: {one_line(path)} has no such track; it has {known}")
        chosen |= found
    return score.of([note for note in score.notes if note.track in chosen])
