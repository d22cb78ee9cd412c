"""`audio-gen prune`: delete the checkpoints of a run that will not go on."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from audio_gen.cli.common import JsonOption, emit_json, megabytes, say


def prune_command(
    run: Annotated[Path, typer.Argument(help="The folder of a run that has ended.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be deleted, and delete nothing.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Even if the bundle is of an earlier step than the checkpoints.")
    ] = False,
    json_output: JsonOption = False,
) -> None:
    """Delete a run's checkpoints; it cannot go on then. Bundles, settings, metrics, previews and cache stay."""
    from audio_gen.artefacts.folders import RunFolder
    from audio_gen.cli.status import check_run
    from audio_gen.training.disk import prunable, prune

    check_run(run)
    before = RunFolder(run).sizes()
    if dry_run:
        count, freed = len(prunable(run, force=force)), before["checkpoints"]
    else:
        count = len(prunable(run, force=force))
        freed = prune(run, force=force)
    kept = {kind: size for kind, size in before.items() if kind != "checkpoints"}
    if json_output:
        emit_json({"run": str(run), "dry_run": dry_run, "checkpoints": count, "freed": freed, "kept": kept})
        return
    told = ", ".join(f"{kind} {megabytes(size)}" for kind, size in kept.items())
    word = "would be deleted" if dry_run else "deleted"
    say(f"{run}: {count} checkpoints {word} ({megabytes(freed)}); kept: {told}")
    if not dry_run:
        say(f"to train further, start a new run with --init {shlex.quote(str(run))}")
