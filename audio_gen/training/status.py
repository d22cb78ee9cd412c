"""The status of a run from the files of its folder, as values and as text."""

import math
from pathlib import Path
from statistics import median
from typing import Any

from audio_gen.artefacts.folders import QuickstartFolder, RunFolder
from audio_gen.config import first_preview_due, read_yaml
from audio_gen.errors import ConfigError, DataError
from audio_gen.findings import percent
from audio_gen.text import megabytes, one_line
from audio_gen.training.diagnosis import diagnose
from audio_gen.training.history import History
from audio_gen.training.metrics import read_metrics
from audio_gen.training.progress import is_running, read_progress

AGAIN = "run the same train command again to resume"
# Each figure in words, and whether it is a share; those of samples come first.
FIGURES = {
    "eval/kad": ("distance of samples from your sounds (KAD, lower is better)", False),
    "eval/coverage": ("your sounds that have a sample near them (coverage)", True),
    "eval/diversity": ("variety of samples, relative to your sounds (diversity)", True),
    "eval/density": ("how typical samples are (density, 1: like your sounds)", False),
    "eval/memorised": ("samples that are copies of a training sound", True),
    "eval/nearest_ratio": ("distance to the nearest training sound (1: like unseen real sounds)", False),
    "eval/silent": ("silent samples", True),
    "val/mel_l1": ("error on held-out files (log-mel, lower is better)", False),
    "val/guess_l1": ("error on held-out files, encoded without a search (log-mel, lower is better)", False),
    "val/prior_loss": ("loss of the prior on held-out passages (lower is better)", False),
    "val/mrmel": ("error of copy-synthesis on held-out files (mrmel, lower is better)", False),
    "val/logits_gap": ("discriminator: held-out sounds score above samples by", False),
    "val/back_l1": ("error on held-out files, transferred there and back (log-mel)", False),
    "val/logits_gap_train": ("discriminator: training sounds score above samples by", False),
    "val/kl": ("information in a sound's latent (KL, in nats of 1.4 bits)", False),
    "val/active_dimensions": ("dimensions of the latent in use", False),
}
# Figures without a trend: those of real sounds, and counts.
BASELINES = {
    "eval/kad_floor": "eval/kad", "eval/coverage_real": "eval/coverage", "eval/memorised_real": "eval/memorised",
}  # fmt: skip
HIDDEN = {"eval/n", "eval/kad_se", "eval/distinct_real", "eval/flatness_real"}
STEADY = 0.02  # relative changes below this count as steady


def report(run: Path) -> tuple[dict[str, Any], list[str]]:
    """The status and diagnosis of a run: values for JSON, and lines.

    Raises:
        DataError: The folder holds no run.
    """
    check_run(run)
    folder, rows = RunFolder(run), read_metrics(run)
    entry = state_of(run, History(rows))
    share = 1.0 if entry["progress"] is None else entry["progress"]
    log, verdicts = History(rows, share), diagnose(rows, progress=share)
    values = {
        "run": str(run), **entry, "values": log.latest("val/", "eval/", "loss/", "gap/", "grad_norm/"),
        "verdicts": [verdict.to_json() for verdict in verdicts], "bundles": folder.best_and_last(),
        "sizes": folder.sizes(),
    }  # fmt: skip
    lines = [_state_line(run, entry), _bundle_line(run), *(f"  {line}" for line in _figure_lines(log))]
    for verdict in sorted(verdicts, key=lambda verdict: not verdict.alarm):
        lines.append(f"{'ALARM' if verdict.alarm else 'note'} {verdict.name}: {verdict.text}")
    if not verdicts:
        lines.append("no alarms" if rows else "nothing was measured yet")
    sizes = ", ".join(f"{kind} {megabytes(size)}" for kind, size in values["sizes"].items())
    return values, [*lines, f"on disk: {sizes}"]


def check_run(run: Path) -> None:
    """Refuse a folder without a run.

    Raises:
        DataError: The folder is missing or holds no run.
    """
    if not run.is_dir():
        raise DataError(f"{one_line(run)}: there is no such folder; give the folder after --run of the train command")
    places = RunFolder(run)
    if not any(path.exists() for path in (places.metrics, places.progress, places.settings, places.checkpoints)):
        inner = QuickstartFolder(run).run
        other = one_line(inner) if inner.is_dir() else "the folder after --run of the train command"
        raise DataError(f"{one_line(run)}: holds no run; give {other}")


