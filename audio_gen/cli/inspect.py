"""`audio-gen inspect`: what is in a folder, and what will be done with it."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from audio_gen.cli.common import JsonOption, say

if TYPE_CHECKING:
    from audio_gen.data.report import DatasetReport


def inspect_command(
    folder: Annotated[Path, typer.Argument(help="A folder of sounds; it is only read.")],
    json_output: JsonOption = False,
    strict: Annotated[bool, typer.Option("--strict", help="Fail (status 1) if any file is left out.")] = False,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Files read at the same time.")] = 2,
) -> None:
    """Say what is in a folder of sounds, and what is wrong with it."""
    from audio_gen.cli.stages import stage_progress
    from audio_gen.data.index import inspect_folder
    from audio_gen.data.report import NothingUsableError

    try:
        with stage_progress() as progress:
            report = inspect_folder(folder, progress=progress, workers=workers)
        _show(report, json_output)
        report.require_usable()
    except NothingUsableError as e:
        say(f"error: {e}", json_output=True)
        raise typer.Exit(1) from e
    if strict and report.left_out:
        left = len(report.left_out)
        say(f"error: {left} files are left out and --strict is on; remove or mend them", json_output=True)
        raise typer.Exit(1)


def _show(report: "DatasetReport", json_output: bool) -> None:
    from audio_gen.cli.overview import class_lines, note_lines, sufficiency
    from audio_gen.data.labels import Label, read_labels
    from audio_gen.errors import AudioGenError

    if json_output:
        from audio_gen.cli.common import emit_json

        emit_json(report.to_json())
        return
    paths = [f.path for f in report.files]
    try:
        labels, notes = read_labels(report.folder, paths)
    except AudioGenError as e:  # of a label file: told, and the sounds are shown without classes
        labels, notes = {path: Label() for path in paths}, [str(e)]
    for line in note_lines(report.files, {path: _printable(path) for path in paths}):
        say(line)
    _show_summary(report)
    if report.usable:
        for line in class_lines(report, labels):
            say(f"  {_printable(line)}")
        for line in [*notes, *sufficiency(report, labels)]:
            say(line)
    if any(f.reasons for f in report.files):
        say("--json lists every file with what is said of it")


def _show_summary(report: "DatasetReport") -> None:
    s = report.summary()
    say(
        f"{s['files']} audio files: {s['use']} used, {s['repair']} repaired and used, {s['leave_out']} left out; "
        f"{s['ignored']} other files passed over"
    )
    rates = ", ".join(f"{int(rate) / 1000:g} kHz ({count})" for rate, count in s["sample_rates"].items())
    say(
        f"{s['clips']} clips, {s['duration_sec'] / 60:.1f} minutes in all, {s['shortest_sec']:.2f} to "
        f"{s['longest_sec']:.1f} s each, {s['duplicates']} duplicates; {rates}"
    )


def _printable(name: str) -> str:
    """A file name on one line."""
    return name if name.isprintable() else json.dumps(name, ensure_ascii=False)[1:-1]
