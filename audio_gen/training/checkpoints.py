"""The checkpoints of a run: the newest few, and when it has finished one of weights alone."""

import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from torch import Tensor

from audio_gen.checkpoint import load_checkpoint, save_checkpoint
from audio_gen.errors import CheckpointError, OutputError
from audio_gen.files import drop_leftovers
from audio_gen.text import one_line


class CheckpointStore:
    """`checkpoints/step-*.pt` of a run's folder."""

    def __init__(self, run: Path, keep: int) -> None:
        """Keep the `keep` newest."""
        self.folder, self.keep = run / "checkpoints", keep

    def paths(self) -> list[Path]:
        """All numbered checkpoints, oldest first."""
        return sorted(self.folder.glob("step-*.pt"))

    def save(self, step: int, state: dict[str, Any]) -> Path:
        """Write one, then drop those that are too old.

        Raises:
            OutputError: There is no room, not even in place of all older ones but the newest.
        """
        path = self.folder / f"step-{step:08d}.pt"
        check_there(self.folder.parent)
        try:
            save_checkpoint(path, state)
        except OutputError:
            spare = self.paths()[:-1]
            if not spare:
                raise
            for old in spare:
                with suppress(OSError):  # a place that cannot be written at all keeps them
                    old.unlink(missing_ok=True)
            save_checkpoint(path, state)
        for old in self.paths()[: -self.keep]:
            old.unlink(missing_ok=True)
        return path

    def reduce(self, step: int, state: dict[str, Any]) -> int:
        """Put a smaller state in place of that of a step, then drop all others; a kill between leaves more, not less.

        Returns:
            How many bytes are free by that.

        Raises:
            OutputError: There is no room for it.
        """
        before, path = self.size(), self.folder / f"step-{step:08d}.pt"
        save_checkpoint(path, state)
        for old in self.paths():
            if old != path:
                with suppress(OSError):
                    old.unlink(missing_ok=True)
        return before - self.size()

    def size(self) -> int:
        """Bytes of all checkpoints."""
        return sum(path.stat().st_size for path in self.folder.glob("*.pt"))

    def newest(self) -> tuple[dict[str, Any] | None, list[str]]:
        """The newest whole checkpoint, and a line for each damaged one that was passed over.

        Raises:
            CheckpointError: There are checkpoints, and none is whole.
        """
        skipped: list[str] = []
        for path in reversed(self.paths()):
            try:
                return load_checkpoint(path), skipped
            except CheckpointError as e:
                skipped.append(str(e))
        if skipped:
            raise CheckpointError(
                f"{self.folder}: none of its {len(skipped)} checkpoints is whole; "
                "train into another folder, or add --force"
            )
        return None, []


def check_there(run: Path, sentinel: str = "") -> None:
    """Refuse to write into a run's folder that was deleted or renamed meanwhile; writing would make it again.

    Args:
        run: The run's folder.
        sentinel: A file that is always in it; what was written while it was deleted may have made the folder again.

    Raises:
        OutputError: It was.
    """
    if not (run / sentinel).exists():
        raise OutputError(
            f"{one_line(run)}: was deleted or renamed while it trained, so training ends; if it was renamed, train "
            "with its new name to go on from its newest checkpoint"
        )


def drop_unfinished(run: Path) -> None:
    """Delete what a killed training left half-written; only for who holds the run's lock."""
    for folder in (run, run / "checkpoints", *run.glob("bundle*"), *run.glob("previews/*")):
        drop_leftovers(folder)
    for folder in run.glob(".bundle*.old"):
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
        """Whether there is something for `finish` that is not to be waited for."""
        return self._saving is not None and self._saving.done()

    def begin(self, step: int, state: dict[str, Any]) -> None:
        """Copy a state, and save the copy; what was begun before must be finished."""
        assert self._saving is None
        self._saving = self._threads.submit(self.store.save, step, copied(state))

    def finish(self) -> int | None:
        """Wait for what was begun; returns its step, or None where nothing was.

        Raises:
            OutputError: It could not be written.
        """
        if self._saving is None:
            return None
        saving, self._saving = self._saving, None
        return int(saving.result().stem.removeprefix("step-"))


def copied(value: Any) -> Any:
    """A copy of a state whose tensors are on the CPU and nobody else's."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: copied(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(copied(part) for part in value)
    return value
