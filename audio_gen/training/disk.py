"""What a run takes on the disk, and what of it may go."""

import os
from pathlib import Path

from audio_gen.bundle_folders import best_and_last
from audio_gen.errors import CheckpointError
from audio_gen.training.lock import locked
from audio_gen.training.progress import read_progress

FOLDERS = {"checkpoints": "checkpoints", "previews": "previews", "tensorboard": "events", "cache": "cache"}


def sizes(run: Path) -> dict[str, int]:
    """Bytes by kind: "checkpoints", "bundles", "previews", "events", "cache" and "other"; a linked file counts once."""
    found = dict.fromkeys(("checkpoints", "bundles", "previews", "events", "cache", "other"), 0)
    seen: set[tuple[int, int]] = set()
    for folder, _, names in os.walk(run):
        parts = Path(folder).relative_to(run).parts
        top = parts[0] if parts else ""
        kind = "bundles" if top.startswith("bundle") else FOLDERS.get(top, "other")
        for name in names:
            try:
                about = os.lstat(Path(folder, name))
            except OSError:  # a run that trains replaces its files
                continue
            if (about.st_dev, about.st_ino) not in seen:
                seen.add((about.st_dev, about.st_ino))
                found[kind] += about.st_size
    return found


def prunable(run: Path, *, force: bool = False) -> list[Path]:
    """The checkpoints of a run that has ended and has a bundle of where it ended.

    Args:
        run: The run's folder.
        force: Its bundle may be of an earlier step than its checkpoints.

    Raises:
        CheckpointError: What training has learned would be lost.
    """
    paths = sorted((run / "checkpoints").glob("*.pt"))
    bundles = best_and_last(run)
    if not bundles:
        raise CheckpointError(
            f"{run}: has no bundle yet, so its checkpoints are all that there is; run the same train command again"
        )
    newest = max((int(path.stem.removeprefix("step-")) for path in paths if path.stem.startswith("step-")), default=0)
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
