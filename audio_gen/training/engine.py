"""The one training loop, for every model: updates, their average, signals, a way back, and marks to look up at."""

import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from audio_gen.artefacts.checkpoint import CheckpointStore
from audio_gen.artefacts.tensors import halved, restored
from audio_gen.config import TrainSettings
from audio_gen.data.dataset import Batch, ClipDataset
from audio_gen.data.names import composed
from audio_gen.data.prefetch import Prefetcher
from audio_gen.distributed import World
from audio_gen.errors import CheckpointError, ConfigError, TrainingError
from audio_gen.text import shortened
from audio_gen.training.ema import Ema
from audio_gen.training.occasions import Event, Occasions
from audio_gen.training.recovery import MAX_ROLLBACKS
from audio_gen.training.schedule import Budget
from audio_gen.training.states import is_state, without_retired
from audio_gen.training.stop import stop_signals
from audio_gen.training.stopwatch import Stopwatch, counted
from audio_gen.training.task import Task
from audio_gen.training.updates import Updater

ELSEWHERE = "a signal to another process"
MOST_TOLD = 6  # differences, in a message
MODEL = "model."  # where a task's modules have the one that is exported


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
        on_event: Told of steps, validations, evaluations, previews, checkpoints and notes, in the lead alone.
        evaluate: Measures what the averaged model makes, at each preview; None for a model that makes nothing or a
            short run. Its first figure, lower is better, picks the best step.
        weights_of: Reads the averaged weights of a step that has a bundle, for a checkpoint that holds no weights.
        profile_steps: Steps to time part by part; what was found is told as an event.
        world: The processes that share the run.
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
    world: World = field(default_factory=World)
    weights_of: Callable[[int], dict[str, Tensor]] | None = None
    step: int = field(default=0, init=False)
    stopped_by: str | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Make optimisers and the average, and load the newest checkpoint."""
        self.task.modules.to(self.device).train()
        self.world.equalise(self.task.modules)
        if self.settings.compile:
            self._compile()
        self.watch = Stopwatch(self.profile_steps, self.device)
        self.updater = Updater(self.task, self.settings, self.device, self.watch, self.world)
        self.guard = self.updater.guard
        self.ema = Ema(self.task.model, self.settings.ema_decay, self.settings.ema_images, self.settings.batch_size)
        self.store = CheckpointStore(self.run, self.settings.keep)
        self.budget = Budget.of(self.settings)
        self.occasions = Occasions(
            self.task, self.settings, self.val, self.run, self.device, self.ema.module, self.store, self._state,
            self._tell, self.evaluate, self.budget,
        )  # fmt: skip
        self._told_of_skips = False
        self._resume()

    def _compile(self) -> None:
        """Compile in place, so that names in files stay as they are; it happens in the first step."""
        if not (parts := self.task.compilable()):
            raise ConfigError("train.compile: torch.compile takes nothing of this model; leave it off")
        for part in parts:
            part.compile()

    def fit(self) -> None:
        """Train to the end of the budget, or until a signal asks to stop; the last state is always saved.

        Raises:
            TrainingError: Losses or gradients were not finite, or exploded, time and again; or another of the run's
                processes has gone.
            OutputError: There is no room for a first checkpoint, or for the last.
        """
        if self.world.lead:
            self.occasions.first()
        with stop_signals() as stop:
            while not self._trained(stop):
                self._roll_back()
            if self.world.lead:
                self.occasions.last()

    def _trained(self, stop: list[str]) -> bool:
        """Take steps until the budget or a signal ends them (True), or too many have gone wrong (False)."""
        if self.world.lead:
            self.occasions.begin()
        batches = Prefetcher(self._micro_batches, self.step)
        try:
            with batches:
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
                            if self.world.lead:
                                self.occasions.tell_step(values, time.monotonic() - started, progress)
                    if flops:
                        self._tell({"kind": "profile", "step": self.step, **self.watch.report(flops[0])})
                    (self.occasions.at if self.world.lead else self.occasions.beside)(before, progress)
        finally:
            if self.world.lead:
                self.occasions.end()
        return True

    def _micro_batches(self, step: int) -> list[Batch]:
        """This process's part of a step's clips."""
        updater = self.updater
        return [self.train.batch(step, updater.size, number, updater.count) for number in updater.own]

    def _agreed(self, stop: list[str]) -> tuple[float, bool]:
        """The lead's progress, and whether any process has been asked to stop."""
        own = self.budget.progress(self.step) if self.world.lead else 0.0
        progress, asked = self.world.highest(own, float(bool(stop)))
        return progress, bool(asked)

    def _stops(self, stop: list[str], asked: bool) -> bool:
        """Whether to stop: alone as soon as a signal has come, with others when all know of it."""
        if not (asked if self.world.size > 1 else stop):
            return False
        self.stopped_by = stop[0] if stop else ELSEWHERE
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

    def _tell(self, event: Event) -> None:
        if self.world.lead:
            self.on_event(event)

    def _note(self, text: str) -> None:
        self._tell({"kind": "note", "text": text})

    def _count(self, step: int) -> None:
        self.step = self.occasions.step = step

    def _state(self) -> dict[str, Any]:
        return {
            "step": self.step, "elapsed_sec": self.budget.elapsed_sec(), "fingerprint": self.fingerprint,
            "modules": self.task.modules.state_dict(), "ema": self.ema.module.state_dict(),
            **self.updater.state_dict(), **self.occasions.state_dict(),
        }  # fmt: skip

    def reduced_state(self) -> dict[str, Any]:
        """A state without optimisers, and without the weights that the last step's bundle has."""
        state = self._state()
        others = {key: value for key, value in state["modules"].items() if not key.startswith(MODEL)}
        return {key: state[key] for key in state if key not in ("ema", "optimisers")} | {"modules": halved(others)}

    def _resume(self) -> None:
        state, skipped = self.store.newest()
        for line in skipped:
            self._note(f"passed over: {line}")
        if state is None:
            return
        then = state.get("fingerprint")
        if not isinstance(then, dict) or not is_state(state, self.updater.optimisers):
            raise self._foreign()
        different = [k for k, v in self.fingerprint.items() if _spelled(then.get(k)) != _spelled(v)]
        if different:
            told = ", ".join(_differences(k, then.get(k), self.fingerprint[k]) for k in different)
            raise CheckpointError(
                f"{self.run}: cannot go on ({told}); train into a new folder, with --init {shlex.quote(str(self.run))} "
                "to keep its weights, or add --force to start anew"
            )
        try:
            self._load(state)
        except (KeyError, ValueError, RuntimeError, TypeError, AttributeError, IndexError) as e:
            raise self._foreign() from e
        self.budget = self.occasions.budget = Budget.of(self.settings, state["elapsed_sec"])
        if self.step:
            self._tell({"kind": "resume", "step": self.step})
        if self.occasions.reduced and self.budget.progress(self.step) < 1:
            self._note("the run had finished and kept its weights alone, so the optimisers start anew")

    def _foreign(self) -> CheckpointError:
        return CheckpointError(
            f"{self.run}: was made by another version, whose state this one cannot take over; train into a new "
            f"folder with --init {shlex.quote(str(self.run))}, if it has a bundle, or add --force"
        )

    def _load(self, state: dict[str, Any]) -> None:
        """Take over networks, optimisers and what was best; the time that has passed has passed."""
        state = without_retired(state, self.task.retired, self.updater.optimisers)
        self.occasions.reduced = "ema" not in state
        if self.occasions.reduced:
            state = self._with_weights(state)
        self.task.modules.load_state_dict(state["modules"])
        self.ema.module.load_state_dict(state["ema"])
        self.updater.load_state_dict(state)
        self.occasions.load_state_dict(state)
        self._count(state["step"])

    def _with_weights(self, state: dict[str, Any]) -> dict[str, Any]:
        """A state as `reduced_state` gave it, with the averaged weights in place of those that went on from them."""
        if self.weights_of is None:
            raise CheckpointError(f"{self.run}: its checkpoint holds no weights; train into a new folder")
        average = self.weights_of(state["step"])
        own = {f"{MODEL}{key}": value for key, value in average.items()}
        return {**state, "ema": average, "modules": restored(state["modules"]) | own}


def _spelled(value: Any) -> Any:
    """A value of a fingerprint with names as they are spelled now: earlier versions kept them as macOS stores them."""
    return [composed(part) if isinstance(part, str) else part for part in value] if isinstance(value, list) else value


def _differences(name: str, then: Any, now: Any) -> str:
    """What differs between two values of a fingerprint: of two tables their entries, each named."""
    if not (isinstance(then, dict) and isinstance(now, dict)):
        return f"{name} {shortened(then)} then, {shortened(now)} now"
    keys = [key for key in {**then, **now} if then.get(key) != now.get(key)]
    told = [f"{key} {shortened(then.get(key))} then, {shortened(now.get(key))} now" for key in keys[:MOST_TOLD]]
    return ", ".join(told) + (", .." if keys[MOST_TOLD:] else "")
