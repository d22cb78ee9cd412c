"""`audio-gen inspect`: what is in a folder, and what will be done with it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from audio_gen.cli.common import GeneratedOption, JsonOption, say
from audio_gen.text import one_line, visible

if TYPE_CHECKING:
    from audio_gen.data.report import DatasetReport


def inspect_command(
    folder: Annotated[Path, typer.Argument(help="A folder of sounds; it is only read.")],
    json_output: JsonOption = False,
    strict: Annotated[bool, typer.Option("--strict", help="Fail (status 1) if any file is left out.")] = False,
    generated: GeneratedOption = False,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Files read at the same time.")] = 2,
) -> None:
    """Say what is in a folder of sounds, and what is wrong with it."""
    from audio_gen.cli.stages import stage_progress
    from audio_gen.data.index import inspect_folder
    from audio_gen.data.report import NothingUsableError

    try:
        with stage_progress() as progress:
            report = inspect_folder(folder, progress=progress, workers=workers, made=generated)
        _show(report, json_output)
        report.require_usable(listed=True)
    except NothingUsableError as e:
        say(f"error: {e}", json_output=True)
        raise typer.Exit(1) from e
    if strict and report.left_out:
        left = len(report.left_out)
        say(f"error: {left} files are left out and --strict is on; remove or mend them", json_output=True)
        raise typer.Exit(1)


def _show(report: "DatasetReport", json_output: bool) -> None:
    from audio_gen.cli.overview import class_lines, note_lines, sufficiency
    from audio_gen.config import DataSettings
    from audio_gen.data.labels import Label
    from audio_gen.data.plan import plan_clips
    from audio_gen.errors import AudioGenError

    labels = {f.path: Label() for f in report.usable}
    try:
        plan = plan_clips(report, DataSettings())
        labels, notes = plan.labels, plan.notes
    except AudioGenError as e:  # of a label file: told, and the sounds are shown without classes
        notes = [str(e)]
    if json_output:
        from audio_gen.cli.common import emit_json

        told = report.to_json()
        told["summary"] |= {"notes": notes}
        emit_json(told)
        return
    for line in note_lines(report.files, {f.path: one_line(f.path) for f in report.files}):
        say(line)
    _show_summary(report)
    if report.usable:
        for line in class_lines(report, labels):
            say(f"  {visible(line)}")
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
        f"{s['longest_sec']:.1f} s each, {s['duplicates']} duplicate{'s' * (s['duplicates'] != 1)}; {rates}"
    )
