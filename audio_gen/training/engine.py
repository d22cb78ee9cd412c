"""The one training loop, for every model: phases, precision, clipping, EMA, checkpoints, previews, signals."""

import copy
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from audio_gen.audio.io import write_wav
from audio_gen.audio.picture import spectrogram_png
from audio_gen.config import TrainSettings
from audio_gen.data.dataset import Batch, ClipDataset
from audio_gen.data.prefetch import Prefetcher
from audio_gen.errors import CheckpointError, TrainingError
from audio_gen.training.checkpoints import CheckpointStore
from audio_gen.training.ema import Ema
from audio_gen.training.health import diagnose
from audio_gen.training.metrics import MetricsLog, read_metrics
from audio_gen.training.schedule import Budget, due, lr_factor
from audio_gen.training.stop import stop_signals
from audio_gen.training.task import Phase, Task

Event = dict[str, Any]
NOISE_STREAM, PREVIEW_CLIPS = 1, 4
EVALUATION_SHARE = 0.05  # of the time trained so far


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
    step: int = field(default=0, init=False)
    best: float = field(default=math.inf, init=False)
    best_step: int = field(default=0, init=False)
    stopped_by: str | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Make optimisers and the average, and load the newest checkpoint."""
        self.task.modules.to(self.device).train()
        self.phases = self.task.phases()
        self.optimisers = {phase.name: self._optimiser(phase) for phase in self.phases}
        self.ema = Ema(self.task.model, self.settings.ema_decay, self.settings.ema_images, self.settings.batch_size)
        self.store = CheckpointStore(self.run, self.settings.keep)
        self.budget = Budget(self.settings.steps, self.settings.minutes)
        self._evaluation_sec, self._elapsed_min = 0.0, 0.0
        self._alarmed: set[str] = set()
        self._resume()

    def fit(self) -> None:
        """Train to the end of the budget, or until a signal asks to stop; the last state is always saved.

        Raises:
            TrainingError: A loss or gradient was not finite; the last checkpoint is from before it.
        """
        self.log = MetricsLog(self.run, self.step)
        self._saved_at, self._saved_step = time.monotonic(), self.step if self.store.paths() else -1
        progress, self._elapsed_min = self.budget.progress(self.step), self.budget.elapsed_sec() / 60
        batches = Prefetcher(lambda step: self.train.batch(step, self.settings.batch_size), self.step)
        try:
            with stop_signals() as stop, batches:
                while progress < 1 and not stop:
                    before, started = progress, time.monotonic()
                    values = self._step(batches.get().to(self.device), progress)
                    self.step += 1
                    progress = self.budget.progress(self.step)
                    self._told(values, time.monotonic() - started, progress)
                    self._occasions(before, progress)
                self.stopped_by = stop[0] if stop else None
            self._save()
        finally:
            self.log.close()

    def _step(self, batch: Batch, progress: float) -> dict[str, Tensor | float]:
        """One update of every phase; returns what to log."""
        factor = lr_factor(self.step, progress, self.settings.warmup_steps)
        values: dict[str, Tensor | float] = {"lr": self.settings.lr * factor}
        for phase in self.phases:
            generator = torch.Generator(self.device).manual_seed(self._noise_seed(phase))
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.precision == "bf16"):
                losses = self.task.losses(phase.name, batch, generator)
            total = weighted_sum(losses, self.task.weights(phase.name, progress))
            optimiser = self.optimisers[phase.name]
            optimiser.zero_grad(set_to_none=True)
            total.backward()
            norm = nn.utils.clip_grad_norm_(phase.parameters(), self.settings.clip_norm)
            self._check_finite(phase.name, losses, total, norm)
            for group in optimiser.param_groups:
                group["lr"] = self.settings.lr * factor * group["factor"]
            optimiser.step()
            values |= {f"loss/{key}": value.detach() for key, value in losses.items()}
            values[f"grad_norm/{phase.name}"] = norm
        self.ema.update(self.task.model, self.step)
        return values | dict(self.task.readings())

    def _check_finite(self, phase: str, losses: Mapping[str, Tensor], total: Tensor, norm: Tensor) -> None:
        if math.isfinite(float(total.detach()) + float(norm)):
            return
        bad = [key for key, value in losses.items() if not math.isfinite(float(value.detach()))] or ["the gradient"]
        kept = self.store.paths()
        where = f"the state of {kept[-1].name} is kept" if kept else "no checkpoint had been written yet"
        raise TrainingError(
            f"{', '.join(bad)} became NaN or infinite at step {self.step} (phase {phase}); {where}; "
            f"lower train.lr ({self.settings.lr:g}), such as --set train.lr={self.settings.lr / 3:.1g}, in a new run"
        )

    def _told(self, values: dict[str, Tensor | float], step_sec: float, progress: float) -> None:
        self.on_event(
            {
                "kind": "step", "step": self.step, "progress": progress, "step_sec": step_sec,
                "left_sec": self.budget.left_sec(self.step, step_sec), "elapsed_sec": self.budget.elapsed_sec(),
            }
        )  # fmt: skip
        if self.step % self.settings.log_every == 0 or progress >= 1:
            numbers = {key: float(value) for key, value in values.items()}
            times = {"time/step_sec": step_sec, "time/elapsed_sec": self.budget.elapsed_sec()}
            self.log.write(self.step, numbers | times)
            self.on_event({"kind": "metrics", "step": self.step, "values": numbers})

    def _occasions(self, before: float, progress: float) -> None:
        """Validate, preview and save where the run has come to a mark."""
        if due(before, progress, self.settings.validations):
            self._validate()
        for minutes in self._reached():
            self.on_event({"kind": "milestone", "step": self.step, "minutes": minutes})
        if due(before, progress, self.settings.previews):
            self._preview()
            self._evaluate()
            self._diagnose(progress)
            self._save()
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
            self.on_event({"kind": "note", "text": f"step {self.step}: not evaluated, to save time"})
            return
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
            self.best, self.best_step = first, self.step
            self.store.save_best(self._state())

    def _preview(self) -> None:
        folder = self.run / "previews" / f"step-{self.step:08d}"
        batch = next(iter(self.val.fixed_batches(PREVIEW_CLIPS, PREVIEW_CLIPS))).to(self.device)
        with torch.no_grad():
            preview = self.task.preview(self.ema.module, batch)
        for name, wav in preview.sounds.items():
            write_wav(folder / f"{name}.wav", wav.cpu(), preview.sample_rate)
        for name, columns in preview.pictures.items():
            spectrogram_png([(title, mel.cpu()) for title, mel in columns], folder / f"{name}.png")
        self.on_event({"kind": "preview", "step": self.step, "folder": str(folder)})

    def _save(self) -> None:
        if self._saved_step == self.step:
            return
        path = self.store.save(self.step, self._state())
        self._saved_at, self._saved_step = time.monotonic(), self.step
        self.on_event({"kind": "checkpoint", "step": self.step, "path": str(path)})

    def _state(self) -> dict[str, Any]:
        return {
            "step": self.step, "elapsed_sec": self.budget.elapsed_sec(), "evaluation_sec": self._evaluation_sec,
            "best": self.best, "best_step": self.best_step, "best_of": self._best_of(),
            "fingerprint": self.fingerprint, "modules": self.task.modules.state_dict(),
            "ema": self.ema.module.state_dict(),
            "optimisers": {name: optimiser.state_dict() for name, optimiser in self.optimisers.items()},
        }  # fmt: skip

    def _resume(self) -> None:
        state, skipped = self.store.newest()
        for line in skipped:
            self.on_event({"kind": "note", "text": f"passed over: {line}"})
        if state is None:
            return
        different = [k for k, v in self.fingerprint.items() if state["fingerprint"].get(k) != v]
        if different:
            told = ", ".join(f"{k} {state['fingerprint'].get(k)} then, {self.fingerprint[k]} now" for k in different)
            raise CheckpointError(f"{self.run}: cannot go on ({told}); train into a new folder, or add --force")
        self.task.modules.load_state_dict(state["modules"])
        self.ema.module.load_state_dict(state["ema"])
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])
        self.step, self.budget.spent_sec = state["step"], state["elapsed_sec"]
        self._evaluation_sec = state.get("evaluation_sec", 0.0)
        if state.get("best_of") == self._best_of():
            self.best, self.best_step = state["best"], state["best_step"]
        self.on_event({"kind": "resume", "step": self.step})

    def _optimiser(self, phase: Phase) -> torch.optim.Optimizer:
        groups = [{"params": parameters, "factor": factor} for parameters, factor in phase.groups]
        return torch.optim.AdamW(
            groups, lr=self.settings.lr, betas=self.settings.betas, weight_decay=self.settings.weight_decay, fused=True
        )

    def _noise_seed(self, phase: Phase) -> int:
        number = [p.name for p in self.phases].index(phase.name)
        return (((self.settings.seed * 1_000_003 + self.step) * 16 + number) * 16 + NOISE_STREAM) % 2**63


def weighted_sum(losses: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """The total loss; each weight is applied here, once.

    Raises:
        TrainingError: A loss has no weight, or a weight no loss.
    """
    if losses.keys() != weights.keys():
        odd = ", ".join(sorted(losses.keys() ^ weights.keys()))
        raise TrainingError(f"losses and weights do not match ({odd}); give each loss exactly one weight")
    return torch.stack([weights[key] * value for key, value in losses.items()]).sum()
