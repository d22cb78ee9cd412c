"""`audio-gen directions`: ways through a model's latent space that change one thing of a sound."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from audio_gen.artefacts.folders import BundleFolder
from audio_gen.cli.clips import RunArgument
from audio_gen.cli.common import DeviceOption, ForceOption, JsonOption, SeedOption
from audio_gen.hints import command

if TYPE_CHECKING:
    from audio_gen.generation.directions import Direction, Directions
    from audio_gen.generation.pipeline import Pipeline

SHOWN_EFFECT = 0.2  # standard deviations; less is not worth a word


def directions_command(
    run: RunArgument,
    count: Annotated[int, typer.Option("-n", "--count", min=64, help="How many clips to learn from.")] = 512,
    seed: SeedOption = 0,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The file for them; without it they lie beside the bundle.")
    ] = None,
    device: DeviceOption = "auto",
    force: ForceOption = False,
    json_output: JsonOption = False,
) -> None:
    """Find what makes a model's sounds brighter, longer, noisier, ..

    `sample --move NAME=AMOUNT` goes there: +1 is one standard deviation of the sounds of one class and pitch.
    """
    from audio_gen.cli.common import emit_json, open_run, progress, say
    from audio_gen.generation.direction_search import clips_needed, find_directions
    from audio_gen.generation.directions import save_directions
    from audio_gen.text import one_line

    pipeline = open_run(run, device=device)
    path = out or BundleFolder(pipeline.path).directions
    _check_writable(path)
    note = None if force else _check_place(path, pipeline, own=out is None)
    with progress("Finding directions", clips_needed(pipeline, count), "clips") as advance:
        found = find_directions(pipeline, count, seed, advance)
    save_directions(path, found)
    if note:
        say(note, json_output=True)
    if json_output:
        emit_json(_as_json(path, found))
        return
    for fact in found.facts:
        say(_line(fact, found.spreads))
    other = ("--directions", out) if out else ()
    say(f"sd: of the sounds of one class at one pitch. Written to {one_line(path)}; try")
    say(f"  {command('sample', run, *other, '--move', f'{_best(found)}=+1.5', '--out', 'moved')}")


def _check_place(path: Path, pipeline: "Pipeline", own: bool) -> str | None:
    """Be sure that nothing is lost; returns what to say where directions of an older bundle are replaced."""
    from audio_gen.errors import CheckpointError, OutputError
    from audio_gen.generation.directions import read_directions
    from audio_gen.text import one_line

    if not path.exists():
        return None
    try:
        old = read_directions(path)
    except CheckpointError as e:
        what = f"{one_line(path)}: exists and holds no directions"
        raise OutputError(f"{what}; choose another --out, or add --force to replace it") from e
    # Beside a bundle that was trained further, old directions are of no use to anybody.
    if own and old.digest != pipeline.digest:
        return f"{one_line(path)}: those of the bundle {old.digest}, which is gone, were replaced"
    raise OutputError(
        f"{one_line(path)}: holds directions already (bundle {old.digest}, -n {old.source['n']}, --seed "
        f"{old.source['seed']}); add --force to replace them, or choose another --out"
    )


def _check_writable(path: Path) -> None:
    from audio_gen.cli.common import check_out
    from audio_gen.errors import OutputError
    from audio_gen.text import one_line

    if path.is_dir():
        raise OutputError(f"--out {one_line(path)}: is a folder; name a file in it, as {one_line(path)}/d.safetensors")
    check_out(path.parent, [])
    if not os.access(path.parent, os.W_OK):
        raise OutputError(f"{one_line(path.parent)}: cannot be written; choose another place with --out")


def _line(fact: "Direction", spreads: dict[str, float]) -> str:
    """One line on a direction, for people."""
    from audio_gen.generation.descriptors import DESCRIPTORS

    others = ", ".join(
        f"{name} {effect:+.1f}"
        for name, effect in fact.effects.items()
        if name != fact.name and abs(effect) >= SHOWN_EFFECT
    )
    if fact.r2 is None:
        assert fact.share is not None
        return f"{fact.name:<11}{fact.share:.1%} of the variance; +1 moves {others or 'none of these five'}"
    own = fact.effects[fact.name]
    if not fact.works:
        return f"{fact.name:<11}R2 {fact.r2:.2f}; does next to nothing: +1 moves it by {own:+.2f} sd"
    size = f"{own:+.2f} sd ({own * spreads[fact.name]:+.2g} {DESCRIPTORS[fact.name].unit})"
    return f"{fact.name:<11}R2 {fact.r2:.2f}; +1 moves it by {size}" + (f", and {others}" if others else "")


def _best(found: "Directions") -> str:
    """The direction to try first."""
    told = [fact for fact in found.facts if fact.r2 is not None and fact.works]
    return max(told, key=lambda fact: fact.r2 or 0.0).name if told else "pca1"


def _as_json(path: Path, found: "Directions") -> dict[str, Any]:
    from audio_gen.generation.descriptors import DESCRIPTORS

    return {
        "file": str(path),
        "bundle": found.digest,
        **found.source,
        "spreads": {name: {"sd": sd, "unit": DESCRIPTORS[name].unit} for name, sd in found.spreads.items()},
        "directions": [
            {"name": fact.name, "r2": fact.r2, "share": fact.share, "works": fact.works, "effects": fact.effects}
            for fact in found.facts
        ],
    }
