"""An evaluation from its places to its verdict, for `evaluate` and for the report of `quickstart`."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from audio_gen.cli.evaluating import Evaluation
    from audio_gen.data.store import Cache
    from audio_gen.evaluation.compare import Sets
    from audio_gen.evaluation.described import Described


def run_cache(run: Path) -> "Cache | None":
    """The sounds that a run learned from, if they are still there: its own cache, or the one that it was started on."""
    from audio_gen.artefacts.folders import CacheFolder, RunFolder
    from audio_gen.data.store import Cache
    from audio_gen.errors import DataError
    from audio_gen.files import MalformedError, is_path, read_json

    places = [RunFolder(run).cache, RunFolder(run.parent).cache]  # of a run, or of a bundle in one
    about = RunFolder(run if RunFolder(run).source.is_file() else run.parent).source
    if about.is_file():
        with suppress(MalformedError, OSError):
            record = read_json(about)
            source = record.get("source") if isinstance(record, dict) else None
            if is_path(source):
                places.append(Path(source))
    for place in places:
        if CacheFolder(place).exists():
            try:
                return Cache.open(place)
            except DataError:
                continue
    return None


def gather(job: "Evaluation", real: "Described", generated: Path, seed: int) -> "Sets":
    """All that an evaluation compares: the clips, and what is made of real ones to show the scale."""
    from audio_gen.evaluation.compare import Sets, halve

    made = job.made(generated)
    learned = job.learned(real)
    halves, held_out = halve(real, learned, seed)
    second = real.pick(halves[1])
    return Sets(
        real, made, halves, held_out, train=job.train(real, learned), copies=job.copies(second),
        rebuilt=job.rebuilt(second), noise=job.noise(real),
    )  # fmt: skip


def judged(job: "Evaluation", sets: "Sets", pitch: str, seed: int, run: Path | None) -> dict[str, Any]:
    """All figures with the verdict; that of a run's own training is part of it."""
    from audio_gen.evaluation.compare import compare
    from audio_gen.evaluation.verdict import judge
    from audio_gen.findings import OF_SAMPLES
    from audio_gen.training.diagnosis import diagnose
    from audio_gen.training.metrics import read_metrics

    heard = {} if pitch == "none" else job.pitch([sets.made, sets.real, sets.copies, sets.rebuilt], pitch)
    result = compare(sets, heard, seed, job.embedding_distance(sets.made, sets.train or sets.real))
    if pitch != "none" and "generated" not in heard:
        result["warnings"].append("pitch was not measured: neither names nor sidecars tell the samples' pitches")
    if sets.copies is None and run is not None:
        why = "a reference file holds no audio" if len(sets.real) > 1 else "that takes two clips at least"
        result["warnings"].append(f"copy-synthesis was not measured: {why}")
    trained = [] if run is None else diagnose(read_metrics(run))
    alarms = [finding for finding in trained if finding.alarm and finding.name not in OF_SAMPLES]
    result["verdict"] = [finding.to_json() for finding in [*alarms, *judge(result)]]
    return result


@contextmanager
def samples_folder(out: Path | None) -> Iterator[Path]:
    """Where a run's samples go: under `out`, or where they are gone afterwards."""
    import tempfile

    from audio_gen.artefacts.folders import EvaluationFolder

    with ExitStack() as stack:
        if out is not None:
            for old in EvaluationFolder(out).samples.glob("seed-*"):
                old.unlink()  # only there with --force; what is left of them would be judged with the new ones
            yield EvaluationFolder(out).samples
        else:
            yield Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="audio-gen-")))
