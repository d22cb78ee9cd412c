"""Signals that ask a run to stop: it ends after the step that it is at, and saves."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# USR1 is what a scheduler such as Slurm sends before the time is up, HUP a closing terminal; Windows has neither.
ASKING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP") if hasattr(signal, name)]


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
