"""`audio-gen train`: train a model on a folder of sounds, or resume."""

from dataclasses import asdict

from audio_gen.artefacts.folders import RunFolder
from audio_gen.cli import options as o
from audio_gen.cli.common import emit_json, say
from audio_gen.cli.train_printer import TrainPrinter
from audio_gen.hints import next_command
from audio_gen.training.narration import end_lines


def train_command(
    folder: o.SourceArgument, run: o.RunOption, model: o.ModelOption = None, to: o.SecondFolderOption = None,
    config: o.ConfigOption = None, overrides: o.SetOption = None, minutes: o.MinutesOption = None,
    steps: o.RunStepsOption = None, images: o.ImagesOption = None, until: o.UntilOption = None,
    seed: o.RunSeedOption = None, init: o.InitOption = None, precision: o.PrecisionOption = None,
    auto: o.AutoOption = False, profile: o.ProfileOption = 0, device: o.DeviceOption = "auto",
    verbose: o.VerboseOption = False, force: o.ForceOption = False, json_output: o.JsonOption = False,
) -> None:  # fmt: skip
    """Train a model on a folder of sounds. Run it again to resume."""
    from audio_gen.training.tasks.run import train_run
    from audio_gen.training.tasks.settings import model_for

    model = model or ("cycle" if to else model_for(run, config))
    with TrainPrinter(json_output=json_output, verbose=verbose) as printer:
        train_run(
            folder, run, model=model, config_file=config, overrides=overrides or (), minutes=minutes, steps=steps,
            images=images, until=until, seed=seed, device=device, precision=precision, force=force, init=init,
            profile_steps=profile, auto=auto, to=to, on_event=printer,
        )  # fmt: skip
    if not (end := printer.end):
        return  # the main process of the run prints
    if json_output:
        return emit_json({"run": str(run), "bundle": str(RunFolder(run).bundle), **asdict(end), **printer.values})
    for line in end_lines(run, end, trained=not printer.nothing_trained):
        say(line)
    if not end.stopped_by and not printer.nothing_trained:
        say(f"finished at step {end.step}; now: {next_command(run, folder, model)}")
