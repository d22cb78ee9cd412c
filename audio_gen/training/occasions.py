"""What a run does at its marks beside updates: validation, previews, evaluations, verdicts, milestones, checkpoints."""

import time
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from audio_gen.artefacts.checkpoint import CheckpointStore, check_there
from audio_gen.artefacts.folders import RunFolder
from audio_gen.config import TrainSettings
from audio_gen.data.dataset import ClipDataset
from audio_gen.errors import OutputError
from audio_gen.training.checkpoints import BackgroundSaver
from audio_gen.training.choice import VALIDATION_NOISE, Figure, chosen, figure
from audio_gen.training.diagnosis import diagnose
from audio_gen.training.metrics import MetricsLog, read_metrics
from audio_gen.training.previews import write_preview
from audio_gen.training.schedule import Budget, due
from audio_gen.training.task import Task

Event = dict[str, Any]
PREVIEW_CLIPS, EVALUATION_SHARE = 4, 0.05  # an evaluation's share is of the time trained so far


@dataclass
class Occasions:
    """Looks at the averaged model and writes files; of the processes that share a run only the lead writes any.

    Attributes:
        task: The model and its losses.
        settings: Cadence.
        val: Clips kept out.
        run: The run's folder.
        device: Where the networks are.
        averaged: The averaged model.
        store: The run's checkpoints.
        state: What a checkpoint holds of the training.
        tell: Told what happens.
        evaluate: Measures what a model makes; None for one that makes nothing or a short run.
        budget: The run's length.
        export: Writes the bundle, at previews, and where validations pick the best step at these.
        step: Steps done.
        figures: What steps were worth, by what picks the best one.
        trained: Whether steps were taken in this session.
        reduced: Whether the checkpoint that the run goes on from holds weights alone.
    """

    task: Task
    settings: TrainSettings
    val: ClipDataset
    run: Path
    device: torch.device
    averaged: nn.Module
    store: CheckpointStore
    state: Callable[[], dict[str, Any]]
    tell: Callable[[Event], None]
    evaluate: Callable[[nn.Module], dict[str, float]] | None
    budget: Budget
    export: Callable[[], None] = lambda: None
    step: int = 0
    figures: list[Figure] = field(default_factory=list)
    trained: bool = False
    reduced: bool = False
    _evaluation_sec: float = field(default=0.0, init=False)
    _alarmed: set[str] = field(default_factory=set, init=False)

    def __post_init__(self) -> None:
        """Save in the background."""
        self.saver = BackgroundSaver(self.store)

    def begin(self) -> None:
        """Open the log where training begins, or begins again."""
        settings = RunFolder(self.run).settings  # there from before the first step on
        self._sentinel = settings.name if settings.exists() else ""
        self.log = MetricsLog(self.run, self.step)
        self._saved_at, self._saved_step = time.monotonic(), self.step
        self._elapsed_min = self.budget.elapsed_sec() / 60

    def end(self) -> None:
        """Let what is being written be written, and close the log."""
        self._finish_saving()
        self.log.close()

    def first(self) -> None:
        """Write a checkpoint before the first step, and in place of one that holds weights alone.

        Raises:
            OutputError: There is no room for it.
        """
        if not self.store.paths() or (self.reduced and self.budget.progress(self.step) < 1):
            self.store.save(self.step, self.state())

    def last(self) -> None:
        """Write the state at the end.

        Raises:
            OutputError: There is no room for it.
        """
        if self._saved_step != self.step:
            self.store.save(self.step, self.state())

    def tell_step(self, values: Mapping[str, Tensor | float], step_sec: float, progress: float) -> None:
        """Tell and log a step that is done.

        Raises:
            OutputError: The run's folder is gone.
        """
        check_there(self.run, self._sentinel)
        self.trained = True
        elapsed, left = self.budget.elapsed_sec(), self.budget.left_sec(self.step, step_sec)
        times = {"progress": progress, "step_sec": step_sec, "left_sec": left, "elapsed_sec": elapsed}
        self.tell({"kind": "step", "step": self.step, **times})
        if self.step % self.settings.log_every == 0 or progress >= 1:
            numbers = {key: float(value) for key, value in values.items()}
            self.log.write(self.step, {**numbers, "time/step_sec": step_sec, "time/elapsed_sec": elapsed})
            self.tell({"kind": "metrics", "step": self.step, "values": numbers})

    def at(self, before: float, progress: float) -> None:
        """Validate, preview and save where the run has come to a mark between two values of its progress."""
        if self.saver.done:
            self._finish_saving()
        validated = due(before, progress, self.settings.validations)
        if validated:
            self._validate()
        for minutes in self._reached():
            self._written(partial(self.tell, {"kind": "milestone", "step": self.step, "minutes": minutes}))
        if due(before, progress, self.settings.previews):
            self._preview()
            self._evaluate()
            self._diagnose(progress)
            self._written(self.export)
            self._save()
        elif before < self.budget.early <= progress and self.settings.previews:
            self._preview()
            self._written(self.export)
        elif validated and self.judged_by == "validation":
            self._written(self.export)
        elif time.monotonic() - self._saved_at > 60 * self.settings.checkpoint_minutes:
            self._save()

    def beside(self, before: float, progress: float) -> None:
        """What the other processes do while the lead is `at` a mark: validate too, as tasks may learn from it."""
        if due(before, progress, self.settings.validations):
            self._validated()

    @property
    def judged_by(self) -> str:
        """What picks the best step: evaluations; validations for a task that makes no clips; "" for nothing.

        What a GAN's validation measures first, the error of guesses at inversion, tells nothing of its samples, nor
        does the error of a VAE, which is lowest while the KL weight is still small.
        """
        if not self.task.makes_clips:
            return "validation"
        return "" if self.evaluate is None else "evaluation"

    def best(self) -> Figure | None:
        """The best step's figure; None where nothing was judged."""
        return chosen(self.figures)

    def newest_is_best(self) -> bool:
        """Whether the weights as they are now are the best; steps that were not judged count as the last that was."""
        best = self.best()
        return best is None or best == self.figures[-1]

    def state_dict(self) -> dict[str, Any]:
        """What steps were worth, and the time that evaluations took, for a checkpoint."""
        return {"figures": [astuple(one) for one in self.figures], "evaluation_sec": self._evaluation_sec}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint; the time that evaluations took stays what it is if that is more."""
        self.step = state["step"]
        self._evaluation_sec = max(self._evaluation_sec, state["evaluation_sec"])
        self.figures = [Figure(*one) for one in state["figures"]]

    def note(self, text: str) -> None:
        """Tell a line."""
        self.tell({"kind": "note", "text": text})

    def _reached(self) -> list[float]:
        """Milestones, in minutes, that have come since the last step."""
        before, self._elapsed_min = self._elapsed_min, self.budget.elapsed_sec() / 60
        return [minutes for minutes in self.settings.milestones if before < minutes <= self._elapsed_min]

    def _validated(self) -> dict[str, float]:
        batches = (b.to(self.device) for b in self.val.fixed_batches(self.settings.batch_size, self.settings.val_clips))
        with torch.no_grad():
            return self.task.validate(self.averaged, batches)

    def _validate(self) -> None:
        values = self._validated()
        self.log.write(self.step, {f"val/{key}": value for key, value in values.items()})
        self.tell({"kind": "val", "step": self.step, "values": values})
        if self.judged_by == "validation" and values:
            self.figures.append(figure(self.step, next(iter(values.values())), None, VALIDATION_NOISE))

    def _evaluate(self) -> None:
        """Measure what the model makes, unless that would take more than its share of the time."""
        if self.evaluate is None:
            return
        if self._evaluation_sec > EVALUATION_SHARE * self.budget.elapsed_sec():
            return self.note(f"step {self.step}: not evaluated, to save time")
        started = time.monotonic()
        with torch.no_grad():
            values = self.evaluate(self.averaged)
        self._evaluation_sec += time.monotonic() - started
        times = {"time/evaluation_sec": self._evaluation_sec, "time/elapsed_sec": self.budget.elapsed_sec()}
        self.log.write(self.step, {f"eval/{key}": value for key, value in values.items()} | times)
        self.tell({"kind": "evaluation", "step": self.step, "values": values})
        self.figures.append(figure(self.step, next(iter(values.values())), values.get("kad_se")))

    def _diagnose(self, progress: float) -> None:
        """Judge the run by its metrics, log the findings and emit alarms that are new."""
        findings = diagnose(read_metrics(self.run), progress=progress)
        self.log.write_text(self.step, "health", [finding.to_json() for finding in findings])
        new = [finding for finding in findings if finding.alarm and finding.name not in self._alarmed]
        self._alarmed = {finding.name for finding in findings if finding.alarm}
        for finding in new:
            self.tell({"kind": "health", "step": self.step, "name": finding.name, "text": finding.text})

    def _preview(self) -> None:
        folder = RunFolder(self.run).preview(self.step)
        batch = next(iter(self.val.fixed_batches(PREVIEW_CLIPS, PREVIEW_CLIPS))).to(self.device)
        with torch.no_grad():
            preview = self.task.preview(self.averaged, batch)
        if self._written(lambda: write_preview(preview, folder)):
            self.tell({"kind": "preview", "step": self.step, "folder": str(folder)})

    def _save(self) -> None:
        """Begin to write a checkpoint; where that fails, go on, and try again after the usual time."""
        self._finish_saving()
        if self._saved_step != self.step:
            self._saved_at = time.monotonic()
            self.saver.begin(self.step, self.state())

    def _finish_saving(self) -> None:
        """Wait for a checkpoint that is being written, and tell of it."""

        def finish() -> None:
            step = self.saver.finish()
            if step is not None:
                self._saved_step = step
                self.tell({"kind": "checkpoint", "step": step})

        self._written(finish)

    def _written(self, write: Callable[[], Any]) -> bool:
        """Whether something could be written; training does not end because a disk is full for a while."""
        try:
            write()
        except OutputError as e:
            self.note(f"step {self.step}: {e}; training goes on meanwhile")
            return False
        return True
