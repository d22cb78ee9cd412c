"""The operation `evaluate`: compare generated clips with real ones, and write the verdict and the report."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from audio_gen.artefacts.folders import EvaluationFolder, is_run_or_bundle
from audio_gen.artefacts.reference import SUFFIX
from audio_gen.device import resolve_device
from audio_gen.errors import ConfigError, DataError, OutputError
from audio_gen.evaluation.clips import has_stereo
from audio_gen.evaluation.compare import Sets, compare, finite
from audio_gen.evaluation.embeddings import load_embedding
from audio_gen.evaluation.embeddings.store import EmbeddingStore
from audio_gen.evaluation.reference_set import save_reference
from audio_gen.evaluation.report.over_time import drift_table_of, measures_table_of
from audio_gen.evaluation.report.sections import sentences_of, stereo_table_of, table_of, write_page
from audio_gen.evaluation.session import Session
from audio_gen.evaluation.verdict import judge
from audio_gen.files import write_json
from audio_gen.findings import OF_SAMPLES
from audio_gen.generation.originals import run_cache
from audio_gen.generation.outputs import claimed
from audio_gen.generation.pipeline import Pipeline
from audio_gen.reporter import SILENT, Reporter
from audio_gen.request import Request
from audio_gen.text import one_line
from audio_gen.training.diagnosis import diagnose
from audio_gen.training.metrics import read_metrics
from audio_gen.vocoding.load import load_vocoder

SAMPLES, LONG_SAMPLES = 256, 16


class EvaluateRequest(Request):
    """Options of `evaluate`."""

    real: Path
    """A folder of real sounds, a cache, or a reference file."""
    generated: Path | None = None
    """A folder of clips to evaluate; or a run, which then generates them."""
    run: Path | None = None
    """The run that generated the clips; it is diagnosed too."""
    out: Path | None = None
    """Folder for the report, the figures and a run's samples; None writes nothing."""
    count: Annotated[int, Field(ge=1)] | None = None
    """Number of clips that a run generates; None generates 256, or 16 sounds of a minute if its model is a sequence."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """First seed of these, and seed of all random choices."""
    embedding: str = "yamnet"
    """Embedding that compares clips."""
    embedding_path: Path | None = None
    """Its weights, if no package contains them."""
    labels: str = "auto"
    """Labels of `real`: auto, folders, names, none, or a CSV or JSON file."""
    pitch: str = "pyin"
    """How pitches are estimated: pyin, crepe, or none."""
    vocoder: str | None = None
    """See `load_vocoder`."""
    save_reference: Path | None = None
    """Reference file to write of `real`."""
    device: str = "auto"
    """Where to compute."""
    force: bool = False
    """Replace files that exist already."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        """Check the values before anything is loaded."""
        real, generated, run, reference = self.real, self.generated, self.run, self.save_reference
        if generated is None and run is None and reference is None:
            raise ConfigError("evaluate needs two sides: name clips or a run after REAL, or add --save-reference")
        if self.pitch not in ("pyin", "crepe", "none"):
            raise ConfigError(f"--pitch {self.pitch}: unknown; use pyin, crepe or none")
        for place in (real, generated, run):
            if place is not None and not place.exists():
                raise DataError(f"{one_line(place)}: no such file or folder; check the path")
        if real.is_file() and real.suffix != SUFFIX:
            raise DataError(
                f"{one_line(real)}: is a file; give a folder of sounds, or a reference file ending in {SUFFIX}"
            )
        if reference is not None and reference.suffix != SUFFIX:
            name = one_line(reference)
            raise DataError(f"{name}: a reference file must end in {SUFFIX}; try {reference.stem}{SUFFIX}")
        if reference is not None and reference.exists() and not self.force:
            name = one_line(reference)
            raise OutputError(f"--save-reference {name}: exists already; choose another or add --force")
        return self


@dataclass(frozen=True)
class Evaluated:
    """The result of an evaluation.

    Attributes:
        figures: All figures with the verdict, as JSON; without a generated side, the reference file.
        judged: Whether there was a generated side.
    """

    figures: dict[str, Any]
    judged: bool

    def sentences(self) -> list[str]:
        """The verdict, a sentence each, alarms marked as such."""
        return sentences_of(self.figures) if self.judged else []

    def notes(self) -> list[str]:
        """Missing measurements, and the limits of the figures."""
        return self.figures["warnings"] if self.judged else []

    def table(self) -> list[str]:
        """The main figures as lines of text with aligned columns."""
        if not self.judged:
            return []
        more = (stereo_table_of(self.figures), drift_table_of(self.figures), measures_table_of(self.figures))
        return [*_aligned(table_of(self.figures)), *(line for rows in more if rows for line in ("", *_aligned(rows)))]


def _aligned(table: list[list[str]]) -> list[str]:
    first, *widths = (max(map(len, column)) for column in zip(*table, strict=True))
    lines = []
    for name, *cells in table:
        aligned = [cell.rjust(width) for cell, width in zip(cells, widths, strict=True)]
        lines.append("  ".join([name.ljust(first), *aligned]).rstrip())
    return lines


def evaluate(request: EvaluateRequest, reporter: Reporter = SILENT) -> Evaluated:
    """Compare generated clips with real ones, and explain the figures.

    Args:
        request: The options.
        reporter: Gets notes and progress.

    Raises:
        AudioGenError: A folder, the embedding or the run cannot be used, or files would be replaced.
    """
    generated, out = request.generated, request.out
    sampled = generated is None or is_run_or_bundle(generated)
    run = generated if generated is not None and is_run_or_bundle(generated) else request.run
    job = _prepare(request, run, reporter)
    places = EvaluationFolder(out or Path())
    names = [path.name for path in (places.result, places.report, *([places.samples] if sampled else []))]
    hold = {"command": request.origin, "bundle": job.pipeline.digest if job.pipeline else ""}
    with claimed(out, names, force=request.force, reporter=reporter, **hold) if out else nullcontext():
        real = job.real(request.real, request.labels)
        if request.save_reference is not None:
            mel = job.pipeline.spec if job.pipeline else None
            save_reference(request.save_reference, real, clip_sec=job.clip_sec, mel=mel)
            reporter.note(f"{len(real)} clips written to {request.save_reference}")
        if run is None and generated is None:
            kept = {"reference": str(request.save_reference), "embedding": request.embedding, "n": len(real)}
            return Evaluated(kept, judged=False)
        with samples_folder(out) as folder:
            if sampled:
                _sample(job, folder, request)
            assert sampled or generated is not None
            sets = job.gather(real, folder if sampled else generated, request.seed)  # type: ignore[arg-type]
            figures = evaluated_figures(job, sets, request.pitch, request.seed, run)
            if out is not None:
                write_json(places.result, figures)
                write_page(places.report, sets, figures, job.clips)
    return Evaluated(figures, judged=True)


def _prepare(request: EvaluateRequest, run: Path | None, reporter: Reporter) -> Session:
    place = resolve_device(request.device)
    embedding = load_embedding(request.embedding, place, request.embedding_path)
    job = Session(embedding, EmbeddingStore(embedding, note=reporter.note), reporter=reporter, command=request.origin)
    if run is not None:
        job.pipeline = Pipeline.load(run, vocoder=request.vocoder, device=request.device).require("sample")
        job.vocoder = job.pipeline.vocoder
        job.cache = run_cache(run)
    elif request.vocoder is not None:
        job.vocoder = load_vocoder(request.vocoder, None, place)
    if request.generated is not None and request.generated != run:
        job.stereo = has_stereo(request.generated)
    elif run is None:
        job.stereo = True  # of a reference file, for samples that may be stereo
    return job


def evaluated_figures(job: Session, sets: Sets, pitch: str, seed: int, run: Path | None) -> dict[str, Any]:
    """All figures with the verdict, including the diagnosis of the run's training."""
    pitches = {} if pitch == "none" else job.pitch([sets.generated, sets.real, sets.copies, sets.rebuilt], pitch)
    result = compare(sets, pitches, seed, job.embedding_distance(sets.generated, sets.train or sets.real))
    if pitch != "none" and "generated" not in pitches:
        result["warnings"].append(
            "pitch was not measured: neither file names nor sidecars contain the samples' pitches"
        )
    if sets.copies is None and run is not None:
        why = "a reference file holds no audio" if len(sets.real) > 1 else "that takes two clips at least"
        result["warnings"].append(f"copy-synthesis was not measured: {why}")
    trained = [] if run is None else diagnose(read_metrics(run))
    alarms = [finding for finding in trained if finding.alarm and finding.name not in OF_SAMPLES]
    if (over_time := job.over_time(seed)) is not None:
        result["over_time"] = finite(over_time)
        result["warnings"] += over_time.pop("warnings")
    result["verdict"] = [finding.to_json() for finding in [*alarms, *judge(result)]]
    return result


def _sample(job: Session, folder: Path, request: EvaluateRequest) -> None:
    assert job.pipeline is not None
    if job.pipeline.is_sequence:
        job.sample_long(folder, request.count or LONG_SAMPLES, request.seed)
    else:
        job.sample(folder, request.count or SAMPLES, request.seed)


@contextmanager
def samples_folder(out: Path | None) -> Iterator[Path]:
    """The folder of a run's samples: under `out`, or temporary."""
    with ExitStack() as stack:
        if out is not None:
            for old in EvaluationFolder(out).samples.glob("seed-*"):
                old.unlink()  # only with --force; old samples would be evaluated with the new ones
            yield EvaluationFolder(out).samples
        else:
            yield Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="audio-gen-")))
