"""The evaluation of a run, by its kind of model."""

from collections.abc import Callable
from typing import Any

import torch

from audio_gen.config import TrainSettings
from audio_gen.data.dataset import ClipDataset
from audio_gen.training.events import Event
from audio_gen.training.schedule import Budget
from audio_gen.training.task import Task
from audio_gen.training.tasks.cycle.evaluator import cycle_evaluator
from audio_gen.training.tasks.cycle.task import CycleTask
from audio_gen.training.tasks.evaluator import evaluator_of
from audio_gen.training.tasks.sequence.evaluator import sequence_evaluator
from audio_gen.training.tasks.sequence.task import SequenceTask


def evaluator_for(
    task: Task, settings: TrainSettings, train: ClipDataset, val: ClipDataset, device: torch.device,
    tell: Callable[[Event], None],
) -> Callable[[Any], dict[str, float]] | None:  # fmt: skip
    """Measures the averaged model at previews; None for a short run, or a task whose best step a validation picks."""
    minutes = Budget.of(settings).minutes
    if isinstance(task, SequenceTask):
        return sequence_evaluator(task, minutes, tell)
    if isinstance(task, CycleTask):
        return cycle_evaluator(task, minutes, tell)
    return evaluator_of(task, settings, train, val, train.cache.sample_rate, device, tell)
