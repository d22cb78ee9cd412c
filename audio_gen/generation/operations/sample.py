"""Generate clips with a trained model."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Self
from unicodedata import normalize

from pydantic import Field, field_validator, model_validator

from audio_gen.errors import ConfigError
from audio_gen.generation.clip import Clip, Clips, Saved
from audio_gen.generation.clip_file import describe
from audio_gen.generation.directions import Directions, doubts, load_directions, parse_moves
from audio_gen.generation.distinct import Distinct, draw_distinct
from audio_gen.generation.finish import Finish
from audio_gen.generation.grid import GRID_NAME, write_grid
from audio_gen.generation.latents import Latents
from audio_gen.generation.long_clip import LongClip
from audio_gen.generation.moves import move, move_lines, moved_json
from audio_gen.generation.operations.common import FileRequest, check_channels, rendered
from audio_gen.generation.operations.sequence import (
    SOUND_SEC,
    SOUNDS,
    UNIT,
    check_duration,
    describe_sequence,
    refuse_options,
    seeds_from,
)
from audio_gen.generation.originals import Match, Originals, novelty_line, originals_of
from audio_gen.generation.outputs import distinct_names
from audio_gen.generation.pipeline import Pipeline, check_temperature
from audio_gen.generation.sequence import filled, new_sound
from audio_gen.models.contract import Conditions
from audio_gen.reporter import Reporter

CLIPS, MOST_CLIPS = 16, 1_000_000
NOTES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")

Count = Annotated[int, Field(ge=1, le=MOST_CLIPS)]


class SampleRequest(FileRequest):
    """Options of `sample`."""

    count: Count | None = None
    """Number of clips; 16 if neither this nor `per_class` is given."""
    seed: int = 0
    """First seed."""
    class_name: str | None = None
    """Class of all clips; None draws one per clip, with its frequency in training."""
    pitch: float | None = None
    """MIDI pitch of all clips; None draws one per clip."""
    velocity: float | None = None
    """MIDI velocity of all clips, from 0 to 127; None draws one per clip."""
    temperature: float = 1.0
    """0: the most typical clips; 1: the model's whole variety."""
    moves: dict[str, float] = Field({})
    """Directions by name, each with an amount in units of the direction; or texts such as brightness=+1.5."""
    directions: Path | None = None
    """File of the directions; None is the one in the bundle's folder."""
    per_class: Count | None = None
    """Number of clips per class, in a folder per class."""
    every_seed: bool = False
    """Use every seed, and keep clips that sound alike."""
    grid: bool = False
    """Also write grid.png, the clips as one picture."""
    batch: Annotated[int, Field(ge=1)] = 16
    """Clips at a time."""
    duration_sec: float | None = None
    """Length of the sounds of a sequence model, which has no length of its own; None is 10 s."""
    force: bool = False
    """Allow sounds of more than an hour."""

    @field_validator("moves", mode="before")
    @classmethod
    def _read_moves(cls, moves: Any) -> Any:
        return moves if isinstance(moves, dict) else parse_moves(moves)

    @model_validator(mode="after")
    def _one_count(self) -> Self:
        if self.per_class is not None and self.count is not None:
            raise ConfigError(f"-n {self.count} and --per-class {self.per_class}: give one of them")
        return self


