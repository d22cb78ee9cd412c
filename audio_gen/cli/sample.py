"""`audio-gen sample`: new clips from a trained model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from audio_gen.cli.clips import ClassOption, PitchOption, RunArgument, TemperatureOption
from audio_gen.cli.common import DeviceOption, ForceOption, JsonOption, OutOption, SeedOption, VocoderOption

if TYPE_CHECKING:
    from audio_gen.generation.latents import Latents


def sample_command(
    run: RunArgument,
    out: OutOption,
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="How many clips.")] = 16,
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
    grid: Annotated[bool, typer.Option("--grid", help="Also write grid.png: the clips as one picture.")] = False,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Clips at a time; they come out the same.")] = 16,
    vocoder: VocoderOption = None,
    device: DeviceOption = "auto",
    force: ForceOption = False,
    json_output: JsonOption = False,
) -> None:
    """Make new clips with a trained model.

    Clip i has the seed SEED + i and is named after it; its JSON says how to make it again.
    """
    from audio_gen.cli.clips import command_line, with_sidecars, write_clips
    from audio_gen.cli.common import check_out, emit_json, progress, say
    from audio_gen.generation.directions import doubts, load_directions, moved, parse_moves
    from audio_gen.generation.grid import GRID_NAME, grid_note, write_grid
    from audio_gen.generation.pipeline import Pipeline
    from audio_gen.generation.sidecar import describe

    seeds = range(seed, seed + count)
    stems = [f"seed-{number:04d}" for number in seeds]
    moves = parse_moves(move or [])
    pipeline = Pipeline.load(run, vocoder=vocoder, device=device)
    latents = pipeline.latents(seeds, class_name=class_name, pitch=pitch, temperature=temperature)
    notes = _repeats(latents)
    if moves:
        ways = load_directions(pipeline, directions)
        latents, notes = moved(latents, ways, moves), [*notes, *doubts(ways, moves)]
    pictures = [GRID_NAME] if grid else []
    check_out(out, [*with_sidecars(stems), *pictures], force=force)
    for note in notes:
        say(note, json_output=True)
    command, more = command_line(), {"moves": moves} if moves else None
    about = [
        describe(pipeline, latents[i], command=command, seed=seeds[i], temperature=temperature, more=more)
        for i in range(count)
    ]
    paths = [out / f"{stem}.wav" for stem in stems]
    with progress("Sampling", count, "clips") as advance:
        write_clips(pipeline, latents, paths, about.__getitem__, advance, batch)
    if grid:
        write_grid(out / GRID_NAME, pipeline, latents, seeds)
    if json_output:
        files = [
            {"path": str(path), "seed": a["seed"], "class": a["class"], "pitch": a["pitch"]}
            for path, a in zip(paths, about, strict=True)
        ]
        emit_json({"files": files, "pictures": [str(out / name) for name in pictures], "notes": notes,
                   "bundle": pipeline.digest, "vocoder": pipeline.vocoder.name})  # fmt: skip
    else:
        names = [f"{stems[0]}.wav to {stems[-1]}.wav", *([grid_note(count)] if grid else [])]
        say(f"{count} clips of {pipeline.duration_sec:.2f} s in {out}: {', '.join(names)}")


def _repeats(latents: "Latents") -> list[str]:
    """What to say of clips that come out equal, which happens without any variety of the model."""
    count, sounds = len(latents), latents.distinct()
    if sounds == count:
        return []
    conditions = len({(int(c), str(float(p))) for c, p in zip(latents.class_id, latents.pitch, strict=True)})
    each = ", one for each class and pitch" if sounds == conditions > 1 else ""
    what = "one sound" if sounds == 1 else f"{sounds} sounds{each}"
    return [f"all {count} clips are {what}, whatever the seed; --truncation 0.7 gives variety"]
