"""The one training loop, for every model: steps, the averaged weights, signals, rollbacks, and hooks between steps."""

import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from audio_gen.artefacts.checkpoint import CheckpointStore, check_there
from audio_gen.artefacts.folders import RunFolder
from audio_gen.artefacts.tensors import halved, restored
from audio_gen.config import TrainSettings
from audio_gen.data.dataset import Batch, ClipDataset
from audio_gen.data.names import composed
from audio_gen.data.prefetch import Prefetcher
from audio_gen.distributed import World
from audio_gen.errors import CheckpointError, ConfigError, TrainingError
from audio_gen.text import shortened
from audio_gen.training.ema import Ema
from audio_gen.training.events import Event, Note, Profiled, Resumed, StepDone, StepLogged
from audio_gen.training.guard import MAX_ROLLBACKS
from audio_gen.training.hooks import Hook, Moment, Saving
from audio_gen.training.metrics import MetricsLog
from audio_gen.training.schedule import Budget, stop_signals
from audio_gen.training.state import Part, StateRegistry, is_count, is_duration, without_retired
from audio_gen.training.step import Updater
from audio_gen.training.stopwatch import Stopwatch, counted
from audio_gen.training.task import Task

ELSEWHERE = "a signal to another process"
MOST_SHOWN = 6  # differences, in a message
MODEL = "model."  # prefix of the exported model in a task's modules


