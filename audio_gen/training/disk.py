"""Which checkpoints of a run may be deleted."""

from pathlib import Path

from audio_gen.artefacts.folders import RunFolder
from audio_gen.errors import CheckpointError
from audio_gen.training.lock import locked
from audio_gen.training.progress import read_progress


def prunable(run: Path, *, force: bool = False) -> list[Path]:
    """The checkpoints of a run that has ended and has a bundle of where it ended.

    Args:
        run: The run's folder.
        force: Its bundle may be of an earlier step than its checkpoints.

    Raises:
        CheckpointError: What training has learned would be lost.
    """
    paths = RunFolder(run).checkpoint_files()
    bundles = RunFolder(run).best_and_last()
    if not bundles:
        raise CheckpointError(
            f"{run}: has no bundle yet, so its checkpoints are all that there is; run the same train command again"
        )
    newest = max((int(path.stem.removeprefix("step-")) for path in paths), default=0)
    held = max(about.get("steps") or 0 for about in bundles.values())
    state = (read_progress(run) or {}).get("state")
    if newest > held and not force:
        raise CheckpointError(
            f"{run}: {state or 'ended'} at step {newest}, its bundle is of step {held}; run the same train command "
            "again and stop it, or add --force to lose what came after"
        )
    return paths


def prune(run: Path, *, force: bool = False) -> int:
    """Delete what `prunable` gives; returns the bytes that are free by that.

    Raises:
        CheckpointError: What training has learned would be lost.
        TrainingError: The run is training.
    """
    with locked(run):
        paths = prunable(run, force=force)
        freed = sum(path.stat().st_size for path in paths)
        for path in paths:
            path.unlink()
    return freed
