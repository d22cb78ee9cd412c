"""`audio-gen status`: how far a run is, whether it works, and what to do."""

from audio_gen.artefacts.folders import RunFolder
from audio_gen.cli import options as o
from audio_gen.cli.common import emit_json, say
from audio_gen.text import megabytes


def status_command(run: o.ReadRunArgument, json_output: o.JsonOption = False) -> None:
    """Say how far a run is, whether it works, and what to do."""
    from audio_gen.training import status
    from audio_gen.training.diagnosis import diagnose
    from audio_gen.training.history import History
    from audio_gen.training.metrics import read_metrics

    status.check_run(run)
    folder = RunFolder(run)
    rows = read_metrics(run)
    entry = status.state_of(run, History(rows))
    share = 1.0 if entry["progress"] is None else entry["progress"]
    log, verdicts = History(rows, share), diagnose(rows, progress=share)
    if json_output:
        values = log.latest("val/", "eval/", "loss/", "gap/", "grad_norm/")
        told = {"values": values, "verdicts": [v.to_json() for v in verdicts]}
        emit_json({"run": str(run), **entry, **told, "bundles": folder.best_and_last(), "sizes": folder.sizes()})
        return
    say(status.state_line(run, entry))
    say(status.bundle_line(run))
    for line in status.figure_lines(log):
        say(f"  {line}")
    for verdict in sorted(verdicts, key=lambda v: not v.alarm):
        say(f"{'ALARM' if verdict.alarm else 'note'} {verdict.name}: {verdict.text}")
    if not verdicts:
        say("no alarms" if rows else "nothing was measured yet")
    say("on disk: " + ", ".join(f"{kind} {megabytes(size)}" for kind, size in folder.sizes().items()))
