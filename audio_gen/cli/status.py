"""`audio-gen status`: progress, health and next steps of a run."""

from audio_gen.cli import options as o
from audio_gen.cli.common import emit_json, say


def status_command(run: o.ReadRunArgument, json_output: o.JsonOption = False) -> None:
    """Show progress, health and next steps of a run."""
    from audio_gen.training.status import report

    values, lines = report(run)
    if json_output:
        return emit_json(values)
    for line in lines:
        say(line)
