"""The length of a run in steps, images or minutes, its learning-rate schedule, and stop signals."""

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

# Schedulers such as Slurm send USR1 before the time limit, a closing terminal sends HUP; Windows has neither.
STOP_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP") if hasattr(signal, name)]


LATE_WARMUP = 0.02


@dataclass
class Budget:
    """A run's length: steps, or minutes of training summed over all sessions.

    Attributes:
        steps: Steps to take, or None.
        minutes: Minutes to take, or None.
        spent_sec: Seconds trained before this session.
        clock: Seconds on a clock that only runs forward.
        from_now: Whether the minutes count from this session on, as for `until`.
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
        # Read once: setting the clock during the run does not change its length.
        left_sec = (settings.until - datetime.now(settings.until.tzinfo)).total_seconds()
        if left_sec <= 0:
            raise ConfigError(f"until ({settings.until:%Y-%m-%d %H:%M}) has passed; give a later time, or --minutes")
        return cls(None, (spent_sec + left_sec) / 60, spent_sec, from_now=True)

    @property
    def early(self) -> float:
        """Progress of the first preview: a tenth of the run, or five minutes if that is less."""
        return EARLY_SHARE if self.minutes is None else min(EARLY_SHARE, EARLY_MINUTES / self.minutes)

    def resume(self, spent_sec: float) -> None:
        """Add the time of earlier sessions, unless more has passed already."""
        if spent_sec <= self.elapsed_sec():
            return
        if self.from_now and self.minutes is not None:
            self.minutes += (spent_sec - self.spent_sec) / 60
        self.spent_sec, self._started = spent_sec, self.clock()

    def elapsed_sec(self) -> float:
        """Seconds trained, earlier sessions included."""
        return self.spent_sec + self.clock() - self._started

    def progress(self, step: int) -> float:
        """Progress of the run after `step` steps, 0 to 1."""
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


def lr_factor(step: int, progress: float, warmup_steps: int, *, late: bool = False, decay: float = 1.0) -> float:
    """Factor on the learning rate: linear warm-up, and half a cosine down to 1 % in the last `decay` of the progress.

    A phase that begins `late` in a run has the warm-up in the first LATE_WARMUP of its progress.
    """
    rise = min(1.0, (step + 1) / (warmup_steps + 1))
    if late:
        rise = min(rise, 0.01 + progress / LATE_WARMUP)
    fallen = max(0.0, (progress - (1 - decay)) / decay) if decay else 0.0
    return rise * max(0.01, 0.5 + 0.5 * math.cos(math.pi * fallen))


def due(before: float, now: float, count: int) -> bool:
    """Whether one of `count` evenly spaced marks, the last at 1, is in (before, now] (progress)."""
    return math.floor(now * count + 1e-9) > math.floor(before * count + 1e-9)


@contextmanager
def stop_signals() -> Iterator[list[str]]:
    """A list that receives the names of stop signals; a second Ctrl-C interrupts at once.

    SIGHUP stays ignored under nohup.
    """
    stop: list[str] = []

    def handle(number: int, _frame: object) -> None:
        if stop and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.append(signal.Signals(number).name)

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    old = {number: signal.signal(number, handle) for number in STOP_SIGNALS if not _is_ignored_hangup(number)}
    try:
        yield stop
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def _is_ignored_hangup(number: signal.Signals) -> bool:
    return number == getattr(signal, "SIGHUP", None) and signal.getsignal(number) == signal.SIG_IGN
