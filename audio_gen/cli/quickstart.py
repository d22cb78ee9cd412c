"""`audio-gen quickstart`: from a folder of sounds to new ones, and a page to hear them on."""

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
    """From a folder to first new clips in minutes.

    Trains a GAN, makes new clips, moves between sounds, and writes a report to hear and see it all. Run it again to go
    on where it was stopped.
    """
    from audio_gen.cli.train_teller import TrainTeller
    from audio_gen.studio.quickstart import QuickstartRequest, quickstart

    request = QuickstartRequest(
        folder=folder, minutes=minutes, model=model, out=out, overrides=tuple(overrides or ()), seed=seed,
        vocoder=vocoder, device=device, force=force, command=command_line(),
    )  # fmt: skip
    with TrainTeller(json_output=json_output, verbose=verbose) as teller:
        result = quickstart(request, Console(note_on_output=not json_output), teller)
    if result.stopped_by:
        say(f"stopped by {result.stopped_by}, all is saved; run the same command again to go on")
        raise typer.Exit(1)
    if json_output:
        emit_json({**result.figures, "run": str(result.run), "report": str(result.report), "minutes": result.minutes})
        return
    for finding in (result.figures["evaluation"] or {}).get("verdict", []):
        say(finding["text"])
    say(f"done in {result.minutes:.1f} minutes; open {result.report} in a browser")
    voice = ("--vocoder", result.vocoder) if result.vocoder else ()
    say(f"more clips: {command('sample', result.run, '-n', 32, *voice, '--out', out / 'clips')}")
