"""Events of a run: one frozen dataclass per kind.

A listener gets all events and selects by `isinstance` or `match`. It is called in the main process only.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from audio_gen.findings import Finding
from audio_gen.text import one_line

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Event:
    """Something that happened."""


@dataclass(frozen=True)
class Note(Event):
    """A line for the user."""

    text: str


@dataclass(frozen=True)
class CacheProgress(Event):
    """A stage of building the cache ("inspect", "store" or "pitch"): files done, and their total."""

    stage: str
    done: float
    total: int


@dataclass(frozen=True)
class Started(Event):
    """Training begins: number of parameters, training and held-out clips, the device, and the classes."""

    parameters: int
    clips: int
    val_clips: int
    device: str
    classes: Sequence[str]


@dataclass(frozen=True)
class Resumed(Event):
    """A run resumes from a step."""

    step: int


@dataclass(frozen=True)
class StepDone(Event):
    """A step is done: progress of the run (0 to 1), seconds of the step, seconds left (estimated) and trained."""

    step: int
    progress: float
    step_sec: float
    left_sec: float
    elapsed_sec: float


@dataclass(frozen=True)
class StepLogged(Event):
    """The losses and other figures of a step that is logged, by metric key."""

    step: int
    values: Mapping[str, float]
    step_sec: float
    elapsed_sec: float


@dataclass(frozen=True)
class Validated(Event):
    """Figures on held-out files."""

    step: int
    values: Mapping[str, float]


@dataclass(frozen=True)
class Evaluated(Event):
    """Figures of samples; seconds spent on all evaluations, and on the run."""

    step: int
    values: Mapping[str, float]
    evaluation_sec: float
    elapsed_sec: float


@dataclass(frozen=True)
class Diagnosed(Event):
    """The diagnosis of the run's metrics so far."""

    step: int
    findings: Sequence[Finding]


@dataclass(frozen=True)
class Alarm(Event):
    """A fault that the last diagnosis did not find."""

    step: int
    name: str
    text: str


@dataclass(frozen=True)
class Previewed(Event):
    """A preview was written into a folder."""

    step: int
    folder: Path


@dataclass(frozen=True)
class MilestoneExported(Event):
    """A bundle of the model after a number of minutes was written."""

    step: int
    minutes: float


@dataclass(frozen=True)
class Saved(Event):
    """The checkpoint of a step was written."""

    step: int


@dataclass(frozen=True)
class Profiled(Event):
    """Time of a step by part, see `Stopwatch.report`."""

    step: int
    steps: int
    step_sec: float
    shares: Mapping[str, float]
    flops: float
    flops_per_sec: float
    matrix_flops_per_sec: float
    peak_share: float


@dataclass(frozen=True)
class Ended(Event):
    """A session has ended.

    Attributes:
        step: The last step.
        stopped_by: A signal's name, or None at the end of the run.
        freed: Bytes of checkpoints deleted.
        best: The figure of the bundle's step; None if not measured.
        best_step: The bundle's step.
        last: The figure of the last step.
        judged_by: The name of the figures.
    """

    step: int
    stopped_by: str | None
    freed: int
    best: float | None
    best_step: int | None
    last: float | None
    judged_by: Literal["KAD", "error on held-out files", "loss of the prior on held-out passages"] | None


Listener = Callable[[Event], object]


class Guarded:
    """A listener whose errors do not end the run: the first is reported, others are ignored."""

    def __init__(self, listener: Listener) -> None:
        """Pass events on to `listener`."""
        self._listener, self._failed = listener, False

    def __call__(self, event: Event) -> None:
        """Pass on one event."""
        try:
            self._listener(event)
        except Exception as e:
            if self._failed:
                return
            self._failed = True
            text = f"a listener failed ({type(e).__name__}: {one_line(str(e))}); training continues"
            try:
                self._listener(Note(text))
            except Exception:
                LOG.warning(text)
