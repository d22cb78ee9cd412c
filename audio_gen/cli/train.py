"""`audio-gen train`: a folder of sounds in, a run with a bundle out; the same command again goes on."""

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from audio_gen.artefacts.folders import RunFolder
from audio_gen.cli.common import (
    DeviceOption,
    ForceOption,
    JsonOption,
    VerboseOption,
    emit_json,
    megabytes,
    say,
)
from audio_gen.cli.next_steps import next_command
from audio_gen.cli.stages import stage_progress
from audio_gen.config import DEFAULT_MODEL
from audio_gen.text import visible

LINE_EVERY_SEC = 15.0
SHOWN_FIGURES = ("kad", "coverage", "diversity", "memorised")


def train_command(
    folder: Annotated[Path, typer.Argument(help="A folder of sounds, or a cache made by `preprocess`.")],
    run: Annotated[Path, typer.Option("--run", help="The run's folder; an unfinished run there goes on.")],
    model: Annotated[
        str | None, typer.Option("--model", help=f"gan, vae or vocoder; a new run without it is a {DEFAULT_MODEL}.")
    ] = None,
    config: Annotated[Path | None, typer.Option("--config", help="YAML with what differs from the defaults.")] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="A setting, such as train.lr=1e-4.")] = None,
    minutes: Annotated[float | None, typer.Option("--minutes", help="Length of the run in minutes.")] = None,
    steps: Annotated[int | None, typer.Option("--steps", help="Length of the run in steps.")] = None,
    images: Annotated[int | None, typer.Option("--images", help="Length of the run in clips seen.")] = None,
    until: Annotated[str | None, typer.Option("--until", help="When to end, such as '2026-01-01 07:00'.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="The same seed gives the same result.")] = None,
    init: Annotated[
        str | None,
        typer.Option(
            "--init", help="Start from this run or bundle, or small, the shipped vocoder (a folder: ./small)."
        ),
    ] = None,
    precision: Annotated[str | None, typer.Option("--precision", help="fp32, or bf16 for speed.")] = None,
    auto: Annotated[bool, typer.Option("--auto", help="Choose threads, size and batch by a short probe.")] = False,
    profile: Annotated[int, typer.Option("--profile", min=0, help="Time so many steps, part by part.")] = 0,
    device: DeviceOption = "auto",
    verbose: VerboseOption = False,
    force: ForceOption = False,
    json_output: JsonOption = False,
) -> None:
    """Train a model on a folder of sounds; run it again to go on where it stopped."""
    from audio_gen.training.tasks import train_run
    from audio_gen.training.tasks.settings import model_for

    model = model or model_for(run, config)
    teller = TrainTeller(json_output=json_output, verbose=verbose)
    try:
        train_run(
            folder, run, model=model, config_file=config, overrides=overrides or (), minutes=minutes, steps=steps,
            images=images, until=until, seed=seed, device=device, precision=precision, force=force, init=init,
            profile_steps=profile, auto=auto, on_event=teller,
        )  # fmt: skip
    finally:
        teller.close()
    end = teller.end
    if not end:  # another process of this run tells
        return
    if json_output:
        emit_json({"run": str(run), "bundle": str(RunFolder(run).bundle), **end, **teller.values})
        return
    if end["stopped_by"]:
        say_best(run, end)
        say(f"stopped by {end['stopped_by']} at step {end['step']}, all is saved; run the same command again to go on")
    elif teller.nothing_trained:
        say(f"nothing was trained: the run was finished at step {end['step']}; a longer --minutes or --steps goes on")
    else:
        say_best(run, end)
        if end["freed"] > 0:
            say(
                f"{megabytes(end['freed'])} of checkpoints were deleted; with a longer --minutes or --steps the "
                "run goes on from its weights, with new optimisers"
            )
        say(f"finished at step {end['step']}; now: {next_command(run, folder, model)}")


def say_best(run: Path, end: dict[str, Any]) -> None:
    """Say which step the bundle is, and why."""
    if end["best"] is None or end["judged_by"] is None:
        return
    at = f"{end['judged_by']} {end['best']:.3g} at step {end['best_step']}"
    if end["best_step"] == end["step"]:
        say(f"the last step is the best ({at}), and {RunFolder(run).bundle} holds it")
    else:
        last = "not measured" if end["last"] is None else f"{end['last']:.3g}"
        say(
            f"{RunFolder(run).bundle} is the best step, not the last ({at}, {last} at step {end['step']}); "
            f"{RunFolder(run).last_bundle} holds the last"
        )


class TrainTeller:
    """Shows a run's events: a bar on a terminal, else a line now and then; on standard error beside JSON."""

    def __init__(self, *, json_output: bool = False, verbose: bool = False) -> None:
        """Lines go to standard error with `json_output`; losses are shown only with `verbose`."""
        self.json_output, self.verbose = json_output, verbose
        self.values: dict[str, float] = {}
        self.end: dict[str, Any] = {}
        self._bar: Any = None
        self._told = 0.0
        self._latest = ""
        self._resumed: int | None = None
        self._stages = ExitStack()
        self._tell_stage: Callable[[str, int, int], None] | None = None

    def __call__(self, event: dict[str, Any]) -> None:
        """Show one event."""
        getattr(self, f"_on_{event['kind']}")(event)

    @property
    def nothing_trained(self) -> bool:
        """Whether the run had reached its end before."""
        return self._resumed is not None and self._resumed == self.end.get("step")

    def close(self) -> None:
        """Take the bars down."""
        self._stages.close()
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _line(self, text: str) -> None:
        if self._bar is not None:
            self._bar.console.print(visible(text), markup=False, highlight=False, emoji=False)
        else:
            say(text, json_output=self.json_output)

    def _on_data(self, event: dict[str, Any]) -> None:
        if self._tell_stage is None:
            self._tell_stage = self._stages.enter_context(stage_progress())
        self._tell_stage(event["what"], event["done"], event["total"])

    def _on_start(self, event: dict[str, Any]) -> None:
        self._stages.close()
        classes = f", {len(event['classes'])} classes" if event["classes"] else ""
        self._line(
            f"{event['clips']} clips to learn from, {event['val_clips']} kept out{classes}; "
            f"{event['parameters'] / 1e6:.1f} M parameters on {event['device']}"
        )

    def _on_step(self, event: dict[str, Any]) -> None:
        if self._bar is None and sys.stderr.isatty():
            self._start_bar()
        text = step_line(event) + self._latest
        now = time.monotonic()
        if self._bar is not None:
            self._bar.update(0, completed=event["progress"], description=visible(text))
        elif now - self._told > LINE_EVERY_SEC:
            self._told = now
            self._line(f"{100 * event['progress']:.0f} %  {text}")

    def _on_metrics(self, event: dict[str, Any]) -> None:
        if not self.verbose:
            return
        shown = [f"{key.removeprefix('loss/')} {value:.3g}" for key, value in event["values"].items() if "loss/" in key]
        self._latest = "  " + " ".join(shown)

    def _on_val(self, event: dict[str, Any]) -> None:
        self.values = event["values"]
        if self.verbose:
            self._line(
                f"step {event['step']}  kept-out files: " + ", ".join(f"{k} {v:.4g}" for k, v in self.values.items())
            )
        elif (error := self.values.get("mel_l1")) is not None:
            self._line(f"step {event['step']:,}  error on kept-out files {error:.2f} nats (lower is better)")

    def _on_evaluation(self, event: dict[str, Any]) -> None:
        values = event["values"]
        if not self.verbose:
            self._line(f"step {event['step']:,}  what it makes: {in_words(values)}")
            return
        told = ", ".join(f"{key} {values[key]:.3g}" for key in SHOWN_FIGURES if key in values)
        beside = f" (real against real: kad {values['kad_floor']:.3g})" if "kad_floor" in values else ""
        self._line(f"step {event['step']}  what it makes: {told}{beside}")

    def _on_milestone(self, event: dict[str, Any]) -> None:
        self._line(f"step {event['step']}  exported after {event['minutes']:g} minutes")

    def _on_profile(self, event: dict[str, Any]) -> None:
        shares = ", ".join(f"{name} {share:.1%}" for name, share in event["shares"].items())
        rate, peak = event["flops_per_sec"] / 1e9, event["matrix_flops_per_sec"] / 1e9
        self._line(
            f"step {event['step']}  of {1000 * event['step_sec']:.0f} ms (median of {event['steps']} steps): {shares}; "
            f"{rate:.1f} of the {peak:.0f} GFLOP/s of a product of matrices ({event['peak_share']:.0%})"
        )

    def _on_health(self, event: dict[str, Any]) -> None:
        self._line(f"step {event['step']}  ALARM {event['name'].replace('_', ' ')}: {event['text']}")

    def _on_preview(self, event: dict[str, Any]) -> None:
        self._line(f"step {event['step']}  preview in {event['folder']}")

    def _on_checkpoint(self, event: dict[str, Any]) -> None:
        pass

    def _on_resume(self, event: dict[str, Any]) -> None:
        self._resumed = event["step"]
        self._line(f"going on from step {event['step']}")

    def _on_note(self, event: dict[str, Any]) -> None:
        self._line(event["text"])

    def _on_end(self, event: dict[str, Any]) -> None:
        self.end = {key: value for key, value in event.items() if key != "kind"}

    def _start_bar(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        columns = (BarColumn(bar_width=20), TextColumn("{task.percentage:.0f} % {task.description}", markup=False))
        self._bar = Progress(*columns, console=Console(stderr=True))
        self._bar.add_task("", total=1.0)
        self._bar.start()


def step_line(event: dict[str, Any]) -> str:
    """How far a run is: step 840 of about 7,000  9:14 left  (2.4 steps/s)."""
    step, progress, rate = event["step"], event["progress"], 1 / max(event["step_sec"], 1e-9)
    of = ""
    if progress > 0:
        total = step / progress
        exact = abs(total - round(total)) < 1e-6 * total
        of = f" of {round(total):,}" if exact else f" of about {float(f'{max(total, step):.2g}'):,.0f}"
    return f"step {step:,}{of}  {_clock(event['left_sec'])} left  ({rate:.{1 if rate >= 1 else 2}f} steps/s)"


def in_words(values: dict[str, float]) -> str:
    """An evaluation for people who know none of its figures' names."""
    told = []
    if "kad" in values:
        floor = f" (real sounds among each other: {values['kad_floor']:.3g})" if "kad_floor" in values else ""
        told.append(f"distance from the real sounds {values['kad']:.3g}{floor}")
    if "coverage" in values:
        told.append(f"{100 * values['coverage']:.0f} % of the real sounds have one near them")
    if "diversity" in values:
        told.append(f"variety {100 * values['diversity']:.0f} % of theirs")
    if values.get("memorised"):
        told.append(f"{100 * values['memorised']:.0f} % are copies of a training sound")
    return ", ".join(told)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