@dataclass
class Engine:
    """Trains a task on a dataset into a run's folder, and resumes from the newest checkpoint.

    `resume` loads that checkpoint, once all parts are in `registry`; `fit` trains.

    Attributes:
        task: The model and its losses.
        settings: Length, rates, cadence.
        train: Training clips.
        run: The run's folder.
        device: Where the networks are.
        fingerprint: Values that must not change between sessions; checkpoints hold them.
        listener: Takes events, in the main process alone; it must not raise, see `Guarded`.
        profile_steps: Steps to time part by part; the result is an event.
        world: The processes that share the run.
        weights_of: Reads the averaged weights of a step that has a bundle, for a checkpoint that holds no weights.
        registry: The state that checkpoints hold.
        step: Steps done.
        stopped_by: The signal that ended the run, or None.
        trained: Whether steps were taken in this session.
    """

    task: Task
    settings: TrainSettings
    train: ClipDataset
    run: Path
    device: torch.device
    fingerprint: dict[str, Any]
    listener: Callable[[Event], object] = lambda event: None
    profile_steps: int = 0
    world: World = field(default_factory=World)
    weights_of: Callable[[int], dict[str, Tensor]] | None = None
    step: int = field(default=0, init=False)
    stopped_by: str | None = field(default=None, init=False)
    trained: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        """Build optimisers and the EMA."""
        self.task.modules.to(self.device).train()
        self.world.broadcast(self.task.modules)
        if self.settings.compile:
            self._compile()
        self.watch = Stopwatch(self.profile_steps, self.device)
        self.updater = Updater(self.task, self.settings, self.device, self.watch, self.world)
        self.guard = self.updater.guard
        self.ema = Ema(self.task.model, self.settings.ema_decay, self.settings.ema_images, self.settings.batch_size)
        self.store = CheckpointStore(self.run, self.settings.keep)
        self.budget = Budget.of(self.settings)
        self.registry = StateRegistry()
        self._register()
        self._saving = Saving(self.store, self.registry.state_dict, self.settings, self.emit)
        self._log: MetricsLog | None = None
        settings = RunFolder(self.run).settings  # there from before the first step on
        self._sentinel = settings.name if settings.exists() else ""
        self._reduced = self._noted_skips = False

    def _register(self) -> None:
        modules, average = self.task.modules, self.ema.module
        parts = {
            "step": Part(lambda: self.step, self._count, is_count),
            "elapsed_sec": Part(self.budget.elapsed_sec, self.budget.resume, is_duration),
            "fingerprint": Part(lambda: self.fingerprint, lambda then: None, lambda then: isinstance(then, dict)),
            "modules": Part(
                modules.state_dict,
                lambda states: modules.load_state_dict(without_retired(states, self.task.retired)),
                lambda states: isinstance(states, dict),
            ),
            "ema": Part(average.state_dict, average.load_state_dict, optional=True),
        }
        for name, part in parts.items():
            self.registry.register(name, part)
        self.updater.register(self.registry)

    def _compile(self) -> None:
        """Compile in place, in the first step, so that state names stay the same."""
        if not (parts := self.task.compilable()):
            raise ConfigError("train.compile: torch.compile supports no part of this model; leave it off")
        for part in parts:
            part.compile()

    def fit(self, hooks: Sequence[Hook] = ()) -> None:
        """Train to the end of the budget, or until a signal asks to stop; the last state is always saved.

        Args:
            hooks: Called after each step, in order.

        Raises:
            TrainingError: Losses or gradients repeatedly exploded or were not finite, or another process is gone.
            OutputError: There is no room for a first checkpoint, or for the last.
        """
        if self.world.is_main and (not self.store.paths() or (self._reduced and self.budget.progress(self.step) < 1)):
            self.store.save(self.step, self.registry.state_dict())
        with stop_signals() as stop:
            while not self._trained(stop, hooks):
                self._roll_back()
        if self.world.is_main:
            self._saving.last(self.step)

    def _trained(self, stop: list[str], hooks: Sequence[Hook]) -> bool:
        """Take steps to the end of the budget or a signal (True), or until too many updates are skipped (False)."""
        if self.world.is_main:
            self._log = MetricsLog(self.run, self.step)
            self._saving.begin(self.step)
        try:
            with Prefetcher(self._micro_batches, self.step) as batches:
                progress, asked = self._agreed(stop)
                while progress < 1 and not self._stops(stop, asked):
                    before, started = progress, time.monotonic()
                    with self.watch.step(), counted(self.watch.counts) as flops:
                        with self.watch.part("data"):
                            here = [batch.to(self.device) for batch in batches.get()]
                        values = self.updater.step(here, self.step, progress)
                        with self.watch.part("average"):
                            self.ema.update(self.task.model, self.step)
                        if "skipped" in values:
                            self._skipped()
                        if self.guard.exhausted:
                            return False
                        self._count(self.step + 1)
                        progress, asked = self._agreed(stop)
                        with self.watch.part("logging"):
                            if self.world.is_main:
                                self._done(values, time.monotonic() - started, progress)
                    if flops:
                        self.emit(Profiled(self.step, **self.watch.report(flops[0])))
                    self._between(Moment(self.step, progress, self.budget.elapsed_sec(), before), hooks)
        finally:
            if self._log is not None:
                self._saving.finish(self.step)
                self._log.close()
                self._log = None
        return True

    def _between(self, moment: Moment, hooks: Sequence[Hook]) -> None:
        if self.world.is_main:
            self._saving.collect(moment)
        for hook in hooks:
            hook(moment)
        if self.world.is_main:
            self._saving(moment)

    def _done(self, values: dict[str, Tensor | float], step_sec: float, progress: float) -> None:
        """Emit and log a finished step.

        Raises:
            OutputError: The run's folder is gone.
        """
        check_there(self.run, self._sentinel)
        self.trained = True
        elapsed_sec = self.budget.elapsed_sec()
        left_sec = self.budget.left_sec(self.step, step_sec)
        self.emit(StepDone(self.step, progress, step_sec, left_sec, elapsed_sec))
        if self.step % self.settings.log_every == 0 or progress >= 1:
            numbers = {key: float(value) for key, value in values.items()}
            self.emit(StepLogged(self.step, numbers, step_sec, elapsed_sec))

    def _micro_batches(self, step: int) -> list[Batch]:
        """This process's part of a step's clips."""
        updater = self.updater
        return [self.train.batch(step, updater.size, number, updater.count) for number in updater.own]

    def _agreed(self, stop: list[str]) -> tuple[float, bool]:
        """The main process's progress, and whether any process has been asked to stop."""
        own = self.budget.progress(self.step) if self.world.is_main else 0.0
        progress, asked = self.world.maximum(own, float(bool(stop)))
        return progress, bool(asked)

    def _stops(self, stop: list[str], asked: bool) -> bool:
        """Whether to stop: a single process at once, several when all know of the signal."""
        if not (asked if self.world.size > 1 else stop):
            return False
        self.stopped_by = stop[0] if stop else ELSEWHERE
        return True

    def _skipped(self) -> None:
        """Note the first skipped update; roll back at once if weights are not finite."""
        if not self._noted_skips:
            self._noted_skips = True
            self._note(f"step {self.step + 1}: an update was skipped: {self.guard.reason}")
        if not all(bool(p.isfinite().all()) for p in self.task.modules.parameters()):
            self.guard.exhaust()

    def _roll_back(self) -> None:
        """Return to the newest checkpoint with a lower learning rate.

        Raises:
            TrainingError: No checkpoint or no rollback is left.
        """
        state, rollbacks, reason = self.store.newest()[0], self.guard.rollbacks, self.guard.reason
        if state is None or rollbacks >= MAX_ROLLBACKS:
            kept = self.store.paths()[-1].name if state else "none"
            raise TrainingError(
                f"{reason} at step {self.step + 1}, still after {rollbacks} rollbacks at reduced learning rate; "
                f"checkpoint {kept} is kept; lower train.lr ({self.settings.lr:g}), such as --set "
                f"train.lr={self.settings.lr / 10:.1g}, in a new run"
            )
        failed_at, skipped = self.step + 1, self.guard.skipped
        self._load(state)
        self.guard.rollbacks, self.guard.skipped = rollbacks, skipped
        self.guard.roll_back()
        self._note(f"step {failed_at}: {reason}; back to step {self.step} with {self.guard.rate:g} x the learning rate")

    def emit(self, event: Event) -> None:
        """Log an event and pass it to the listener, in the main process."""
        if self.world.is_main:
            if self._log is not None:
                self._log.record(event)
            self.listener(event)

    def _note(self, text: str) -> None:
        self.emit(Note(text))

    def _count(self, step: int) -> None:
        self.step = step

    def reduced_state(self) -> dict[str, Any]:
        """A state without optimisers and without the weights of the last step's bundle."""
        state = self.registry.state_dict()
        others = {key: value for key, value in state["modules"].items() if not key.startswith(MODEL)}
        return {key: state[key] for key in state if key not in ("ema", "optimisers")} | {"modules": halved(others)}

    def resume(self) -> None:
        """Load the newest checkpoint, if there is one.

        Raises:
            CheckpointError: It is of another model or version, or damaged.
        """
        state, skipped = self.store.newest()
        for line in skipped:
            self._note(f"skipped: {line}")
        if state is None:
            return
        if not self.registry.fits(state):
            raise self._unreadable()
        then = state["fingerprint"]
        different = [k for k, v in self.fingerprint.items() if _spelled(then.get(k)) != _spelled(v)]
        if different:
            changes = ", ".join(_differences(k, then.get(k), self.fingerprint[k]) for k in different)
            raise CheckpointError(
                f"{self.run}: cannot resume ({changes}); train into a new folder, with --init "
                f"{shlex.quote(str(self.run))} to keep its weights, or add --force to start again"
            )
        try:
            self._load(state)
        except (KeyError, ValueError, RuntimeError, TypeError, AttributeError, IndexError) as e:
            raise self._unreadable() from e
        if self.step:
            self.emit(Resumed(self.step))
        if self._reduced and self.budget.progress(self.step) < 1:
            self._note("the run had finished and kept only its weights, so the optimisers start from zero")

    def _unreadable(self) -> CheckpointError:
        return CheckpointError(
            f"{self.run}: its checkpoint is of another version and cannot be read; train into a new folder with "
            "--init "
            f"{shlex.quote(str(self.run))}, if it has a bundle, or add --force"
        )

    def _load(self, state: dict[str, Any]) -> None:
        """Load networks, optimisers and figures; the elapsed time never decreases."""
        self._reduced = "ema" not in state
        if self._reduced:  # it holds no optimisers
            state = {**self._with_weights(state), "began": state["step"]}
        self.registry.load(state)

    def _with_weights(self, state: dict[str, Any]) -> dict[str, Any]:
        """A state of `reduced_state`, with the averaged weights as the weights of the model."""
        if self.weights_of is None:
            raise CheckpointError(f"{self.run}: its checkpoint holds no weights; train into a new folder")
        average = self.weights_of(state["step"])
        own = {f"{MODEL}{key}": value for key, value in average.items()}
        return {**state, "ema": average, "modules": restored(state["modules"]) | own}


def _spelled(value: Any) -> Any:
    """A value of a fingerprint with composed names; earlier versions kept them decomposed, as macOS stores them."""
    return [composed(part) if isinstance(part, str) else part for part in value] if isinstance(value, list) else value


def _differences(name: str, then: Any, now: Any) -> str:
    """The difference of two values of a fingerprint; of two tables, that of each entry."""
    if not (isinstance(then, dict) and isinstance(now, dict)):
        return f"{name} {shortened(then)} then, {shortened(now)} now"
    keys = [key for key in {**then, **now} if then.get(key) != now.get(key)]
    shown = [f"{key} {shortened(then.get(key))} then, {shortened(now.get(key))} now" for key in keys[:MOST_SHOWN]]
    return ", ".join(shown) + (", .." if keys[MOST_SHOWN:] else "")
