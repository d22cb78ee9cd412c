"""Delete checkpoints that a run no longer needs."""

from pathlib import Path

from audio_gen.artefacts.folders import RunFolder
from audio_gen.errors import CheckpointError
from audio_gen.training.lock import locked
from audio_gen.training.progress import read_progress


def prunable(run: Path, *, force: bool = False) -> list[Path]:
    """The checkpoints of an ended run whose bundle is of its last step.

    Args:
        run: The run's folder.
        force: Also if the bundle is of an earlier step.

    Raises:
        CheckpointError: Training progress would be lost.
    """
    paths = RunFolder(run).checkpoint_files()
    bundles = RunFolder(run).best_and_last()
    if not bundles:
        raise CheckpointError(
            f"{run}: has no bundle yet, so only its checkpoints hold the model; run the same train command again"
        )
    newest = max((int(path.stem.removeprefix("step-")) for path in paths), default=0)
    held = max(about.get("steps") or 0 for about in bundles.values())
    state = (read_progress(run) or {}).get("state")
    if newest > held and not force:
        raise CheckpointError(
            f"{run}: {state or 'ended'} at step {newest}, its bundle is of step {held}; run the same train command "
            "again and stop it, or add --force to lose the later steps"
        )
    return paths


def prune(run: Path, *, force: bool = False) -> int:
    """Delete the checkpoints of `prunable`; returns the freed bytes.

    Raises:
        CheckpointError: Training progress would be lost.
        TrainingError: The run is training.
    """
    with locked(run):
        paths = prunable(run, force=force)
        freed = sum(path.stat().st_size for path in paths)
        for path in paths:
            path.unlink()
    return freed
