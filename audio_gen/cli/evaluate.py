"""`audio-gen evaluate`: how near made clips are to real ones, how varied, how new, and whether anything is broken."""

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from audio_gen.artefacts.folders import EvaluationFolder
from audio_gen.cli.common import DeviceOption, ForceOption, JsonOption, SeedOption, VocoderOption, say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from audio_gen.cli.evaluating import Evaluation
    from audio_gen.evaluation.compare import Sets
    from audio_gen.evaluation.described import Described


def evaluate_command(
    real: Annotated[Path, typer.Argument(help="A folder of real sounds, a cache, or a reference file.")],
    generated: Annotated[
        Path | None, typer.Argument(help="A folder of clips to judge; or a run, which then makes them.")
    ] = None,
    run: Annotated[
        Path | None, typer.Option("--run", help="The run that made the clips; it is judged with them.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="A folder for the report, the figures and a run's samples.")
    ] = None,
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="How many clips a run makes.")] = 256,
    seed: SeedOption = 0,
    embedding: Annotated[str, typer.Option("--embedding", help="What clips are compared by.")] = "yamnet",
    embedding_path: Annotated[
        Path | None, typer.Option("--embedding-path", help="Its weights, where no package brings them.")
    ] = None,
    labels: Annotated[
        str, typer.Option("--labels", help="Of REAL: auto, folders, names, none, or a CSV or JSON file.")
    ] = "auto",
    pitch: Annotated[str, typer.Option("--pitch", help="How pitches are heard: pyin, crepe, or none.")] = "pyin",
    vocoder: VocoderOption = None,
    save_reference: Annotated[
        Path | None, typer.Option("--save-reference", help="Keep what is needed of REAL in this .safetensors file.")
    ] = None,
    device: DeviceOption = "auto",
    force: ForceOption = False,
    json_output: JsonOption = False,
) -> None:
    """Compare made clips with real ones, and say in plain words what the figures mean."""
    from audio_gen.artefacts.folders import EvaluationFolder, is_run_or_bundle
    from audio_gen.cli.claims import claimed
    from audio_gen.cli.clips import command_line
    from audio_gen.cli.common import emit_json
    from audio_gen.cli.judging import gather, judged, samples_folder

    _check(real, generated, run, pitch, save_reference, force)
    sampled = generated is None or is_run_or_bundle(generated)
    run = generated if generated is not None and is_run_or_bundle(generated) else run
    job = _prepare(run, embedding, embedding_path, vocoder, device)
    places = EvaluationFolder(out or Path())
    names = [path.name for path in (places.result, places.report, *([places.samples] if sampled else []))]
    digest = job.pipeline.digest if job.pipeline else ""
    with claimed(out, names, command=command_line(), bundle=digest, force=force) if out else nullcontext():
        real_set = job.real(real, labels)
        if save_reference is not None:
            _save_reference(save_reference, real_set, job)
        if run is None and generated is None:
            if json_output:
                emit_json({"reference": str(save_reference), "embedding": embedding, "n": len(real_set)})
            return
        with samples_folder(out) as folder:
            if sampled:
                job.sample(folder, count, seed)
            assert sampled or generated is not None
            sets = gather(job, real_set, folder if sampled else generated, seed)  # type: ignore[arg-type]
            result = judged(job, sets, pitch, seed, run)
            if out is not None:
                _write(job, sets, result, out)
    if json_output:
        emit_json(result)
        return
    _show(result)
    if out is not None:
        say(f"open {places.report} in a browser")


def _check(
    real: Path, generated: Path | None, run: Path | None, pitch: str, save_reference: Path | None, force: bool
) -> None:
    """Refuse what cannot work, before anything is loaded."""
    from audio_gen.artefacts.reference import SUFFIX
    from audio_gen.errors import ConfigError, DataError, OutputError
    from audio_gen.text import one_line

    if generated is None and run is None and save_reference is None:
        raise ConfigError("evaluate needs two sides: name clips or a run after REAL, or add --save-reference")
    if pitch not in ("pyin", "crepe", "none"):
        raise ConfigError(f"--pitch {pitch}: unknown; use pyin, crepe or none")
    for place in (real, generated, run):
        if place is not None and not place.exists():
            raise DataError(f"{one_line(place)}: no such file or folder; check the path")
    if real.is_file() and real.suffix != SUFFIX:
        raise DataError(f"{one_line(real)}: is a file; give a folder of sounds, or a reference file ending in {SUFFIX}")
    if save_reference is not None and save_reference.suffix != SUFFIX:
        name = one_line(save_reference)
        raise DataError(f"{name}: a reference file must end in {SUFFIX}; try {save_reference.stem}{SUFFIX}")
    if save_reference is not None and save_reference.exists() and not force:
        name = one_line(save_reference)
        raise OutputError(f"--save-reference {name}: is there already; choose another or add --force")


def _prepare(
    run: Path | None, embedding: str, embedding_path: Path | None, vocoder: str | None, device: str
) -> "Evaluation":
    from audio_gen.cli.common import open_run, say
    from audio_gen.cli.evaluating import Evaluation
    from audio_gen.cli.judging import run_cache
    from audio_gen.device import resolve_device
    from audio_gen.evaluation.embeddings import load_embedding
    from audio_gen.evaluation.embeddings.store import EmbeddingStore
    from audio_gen.vocoding.load import load_vocoder

    place = resolve_device(device)
    compared_by = load_embedding(embedding, place, embedding_path)
    job = Evaluation(compared_by, EmbeddingStore(compared_by, tell=lambda line: say(line, json_output=True)))
    if run is not None:
        job.pipeline = open_run(run, vocoder=vocoder, device=device)
        job.vocoder = job.pipeline.vocoder
        job.cache = run_cache(run)
    elif vocoder is not None:
        job.vocoder = load_vocoder(vocoder, None, place)
    return job


def _save_reference(path: Path, real: "Described", job: "Evaluation") -> None:
    from audio_gen.evaluation.reference_set import save_reference

    save_reference(path, real, clip_sec=job.clip_sec, mel=job.pipeline.spec if job.pipeline else None)
    say(f"{len(real)} clips kept in {path}", json_output=True)


def _write(job: "Evaluation", sets: "Sets", result: "Mapping[str, Any]", out: Path) -> None:
    from audio_gen.evaluation.report.sections import write_page
    from audio_gen.files import write_json

    write_json(EvaluationFolder(out).result, result)
    write_page(EvaluationFolder(out).report, sets, result, job.clips)


def _show(result: "Mapping[str, Any]") -> None:
    """The verdict in sentences, then the table."""
    from audio_gen.evaluation.report.sections import sentences_of, table_of

    for sentence in sentences_of(result):
        say(sentence)
    say("")
    head, *rows = table_of(result)
    first, *widths = (max(map(len, column)) for column in zip(head, *rows, strict=True))
    for name, *cells in (head, *rows):
        aligned = [cell.rjust(width) for cell, width in zip(cells, widths, strict=True)]
        say("  ".join([name.ljust(first), *aligned]).rstrip())
    for warning in result["warnings"]:
        say(f"note: {warning}")
