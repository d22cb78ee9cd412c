"""One-line texts of training events, for a terminal or a page."""

from collections.abc import Mapping
from pathlib import Path

from audio_gen.artefacts.folders import RunFolder
from audio_gen.text import megabytes
from audio_gen.training import events

SHOWN_FIGURES = ("kad", "way", "coverage", "diversity", "memorised")


def line_of(event: events.Event, *, verbose: bool = False) -> str | None:
    """One line about an event, with the figures' names if `verbose`; None for events without a line."""
    match event:
        case events.Started():
            classes = f", {len(event.classes)} classes" if event.classes else ""
            return (
                f"{event.clips} training clips, {event.val_clips} held out{classes}; "
                f"{event.parameters / 1e6:.1f} M parameters on {event.device}"
            )
        case events.Validated():
            return _validated(event, verbose)
        case events.Evaluated():
            return _evaluated(event, verbose)
        case events.Profiled():
            return _profiled(event)
        case events.MilestoneExported():
            return f"step {event.step}  exported after {event.minutes:g} minutes"
        case events.Alarm():
            return f"step {event.step}  ALARM {event.name.replace('_', ' ')}: {event.text}"
        case events.Previewed():
            return f"step {event.step}  preview in {event.folder}"
        case events.Resumed():
            return f"resuming from step {event.step}"
        case events.Note():
            return event.text
    return None


def _validated(event: events.Validated, verbose: bool) -> str | None:
    if verbose:
        return f"step {event.step}  held-out files:  " + ", ".join(f"{k} {v:.4g}" for k, v in event.values.items())
    if (error := event.values.get("mel_l1")) is None:
        return None
    loss = event.values.get("prior_loss")
    later = "" if loss is None else f"; loss of the prior on held-out passages {loss:.3f}"
    return f"step {event.step:,}  error on held-out files {error:.2f} (log-mel, lower is better){later}"


def _evaluated(event: events.Evaluated, verbose: bool) -> str:
    values = event.values
    if not verbose:
        return f"step {event.step:,}  samples: {in_words(values)}"
    figures = ", ".join(f"{key} {values[key]:.3g}" for key in SHOWN_FIGURES if key in values)
    baseline = f" (real-vs-real baseline {values['kad_floor']:.3g})" if "kad_floor" in values else ""
    return f"step {event.step}  samples: {figures}{baseline}"


def _profiled(event: events.Profiled) -> str:
    shares = ", ".join(f"{name} {share:.1%}" for name, share in event.shares.items())
    rate, peak = event.flops_per_sec / 1e9, event.matrix_flops_per_sec / 1e9
    return (
        f"step {event.step}  of {1000 * event.step_sec:.0f} ms (median of {event.steps} steps): {shares}; "
        f"{rate:.1f} of the {peak:.0f} GFLOP/s of a product of matrices ({event.peak_share:.0%})"
    )


def step_line(event: events.StepDone) -> str:
    """The progress of a run: step 840 of about 7,000  9:14 left  (2.4 steps/s)."""
    step, progress, rate = event.step, event.progress, 1 / max(event.step_sec, 1e-9)
    of = ""
    if progress > 0:
        total = step / progress
        exact = abs(total - round(total)) < 1e-6 * total
        of = f" of {round(total):,}" if exact else f" of about {float(f'{max(total, step):.2g}'):,.0f}"
    return f"step {step:,}{of}  {_clock(event.left_sec)} left  ({rate:.{1 if rate >= 1 else 2}f} steps/s)"


def in_words(values: Mapping[str, float]) -> str:
    """An evaluation in plain words, without the figures' names."""
    parts = []
    if "kad" in values:
        floor = f" (real-vs-real baseline {values['kad_floor']:.3g})" if "kad_floor" in values else ""
        parts.append(f"distance from the real sounds {values['kad']:.3g}{floor}")
    if "way" in values:
        parts.append(f"{100 * values['way']:.0f} % of the way from the sources to the target")
    if "coverage" in values:
        parts.append(f"{100 * values['coverage']:.0f} % of the real sounds have a close one")
    if "diversity" in values:
        parts.append(f"variety {100 * values['diversity']:.0f} % of theirs")
    if values.get("memorised"):
        parts.append(f"{100 * values['memorised']:.0f} % are copies of a training sound")
    return ", ".join(parts)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def end_lines(run: Path, end: events.Ended, *, trained: bool) -> list[str]:
    """Lines about the end of a run: the step of its bundle, the stop signal, and deleted checkpoints.

    Args:
        run: The run's folder.
        end: The last event.
        trained: Whether the session took steps.
    """
    if not trained and not end.stopped_by:
        return [
            f"nothing was trained: the run was finished at step {end.step}; continue with a longer --minutes or --steps"
        ]
    lines = _best_lines(run, end)
    if end.stopped_by:
        again = "all is saved; run the same command again to resume"
        return [*lines, f"stopped by {end.stopped_by} at step {end.step}, {again}"]
    if end.freed > 0:
        lines.append(
            f"{megabytes(end.freed)} of checkpoints were deleted; with a longer --minutes or --steps the run "
            f"continues from its weights, with new optimisers"
        )
    return lines


def _best_lines(run: Path, end: events.Ended) -> list[str]:
    """The step of the bundle and its figure."""
    if end.best is None or end.judged_by is None:
        return []
    at = f"{end.judged_by} {end.best:.3g} at step {end.best_step}"
    if end.best_step == end.step:
        return [f"the last step is the best ({at}), and {RunFolder(run).bundle} holds it"]
    last = "not measured" if end.last is None else f"{end.last:.3g}"
    return [
        f"{RunFolder(run).bundle} is the best step, not the last ({at}, {last} at step {end.step}); "
        f"{RunFolder(run).last_bundle} holds the last"
    ]
