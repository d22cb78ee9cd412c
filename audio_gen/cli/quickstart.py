"""`audio-gen quickstart`: from a folder of sounds to new ones, and a page to hear them on."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from audio_gen.artefacts.folders import QuickstartFolder
from audio_gen.cli.common import DeviceOption, ForceOption, JsonOption, SeedOption, VerboseOption, VocoderOption
from audio_gen.config import DEFAULT_MODEL
from audio_gen.hints import command

if TYPE_CHECKING:
    from audio_gen.audio.mel import MelSpec
    from audio_gen.cli.train import TrainTeller

MODELS = ("gan", "vae")
GENERATED = "generated"  # clips under samples/ that models made: nothing to learn from


def quickstart_command(
    folder: Annotated[Path | None, typer.Argument(help="A folder of sounds; without it, the bundled samples.")] = None,
    minutes: Annotated[float, typer.Option("--minutes", help="How long to train.")] = 5.0,
    model: Annotated[
        str, typer.Option("--model", help="gan, or vae: less sharp, and encodes files at once.")
    ] = DEFAULT_MODEL,
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder for the run, the clips and the report.")] = Path(
        "quickstart-out"
    ),
    overrides: Annotated[list[str] | None, typer.Option("--set", help="A setting, such as data.segment_sec=1.")] = None,
    seed: SeedOption = 0,
    vocoder: VocoderOption = None,
    device: DeviceOption = "auto",
    verbose: VerboseOption = False,
    force: ForceOption = False,
    json_output: JsonOption = False,
) -> None:
    """From a folder to first new clips in minutes.

    Trains a GAN, makes new clips, moves between sounds, and writes a report to hear and see it all. Run it again to go
    on where it was stopped.
    """
    import math

    from audio_gen.cli.common import emit_json, say
    from audio_gen.cli.tuning import chosen_vocoder, prepared_cache
    from audio_gen.errors import ConfigError
    from audio_gen.training.tasks import train_run

    if not (math.isfinite(minutes) and minutes > 0):
        raise ConfigError(f"--minutes {minutes:g}: must be above 0; try 5")
    if model not in MODELS:
        raise ConfigError(f"--model {model}: must be {' or '.join(MODELS)}")
    places = QuickstartFolder(out)
    run = places.run
    # With --force the old run is moved aside, so its settings do not count.
    spec = _check_choices(out / "new" if force else run, model, overrides or [], minutes, vocoder, device)
    _check_folder(out, force=force)
    started = time.monotonic()
    source = _bundled(out) if folder is None else folder
    _inspect(source, json_output)
    about_vocoder = None
    model_minutes = minutes
    if vocoder is None:
        say("first the vocoder, on the same sounds", json_output=json_output)
        with _telling(json_output, verbose) as teller:
            cache = prepared_cache(source, run, model, overrides or [], force=force, tell=teller)
        with _telling(json_output, verbose) as teller:
            choice = chosen_vocoder(
                cache, spec, places.vocoder, minutes=minutes, seed=seed, device=device, force=force, tell=teller
            )
        vocoder, about_vocoder, model_minutes = choice.vocoder, choice.about, minutes + choice.saved_min
        say(about_vocoder, json_output=json_output)
        say(f"now the model, for {model_minutes:.3g} minutes", json_output=json_output)
    with _telling(json_output, verbose) as teller:
        train_run(
            source, run, model=model, overrides=overrides or [], minutes=model_minutes, seed=seed, device=device,
            force=force and about_vocoder is None, on_event=teller,
        )  # fmt: skip
    from audio_gen.cli.showcase import make_showcase

    result = make_showcase(
        run, out, places.report, source=source, seed=seed, vocoder=vocoder, device=device,
        about_vocoder=about_vocoder, source_name="the bundled samples" if folder is None else folder.resolve().name,
    )  # fmt: skip
    took_min = (time.monotonic() - started) / 60
    if json_output:
        summary: dict[str, Any] = {**result, "run": str(run), "report": str(places.report), "minutes": took_min}
        emit_json(summary)
        return
    for finding in (result["evaluation"] or {}).get("verdict", []):
        say(finding["text"])
    say(f"done in {took_min:.1f} minutes; open {places.report} in a browser")
    voice = ("--vocoder", vocoder) if vocoder else ()
    say(f"more clips: {command('sample', run, '-n', 32, *voice, '--out', out / 'clips')}")


def _check_choices(
    run: Path, model: str, overrides: list[str], minutes: float, vocoder: str | None, device: str
) -> "MelSpec":
    """Refuse what would only fail after training; return the mel."""
    from audio_gen.device import resolve_device
    from audio_gen.training.tasks.run import resolve_config
    from audio_gen.vocoding.load import load_vocoder

    resolve_device(device)
    spec = resolve_config(run, model, None, overrides, {"train": {"minutes": minutes}}).mel
    load_vocoder(vocoder, spec)
    return spec


@contextmanager
def _telling(json_output: bool, verbose: bool) -> "Iterator[TrainTeller]":
    """Show a training; one that was stopped ends the command."""
    from audio_gen.cli.common import say
    from audio_gen.cli.train import TrainTeller

    teller = TrainTeller(json_output=json_output, verbose=verbose)
    try:
        yield teller
    finally:
        teller.close()
    if teller.end.get("stopped_by"):
        say(f"stopped by {teller.end['stopped_by']}, all is saved; run the same command again to go on")
        raise typer.Exit(1)


def _check_folder(out: Path, *, force: bool) -> None:
    """Make the output folder; one that holds other things than an earlier quickstart is left alone."""
    from audio_gen.cli.common import check_out

    ours = QuickstartFolder(out).run.is_dir() or QuickstartFolder(out).sounds.is_dir()
    check_out(out, None, force=force or ours)


def _bundled(out: Path) -> Path:
    """The samples that come with a clone of the repository, copied beside the run.

    Raises:
        DataError: The package was installed without them.
    """
    import audio_gen
    from audio_gen.errors import DataError

    samples = Path(audio_gen.__file__).resolve().parents[1] / "samples"
    if not any(samples.glob("*/*.wav")):
        raise DataError(
            "no folder was named, and the bundled samples are only in a clone; try: audio-gen quickstart FOLDER"
        )
    sounds = QuickstartFolder(out).sounds
    shutil.copytree(samples, sounds, ignore=shutil.ignore_patterns(GENERATED), dirs_exist_ok=True)
    return sounds


def _inspect(source: Path, json_output: bool) -> None:
    """Say what the folder holds before time is spent on it."""
    from audio_gen.cli.common import say
    from audio_gen.cli.stages import stage_progress
    from audio_gen.data.index import inspect_folder

    with stage_progress() as progress:
        report = inspect_folder(source, progress=progress)
    s = report.summary()
    say(
        f"{s['files']} audio files: {s['use']} used, {s['repair']} repaired and used, {s['leave_out']} left out",
        json_output=json_output,
    )
    report.require_usable()
