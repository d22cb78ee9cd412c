"""One step: an update of every phase of a task, with precision, micro-batches, clipping, rates and the guard."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from audio_gen.config import TrainSettings
from audio_gen.data.dataset import Batch
from audio_gen.distributed import World
from audio_gen.training.guard import Guard
from audio_gen.training.schedule import lr_factor
from audio_gen.training.state import Part, StateRegistry, are_optimisers, is_count, shortened_groups
from audio_gen.training.stopwatch import Stopwatch
from audio_gen.training.task import Phase, Task

NOISE_STREAM = 1
MICRO_STREAM = 1_000_000_007  # apart from the seed, the step and the phase

Sums = dict[tuple[str, str], Tensor]  # by kind ("loss", "statistic" or "total") and name
# Of each micro-batch: its number, the generator of the first phase, and the data that phases share.
Begun = list[tuple[int, torch.Generator, Any]]


class Updater:
    """Updates the parameters of a task's phases; bad updates are skipped.

    Args:
        task: The model and its losses.
        settings: Rates, clipping, precision.
        device: Where the networks are.
        watch: Times forward, backward and optimiser.
        world: The processes that share the run.
    """

    def __init__(
        self, task: Task, settings: TrainSettings, device: torch.device, watch: Stopwatch | None = None,
        world: World | None = None,
    ) -> None:  # fmt: skip
        """Build an optimiser for each phase."""
        self.task, self.settings, self.device = task, settings, device
        self.watch, self.world = watch or Stopwatch(), world or World()
        self.numbers, self.count, self.size = self.world.micro_batches(settings.batch_size, settings.micro_batches)
        self.phases = task.phases()
        self.optimisers = {phase.name: self._optimiser(phase) for phase in self.phases}
        self.guard = Guard()
        self.began = 0  # step at which the optimisers were new; the warm-up starts there

    def register(self, registry: StateRegistry) -> None:
        """Register optimisers and guard for checkpoints."""
        registry.register(
            "optimisers",
            Part(self._optimiser_states, self._load_optimisers, lambda s: are_optimisers(s, self.optimisers), True),
        )
        registry.register("guard", Part(self.guard.state_dict, self.guard.load_state_dict, self.guard.is_state))
        registry.register("began", Part(lambda: self.began, self._load_began, is_count))

    def step(self, batches: Sequence[Batch], step: int, progress: float) -> dict[str, Tensor | float]:
        """Update every phase.

        Args:
            batches: This process's micro-batches, on the device.
            step: Steps done before.
            progress: Progress of the run, 0 to 1.

        Returns:
            Values to log, over all processes; with `skipped`, the count so far, if an update was skipped.
        """
        values: dict[str, Tensor | float] = {}
        statistics: dict[str, Tensor] = {}
        skipped = self.guard.skipped
        begun = [self._begin(batch, step, micro, progress) for micro, batch in zip(self.numbers, batches, strict=True)]
        for number, phase in enumerate(self.phases):
            within = phase.progress(progress)
            if within is None:
                continue
            factor = lr_factor(
                step - self.began, within, self.settings.warmup_steps, late=phase.during[0] > 0,
                decay=self.settings.decay,
            )  # fmt: skip
            values["lr"] = rate = self.settings.lr * self.guard.rate * factor
            with self.watch.part("optimiser"):
                self.optimisers[phase.name].zero_grad(set_to_none=True)
            sums = self._gradients(phase, number, begun, step, progress)
            losses = {name: value for (kind, name), value in sums.items() if kind == "loss"}
            statistics |= {name: value for (kind, name), value in sums.items() if kind == "statistic"}
            with self.watch.part("optimiser"):
                norm = self._updated(phase, losses, float(sums["total", ""]), rate)
            values |= {f"loss/{name}": value for name, value in losses.items()}
            values[f"grad_norm/{phase.name}"] = norm
        values |= self.task.after_step(statistics)
        if not self.guard.after_step(skipped):
            values["skipped"] = self.guard.skipped
        return values

    def _begin(self, batch: Batch, step: int, micro: int, progress: float) -> tuple[int, torch.Generator, Any]:
        generator = self._generator(step, 0, micro)
        with self.watch.part("forward"), self._precision():
            return micro, generator, self.task.begin(batch, generator, progress)

    def _gradients(self, phase: Phase, number: int, begun: Begun, step: int, progress: float) -> Sums:
        """Set gradients to the mean over all micro-batches; returns losses, statistics and the total."""
        sums: Sums = {}
        for micro, first, shared in begun:
            generator = self._generator(step, number, micro) if number else first
            with self.watch.part("forward"):
                with self._precision():
                    loss = self.task.loss(phase.name, shared, generator, progress)
                total = loss.total()
            with self.watch.part("backward"):
                (total / self.count).backward()
            found: Sums = {("loss", name): value for name, (value, _) in loss.terms.items()} | {("total", ""): total}
            found |= {("statistic", name): value for name, value in loss.statistics.items()}
            for key, value in found.items():
                share = value.detach() / self.count
                sums[key] = sums[key] + share if key in sums else share
        gradients = [p.grad for p in phase.parameters() if p.grad is not None]
        with self.watch.part("backward"):
            self.world.sum([*gradients, *sums.values()])
        return sums

    def _updated(self, phase: Phase, losses: dict[str, Tensor], total: float, rate: float) -> Tensor:
        """Clip the gradient and update, unless the guard refuses; returns the norm before clipping."""
        norm = nn.utils.clip_grad_norm_(phase.parameters(), self.settings.clip_norm)
        if self.guard.allows(phase.name, losses, total, float(norm)):
            optimiser = self.optimisers[phase.name]
            for group in optimiser.param_groups:
                group["lr"] = rate * group["factor"]
            optimiser.step()
        return norm

    def _optimiser_states(self) -> dict[str, Any]:
        return {name: optimiser.state_dict() for name, optimiser in self.optimisers.items()}

    def _load_optimisers(self, states: dict[str, Any]) -> None:
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(shortened_groups(states[name], optimiser))

    def _load_began(self, step: int) -> None:
        self.began = step

    def _optimiser(self, phase: Phase) -> torch.optim.Optimizer:
        groups = [{"params": parameters, "factor": factor} for parameters, factor in phase.groups]
        return torch.optim.AdamW(
            groups, lr=self.settings.lr, betas=self.settings.betas, weight_decay=self.settings.weight_decay, fused=True
        )

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.precision == "bf16")

    def _generator(self, step: int, phase: int, micro: int) -> torch.Generator:
        """The noise of a micro-batch in a phase; independent of the number of processes."""
        seed = ((self.settings.seed * 1_000_003 + step) * 16 + phase) * 16 + NOISE_STREAM
        return torch.Generator(self.device).manual_seed((seed + MICRO_STREAM * 256 * micro) % 2**63)
