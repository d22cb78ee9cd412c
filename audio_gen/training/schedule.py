"""How far a run is, by steps, images or the clock, what follows from it, and signals that ask it to stop."""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from audio_gen.config import EARLY_MINUTES, EARLY_SHARE, TrainSettings
from audio_gen.errors import ConfigError

# USR1 is what a scheduler such as Slurm sends before the time is up, HUP a closing terminal; Windows has neither.
ASKING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP") if hasattr(signal, name)]


@dataclass
class Budget:
    """A run's length: a number of steps, or minutes of training time summed over all its sessions.

    Attributes:
        steps: Steps to take, or None.
        minutes: Minutes to take, or None.
        spent_sec: Seconds trained before this session.
        clock: Seconds on a clock that only runs forward.
        from_now: Whether the minutes count from this session on, since the run ends at a time of the day.
    """

    steps: int | None
    minutes: float | None
    spent_sec: float = 0.0
    clock: Callable[[], float] = time.monotonic
    from_now: bool = False

    def __post_init__(self) -> None:
        """Start the clock."""
        self._started = self.clock()

    @classmethod
    def of(cls, settings: TrainSettings, spent_sec: float = 0.0) -> "Budget":
        """The budget that settings name.

        Args:
            settings: One of their lengths is given.
            spent_sec: Seconds trained before this session.

        Raises:
            ConfigError: The time at which the run should end has passed.
        """
        if settings.images is not None:
            return cls(-(-settings.images // settings.batch_size), None, spent_sec)
        if settings.until is None:
            return cls(settings.steps, settings.minutes, spent_sec)
        # Looked at once: a clock that is set while the run goes on does not change its length.
        left_sec = (settings.until - datetime.now(settings.until.tzinfo)).total_seconds()
        if left_sec <= 0:
            raise ConfigError(f"until ({settings.until:%Y-%m-%d %H:%M}) has passed; give a later time, or --minutes")
        return cls(None, (spent_sec + left_sec) / 60, spent_sec, from_now=True)

    @property
    def early(self) -> float:
        """The progress at which there is something to hear: a tenth of the run, or five minutes if that is less."""
        return EARLY_SHARE if self.minutes is None else min(EARLY_SHARE, EARLY_MINUTES / self.minutes)

    def go_on(self, spent_sec: float) -> None:
        """Count the time of earlier sessions, unless more has passed already."""
        if spent_sec <= self.elapsed_sec():
            return
        if self.from_now and self.minutes is not None:
            self.minutes += (spent_sec - self.spent_sec) / 60
        self.spent_sec, self._started = spent_sec, self.clock()

    def elapsed_sec(self) -> float:
        """Seconds trained, earlier sessions included."""
        return self.spent_sec + self.clock() - self._started

    def progress(self, step: int) -> float:
        """How much of the run is done after `step` steps, 0 to 1."""
        if self.steps is not None:
            return min(step / self.steps, 1.0)
        assert self.minutes is not None
        return min(self.elapsed_sec() / (60 * self.minutes), 1.0)

    def left_sec(self, step: int, sec_per_step: float) -> float:
        """Estimated seconds to the end."""
        if self.steps is not None:
            return (self.steps - step) * sec_per_step
        assert self.minutes is not None
        return max(60 * self.minutes - self.elapsed_sec(), 0.0)


def lr_factor(step: int, progress: float, warmup_steps: int) -> float:
    """What the learning rate is multiplied by: a linear rise, then half a cosine down to 1 %."""
    rise = min(1.0, (step + 1) / (warmup_steps + 1))
    return rise * max(0.01, 0.5 + 0.5 * math.cos(math.pi * progress))


def due(before: float, now: float, count: int) -> bool:
    """Whether one of `count` evenly spaced marks, the last at 1, lies after `before` and not after `now` (progress)."""
    return math.floor(now * count + 1e-9) > math.floor(before * count + 1e-9)


@contextmanager
def stop_signals() -> Iterator[list[str]]:
    """A list that gets a signal's name when one asks to stop; a second Ctrl-C ends at once.

    A hang-up stays ignored where it is, as under nohup.
    """
    stop: list[str] = []

    def ask(number: int, _frame: object) -> None:
        if stop and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.append(signal.Signals(number).name)

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    old = {number: signal.signal(number, ask) for number in ASKING if not _stays_ignored(number)}
    try:
        yield stop
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def _stays_ignored(number: signal.Signals) -> bool:
    return number == getattr(signal, "SIGHUP", None) and signal.getsignal(number) == signal.SIG_IGN
