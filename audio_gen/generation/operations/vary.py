"""Variations of a clip."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from audio_gen.artefacts.sidecar import read_sidecar, sidecar_path
from audio_gen.errors import CheckpointError, DataError
from audio_gen.generation.clip import Clip, Clips
from audio_gen.generation.clip_file import describe
from audio_gen.generation.inputs import starting_point
from audio_gen.generation.operations.common import FileRequest, rendered
from audio_gen.generation.outputs import output_stems
from audio_gen.generation.pipeline import Pipeline
from audio_gen.generation.vary import vary as varied
from audio_gen.reporter import Reporter
from audio_gen.text import one_line


class VaryRequest(FileRequest):
    """Options of `vary`."""

    clip: Path
    """A generated WAV with its sidecar, or any sound."""
    amount: float = 0.3
    """0: the same clip; 1: a new one."""
    count: Annotated[int, Field(ge=1)] = 4
    """Number of variations."""
    seed: int = 0
    """First seed."""
    temperature: float = 1.0
    """Temperature of the new clips that variations move towards."""


def vary(pipeline: Pipeline, request: VaryRequest) -> Clips:
    """Generate variations of a clip; its class and pitch are kept.

    Args:
        pipeline: The model.
        request: The options.

    Raises:
        ConfigError: A value is out of its range.
        AudioFileError: The clip has to be encoded, and cannot be read.
    """
    point, notes = starting_point(pipeline, request.clip)
    count, seeds = request.count, range(request.seed, request.seed + request.count)
    points = varied(pipeline, point, request.amount, seeds, request.temperature)
    if request.amount == 0 and count > 1:
        notes.append(f"--amount 0: all {count} are the same clip; a larger amount, such as 0.3, makes them differ")
    source = {"source": one_line(request.clip), "amount": request.amount}

    def about(i: int) -> dict[str, Any]:
        drawn = {"seed": seeds[i], "temperature": request.temperature}
        return describe(pipeline, points[i], command=request.origin, more=source, **drawn)  # type: ignore[arg-type]

    def render(reporter: Reporter) -> Iterator[Clip]:
        return rendered(pipeline, points, names, about, request.finish)

    names = [f"{output_stems([request.clip])[0]}-vary-{i:02d}" for i in range(count)]
    return Clips(names, render, pipeline, request.origin, "Varying", notes=notes)


def model_of(clip: Path, run: Path | None = None) -> Path:
    """The run or bundle of a clip: the named one, otherwise that of the clip's sidecar.

    Raises:
        DataError: The clip is missing, or there is neither a run nor a sidecar.
        CheckpointError: The bundle was moved.
    """
    if not clip.is_file():
        raise DataError(f"{one_line(clip)}: no such file; check the path")
    sidecar = read_sidecar(clip)
    if run is not None:
        return run
    if sidecar is None:
        name = one_line(sidecar_path(clip))
        raise DataError(f"{name}: is missing, so the clip's latent is unknown; give --run to encode the clip")
    if not sidecar.bundle_path.is_dir():
        raise CheckpointError(
            f"{one_line(clip)}: its bundle is no longer at {one_line(sidecar.bundle_path)}; name it with --run"
        )
    return sidecar.bundle_path
