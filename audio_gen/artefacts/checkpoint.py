"""Checkpoints: plain dicts of tensors, numbers, strings and containers of these, as `step-*.pt` in a run's folder."""

import io
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from audio_gen.artefacts.folders import RunFolder
from audio_gen.artefacts.tensors import load_plain
from audio_gen.errors import CheckpointError, OutputError
from audio_gen.files import write_atomic
from audio_gen.text import one_line


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a dict of tensors, numbers, strings and containers of these, atomically."""
    buffer = io.BytesIO()  # torch.save to a file would hide a full disk behind another error
    torch.save(state, buffer)
    write_atomic(path, lambda p: p.write_bytes(buffer.getbuffer()))


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU.

    Raises:
        CheckpointError: The file is missing, damaged, or holds other than plain data.
    """
    try:
        state = load_plain(path)
        if not zipfile.is_zipfile(path):
            raise zipfile.BadZipFile("of an older format")
    except Exception as e:  # torch raises many kinds for a damaged file
        raise CheckpointError(
            f"{one_line(path)}: not a complete checkpoint ({type(e).__name__}); delete it to resume from an older one"
        ) from e
    if not isinstance(state, dict):
        raise CheckpointError(f"{one_line(path)}: is not a checkpoint; delete it to resume from an older one")
    return state


def check_there(run: Path, sentinel: str = "") -> None:
    """Raise if a run's folder was deleted or renamed; writing would create it again.

    Args:
        run: The run's folder.
        sentinel: A file that it always has: a write during the deletion may have created the folder again.

    Raises:
        OutputError: It was deleted or renamed.
    """
    if not (run / sentinel).exists():
        raise OutputError(
            f"{one_line(run)}: was deleted or renamed while it trained, so training ends; if it was renamed, train "
            "with its new name to resume from its newest checkpoint"
        )


class CheckpointStore:
    """The newest checkpoints of a run; after its end only one without optimiser state."""

    def __init__(self, run: Path, keep: int) -> None:
        """Keep the newest `keep` checkpoints."""
        self.run, self.keep = RunFolder(run), keep

    def paths(self) -> list[Path]:
        """All numbered checkpoints, oldest first."""
        return self.run.checkpoint_files()

    def save(self, step: int, state: dict[str, Any]) -> Path:
        """Write a checkpoint, then delete the oldest ones.

        Raises:
            OutputError: There is no space, even after deleting all older ones but the newest.
        """
        path = self.run.checkpoint(step)
        check_there(self.run.path)
        try:
            save_checkpoint(path, state)
        except OutputError:
            spare = self.paths()[:-1]
            if not spare:
                raise
            for old in spare:
                with suppress(OSError):  # a read-only folder keeps them
                    old.unlink(missing_ok=True)
            save_checkpoint(path, state)
        for old in self.paths()[: -self.keep]:
            old.unlink(missing_ok=True)
        return path

    def reduce(self, step: int, state: dict[str, Any]) -> int:
        """Replace the state of a step by a smaller one, then delete all others; a kill in between loses nothing.

        Returns:
            Bytes freed.

        Raises:
            OutputError: There is no space for it.
        """
        before, path = self.size(), self.run.checkpoint(step)
        save_checkpoint(path, state)
        for old in self.paths():
            if old != path:
                with suppress(OSError):
                    old.unlink(missing_ok=True)
        return before - self.size()

    def size(self) -> int:
        """Bytes of all checkpoints."""
        return sum(path.stat().st_size for path in self.paths())

    def newest(self) -> tuple[dict[str, Any] | None, list[str]]:
        """The newest undamaged checkpoint, and a line for each skipped one.

        Raises:
            CheckpointError: All checkpoints are damaged.
        """
        skipped: list[str] = []
        for path in reversed(self.paths()):
            try:
                return load_checkpoint(path), skipped
            except CheckpointError as e:
                skipped.append(str(e))
        if skipped:
            raise CheckpointError(
                f"{self.run.checkpoints}: all of its {len(skipped)} checkpoints are damaged; "
                "train into another folder, or add --force"
            )
        return None, []
