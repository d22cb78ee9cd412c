"""`audio-gen status`: how far a run is, whether it works, and what to do."""

from audio_gen.cli import options as o
from audio_gen.cli.common import emit_json, say


def status_command(run: o.ReadRunArgument, json_output: o.JsonOption = False) -> None:
    """Say how far a run is, whether it works, and what to do."""
    from audio_gen.training.status import report

    values, lines = report(run)
    if json_output:
        return emit_json(values)
    for line in lines:
        say(line)
