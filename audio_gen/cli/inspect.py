"""`audio-gen inspect`: list usable and skipped files of a folder."""

import typer

from audio_gen.cli import options as o
from audio_gen.cli.common import Console, emit_json, say


def inspect_command(
    folder: o.FolderArgument,
    json_output: o.JsonOption = False,
    strict: o.StrictOption = False,
    generated: o.GeneratedOption = False,
    workers: o.WorkersOption = 2,
) -> None:
    """List usable and skipped files of a folder, with reasons."""
    from audio_gen.data.index import inspect_folder
    from audio_gen.data.overview import overview, overview_json
    from audio_gen.data.report import NothingUsableError
    from audio_gen.reporter import stages

    try:
        with stages(Console()) as progress:
            report = inspect_folder(folder, progress=progress, workers=workers, generated=generated, channels="auto")
        if json_output:
            emit_json(overview_json(report))
        else:
            for line in overview(report):
                say(line)
        report.require_usable(listed=True)
    except NothingUsableError as e:
        say(f"error: {e}", json_output=True)
        raise typer.Exit(1) from e
    if strict and report.left_out:
        skipped = len(report.left_out)
        say(f"error: {skipped} files are skipped and --strict is on; remove or repair them", json_output=True)
        raise typer.Exit(1)
