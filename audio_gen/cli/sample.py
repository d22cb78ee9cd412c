"""`audio-gen sample`: new clips from a trained model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from audio_gen.cli.clips import (
    BitsOption,
    ClassOption,
    LengthOption,
    NormalizeOption,
    PitchOption,
    RateOption,
    RunArgument,
    TailOption,
    TemperatureOption,
)
from audio_gen.cli.common import DeviceOption, ForceOption, JsonOption, OutOption, SeedOption, VocoderOption

if TYPE_CHECKING:
    from audio_gen.generation.distinct import Distinct
    from audio_gen.generation.pipeline import Pipeline

CLIPS = 16


def sample_command(
    run: RunArgument,
    out: OutOption,
    count: Annotated[
        int | None, typer.Option("-n", "--count", min=1, help="How many clips; 16 where this is left out.")
    ] = None,
    seed: SeedOption = 0,
    class_name: ClassOption = None,
    pitch: PitchOption = None,
    temperature: TemperatureOption = 1.0,
    move: Annotated[
        list[str] | None, typer.Option("--move", help="As brightness=+1.5; repeatable. `directions` finds the names.")
    ] = None,
    directions: Annotated[
        Path | None, typer.Option("--directions", help="What `directions --out` wrote, if not beside the bundle.")
    ] = None,
    per_class: Annotated[
        int | None, typer.Option("--per-class", min=1, help="So many of each class, in a folder for each.")
    ] = None,
    every_seed: Annotated[
        bool, typer.Option("--every-seed", help="The seeds one after the other, also those that sound alike.")
    ] = False,
    normalize: NormalizeOption = "peak",
    bits: BitsOption = "24",
    rate: RateOption = None,
    tail: TailOption = 60.0,
    length: LengthOption = "sound",
    grid: Annotated[bool, typer.Option("--grid", help="Also write grid.png: the clips as one picture.")] = False,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Clips at a time; they come out the same.")] = 16,
    vocoder: VocoderOption = None,
    device: DeviceOption = "auto",
    force: ForceOption = False,
    json_output: JsonOption = False,
) -> None:
    """Make new clips with a trained model, of which no two sound alike.

    Seeds from SEED on are tried, and those that sound like another are passed over. A clip is named after its class,
    its note and its seed; its JSON says how to make it again.
    """
    from audio_gen.cli.claims import claimed
    from audio_gen.cli.clips import clip_stems, command_line, ends_note, rate_note, with_sidecars, write_clips
    from audio_gen.cli.common import emit_json, open_run, progress, say
    from audio_gen.cli.originals import newness, originals_of
    from audio_gen.errors import ConfigError
    from audio_gen.generation.clip_file import describe
    from audio_gen.generation.directions import doubts, load_directions, moved, parse_moves
    from audio_gen.generation.finish import Finish
    from audio_gen.generation.grid import GRID_NAME, grid_note, write_grid
    from audio_gen.generation.latents import Latents

    if per_class is not None and count is not None:
        raise ConfigError(f"-n {count} and --per-class {per_class}: give one of them")
    moves = parse_moves(move or [])
    how = Finish(normalize=normalize, bits=bits, rate=rate, tail_db=tail, length=length)  # type: ignore[arg-type]
    pipeline = open_run(run, vocoder=vocoder, device=device)
    classes = _classes(pipeline, class_name, per_class)
    ways = load_directions(pipeline, directions) if moves else None
    each = per_class or count or CLIPS
    drawn = [_drawn(pipeline, each, seed, name, pitch, temperature, batch, every_seed) for name in classes]
    latents, seeds = Latents.join([one.latents for one in drawn]), [number for one in drawn for number in one.seeds]
    notes = [note for one in drawn if (note := one.shortage)]
    if ways is not None:
        latents, notes = moved(latents, ways, moves), notes + doubts(ways, moves)
    notes += [note] if (note := rate_note(pipeline, how)) else []
    count, stems = len(seeds), clip_stems(pipeline, latents, seeds, folders=per_class is not None)
    pictures = [GRID_NAME] if grid else []
    command, more = command_line(), {"moves": moves} if moves else None
    about = [
        describe(pipeline, latents[i], command=command, seed=seeds[i], temperature=temperature, more=more)
        for i in range(count)
    ]
    paths = [out / f"{stem}.wav" for stem in stems]
    names = [*with_sidecars(stems), *pictures]
    with claimed(out, names, command=command, bundle=pipeline.digest, force=force):
        for note in notes:
            say(note, json_output=True)
        with progress("Sampling", count, "clips") as advance:
            compare = originals_of(run, pipeline)
            done, matches = write_clips(pipeline, latents, paths, about.__getitem__, advance, batch, how, compare)
        if grid:
            write_grid(out / GRID_NAME, pipeline, latents, seeds)
    if json_output:
        files = [
            {"path": str(path), "seed": a["seed"], "class": a["class"], "pitch": a["pitch"]}
            for path, a in zip(paths, about, strict=True)
        ]
        for file, match in zip(files, matches, strict=False):
            file["original"] = match.to_json()
        emit_json({"files": files, "pictures": [str(out / name) for name in pictures], "notes": notes,
                   "bundle": pipeline.digest, "vocoder": pipeline.vocoder.name})  # fmt: skip
    else:
        between = "" if count < 3 else ".. "
        named = f"{stems[0]}.wav" if count == 1 else f"{stems[0]}.wav, {between}{stems[-1]}.wav"
        shown = [named, *([grid_note(count)] if grid else [])]
        say(f"{count} {'clip' if count == 1 else 'clips'} in {out}: {', '.join(shown)}; {ends_note(pipeline, done)}")
        if matches:
            say(newness(matches, [path.name for path in paths], compare.real_share() if compare else None))


def _classes(pipeline: "Pipeline", class_name: str | None, per_class: int | None) -> list[str | None]:
    """The classes that are drawn one after the other; None is any."""
    from audio_gen.errors import ConfigError

    if per_class is None:
        return [class_name]
    known = pipeline.conditions.classes
    if not known:
        raise ConfigError(f"--per-class {per_class}: {pipeline.conditions.model} was trained without classes; use -n")
    return [class_name] if class_name is not None else list(known)


def _drawn(
    pipeline: "Pipeline", count: int, seed: int, class_name: str | None, pitch: float | None, temperature: float,
    batch: int, every_seed: bool,
) -> "Distinct":  # fmt: skip
    from audio_gen.generation.distinct import Distinct, draw_distinct

    asked = {"class_name": class_name, "pitch": pitch, "temperature": temperature}
    if every_seed:
        seeds = range(seed, seed + count)
        return Distinct(pipeline.latents(seeds, **asked), list(seeds), count)  # type: ignore[arg-type]
    return draw_distinct(pipeline, count, seed, batch=batch, **asked)  # type: ignore[arg-type]
