"""Hooks between steps: validation, milestones, previews, diagnosis and checkpoints.

A hook is called after each step with a `Moment`, and decides whether it is due. All but `Validation` run in the main
process only.
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
    """The position of a run after a step.

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
        """Whether this step reaches one of `count` evenly spaced marks, the last at the end."""
        return due(self.before, self.progress, count)

    def reaches(self, progress: float) -> bool:
        """Whether this step reaches a progress."""
        return self.before < progress <= self.progress


def written(step: int, emit: Emit, write: Callable[[], object]) -> bool:
    """Call `write` and return whether it succeeded; a full disk does not end the training."""
    try:
        write()
    except OutputError as e:
        emit(Note(f"step {step}: {e}; training continues"))
        return False
    return True


@dataclass(frozen=True)
class Averaged:
    """The averaged model and the clips to validate it on.

    Attributes:
        task: Its task.
        model: The model.
        val: Held-out clips.
        settings: Cadence.
        device: Device of the model.
    """

    task: Task
    model: nn.Module
    val: ClipDataset
    settings: TrainSettings
    device: torch.device

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Figures on held-out clips."""
        batches = self.val.fixed_batches(self.settings.batch_size, self.settings.val_clips)
        return self.task.validate(self.model, (batch.to(self.device) for batch in batches))

    @torch.no_grad()
    def preview(self) -> Preview:
        """Sounds and pictures of a few held-out clips."""
        batch = next(iter(self.val.fixed_batches(PREVIEW_CLIPS, PREVIEW_CLIPS))).to(self.device)
        return self.task.preview(self.model, batch)


class Validation:
    """Validates in the main process, and passes the figures to the task in every process."""

    def __init__(
        self, averaged: Averaged, world: World, emit: Emit, take: Callable[[int, dict[str, float]], object]
    ) -> None:
        """`take` gets the step and its figures."""
        self._averaged, self._world, self._emit, self._take = averaged, world, emit, take

    def __call__(self, moment: Moment) -> None:
        """Validate if a validation is due."""
        if not moment.passes(self._averaged.settings.validations):
            return
        measured = self._averaged.validate() if self._world.is_main else None
        figures: dict[str, float] = self._world.from_main(measured)
        self._averaged.task.after_validation(figures)
        self._emit(Validated(moment.step, figures))
        self._take(moment.step, figures)


class Milestones:
    """Exports the model after a number of minutes."""

    def __init__(
        self, minutes: Sequence[float], elapsed_sec: float, export: Callable[[Moment, float], object], emit: Emit
    ) -> None:
        """Milestones before `elapsed_sec` are skipped; `export` writes a bundle."""
        self._minutes, self._before_min, self._export, self._emit = minutes, elapsed_sec / 60, export, emit

    def __call__(self, moment: Moment) -> None:
        """Export if a milestone has passed since the last call."""
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
        """`early`: progress of the first preview."""
        self._averaged, self._run, self._early, self._emit = averaged, run, early, emit

    def due(self, moment: Moment) -> bool:
        """Whether a preview is written at a moment."""
        count = self._averaged.settings.previews
        return bool(count) and (moment.passes(count) or moment.reaches(self._early))

    def __call__(self, moment: Moment) -> None:
        """Write a preview if one is due."""
        if not self.due(moment):
            return
        folder = RunFolder(self._run).preview(moment.step)
        preview = self._averaged.preview()
        if written(moment.step, self._emit, lambda: write_preview(preview, folder)):
            self._emit(Previewed(moment.step, folder))


class Diagnosis:
    """Diagnoses the run by its metrics at previews; emits each new alarm once."""

    def __init__(self, run: Path, previews: int, emit: Emit) -> None:
        """`previews`: their number over the whole run."""
        self._run, self._previews, self._emit = run, previews, emit
        self._alarmed: set[str] = set()

    def __call__(self, moment: Moment) -> None:
        """Diagnose if a preview is due."""
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
        """Start at a step that is already saved, in a new session or after a rollback."""
        self._saved_at, self._saved_step = time.monotonic(), step

    def __call__(self, moment: Moment) -> None:
        """Start to write a checkpoint if one is due; after a failure the next try comes at the usual time."""
        late = time.monotonic() - self._saved_at > 60 * self._settings.checkpoint_minutes
        if not (late or moment.passes(self._settings.previews)):
            return
        self.finish(moment.step)
        if self._saved_step != moment.step:
            self._saved_at = time.monotonic()
            self._saver.begin(moment.step, self._state())

    def collect(self, moment: Moment) -> None:
        """Report a checkpoint that the background thread has written."""
        if self._saver.done:
            self.finish(moment.step)

    def finish(self, step: int) -> None:
        """Wait for the checkpoint that is being written."""

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
    """Write a WAV of each sound and a PNG of each picture; sounds equal to those of the last preview are hard links.

    Raises:
        OutputError: The disk is full or not writable.
    """
    earlier = [other for other in folder.parent.glob("step-*") if other.name < folder.name]
    for name, wav in preview.sounds.items():
        path = folder / f"{name}.wav"
        write_wav(path, wav.cpu(), preview.sample_rate)
        if earlier:
            _link_if_equal(path, max(earlier) / path.name)
    for name, columns in preview.pictures.items():
        spectrogram_png([(title, mel.cpu()) for title, mel in columns], folder / f"{name}.png", spec=preview.stereo)


def _link_if_equal(path: Path, earlier: Path) -> None:
    """Replace a file by a hard link to an earlier one of the same content, if the file system has links."""
    temporary = path.with_name(f".{path.name}")
    with suppress(OSError):
        if filecmp.cmp(path, earlier, shallow=False):
            temporary.unlink(missing_ok=True)
            os.link(earlier, temporary)
            os.replace(temporary, path)
