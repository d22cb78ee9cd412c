"""Standard input, output and error of a command, which may be closed, a pipe without a reader or a lost terminal."""

import errno
import io
import os
import sys
from contextlib import suppress
from typing import Any


def prepare_streams() -> None:
    """Make the standard streams fit to print on, whatever this process was started with.

    What is closed becomes the null device, since a file that is opened later would take its number and get the output.
    Names that the encoding of a stream lacks are printed escaped. A terminal that is closed meanwhile ends no training.
    What a library prints on standard output goes to standard error, since only our own lines and JSON belong there.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # it gets the lowest number that is free
    for name, number in (("stdin", 0), ("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:  # as Python leaves it where it was closed
            setattr(sys, name, open(number, "r" if number == 0 else "w", closefd=False, encoding="utf-8"))  # noqa: SIM115
    # Decoders written in C print on the number 1. What we print gets another number, and they get standard error.
    output = os.dup(1)
    os.dup2(2, 1)
    for name, number in (("stdout", output), ("stderr", 2)):
        stream = getattr(sys, name)
        shown = os.isatty(number)
        raw = (_Terminal if shown else io.FileIO)(number, "w", closefd=False)
        lines = shown or name == "stderr" or stream.write_through
        wrapped = io.TextIOWrapper(io.BufferedWriter(raw), stream.encoding, "backslashreplace", line_buffering=lines)
        setattr(sys, name, wrapped)


def drop_output() -> None:
    """Send what is still to be printed nowhere, since a stream cannot take it; Python would complain when it exits."""
    null = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(null, stream.fileno())
            with suppress(OSError):
                stream.flush()


class _Terminal(io.FileIO):
    """Discards output after the terminal has closed."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data) or 0
        except OSError as e:
            if e.errno != errno.EIO:
                raise
            return len(data)