def sample(pipeline: Pipeline, request: SampleRequest) -> Clips:
    """Generate clips, without duplicates unless `every_seed` is on.

    Args:
        pipeline: The model.
        request: The options.

    Raises:
        ConfigError: A value is out of its range, or the model does not know a class, pitch or direction.
        CheckpointError: The directions are missing.
    """
    check_channels(pipeline, request.channels)
    classes = _classes(pipeline.require("sample"), request)
    if pipeline.is_sequence:
        return sample_sequences(pipeline, request, classes)
    if request.duration_sec is not None:
        _ = pipeline.sequence_codec  # refuses the model
    known_directions = load_directions(pipeline, request.directions) if request.moves else None
    drawn = [_drawn(pipeline, request, name) for name in classes]
    points, seeds = Latents.join([one.latents for one in drawn]), [seed for one in drawn for seed in one.seeds]
    notes = [note for one in drawn if (note := one.shortage)]
    if known_directions is not None:
        notes += doubts(known_directions, request.moves)
    notes += [note] if (note := rate_note(pipeline, request.finish)) else []
    compare: Originals | None = None
    placed: list[Latents] = []  # the rendered points

    def render(reporter: Reporter) -> Iterator[Clip]:
        nonlocal compare
        compare = originals_of(pipeline)
        placed.clear()
        for first in range(0, len(points), request.batch):
            rows = slice(first, first + request.batch)
            # Moved here, since the search for each clip takes time that belongs to the progress bar.
            some, changes = _moved(pipeline, points[rows], known_directions, request.moves)
            placed.append(some)
            about = partial(_about, pipeline, request, some, seeds[rows], changes)
            yield from rendered(pipeline, some, names[rows], about, request.finish, batch=request.batch,
                                compare=compare)  # fmt: skip

    def summary(saved: Sequence[Saved]) -> list[str]:
        lines = move_lines(request.moves, [one.provenance.get("moved") for one in saved])
        if compare is None:
            return lines
        matches = [Match(**one.provenance["original"]) for one in saved]
        return [*lines, novelty_line(matches, [one.path.name for one in saved], compare.real_share())]

    names = clip_stems(pipeline, points, seeds, folders=request.per_class is not None)
    pictures = {GRID_NAME: lambda path: write_grid(path, pipeline, Latents.join(placed), seeds)} if request.grid else {}
    return Clips(names, render, pipeline, request.origin, "Sampling", notes=notes, pictures=pictures, summary=summary)


def _moved(
    pipeline: Pipeline, points: Latents, directions: Directions | None, moves: dict[str, float]
) -> tuple[Latents, list[dict[str, Any] | None]]:
    """Points (B) after the moves, and for each its descriptors before and after, if there are moves."""
    if directions is None:
        return points, [None] * len(points)
    found = move(pipeline, points, directions, moves)
    return found.points, [moved_json(*rows) for rows in zip(found.before, found.after, strict=True)]


def _about(
    pipeline: Pipeline, request: SampleRequest, points: Latents, seeds: Sequence[int],
    changes: Sequence[dict[str, Any] | None], i: int,
) -> dict[str, Any]:  # fmt: skip
    """The sidecar of clip i."""
    more: dict[str, Any] = {"moves": request.moves} if request.moves else {}
    more |= {"moved": changes[i]} if changes[i] else {}
    return describe(
        pipeline, points[i], command=request.origin, more=more, seed=seeds[i], temperature=request.temperature
    )


def _classes(pipeline: Pipeline, request: SampleRequest) -> list[str | None]:
    """The classes to draw, in order; None is any."""
    if request.per_class is None or (request.class_name is not None and pipeline.vocabulary.classes):
        return [request.class_name]
    known = pipeline.vocabulary.classes
    if not known:
        text = f"--per-class {request.per_class}"
        raise ConfigError(f"{text}: {pipeline.vocabulary.model} was trained without classes; use -n")
    return list(known)


def _drawn(pipeline: Pipeline, request: SampleRequest, class_name: str | None) -> Distinct:
    count, seed = request.per_class or request.count or CLIPS, request.seed
    options: dict[str, Any] = {"class_name": class_name, "pitch": request.pitch, "velocity": request.velocity,
                             "temperature": request.temperature}  # fmt: skip
    if request.every_seed:
        seeds = range(seed, seed + count)
        return Distinct(pipeline.latents(seeds, **options), list(seeds), count)
    return draw_distinct(pipeline, count, seed, batch=request.batch, **options)


