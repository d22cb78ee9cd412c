"""What happens in a run, for who listens: one frozen dataclass a kind of event.

A listener takes any event and picks by `isinstance` or `match`. It is called in the main process alone.
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
    """A stage of building the cache ("inspect", "store" or "pitch"): files done, and files in all."""

    stage: str
    done: float
    total: int


@dataclass(frozen=True)
class Started(Event):
    """Training begins: the model's parameters, clips to learn from and kept out, the device, and the classes."""

    parameters: int
    clips: int
    val_clips: int
    device: str
    classes: Sequence[str]


@dataclass(frozen=True)
class Resumed(Event):
    """A run goes on from a step."""

    step: int


@dataclass(frozen=True)
class StepDone(Event):
    """A step is done: progress of the run (0 to 1), its seconds, the seconds left (estimated) and those trained."""

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
    """Figures on files kept out."""

    step: int
    values: Mapping[str, float]


@dataclass(frozen=True)
class Evaluated(Event):
    """Figures of what the model generates; seconds spent on all evaluations, and on the run."""

    step: int
    values: Mapping[str, float]
    evaluation_sec: float
    elapsed_sec: float


@dataclass(frozen=True)
class Diagnosed(Event):
    """What the run's metrics say of it so far."""

    step: int
    findings: Sequence[Finding]


@dataclass(frozen=True)
class Alarm(Event):
    """A fault of the run that was not there at the last diagnosis."""

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
    """The model as it was after so many minutes has a bundle of its own."""

    step: int
    minutes: float


@dataclass(frozen=True)
class Saved(Event):
    """The checkpoint of a step was written."""

    step: int


@dataclass(frozen=True)
class Profiled(Event):
    """Where the time of a step goes, see `Stopwatch.report`."""

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
        best: The figure of the bundle's step; None where it was not judged.
        best_step: The bundle's step.
        last: The figure of the last step.
        judged_by: What the figures are.
    """

    step: int
    stopped_by: str | None
    freed: int
    best: float | None
    best_step: int | None
    last: float | None
    judged_by: Literal["KAD", "error on held-out files"] | None


Listener = Callable[[Event], object]


class Guarded:
    """A listener whose errors end no run: the first one is noted, others are passed over."""

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
            text = f"a listener failed ({type(e).__name__}: {one_line(str(e))}); training goes on"
            try:
                self._listener(Note(text))
            except Exception:
                LOG.warning(text)
