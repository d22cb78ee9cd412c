"""`audio-gen inspect`: what is in a folder, and what will be done with it."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from audio_gen.cli.common import JsonOption

if TYPE_CHECKING:
    from audio_gen.data.report import DatasetReport, FileReport

MOST_ROWS = 200


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
        typer.echo(f"error: {e}", err=True)
        raise typer.Exit(1) from e
    if strict and report.left_out:
        typer.echo(
            f"error: {len(report.left_out)} files are left out and --strict is on; remove or mend them", err=True
        )
        raise typer.Exit(1)


def _show(report: "DatasetReport", json_output: bool) -> None:
    if json_output:
        from audio_gen.cli.common import emit_json

        emit_json(report.to_json())
    elif sys.stdout.isatty():
        _show_table(_worth_telling(report))
        _show_summary(report)
    else:
        for f in _worth_telling(report):
            typer.echo(f"{f.action}\t{_printable(f.path)}\t{'; '.join(f.reasons)}")
        _show_summary(report)


def _worth_telling(report: "DatasetReport") -> "list[FileReport]":
    """What is left out first, then what is repaired, then what is used with a note."""
    order = ("leave_out", "repair", "use")
    return sorted((f for f in report.files if f.reasons), key=lambda f: (order.index(f.action), f.path))


def _show_table(files: "list[FileReport]") -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not files:
        return
    table = Table("file", "length", "rate", "action", "why")
    colours = {"leave_out": "red", "repair": "yellow", "use": "green"}
    for f in files[:MOST_ROWS]:
        m = f.measurement
        table.add_row(
            Text(_printable(f.path), overflow="ellipsis", no_wrap=True),
            f"{m.duration_sec:.2f} s" if m else "",
            f"{m.sample_rate / 1000:g} kHz" if m else "",
            Text(f.action.replace("_", " "), style=colours[f.action]),
            Text("; ".join(f.reasons)),
        )
    console = Console()
    console.print(table)
    if len(files) > MOST_ROWS:
        console.print(f"and {len(files) - MOST_ROWS} more; --json lists all", markup=False)


def _show_summary(report: "DatasetReport") -> None:
    s = report.summary()
    typer.echo(
        f"{s['files']} audio files: {s['use']} used, {s['repair']} repaired and used, {s['leave_out']} left out; "
        f"{s['ignored']} other files passed over"
    )
    rates = ", ".join(f"{int(rate) / 1000:g} kHz ({count})" for rate, count in s["sample_rates"].items())
    typer.echo(
        f"{s['clips']} clips, {s['duration_sec'] / 60:.1f} minutes in all, {s['shortest_sec']:.2f} to "
        f"{s['longest_sec']:.1f} s each, {s['duplicates']} duplicates; {rates}"
    )


def _printable(name: str) -> str:
    """A file name on one line."""
    return name if name.isprintable() else json.dumps(name, ensure_ascii=False)[1:-1]
