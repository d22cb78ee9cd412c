"""Write checkpoints in the background, and delete the unfinished files of a killed training."""

import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from torch import Tensor

from audio_gen.artefacts.checkpoint import CheckpointStore
from audio_gen.artefacts.folders import RunFolder
from audio_gen.files import drop_leftovers


def drop_unfinished(run: Path) -> None:
    """Delete the unfinished files of a killed training; the caller holds the run's lock."""
    for folder in RunFolder(run).working_folders():
        drop_leftovers(folder)
    for folder in RunFolder(run).dropped_bundles():
        shutil.rmtree(folder, ignore_errors=True)


class BackgroundSaver:
    """Saves one state at a time in a thread, so that training stops only while the state is copied."""

    def __init__(self, store: CheckpointStore) -> None:
        """Save into a store."""
        self.store = store
        self._threads = ThreadPoolExecutor(1, "checkpoint")
        self._saving: Future[Path] | None = None

    @property
    def done(self) -> bool:
        """Whether `finish` returns a step without waiting."""
        return self._saving is not None and self._saving.done()

    def begin(self, step: int, state: dict[str, Any]) -> None:
        """Copy a state, and save the copy; call `finish` before the next."""
        assert self._saving is None
        self._saving = self._threads.submit(self.store.save, step, copied(state))

    def finish(self) -> int | None:
        """Wait for the save; returns its step, or None if there was none.

        Raises:
            OutputError: It could not be written.
        """
        if self._saving is None:
            return None
        saving, self._saving = self._saving, None
        return int(saving.result().stem.removeprefix("step-"))


def copied(value: Any) -> Any:
    """A deep copy of a state on the CPU."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: copied(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(copied(part) for part in value)
    return value
