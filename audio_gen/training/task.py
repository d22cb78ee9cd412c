"""What the engine asks of a model's task: phases, losses, validation, previews and what to export."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from audio_gen.artefacts.bundle import Bundle
from audio_gen.data.dataset import Batch, ClipDataset


@dataclass(frozen=True)
class Phase:
    """One update of a step: which parameters move, and how fast.

    Attributes:
        name: Short, unique, such as "g"; ends the metric key `grad_norm/g`.
        groups: Parameters with the factor on the learning rate that they have.
    """

    name: str
    groups: list[tuple[list[nn.Parameter], float]]

    def parameters(self) -> list[nn.Parameter]:
        """All parameters of the phase."""
        return [parameter for parameters, _ in self.groups for parameter in parameters]


@dataclass(frozen=True)
class Preview:
    """What to listen to and look at: sounds by name (1, T), and pictures as columns of (title, log-mel (M, L))."""

    sample_rate: int
    sounds: dict[str, Tensor] = field(default_factory=dict)
    pictures: dict[str, list[tuple[str, Tensor]]] = field(default_factory=dict)


class Task(Protocol):
    """A model with what it needs to be trained. The engine knows no model and no loss but through this."""

    args: dict[str, Any]
    """The model's arguments."""
    retired: Sequence[str]
    """How the names of states begin that checkpoints of earlier versions hold, and the task's modules do not."""

    @property
    def model(self) -> nn.Module:
        """The network that is exported; the engine keeps an average (EMA) of it."""

    @property
    def modules(self) -> nn.ModuleDict:
        """All networks that checkpoints hold, `model` among them."""

    @property
    def makes_clips(self) -> bool:
        """Whether the model makes new clips, which can be evaluated; a vocoder does not."""

    def compilable(self) -> Sequence[nn.Module]:
        """The parts of the model that torch.compile takes, with their gradient."""

    def segments(self) -> tuple[int, int]:
        """Samples of a training and of a validation clip, pre-roll included."""

    @property
    def preroll(self) -> int:
        """Samples of silence before each clip; see `ClipDataset`."""

    def initialise(self, train: ClipDataset) -> None:
        """Get ready to learn from clips, before the first step and when a run goes on."""

    def start_from(self, bundle: Bundle, run: Path) -> str | None:
        """Begin with the weights of a trained model (`--init`); `run` is the path that was given.

        Returns:
            What to tell of it, if anything.

        Raises:
            CheckpointError: They do not fit.
        """

    def phases(self) -> list[Phase]:
        """The updates of one step, in order."""

    def weights(self, phase: str, progress: float) -> Mapping[str, float]:
        """The weight of each of the phase's losses at `progress` (0 to 1) through the run."""

    def losses(self, phase: str, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """The phase's unweighted scalar losses; the keys are those of `weights`, and all noise is the generator's.

        It is asked for each micro-batch of a step, in the same order in every phase.
        """

    def readings(self) -> Mapping[str, Tensor]:
        """What else there is to know of the last micro-batch, by metric key; scalars, the same keys every time."""

    def learn(self, phase: str, readings: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Take in what a phase's readings were, averaged over all micro-batches, after its update.

        Whatever a task changes beside its parameters is changed here. Returns what to log, scalars by metric key.
        """

    def validate(self, model: nn.Module, batches: Iterable[Batch]) -> dict[str, float]:
        """Figures of the averaged model on files kept out; the first, lower is better, picks the best checkpoint.

        Every process is asked; what a task keeps of it for `learn` goes there by its readings, which are averaged.
        """

    def preview(self, model: nn.Module, batch: Batch) -> Preview:
        """Sounds and pictures of the averaged model."""

    def make(self, model: nn.Module, count: int, seed: int) -> Tensor:
        """New clips (count, 1, T) of the averaged model, for evaluation; only asked of a task that `makes_clips`.

        What turns them into sound is quick rather than good; `copy` sends real clips the same way.
        """

    def copy(self, wav: Tensor) -> Tensor:
        """Real clips (B, 1, T) as the quick way to sound that `make` takes gives them back."""

    def bundle(self, model: nn.Module) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """The config and tensors of the bundle for the averaged model."""
