"""Is a run working? What its metrics say, in plain words; nothing here reads a file or needs torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from audio_gen.training.readings import Readings
from audio_gen.training.symptoms import ALARMS, Symptom, rose

# An error that never fell by 2 % was not learned. A VAE starts from principal components, so that is no alarm.
LEARNED = 0.98
JUDGED_PROGRESS = 0.5
# Of the whole run; with 20 validations these are 4 that brought nothing, and one alone would be chance.
PLATEAU_SHARE, PLATEAU_FIGURES = 0.2, 2
# While the KL weight rises, over a fifth of a run, the error on kept-out files may rise with it.
WARM_UP_SHARE = 0.2
# Above the 10 % that are common and harmless.
OVERFITTED_ERROR = 1.2
# The KAD of a few samples differs a little between two draws.
NEARER = 0.9


@dataclass(frozen=True)
class Verdict:
    """What a run's metrics say about it.

    Attributes:
        name: Short, with underscores, such as "mode_collapse".
        text: One sentence in plain words, with the figures and what to do.
        alarm: Whether something is wrong; else it is a note.
    """

    name: str
    text: str
    alarm: bool


def diagnose(rows: Sequence[Mapping[str, Any]], *, progress: float = 1.0) -> list[Verdict]:
    """Say what is wrong with a run, or else how it goes.

    Args:
        rows: The lines of its metrics, oldest first; any key may be missing.
        progress: How much of the run they are, 0 to 1.

    Returns:
        The alarms; where there are none, notes.
    """
    log = Readings(rows, min(max(progress, 0.0), 1.0))
    return _verdicts(ALARMS, log, alarm=True) or _verdicts(_NOTES, log, alarm=False)


def _verdicts(symptoms: Mapping[str, Symptom], log: Readings, *, alarm: bool) -> list[Verdict]:
    found = ((name, find(log)) for name, find in symptoms.items())
    return [Verdict(name, text, alarm) for name, text in found if text is not None]


def _working(log: Readings) -> str | None:
    kads = log.values("eval/kad")
    if len(kads) > 1 and kads[-1] < NEARER * kads[0]:
        floor = log.last("eval/kad_floor")
        real = "" if floor is None else f"; your own sounds reach {floor:.3g}"
        return f"samples come nearer to your sounds (KAD {kads[0]:.3g} -> {kads[-1]:.3g}{real}): {_go_on(log)}"
    errors = log.errors()
    if len(errors) > 1 and errors[-1] < LEARNED * errors[0]:
        return f"the model learns (error on kept-out files {errors[0]:.3g} -> {errors[-1]:.3g}): {_go_on(log)}"
    return None


def _plateau(log: Readings) -> str | None:
    by_kad = len(log.values("eval/kad")) > PLATEAU_FIGURES
    series = log.series("eval/kad" if by_kad else log.error_key())
    if not series:
        return None
    best_step, best = min(series, key=lambda pair: pair[1])
    age = (log.steps_done() - max(best_step, WARM_UP_SHARE * log.steps())) / log.steps()
    if age <= PLATEAU_SHARE or sum(step > best_step for step, _ in series) < PLATEAU_FIGURES:
        return None
    what = "KAD of the samples" if by_kad else "the error on kept-out files"
    do = "stop or lower the rate" if log.progress < 1 else "a shorter run, or a lower train.lr, does as well"
    return f"{what} has not improved for {100 * age:.0f} % of the run (best {best:.3g} at step {best_step:.0f}): {do}"


def _overfitting(log: Readings) -> str | None:
    errors = log.errors()
    if not log.learns() or not rose(errors, OVERFITTED_ERROR):
        return None
    return (
        f"the model learns its clips by heart (kept-out error {min(errors):.3g} at best, {errors[-1]:.3g} now, "
        "while the training loss falls): stop earlier, or add sounds"
    )


def _no_learning(log: Readings) -> str | None:
    errors = log.errors()
    if log.progress < JUDGED_PROGRESS or len(errors) < 2 or min(errors) < LEARNED * errors[0]:
        return None
    return (
        f"the error on kept-out files hardly fell ({errors[0]:.3g} at first, {min(errors):.3g} at best), as is common "
        "with few sounds: listen to the previews, and add sounds if they are not good enough"
    )


def _go_on(log: Readings) -> str:
    return "let it go on" if log.progress < 1 else "listen to the previews"


_NOTES: dict[str, Symptom] = {
    "working": _working,
    "plateau": _plateau,
    "overfitting": _overfitting,
    "no_learning": _no_learning,
}
