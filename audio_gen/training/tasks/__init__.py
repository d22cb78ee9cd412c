"""The table of tasks, one per model."""

from audio_gen.training.tasks.run import TASKS, train_run

__all__ = ["TASKS", "train_run"]
