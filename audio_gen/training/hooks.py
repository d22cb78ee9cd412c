"""What a run does between steps: validation, milestones, previews, diagnosis and checkpoints.

A hook is called with the moment after each step, and decides by it whether its time has come. All but `Validation` are
called in the main process alone.
"""

import filecmp
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from audio_gen.artefacts.checkpoint import CheckpointStore
from audio_gen.artefacts.folders import RunFolder
from audio_gen.audio.io import write_wav
from audio_gen.audio.picture import spectrogram_png
from audio_gen.config import TrainSettings
from audio_gen.data.dataset import ClipDataset
from audio_gen.distributed import World
from audio_gen.errors import OutputError
from audio_gen.training.checkpoints import BackgroundSaver
from audio_gen.training.diagnosis import diagnose
from audio_gen.training.events import Alarm, Diagnosed, Event, MilestoneExported, Note, Previewed, Saved, Validated
from audio_gen.training.metrics import read_metrics
from audio_gen.training.schedule import due
from audio_gen.training.task import Preview, Task

PREVIEW_CLIPS = 4

Emit = Callable[[Event], None]
Hook = Callable[["Moment"], object]


@dataclass(frozen=True)
class Moment:
    """Where a run is after a step.

    Attributes:
        step: Steps done.
        progress: How much of the run is done, 0 to 1.
        elapsed_sec: Seconds trained, earlier sessions included.
        before: The progress a step earlier.
    """

    step: int
    progress: float
    elapsed_sec: float
    before: float

    def passes(self, count: int) -> bool:
        """Whether one of `count` evenly spaced marks, the last at the end, has just been reached."""
        return due(self.before, self.progress, count)

    def reaches(self, progress: float) -> bool:
        """Whether this progress has just been reached."""
        return self.before < progress <= self.progress


def written(step: int, emit: Emit, write: Callable[[], object]) -> bool:
    """Whether something could be written; training does not end because a disk is full for a while."""
    try:
        write()
    except OutputError as e:
        emit(Note(f"step {step}: {e}; training continues"))
        return False
    return True