def state_of(run: Path, log: History) -> dict[str, Any]:
    """The state of a run: "state", "progress", "step", "elapsed_sec", "left_sec", "error"; None if unknown."""
    entry = read_progress(run)
    if entry is None:
        elapsed_sec = log.last("time/elapsed_sec")
        finished = RunFolder(run).bundle.is_dir()
        progress = 1.0 if finished else _progress_of(run, log.steps_done(), elapsed_sec)
        return {
            "state": "finished" if finished else "unknown", "progress": progress, "step": int(log.steps_done()),
            "elapsed_sec": elapsed_sec, "left_sec": None, "error": None,
        }  # fmt: skip
    state = "killed" if entry["state"] == "running" and not is_running(entry) else entry["state"]
    known = {key: _number(entry.get(key)) for key in ("progress", "step", "elapsed_sec", "left_sec")}
    known["left_sec"] = known["left_sec"] if state == "running" else None
    return {"state": state, **known, "error": entry.get("error")}


def _progress_of(run: Path, step: float, elapsed_sec: float | None) -> float | None:
    """Progress of a run without a progress file, by the length in its settings."""
    try:
        train = read_yaml(RunFolder(run).settings).get("train")
    except ConfigError:
        return None
    settings = train if isinstance(train, dict) else {}
    steps, minutes, images = (_number(settings.get(name)) for name in ("steps", "minutes", "images"))
    if images:
        steps = images / (_number(settings.get("batch_size")) or 1)
    if steps:
        return min(step / steps, 1.0)
    return min(elapsed_sec / (60 * minutes), 1.0) if minutes and elapsed_sec is not None else None


def _state_line(run: Path, entry: dict[str, Any]) -> str:
    """One line for a result of `state_of`."""
    state, step = entry["state"], f"step {entry['step'] or 0:.0f}"
    text = {
        "running": f"is running, at {step}",
        "killed": f"was killed at about {step}: {AGAIN} from the last checkpoint",
        "stopped": f"was stopped at {step}, all is saved: {AGAIN}",
        "failed": f"failed at {step}: {entry['error'] or 'no reason is known'}",
        "finished": f"finished at {step}",
        "unknown": f"is at {step}; whether it runs is not known: if it does not, {AGAIN}",
    }.get(state, f"{state} at {step}")
    amounts = [] if entry["progress"] is None else [f"{100 * entry['progress']:.0f} % done"]
    amounts += [] if entry["elapsed_sec"] is None else [f"{_clock(entry['elapsed_sec'])} trained"]
    amounts += [] if entry["left_sec"] is None else [f"{_clock(entry['left_sec'])} left"]
    return f"{run}: {text}" + (f" ({', '.join(amounts)})" if amounts else "")


def _bundle_line(run: Path) -> str:
    """The step that the commands use."""
    bundles = [
        f"{name} is {word} step, {about.get('steps')}" + (f" ({about['figure']:.3g})" if about.get("figure") else "")
        for word, (name, about) in zip(("the best", "the last"), RunFolder(run).best_and_last().items(), strict=False)
    ]
    if not bundles:
        return f"no bundle yet; the first comes {first_preview_due(RunFolder(run).settings)}"
    if len(bundles) == 1:
        return f"all commands use {bundles[0].replace(' is the best step,', ' of step')}"
    return f"all commands use the best step: {', '.join(bundles)}"


def _figure_lines(log: History) -> list[str]:
    """A line for each figure in words: its newest value, that of real sounds, its first value and its trend."""
    latest = log.latest("val/", "eval/")
    baselines = {main: latest[key] for key, main in BASELINES.items() if key in latest}
    shown = [key for key in latest if key not in HIDDEN and not (key in BASELINES and BASELINES[key] in latest)]
    shown.sort(key=lambda key: list(FIGURES).index(key) if key in FIGURES else len(FIGURES))
    words = {key: FIGURES.get(key, (key, False)) for key in shown}
    width = max((len(text) for text, _ in words.values()), default=0)
    lines = []
    for key, (text, is_share) in words.items():
        name = "real-vs-real baseline" if key == "eval/kad" else "real sounds"
        real = f" ({name} {_figure(baselines[key], is_share)})" if key in baselines else ""
        lines.append(f"{text:<{width}}  {_figure(latest[key], is_share)}{real}{_trend(log.values(key), is_share)}")
    return lines


def _figure(value: float, is_share: bool) -> str:
    return percent(value) if is_share else f"{value:.3g}"


def _trend(values: list[float], is_share: bool = False) -> str:
    """The first value, and the newest quarter of the values compared with the quarter before."""
    if len(values) < 2:
        return ""
    part = max(1, len(values) // 4)
    now, before = median(values[-part:]), median(values[-2 * part : -part])
    change = now - before
    steady = abs(change) <= STEADY * max(abs(before), abs(now))
    word = "steady" if steady else "rising" if change > 0 else "falling"
    return f"; {_figure(values[0], is_share)} at first, lately {word}"


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and math.isfinite(value) else None


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
