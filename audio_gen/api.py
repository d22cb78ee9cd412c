"""The functions of the public API; options are fields of the operations' requests."""

from difflib import get_close_matches
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audio_gen.errors import ConfigError
from audio_gen.reporter import SILENT, Reporter
from audio_gen.text import shortened

if TYPE_CHECKING:
    from audio_gen.evaluation.evaluate import Evaluated
    from audio_gen.generation.clip import Clips
    from audio_gen.generation.pipeline import Pipeline
    from audio_gen.studio.quickstart import Quickstarted


def train(source: Path | str, run: Path | str, **options: Any) -> Path:
    """Train a model on a folder of sounds or a cache, or resume a run.

    Args:
        source: A folder of sounds, or a cache.
        run: The run's folder.
        options: The keyword arguments of `audio_gen.training.tasks.train_run`, such as model="gan", minutes=10.

    Returns:
        The run's folder, with its bundle.

    Raises:
        AudioGenError: One line that names the value and the fix, as in all functions here.
    """
    from audio_gen.training.tasks.run import train_run

    known = list(signature(train_run).parameters)[2:]
    for name in options:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            fix = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
            raise ConfigError(f"unknown option {shortened(name)}; {fix}")
    return train_run(_path("source", source), _path("run", run), **options)


def sample(pipeline: "Pipeline | Path | str", count: int = 16, **options: Any) -> "Clips":
    """Generate clips without duplicates: `sample(pipeline, 4).save("clips")`.

    Args:
        pipeline: The model, from `Pipeline.load`, or the folder of a run or bundle.
        count: Number of clips.
        options: Fields of `SampleRequest`, such as class_name="kick", pitch=60, temperature=0.7.
    """
    from audio_gen.generation.operations import sample as operation

    return operation.sample(_loaded(pipeline), operation.SampleRequest(count=count, **options))


def interpolate(
    pipeline: "Pipeline | Path | str", start: Path | str | None = None, end: Path | str | None = None, **options: Any
) -> "Clips":
    """Interpolate between two sounds: `interpolate(pipeline, "a.wav", "seed:7", steps=8, morph="4s").save("between")`.

    Args:
        pipeline: The model, from `Pipeline.load`, or the folder of a run or bundle.
        start: A sound file, or "seed:N", the clip that `sample` generates from N.
        end: The same for the other end.
        options: Fields of `InterpolateRequest`, such as corners=["a.wav", "b.wav", "c.wav", "seed:7"] instead of ends.
    """
    from audio_gen.generation.operations import interpolate as operation

    if "corners" not in options or start is not None or end is not None:
        options |= {"start": _text("start", start), "end": _text("end", end)}
    return operation.interpolate(_loaded(pipeline), operation.InterpolateRequest(**options))


def evaluate(real: Path | str, generated: Path | str, reporter: Reporter = SILENT, **options: Any) -> "Evaluated":
    """Compare generated clips with real ones; `.sentences()` has the verdict and `.figures` all figures.

    Args:
        real: A folder of real sounds, a cache, or a reference file.
        generated: A folder of clips, or a run, which then generates them.
        reporter: Gets notes and progress.
        options: Fields of `EvaluateRequest`, such as out="report".
    """
    from audio_gen.evaluation import evaluate as operation

    request = operation.EvaluateRequest(real=_path("real", real), generated=_path("generated", generated), **options)
    return operation.evaluate(request, reporter)


def quickstart(folder: Path | str | None = None, reporter: Reporter = SILENT, **options: Any) -> "Quickstarted":
    """Train a model on a folder, generate clips with it, and write a report.

    Args:
        folder: A folder of sounds; None is the bundled samples.
        reporter: Gets notes and progress.
        options: Fields of `QuickstartRequest`, such as minutes=10, out="first".
    """
    from audio_gen.studio import quickstart as operation

    request = operation.QuickstartRequest(folder=None if folder is None else _path("folder", folder), **options)
    return operation.quickstart(request, reporter)


def _loaded(model: "Pipeline | Path | str") -> "Pipeline":
    from audio_gen.generation.pipeline import Pipeline

    return Pipeline.load(model) if isinstance(model, Path | str) else model


def _path(name: str, value: Path | str) -> Path:
    """The path in an argument."""
    return Path(_text(name, value))


def _text(name: str, value: Path | str | None) -> str:
    """The path in an argument, as text.

    Raises:
        ConfigError: It is None or of another type.
    """
    if not isinstance(value, Path | str):
        raise ConfigError(f"{name} ({shortened(value)}): must be a path; give a text or a Path")
    return str(value)