@dataclass(frozen=True)
class Averaged:
    """The averaged model and what it is looked at with.

    Attributes:
        task: Its task.
        model: The model.
        val: Clips kept out.
        settings: Cadence.
        device: Where it is.
    """

    task: Task
    model: nn.Module
    val: ClipDataset
    settings: TrainSettings
    device: torch.device

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Figures on clips kept out."""
        batches = self.val.fixed_batches(self.settings.batch_size, self.settings.val_clips)
        return self.task.validate(self.model, (batch.to(self.device) for batch in batches))

    @torch.no_grad()
    def preview(self) -> Preview:
        """Sounds and pictures of a few clips kept out."""
        batch = next(iter(self.val.fixed_batches(PREVIEW_CLIPS, PREVIEW_CLIPS))).to(self.device)
        return self.task.preview(self.model, batch)


class Validation:
    """Validates in the main process, and hands the figures to the task in every process."""

    def __init__(
        self, averaged: Averaged, world: World, emit: Emit, take: Callable[[int, dict[str, float]], object]
    ) -> None:
        """`take` gets the step and its figures."""
        self._averaged, self._world, self._emit, self._take = averaged, world, emit, take

    def __call__(self, moment: Moment) -> None:
        """Validate where a validation is due."""
        if not moment.passes(self._averaged.settings.validations):
            return
        own = self._averaged.validate() if self._world.is_main else None
        figures: dict[str, float] = self._world.from_main(own)
        self._averaged.task.after_validation(figures)
        self._emit(Validated(moment.step, figures))
        self._take(moment.step, figures)


class Milestones:
    """Exports the model as it is after so many minutes."""

    def __init__(
        self, minutes: Sequence[float], elapsed_sec: float, export: Callable[[Moment, float], object], emit: Emit
    ) -> None:
        """Those after `elapsed_sec`; `export` writes a bundle."""
        self._minutes, self._before_min, self._export, self._emit = minutes, elapsed_sec / 60, export, emit

    def __call__(self, moment: Moment) -> None:
        """Export where a milestone has come since the last moment."""
        before, self._before_min = self._before_min, moment.elapsed_sec / 60
        for minutes in self._minutes:
            if before < minutes <= self._before_min and written(
                moment.step,
                self._emit,
                lambda minutes=minutes: self._export(moment, minutes),  # type: ignore[misc]
            ):
                self._emit(MilestoneExported(moment.step, minutes))


class Previews:
    """Writes sounds and pictures, the first of them early in the run."""

    def __init__(self, averaged: Averaged, run: Path, early: float, emit: Emit) -> None:
        """`early`: the progress at which there is something to hear."""
        self._averaged, self._run, self._early, self._emit = averaged, run, early, emit

    def due(self, moment: Moment) -> bool:
        """Whether a preview is written at a moment."""
        count = self._averaged.settings.previews
        return bool(count) and (moment.passes(count) or moment.reaches(self._early))

    def __call__(self, moment: Moment) -> None:
        """Write a preview where one is due."""
        if not self.due(moment):
            return
        folder = RunFolder(self._run).preview(moment.step)
        preview = self._averaged.preview()
        if written(moment.step, self._emit, lambda: write_preview(preview, folder)):
            self._emit(Previewed(moment.step, folder))


class Diagnosis:
    """Judges the run by its metrics at previews; an alarm is emitted when it is new."""

    def __init__(self, run: Path, previews: int, emit: Emit) -> None:
        """Judge at so many previews over the whole run."""
        self._run, self._previews, self._emit = run, previews, emit
        self._alarmed: set[str] = set()

    def __call__(self, moment: Moment) -> None:
        """Judge where it is time."""
        if not moment.passes(self._previews):
            return
        findings = diagnose(read_metrics(self._run), progress=moment.progress)
        self._emit(Diagnosed(moment.step, findings))
        for finding in findings:
            if finding.alarm and finding.name not in self._alarmed:
                self._emit(Alarm(moment.step, finding.name, finding.text))
        self._alarmed = {finding.name for finding in findings if finding.alarm}


class Saving:
    """Writes checkpoints in the background: at previews, and every few minutes."""

    def __init__(
        self, store: CheckpointStore, state: Callable[[], dict[str, Any]], settings: TrainSettings, emit: Emit
    ) -> None:
        """Save what `state` returns."""
        self._store, self._state, self._settings, self._emit = store, state, settings, emit
        self._saver = BackgroundSaver(store)
        self.begin(0)

    def begin(self, step: int) -> None:
        """A session, or what follows on a rollback, begins at this step, which is saved."""
        self._saved_at, self._saved_step = time.monotonic(), step

    def __call__(self, moment: Moment) -> None:
        """Begin to write a checkpoint where one is due; where that fails, go on, and try again after the usual time."""
        late = time.monotonic() - self._saved_at > 60 * self._settings.checkpoint_minutes
        if not (late or moment.passes(self._settings.previews)):
            return
        self.finish(moment.step)
        if self._saved_step != moment.step:
            self._saved_at = time.monotonic()
            self._saver.begin(moment.step, self._state())

    def collect(self, moment: Moment) -> None:
        """Note a checkpoint that has been written meanwhile."""
        if self._saver.done:
            self.finish(moment.step)

    def finish(self, step: int) -> None:
        """Wait for a checkpoint that is being written, at a step."""

        def wait() -> None:
            saved = self._saver.finish()
            if saved is not None:
                self._saved_step = saved
                self._emit(Saved(saved))

        written(step, self._emit, wait)

    def last(self, step: int) -> None:
        """Write the state at the end.

        Raises:
            OutputError: There is no room for it.
        """
        if self._saved_step != step:
            self._store.save(step, self._state())


def write_preview(preview: Preview, folder: Path) -> None:
    """Write a WAV of each sound and a PNG of each picture; a sound that an earlier preview has takes no room again.

    Raises:
        OutputError: The disk is full, or the place cannot be written.
    """
    earlier = [other for other in folder.parent.glob("step-*") if other.name < folder.name]
    for name, wav in preview.sounds.items():
        path = folder / f"{name}.wav"
        write_wav(path, wav.cpu(), preview.sample_rate)
        if earlier:
            _link_if_equal(path, max(earlier) / path.name)
    for name, columns in preview.pictures.items():
        spectrogram_png([(title, mel.cpu()) for title, mel in columns], folder / f"{name}.png")


def _link_if_equal(path: Path, earlier: Path) -> None:
    """Make a file a hard link to an earlier one with the same content, where the file system has links."""
    temporary = path.with_name(f".{path.name}")
    with suppress(OSError):
        if filecmp.cmp(path, earlier, shallow=False):
            temporary.unlink(missing_ok=True)
            os.link(earlier, temporary)
            os.replace(temporary, path)
