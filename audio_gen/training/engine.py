"""The one training loop, for every model: EMA, validation, checkpoints, previews, signals, and a way back."""

import copy
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from audio_gen.config import TrainSettings
from audio_gen.data.dataset import ClipDataset
from audio_gen.data.prefetch import Prefetcher
from audio_gen.errors import CheckpointError, OutputError, TrainingError
from audio_gen.training.checkpoints import CheckpointStore
from audio_gen.training.ema import Ema
from audio_gen.training.health import diagnose
from audio_gen.training.metrics import MetricsLog, read_metrics
from audio_gen.training.previews import write_preview
from audio_gen.training.recovery import MAX_ROLLBACKS
from audio_gen.training.schedule import Budget, due
from audio_gen.training.stop import stop_signals
from audio_gen.training.stopwatch import Stopwatch, counted
from audio_gen.training.task import Task
from audio_gen.training.updates import Updater

Event = dict[str, Any]
PREVIEW_CLIPS, EVALUATION_SHARE = 4, 0.05  # an evaluation's share is of the time trained so far


@dataclass
class Engine:
    """Trains a task on a dataset into a run's folder, and goes on where the newest checkpoint left off.

    Attributes:
        task: The model and its losses.
        settings: Length, rates, cadence.
        train: Clips to learn from.
        val: Clips kept out.
        run: The run's folder.
        device: Where the networks are.
        fingerprint: What must not change between sessions; it is kept in checkpoints and compared.
        on_event: Told of steps, validations, evaluations, previews, checkpoints and notes.
        evaluate: Measures what the averaged model makes, at each preview; None for a model that makes nothing or a
            short run. Its first figure, lower is better, picks the best checkpoint; without it, that of `validate`.
        profile_steps: Steps to time part by part; what was found is told as an event.
    """

    task: Task
    settings: TrainSettings
    train: ClipDataset
    val: ClipDataset
    run: Path
    device: torch.device
    fingerprint: dict[str, Any]
    on_event: Callable[[Event], None] = lambda event: None
    evaluate: Callable[[nn.Module], dict[str, float]] | None = None
    profile_steps: int = 0
    step: int = field(default=0, init=False)
    best: float = field(default=math.inf, init=False)
    best_step: int = field(default=0, init=False)
    stopped_by: str | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Make optimisers and the average, and load the newest checkpoint."""
        self.task.modules.to(self.device).train()
        self.watch = Stopwatch(self.profile_steps, self.device)
        self.updater = Updater(self.task, self.settings, self.device, self.watch)
        self.guard = self.updater.guard
        self.ema = Ema(self.task.model, self.settings.ema_decay, self.settings.ema_images, self.settings.batch_size)
        self.store = CheckpointStore(self.run, self.settings.keep)
        self.budget = Budget.of(self.settings)
        self._evaluation_sec, self._elapsed_min = 0.0, 0.0
        self._alarmed: set[str] = set()
        self._told_of_skips = False
        self._resume()

    def fit(self) -> None:
        """Train to the end of the budget, or until a signal asks to stop; the last state is always saved.

        Raises:
            TrainingError: Losses or gradients were not finite, or exploded, time and again.
            OutputError: There is no room for a first checkpoint, or for the last.
        """
        if not self.store.paths():
            self.store.save(self.step, self._state())
        with stop_signals() as stop:
            while not self._trained(stop):
                self._roll_back()
            self.stopped_by = stop[0] if stop else None
            if self._saved_step != self.step:
                self.store.save(self.step, self._state())

    def _trained(self, stop: list[str]) -> bool:
        """Take steps until the budget or a signal ends them (True), or too many have gone wrong (False)."""
        self.log = MetricsLog(self.run, self.step)
        self._saved_at, self._saved_step = time.monotonic(), self.step
        progress, self._elapsed_min = self.budget.progress(self.step), self.budget.elapsed_sec() / 60
        batches = Prefetcher(lambda step: self.train.batch(step, self.settings.batch_size), self.step)
        try:
            with batches:
                while progress < 1 and not stop:
                    before, started = progress, time.monotonic()
                    with self.watch.step(), counted(self.watch.counts) as flops:
                        with self.watch.part("data"):
                            batch = batches.get().to(self.device)
                        values = self.updater.step(batch, self.step, progress)
                        with self.watch.part("average"):
                            self.ema.update(self.task.model, self.step)
                        if "skipped" in values:
                            self._skipped()
                        if self.guard.exhausted:
                            return False
                        self.step += 1
                        progress = self.budget.progress(self.step)
                        with self.watch.part("logging"):
                            self._told(values, time.monotonic() - started, progress)
                    if flops:
                        self.on_event({"kind": "profile", "step": self.step, **self.watch.report(flops[0])})
                    self._occasions(before, progress)
        finally:
            self.log.close()
        return True

    def _skipped(self) -> None:
        """Tell of the first updates that are left out; weights that are themselves broken get no second chance."""
        if not self._told_of_skips:
            self._told_of_skips = True
            self._note(f"step {self.step + 1}: an update was left out: {self.guard.reason}")
        if not all(bool(p.isfinite().all()) for p in self.task.modules.parameters()):
            self.guard.give_up_on()

    def _roll_back(self) -> None:
        """Go back to the newest checkpoint with a lower rate, if there is still a chance.

        Raises:
            TrainingError: There is none.
        """
        state, rollbacks, reason = self.store.newest()[0], self.guard.rollbacks, self.guard.reason
        if state is None or rollbacks >= MAX_ROLLBACKS:
            kept = self.store.paths()[-1].name if state else "none"
            raise TrainingError(
                f"{reason} at step {self.step + 1}, and again after {rollbacks} times back with lower rates; the state "
                f"of {kept} is kept; lower train.lr ({self.settings.lr:g}), such as --set "
                f"train.lr={self.settings.lr / 10:.1g}, in a new run"
            )
        failed_at, skipped = self.step + 1, self.guard.skipped
        self._load(state)
        self.guard.rollbacks, self.guard.skipped = rollbacks, skipped
        self.guard.roll_back()
        self._note(f"step {failed_at}: {reason}; back to step {self.step} with {self.guard.rate:g} x the learning rate")

    def _told(self, values: dict[str, Tensor | float], step_sec: float, progress: float) -> None:
        elapsed, left = self.budget.elapsed_sec(), self.budget.left_sec(self.step, step_sec)
        times = {"progress": progress, "step_sec": step_sec, "left_sec": left, "elapsed_sec": elapsed}
        self.on_event({"kind": "step", "step": self.step, **times})
        if self.step % self.settings.log_every == 0 or progress >= 1:
            numbers = {key: float(value) for key, value in values.items()}
            self.log.write(self.step, {**numbers, "time/step_sec": step_sec, "time/elapsed_sec": elapsed})
            self.on_event({"kind": "metrics", "step": self.step, "values": numbers})

    def _occasions(self, before: float, progress: float) -> None:
        """Validate, preview and save where the run has come to a mark."""
        if due(before, progress, self.settings.validations):
            self._validate()
        for minutes in self._reached():
            self._written(partial(self.on_event, {"kind": "milestone", "step": self.step, "minutes": minutes}))
        if due(before, progress, self.settings.previews):
            self._preview()
            self._evaluate()
            self._diagnose(progress)
            self._save()
        elif before < self.budget.early <= progress and self.settings.previews:
            self._preview()
        elif time.monotonic() - self._saved_at > 60 * self.settings.checkpoint_minutes:
            self._save()

    def _reached(self) -> list[float]:
        """Milestones, in minutes, that have come since the last step."""
        before, self._elapsed_min = self._elapsed_min, self.budget.elapsed_sec() / 60
        return [minutes for minutes in self.settings.milestones if before < minutes <= self._elapsed_min]

    def _validate(self) -> None:
        batches = (b.to(self.device) for b in self.val.fixed_batches(self.settings.batch_size, self.settings.val_clips))
        with torch.no_grad():
            values = self.task.validate(self.ema.module, batches)
        self.log.write(self.step, {f"val/{key}": value for key, value in values.items()})
        self.on_event({"kind": "val", "step": self.step, "values": values})
        if self._best_of() == "validation":
            self._keep_best(values)

    def _evaluate(self) -> None:
        """Measure what the model makes, unless that would take more than its share of the time."""
        if self.evaluate is None:
            return
        if self._evaluation_sec > EVALUATION_SHARE * self.budget.elapsed_sec():
            return self._note(f"step {self.step}: not evaluated, to save time")
        started = time.monotonic()
        with torch.no_grad():
            values = self.evaluate(self.ema.module)
        self._evaluation_sec += time.monotonic() - started
        times = {"time/evaluation_sec": self._evaluation_sec, "time/elapsed_sec": self.budget.elapsed_sec()}
        self.log.write(self.step, {f"eval/{key}": value for key, value in values.items()} | times)
        self.on_event({"kind": "evaluation", "step": self.step, "values": values})
        self._keep_best(values)

    def _diagnose(self, progress: float) -> None:
        """Judge the run by its metrics; an alarm is told when it is new, the rest where it changes nothing else."""
        verdicts = diagnose(read_metrics(self.run), progress=progress)
        self.log.write_text(self.step, "health", [asdict(verdict) for verdict in verdicts])
        new = [verdict for verdict in verdicts if verdict.alarm and verdict.name not in self._alarmed]
        self._alarmed = {verdict.name for verdict in verdicts if verdict.alarm}
        for verdict in new:
            self.on_event({"kind": "health", "step": self.step, "name": verdict.name, "text": verdict.text})

    def best_weights(self) -> nn.Module | None:
        """The averaged model as it was at the best evaluation; None where that is the last, or there was none."""
        if self._best_of() == "validation" or self.best_step in (0, self.step):
            return None
        best = copy.deepcopy(self.ema.module)
        best.load_state_dict(self.store.best()["ema"])
        return best

    def _best_of(self) -> str:
        """Whose first figure picks the best checkpoint."""
        return "validation" if self.evaluate is None else "evaluation"

    def _keep_best(self, values: Mapping[str, float]) -> None:
        first = next(iter(values.values()), math.inf)
        if first < self.best:
            before, self.best, self.best_step = (self.best, self.best_step), first, self.step
            if not self._written(lambda: self.store.save_best(self._state())):
                self.best, self.best_step = before

    def _preview(self) -> None:
        folder = self.run / "previews" / f"step-{self.step:08d}"
        batch = next(iter(self.val.fixed_batches(PREVIEW_CLIPS, PREVIEW_CLIPS))).to(self.device)
        with torch.no_grad():
            preview = self.task.preview(self.ema.module, batch)
        if self._written(lambda: write_preview(preview, folder)):
            self.on_event({"kind": "preview", "step": self.step, "folder": str(folder)})

    def _save(self) -> None:
        """Write a checkpoint; where that fails, go on, and try again after the usual time."""
        if self._saved_step == self.step:
            return
        self._saved_at = time.monotonic()
        if self._written(lambda: self.store.save(self.step, self._state())):
            self._saved_step = self.step
            self.on_event({"kind": "checkpoint", "step": self.step})

    def _written(self, write: Callable[[], Any]) -> bool:
        """Whether something could be written; training does not end because a disk is full for a while."""
        try:
            write()
        except OutputError as e:
            self._note(f"step {self.step}: {e}; training goes on meanwhile")
            return False
        return True

    def _note(self, text: str) -> None:
        self.on_event({"kind": "note", "text": text})

    def _state(self) -> dict[str, Any]:
        return {
            "step": self.step, "elapsed_sec": self.budget.elapsed_sec(), "evaluation_sec": self._evaluation_sec,
            "best": self.best, "best_step": self.best_step, "best_of": self._best_of(),
            "fingerprint": self.fingerprint, "modules": self.task.modules.state_dict(),
            "ema": self.ema.module.state_dict(),
            **self.updater.state_dict(),
        }  # fmt: skip

    def _resume(self) -> None:
        state, skipped = self.store.newest()
        for line in skipped:
            self._note(f"passed over: {line}")
        if state is None:
            return
        different = [k for k, v in self.fingerprint.items() if state["fingerprint"].get(k) != v]
        if different:
            told = ", ".join(f"{k} {state['fingerprint'].get(k)} then, {self.fingerprint[k]} now" for k in different)
            raise CheckpointError(f"{self.run}: cannot go on ({told}); train into a new folder, or add --force")
        self._load(state)
        self.budget = Budget.of(self.settings, state["elapsed_sec"])
        self._evaluation_sec = state.get("evaluation_sec", 0.0)
        if self.step:
            self.on_event({"kind": "resume", "step": self.step})

    def _load(self, state: dict[str, Any]) -> None:
        """Take over networks, optimisers and what was best; the time that has passed has passed."""
        self.task.modules.load_state_dict(state["modules"])
        self.ema.module.load_state_dict(state["ema"])
        self.updater.load_state_dict(state)
        self.step = state["step"]
        if state.get("best_of") == self._best_of():
            self.best, self.best_step = state["best"], state["best_step"]
