"""The task interface of the engine: phases, losses, validation, previews, export."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from audio_gen.artefacts.bundle import Bundle
from audio_gen.audio.mel import MelSpec
from audio_gen.data.dataset import Batch, ClipDataset


@dataclass(frozen=True)
class Phase:
    """One update of a step: its parameters and their learning rates.

    Attributes:
        name: Short, unique, such as "g"; ends the metric key `grad_norm/g`.
        groups: Parameters, each group with a factor on the learning rate.
        during: The part of the run in which it is updated, as progress from 0 to 1; its learning rate rises and falls
            within it.
    """

    name: str
    groups: list[tuple[list[nn.Parameter], float]]
    during: tuple[float, float] = (0.0, 1.0)

    def progress(self, progress: float) -> float | None:
        """Its own progress, 0 to 1, at a progress of the run; None outside its part of the run."""
        begin, end = self.during
        inside = begin <= progress < end or (progress >= end == 1.0)
        return (progress - begin) / (end - begin) if inside else None

    def parameters(self) -> list[nn.Parameter]:
        """All parameters of the phase."""
        return [parameter for parameters, _ in self.groups for parameter in parameters]


class Loss(NamedTuple):
    """The loss of one phase on one micro-batch.

    Attributes:
        terms: Unweighted scalars with their weights, by name; the same names every time.
        statistics: Scalars for `after_step`, by name; no gradient. The same names every time.
    """

    terms: Mapping[str, tuple[Tensor, float]]
    statistics: Mapping[str, Tensor] = {}

    def total(self) -> Tensor:
        """The weighted sum; each weight is applied here, once."""
        return torch.stack([weight * value for value, weight in self.terms.values()]).sum()


@dataclass(frozen=True)
class Preview:
    """Sounds by name (C, T), and pictures as columns of (title, log-mel (M, L)).

    Attributes:
        stereo: Mel definition of the pictures if these are images of a stereo mel.
    """

    sample_rate: int
    sounds: dict[str, Tensor] = field(default_factory=dict)
    pictures: dict[str, list[tuple[str, Tensor]]] = field(default_factory=dict)
    stereo: MelSpec | None = None


class Task(Protocol):
    """A model and its training. The engine knows models and losses only through this interface.

    A step calls `begin` once for each micro-batch, `loss` for each phase and micro-batch, and `after_step` once. A
    phase depends on its arguments only; a task changes its state only in `after_step` and `after_validation`.

    Attributes:
        args: The model's arguments.
        retired: Prefixes of state names that only checkpoints of earlier versions hold.
        model: The exported network; the engine keeps its EMA.
        modules: All networks and buffers that checkpoints hold, `model` among them.
        generates: Whether the model generates clips; a vocoder does not.
        judged_by: Name of the validation figure that picks the best step, lower is better; None if an evaluation of
            generated clips does.
        segments: Samples of a training and of a validation clip, pre-roll included.
        preroll: Samples of silence before each clip; see `ClipDataset`.
    """

    args: dict[str, Any]
    retired: Sequence[str]
    model: nn.Module
    modules: nn.ModuleDict
    generates: bool
    judged_by: str | None
    segments: tuple[int, int]
    preroll: int

    def compilable(self) -> Sequence[nn.Module]:
        """The parts of the model that torch.compile supports, with their gradients."""

    def initialise(self, train: ClipDataset) -> None:
        """Prepare for training on clips, before the first step and after resuming."""

    def start_from(self, bundle: Bundle, run: Path) -> str | None:
        """Load the weights of a trained model (`--init`); `run` is the user's path.

        Returns:
            A note for the user, if any.

        Raises:
            CheckpointError: They do not fit.
        """

    def phases(self) -> list[Phase]:
        """The updates of one step, in order."""

    def begin(self, batch: Batch, generator: torch.Generator, progress: float) -> Any:
        """The data that all phases share for a micro-batch, such as generated clips.

        The first phase draws on from the same `generator`. `progress` is that of the run, 0 to 1.
        """

    def loss(self, phase: str, shared: Any, generator: torch.Generator, progress: float) -> Loss:
        """The loss of a phase.

        Args:
            phase: Its name.
            shared: What `begin` returned for the micro-batch.
            generator: Source of all randomness.
            progress: Progress of the run, 0 to 1.
        """

    def after_step(self, statistics: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Adapt state that is no parameter, such as augmentation.

        Args:
            statistics: Statistics of all phases, averaged over micro-batches and processes.

        Returns:
            Scalars to log, by metric key.
        """

    def validate(self, model: Any, batches: Iterable[Batch]) -> dict[str, float]:
        """Figures of the averaged model on held-out clips; changes no state."""

    def after_validation(self, figures: Mapping[str, float]) -> None:
        """Adapt to the figures of `validate`, in every process."""

    def preview(self, model: Any, batch: Batch) -> Preview:
        """Sounds and pictures of the averaged model."""

    def generate(self, model: Any, count: int, seed: int) -> Tensor:
        """New clips (count, 1, T) of the averaged model, for evaluation; called only if the task `generates`.

        A fast vocoder renders them; `copy` uses the same one.
        """

    def copy(self, wav: Tensor) -> Tensor:
        """Copy-synthesis of real clips (B, 1, T) with the vocoder of `generate`."""

    def bundle(self, model: Any) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """The config and tensors of the bundle for the averaged model."""
