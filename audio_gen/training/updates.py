"""One update of every network of a task: precision, losses and their weights, micro-batches, clipping, rates."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from audio_gen.config import TrainSettings
from audio_gen.data.dataset import Batch
from audio_gen.distributed import World
from audio_gen.errors import TrainingError
from audio_gen.training.recovery import Guard
from audio_gen.training.schedule import lr_factor
from audio_gen.training.stopwatch import Stopwatch
from audio_gen.training.task import Phase, Task

NOISE_STREAM = 1
MICRO_STREAM = 1_000_000_007  # apart from the seed, the step and the phase


class Updater:
    """Makes the updates of a task's phases, but for those that went wrong.

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
        """Make an optimiser for each phase."""
        self.task, self.settings, self.device = task, settings, device
        self.watch, self.world = watch or Stopwatch(), world or World()
        self.own, self.count, self.size = self.world.micro_batches(settings.batch_size, settings.micro_batches)
        self.phases = task.phases()
        self.optimisers = {phase.name: self._optimiser(phase) for phase in self.phases}
        self.guard = Guard()
        self.began = 0  # the step at which the optimisers were new; the rate rises from there

    def step(self, batches: Sequence[Batch], step: int, progress: float) -> dict[str, Tensor | float]:
        """Update every phase.

        Args:
            batches: This process's micro-batches, on the device.
            step: Steps done before.
            progress: How much of the run is done, 0 to 1.

        Returns:
            What to log, over all processes; `skipped`, the count so far, where an update has been left out.
        """
        rate = self.settings.lr * self.guard.rate * lr_factor(step - self.began, progress, self.settings.warmup_steps)
        values: dict[str, Tensor | float] = {"lr": rate}
        skipped = self.guard.skipped
        for number, phase in enumerate(self.phases):
            with self.watch.part("optimiser"):
                self.optimisers[phase.name].zero_grad(set_to_none=True)
            found = self._gradients(phase, number, batches, step, progress)
            losses, readings = ({key[1]: found[key] for key in found if key[0] == kind} for kind in ("loss", "reading"))
            with self.watch.part("optimiser"):
                norm = self._updated(phase, losses, float(found["total", ""]), rate)
            values |= {f"loss/{key}": value for key, value in losses.items()}
            values[f"grad_norm/{phase.name}"] = norm
            values |= self.task.learn(phase.name, readings)
        if not self.guard.after_step(skipped):
            values["skipped"] = self.guard.skipped
        return values

    def _gradients(
        self, phase: Phase, number: int, batches: Sequence[Batch], step: int, progress: float
    ) -> dict[tuple[str, str], Tensor]:
        """Leave the mean gradient over all micro-batches in the parameters; return losses, readings and total."""
        sums: dict[tuple[str, str], Tensor] = {}
        for micro, batch in zip(self.own, batches, strict=True):
            generator = torch.Generator(self.device).manual_seed(self._noise_seed(step, number, micro))
            with self.watch.part("forward"):
                with torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.precision == "bf16"):
                    losses = self.task.losses(phase.name, batch, generator)
                total = weighted_sum(losses, self.task.weights(phase.name, progress))
            with self.watch.part("backward"):
                (total / self.count).backward()
            found = {("loss", key): value for key, value in losses.items()} | {("total", ""): total}
            found |= {("reading", key): value for key, value in self.task.readings().items()}
            for key, value in found.items():
                share = value.detach() / self.count
                sums[key] = sums[key] + share if key in sums else share
        gradients = [p.grad for p in phase.parameters() if p.grad is not None]
        with self.watch.part("backward"):
            self.world.sum([*gradients, *sums.values()])
        return sums

    def _updated(self, phase: Phase, losses: Mapping[str, Tensor], total: float, rate: float) -> Tensor:
        """Clip the gradient and make the update, if it may be made; returns the norm before clipping."""
        norm = nn.utils.clip_grad_norm_(phase.parameters(), self.settings.clip_norm)
        if self.guard.allows(phase.name, losses, total, float(norm)):
            optimiser = self.optimisers[phase.name]
            for group in optimiser.param_groups:
                group["lr"] = rate * group["factor"]
            optimiser.step()
        return norm

    def state_dict(self) -> dict[str, Any]:
        """Optimisers and guard, for a checkpoint."""
        optimisers = {name: optimiser.state_dict() for name, optimiser in self.optimisers.items()}
        return {"optimisers": optimisers, "guard": self.guard.state_dict(), "began": self.began}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint; one without optimisers leaves these new."""
        if "optimisers" in state:
            self.began = state["began"]
            for name, optimiser in self.optimisers.items():
                optimiser.load_state_dict(state["optimisers"][name])
        else:
            self.began = state["step"]
        self.guard.load_state_dict(state["guard"])

    def _optimiser(self, phase: Phase) -> torch.optim.Optimizer:
        groups = [{"params": parameters, "factor": factor} for parameters, factor in phase.groups]
        return torch.optim.AdamW(
            groups, lr=self.settings.lr, betas=self.settings.betas, weight_decay=self.settings.weight_decay, fused=True
        )

    def _noise_seed(self, step: int, phase: int, micro: int) -> int:
        seed = ((self.settings.seed * 1_000_003 + step) * 16 + phase) * 16 + NOISE_STREAM
        return (seed + MICRO_STREAM * 256 * micro) % 2**63


def weighted_sum(losses: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """The total loss; each weight is applied here, once.

    Raises:
        TrainingError: A loss has no weight, or a weight no loss.
    """
    if losses.keys() != weights.keys():
        odd = ", ".join(sorted(losses.keys() ^ weights.keys()))
        raise TrainingError(f"losses and weights do not match ({odd}); give each loss exactly one weight")
    return torch.stack([weights[key] * value for key, value in losses.items()]).sum()
