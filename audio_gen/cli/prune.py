"""`audio-gen prune`: delete the checkpoints of a finished run."""

import shlex

from audio_gen.artefacts.folders import RunFolder
from audio_gen.cli import options as o
from audio_gen.cli.common import emit_json, say
from audio_gen.text import megabytes


def prune_command(
    run: o.EndedRunArgument,
    dry_run: o.DryRunOption = False,
    force: o.EarlierOption = False,
    json_output: o.JsonOption = False,
) -> None:
    """Delete the checkpoints of a run, which then cannot resume. All other files stay."""
    from audio_gen.training.disk import prunable, prune
    from audio_gen.training.status import check_run

    check_run(run)
    before = RunFolder(run).sizes()
    count = len(prunable(run, force=force))
    freed = before["checkpoints"] if dry_run else prune(run, force=force)
    kept = {kind: size for kind, size in before.items() if kind != "checkpoints"}
    if json_output:
        emit_json({"run": str(run), "dry_run": dry_run, "checkpoints": count, "freed": freed, "kept": kept})
        return
    kept_text = ", ".join(f"{kind} {megabytes(size)}" for kind, size in kept.items())
    word = "would be deleted" if dry_run else "deleted"
    say(f"{run}: {count} checkpoints {word} ({megabytes(freed)}); kept: {kept_text}")
    if not dry_run:
        say(f"to train further, start a new run with --init {shlex.quote(str(run))}")
