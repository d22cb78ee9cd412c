"""From a folder of sounds to a trained model, generated clips, and a report with players."""

import math
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from pydantic import model_validator

import audio_gen
from audio_gen.artefacts.folders import QuickstartFolder
from audio_gen.audio.mel import MelSpec
from audio_gen.config import DEFAULT_MODEL
from audio_gen.data.index import inspect_folder
from audio_gen.data.store import Cache
from audio_gen.device import resolve_device
from audio_gen.errors import ConfigError, DataError
from audio_gen.generation.outputs import check_out
from audio_gen.reporter import SILENT, Reporter, stages
from audio_gen.request import Request
from audio_gen.studio.showcase import make_showcase
from audio_gen.studio.vocoder_choice import Training, chosen_vocoder
from audio_gen.training.events import Event, Listener, Note
from audio_gen.training.lock import locked
from audio_gen.training.tasks.run import move_aside, resolve_config, train_run
from audio_gen.training.tasks.source import check_apart, check_source, open_source
from audio_gen.vocoding.load import load_vocoder

MODELS = ("gan", "vae")
GENERATED = "generated"  # generated clips under samples/, which are not training data


class QuickstartRequest(Request):
    """Options of `quickstart`."""

    folder: Path | None = None
    """A folder of sounds; None is the bundled samples."""
    minutes: float = 5.0
    """Training time."""
    model: str = DEFAULT_MODEL
    """gan, or vae, which encodes files instantly."""
    out: Path = Path("quickstart-out")
    """Folder for the run, the clips and the report."""
    overrides: tuple[str, ...] = ()
    """Settings of the model, such as data.segment_sec=1."""
    seed: int = 0
    """Seed of training, and of the first clip."""
    vocoder: str | None = None
    """See `load_vocoder`; None fine-tunes one and uses the best."""
    device: str = "auto"
    """Where to compute."""
    force: bool = False
    """Start again; the old run is moved aside."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not (math.isfinite(self.minutes) and self.minutes > 0):
            raise ConfigError(f"--minutes {self.minutes:g}: must be above 0; try 5")
        if self.model not in MODELS:
            raise ConfigError(f"--model {self.model}: must be {' or '.join(MODELS)}")
        return self


@dataclass(frozen=True)
class Quickstarted:
    """The result of `quickstart`.

    Attributes:
        run: The run's folder.
        report: The HTML report.
        vocoder: The chosen vocoder; None is the default.
        minutes: Duration of everything.
        stopped_by: The signal that stopped training early, after which no clips were generated; None otherwise.
        figures: Counts and scores of the clips, as JSON.
    """

    run: Path
    report: Path
    vocoder: str | None
    minutes: float
    stopped_by: str | None = None
    figures: dict[str, Any] = field(default_factory=dict)


def quickstart(
    request: QuickstartRequest, reporter: Reporter = SILENT, on_event: Listener = lambda event: None
) -> Quickstarted:
    """Train a model on a folder, generate clips with it, and write a report; an unfinished run resumes.

    Args:
        request: The options.
        reporter: Gets notes and progress.
        on_event: Gets the events of training.

    Raises:
        AudioGenError: An option is invalid, the folder has no usable file, or `out` contains other files.
    """
    started, out, places = time.monotonic(), request.out, QuickstartFolder(request.out)
    run, report = places.run, places.report
    spec = _check_choices(request)
    # An earlier quickstart in this folder resumes.
    check_out(out, None, force=request.force or run.is_dir() or places.sounds.is_dir())
    source = _bundled(out) if request.folder is None else request.folder
    check_apart(source, run, force=request.force, option="--out")
    _inspect(source, reporter)
    if not request.force:
        check_source(source, run, option="--out")
    training = Training(on_event)
    vocoder, about_vocoder, minutes = request.vocoder, None, request.minutes
    shared: dict[str, Any] = {"seed": request.seed, "device": request.device}
    if vocoder is None:
        reporter.note("first the vocoder is fine-tuned on the same sounds")
        cache = _prepared_cache(source, run, request.model, request.overrides, force=request.force, emit=training)
        choice = chosen_vocoder(
            cache, spec, places.vocoder, minutes=minutes, force=request.force, training=training, **shared
        )
        if training.stopped_by:
            return _stopped(request, started, training.stopped_by)
        vocoder, about_vocoder, minutes = choice.vocoder, choice.about, minutes + choice.saved_min
        reporter.note(about_vocoder)
        reporter.note(f"now the model trains for {minutes:.3g} minutes")
    train_run(
        source, run, model=request.model, overrides=request.overrides, minutes=minutes,
        force=request.force and about_vocoder is None, on_event=training, **shared,
    )  # fmt: skip
    if training.stopped_by:
        return _stopped(request, started, training.stopped_by)
    figures = make_showcase(
        run, out, report, source=source, vocoder=vocoder, about_vocoder=about_vocoder, reporter=reporter,
        origin=request.origin, source_name="the bundled samples" if request.folder is None else source.resolve().name,
        **shared,
    )  # fmt: skip
    return Quickstarted(run, report, vocoder, (time.monotonic() - started) / 60, figures=figures)


def _stopped(request: QuickstartRequest, started: float, by: str) -> Quickstarted:
    places = QuickstartFolder(request.out)
    return Quickstarted(places.run, places.report, request.vocoder, (time.monotonic() - started) / 60, by)


def _check_choices(request: QuickstartRequest) -> MelSpec:
    """Check options that would otherwise fail after training; returns the mel."""
    resolve_device(request.device)
    # With force the old run is moved aside, so its settings do not apply.
    run = request.out / "new" if request.force else QuickstartFolder(request.out).run
    length = {"train": {"minutes": request.minutes}}
    spec = resolve_config(run, request.model, None, request.overrides, length).mel
    load_vocoder(request.vocoder, spec)
    return spec


def _bundled(out: Path) -> Path:
    """Copy the bundled samples of a clone next to the run.

    Raises:
        DataError: The package was installed without them.
    """
    samples = Path(audio_gen.__file__).resolve().parents[1] / "samples"
    if not any(samples.glob("*/*.wav")):
        raise DataError(
            "no folder was named, and the bundled samples are only in a clone; try: audio-gen quickstart FOLDER"
        )
    sounds = QuickstartFolder(out).sounds
    shutil.copytree(samples, sounds, ignore=shutil.ignore_patterns(GENERATED), dirs_exist_ok=True)
    return sounds


def _prepared_cache(
    source: Path, run: Path, model: str, overrides: Sequence[str], *, force: bool, emit: Callable[[Event], None]
) -> Cache:
    """Create the cache of a run before training; with `force` an earlier run is moved aside."""
    if force and run.is_dir():
        with locked(run):  # fails while another process trains there
            pass
        emit(Note(f"the old run was moved to {move_aside(run)}"))
    settings = resolve_config(run, model, None, overrides, {})
    with locked(run):
        return open_source(source, run, settings, settings.mel, emit)


def _inspect(source: Path, reporter: Reporter) -> None:
    """Note the number of usable files before training."""
    with stages(reporter) as progress:
        report = inspect_folder(source, progress=progress)
    s = report.summary()
    reporter.note(
        f"{s['files']} audio files: {s['use']} used, {s['repair']} repaired and used, {s['leave_out']} skipped"
    )
    report.require_usable()
