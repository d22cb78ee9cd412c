"""`audio-gen quickstart`: from a folder of sounds to generated clips and a report."""

from pathlib import Path

import typer

from audio_gen.cli import options as o
from audio_gen.cli.common import Console, command_line, emit_json, say
from audio_gen.config import DEFAULT_MODEL
from audio_gen.hints import command


def quickstart_command(
    folder: o.StartArgument = None,
    minutes: o.TrainingOption = 5.0,
    model: o.StartModelOption = DEFAULT_MODEL,
    out: o.StartOutOption = Path("quickstart-out"),
    overrides: o.StartSetOption = None,
    seed: o.SeedOption = 0,
    vocoder: o.VocoderOption = None,
    device: o.DeviceOption = "auto",
    verbose: o.VerboseOption = False,
    force: o.ForceOption = False,
    json_output: o.JsonOption = False,
) -> None:
    """Train on a folder and generate first clips in minutes.

    Trains a GAN, generates clips, interpolates between sounds, and writes a report with sounds and pictures. Run it
    again to resume.
    """
    from audio_gen.cli.train_printer import TrainPrinter
    from audio_gen.studio.quickstart import QuickstartRequest, quickstart

    request = QuickstartRequest(
        folder=folder, minutes=minutes, model=model, out=out, overrides=tuple(overrides or ()), seed=seed,
        vocoder=vocoder, device=device, force=force, command=command_line(),
    )  # fmt: skip
    with TrainPrinter(json_output=json_output, verbose=verbose) as printer:
        result = quickstart(request, Console(note_on_output=not json_output), printer)
    if result.stopped_by:
        say(f"stopped by {result.stopped_by}, all is saved; run the same command again to resume")
        raise typer.Exit(1)
    if json_output:
        emit_json({**result.figures, "run": str(result.run), "report": str(result.report), "minutes": result.minutes})
        return
    for finding in (result.figures["evaluation"] or {}).get("verdict", []):
        say(finding["text"])
    say(f"done in {result.minutes:.1f} minutes; open {result.report} in a browser")
    voice = ("--vocoder", result.vocoder) if result.vocoder else ()
    say(f"more clips: {command('sample', result.run, '-n', 32, *voice, '--out', out / 'clips')}")
