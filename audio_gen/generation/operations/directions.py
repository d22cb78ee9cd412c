"""Find the directions of a model's latent space and store them."""

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from audio_gen.artefacts.folders import BundleFolder
from audio_gen.errors import CheckpointError, OutputError
from audio_gen.generation.descriptors import DESCRIPTORS
from audio_gen.generation.direction_search import clips_needed, find_directions
from audio_gen.generation.directions import Direction, Directions, read_directions, save_directions
from audio_gen.generation.operations.common import refuse_sequences
from audio_gen.generation.outputs import check_out
from audio_gen.generation.pipeline import Pipeline
from audio_gen.reporter import SILENT, Reporter
from audio_gen.request import Request
from audio_gen.text import one_line

SHOWN_EFFECT, SHOWN_DRIFT = 0.2, 0.1  # of a unit move; smaller effects are not listed


class DirectionsRequest(Request):
    """Options of `directions`."""

    count: Annotated[int, Field(ge=64)] = 512
    """Number of clips to fit to."""
    seed: int = 0
    """First seed."""
    out: Path | None = None
    """Output file; None is in the bundle's folder."""
    force: bool = False
    """Replace existing directions."""


def directions(pipeline: Pipeline, request: DirectionsRequest, reporter: Reporter = SILENT) -> tuple[Path, Directions]:
    """Find the directions of a model and store them.

    Args:
        pipeline: The model.
        request: The options.
        reporter: Gets notes and progress.

    Returns:
        The file, and the directions.

    Raises:
        OutputError: The file cannot be written, or exists and `force` is off.
    """
    refuse_sequences(pipeline, "directions")
    path = request.out or BundleFolder(pipeline.path).directions
    _check_writable(path)
    note = None if request.force else _check_place(path, pipeline, default_place=request.out is None)
    with reporter.progress("Finding directions", clips_needed(pipeline, request.count), "clips") as advance:
        found = find_directions(pipeline, request.count, request.seed, advance)
    save_directions(path, found)
    if note:
        reporter.note(note)
    return path, found


def _check_place(path: Path, pipeline: Pipeline, default_place: bool) -> str | None:
    """Raise an error if directions would be lost; returns a note if those of an older bundle are replaced."""
    if not path.exists():
        return None
    try:
        old = read_directions(path)
    except CheckpointError as e:
        what = f"{one_line(path)}: exists and contains no directions"
        raise OutputError(f"{what}; choose another --out, or add --force to replace it") from e
    # After further training, directions of the old bundle are useless.
    if default_place and old.digest != pipeline.digest:
        return f"{one_line(path)}: directions of the earlier bundle {old.digest} were replaced"
    raise OutputError(
        f"{one_line(path)}: contains directions already (bundle {old.digest}, -n {old.source['n']}, --seed "
        f"{old.source['seed']}); add --force to replace them, or choose another --out"
    )


def _check_writable(path: Path) -> None:
    if path.is_dir():
        raise OutputError(f"--out {one_line(path)}: is a folder; name a file in it, as {one_line(path)}/d.safetensors")
    check_out(path.parent, [])
    if not os.access(path.parent, os.W_OK):
        raise OutputError(f"{one_line(path.parent)}: cannot be written; choose another folder with --out")


def direction_line(fact: Direction) -> str:
    """One line on a direction."""
    if fact.right is None:
        assert fact.share is not None
        moves = ", ".join(
            f"{name} {DESCRIPTORS[name].amount(effect * DESCRIPTORS[name].step)}"
            for name, effect in fact.effects.items()
            if abs(effect) >= SHOWN_EFFECT
        )
        return f"{fact.name:<11}{fact.share:.1%} of the variance; +1 moves {moves or 'none of these'}"
    descriptor, own_effect = DESCRIPTORS[fact.name], fact.effects[fact.name]
    reached = descriptor.amount(own_effect * descriptor.step)
    text = f"{fact.name:<11}+1: {descriptor.meaning} {descriptor.amount(descriptor.step)}"
    if not fact.works:
        return f"{text}; almost no effect in this model: {reached}"
    others = ", ".join(
        f"{name} by {DESCRIPTORS[name].size(effect * DESCRIPTORS[name].step)}"
        for name, effect in fact.effects.items()
        if name != fact.name and effect >= SHOWN_DRIFT
    )
    rest = f"moves {others} with it" if others else "holds the others"
    return f"{text}; {reached} on average, {fact.right:.0%} of clips the right way; {rest}"


def strongest(found: Directions) -> str:
    """The direction to try first."""
    working = [fact for fact in found.facts if fact.right is not None and fact.works]
    return max(working, key=lambda fact: (fact.right or 0.0, fact.effects[fact.name])).name if working else "pca1"


def directions_json(path: Path, found: Directions) -> dict[str, Any]:
    """Directions and their effects, for JSON."""
    return {
        "file": str(path),
        "bundle": found.digest,
        **found.source,
        "spreads": {
            name: {"sd": sd, "unit": DESCRIPTORS[name].unit, "step": DESCRIPTORS[name].step}
            for name, sd in found.spreads.items()
        },
        "directions": [
            {"name": fact.name, "right": fact.right, "share": fact.share, "works": fact.works, "effects": fact.effects}
            for fact in found.facts
        ],
    }
