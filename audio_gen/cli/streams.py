"""Prepare the standard streams, which may be closed, a pipe without a reader or a lost terminal."""

import errno
import io
import os
import sys
from contextlib import suppress
from typing import Any


def prepare_streams() -> None:
    """Prepare the standard streams for printing.

    A closed stream becomes the null device; otherwise a file that is opened later would get its number and the output.
    Characters that a stream cannot encode are escaped. Closing the terminal does not end a training. Output of
    libraries goes to standard error, because standard output is for this program's lines and JSON.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number
    for name, number in (("stdin", 0), ("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:  # Python's value for a closed stream
            setattr(sys, name, open(number, "r" if number == 0 else "w", closefd=False, encoding="utf-8"))  # noqa: SIM115
    # Decoders in C print to descriptor 1, which becomes standard error. This program's output gets another one.
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
    """Discard unprinted output of a broken stream, which would raise an error at exit."""
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