def sample_sequences(pipeline: Pipeline, request: SampleRequest, classes: Sequence[str | None]) -> Clips:
    """Generate sounds of any length with a sequence model, `SOUNDS` of each class by default; see `sample`."""
    given = {"--move": request.moves, "--directions": request.directions, "--grid": request.grid,
             "--tail": request.tail_db}  # fmt: skip
    refuse_options(pipeline, given)
    duration_sec = SOUND_SEC if request.duration_sec is None else request.duration_sec
    count = request.per_class or request.count or SOUNDS
    check_duration("--duration", duration_sec, pipeline, request, count=count * len(classes), force=request.force)
    check_temperature(request.temperature)
    seeds = seeds_from(request.seed, count)
    drawn = [(name, seed) for name in classes for seed in seeds]
    samples = round(duration_sec * pipeline.spec.sample_rate)

    def render(reporter: Reporter) -> Iterator[LongClip]:
        for name, conditions, seed in zip(names, fills, [seed for _, seed in drawn], strict=True):
            more = {"seed": seed, "temperature": request.temperature}
            about = describe_sequence(
                pipeline, conditions, samples, command=request.origin, more=more
            )  # fmt: skip
            blocks = partial(new_sound, pipeline, conditions, seed, samples, request.temperature)
            yield LongClip(name, blocks, samples, pipeline.spec.sample_rate, about, request.finish)

    fills = [filled(pipeline, name, seed, pitch=request.pitch, velocity=request.velocity) for name, seed in drawn]
    folders = request.per_class is not None
    names = stems_of(pipeline, Conditions.join(fills), [seed for _, seed in drawn], folders)
    notes = [note] if (note := rate_note(pipeline, request.finish)) else []
    return Clips(names, render, pipeline, request.origin, "Sampling", unit=UNIT, per_clip=duration_sec, notes=notes)


def clip_stems(pipeline: Pipeline, points: Latents, seeds: Sequence[int], folders: bool = False) -> list[str]:
    """Names of the clips of latents (B); see `stems_of`."""
    return stems_of(pipeline, points.conditions, seeds, folders)


def stems_of(pipeline: Pipeline, conditions: Conditions, seeds: Sequence[int], folders: bool = False) -> list[str]:
    """Names with class, note and seed, such as `kick-0003` and `violin-C4-0003` for seed 3.

    Args:
        pipeline: The model.
        conditions: Of B clips.
        seeds: Their seeds, B.
        folders: Put each class into a folder.
    """
    kinds = distinct_names(
        "".join(c if c.isalnum() or c in " -_.()#&+" else "_" for c in normalize("NFC", name)).strip(". ") or "class"
        for name in pipeline.vocabulary.classes
    )
    stems = []
    for i, seed in enumerate(seeds):
        class_id, pitch = int(conditions.class_id[i]), float(conditions.pitch[i])
        kind = kinds[class_id] if class_id >= 0 else ""
        parts = [kind or "seed", *([note_name(pitch)] if pitch == pitch else []), f"{seed:04d}"]
        stems.append(f"{kind}/{'-'.join(parts)}" if folders and kind else "-".join(parts))
    return stems


def note_name(pitch: float) -> str:
    """The nearest note to a MIDI pitch: 60 is C4."""
    octave, note = divmod(round(pitch), len(NOTES))
    return f"{NOTES[note]}{octave - 1}"


def ends_note(pipeline: Pipeline, saved: Sequence[Saved]) -> str:
    """The range of lengths, and the number of clips that the model's length cut."""
    lengths, cut = [one.duration_sec for one in saved], sum(one.cut for one in saved)
    shortest, longest = (f"{length:.2f}" for length in (min(lengths), max(lengths)))
    text = f"{shortest} s long" if shortest == longest and pipeline.is_sequence else f"{shortest} to {longest} s long"
    if cut:
        text += (
            f"; {cut} of {len(saved)} reach the model's length of {pipeline.duration_sec:.2f} s and fade out there "
            "(a longer data.segment_sec makes room)"
        )
    return text


def rate_note(pipeline: Pipeline, how: Finish) -> str | None:
    """A note on the lost band of a lower sample rate; None if nothing is lost."""
    if how.rate is None or how.rate >= pipeline.spec.sample_rate:
        return None
    return (
        f"--rate {how.rate}: resampled from {pipeline.spec.sample_rate} Hz, nothing above {how.rate / 2:g} Hz is left"
    )
