"""TensorBoard's event files, written at once and without a thread, which a full disk would end with a traceback."""

import socket
import struct
import time
from collections.abc import Mapping
from contextlib import suppress
from io import FileIO
from itertools import count
from os import getpid
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tensorboard.compat.proto.event_pb2 import Event

FILE_VERSION = "brain.Event:2"
_numbers = count()


def append(file: FileIO, data: bytes) -> None:
    """Write at the end of an unbuffered file; of what a full disk cuts off nothing stays, and the loss is no error."""
    with suppress(OSError):
        whole, written = file.tell(), 0
        try:
            written = file.write(data)
        finally:
            if written != len(data):
                file.truncate(whole)
                file.seek(whole)


class EventFile:
    """Scalars of one session of a run. Source: TFRecord, as `tensorboard.summary.writer.record_writer` has it."""

    def __init__(self, folder: Path, purge_step: int) -> None:
        """Begin a file; what earlier ones have from `purge_step` on is hidden.

        Raises:
            OSError: It cannot be made.
        """
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog

        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{getpid()}.{next(_numbers)}"
        self._file = open(folder / name, "xb", buffering=0)  # noqa: SIM115 (closed in close)
        self._append(Event(wall_time=time.time(), file_version=FILE_VERSION))
        self._append(Event(wall_time=time.time(), step=purge_step, session_log=SessionLog(status=SessionLog.START)))

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Add the scalars of a step."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        scalars = [Summary.Value(tag=key, simple_value=value) for key, value in values.items()]
        self._append(Event(wall_time=time.time(), step=step, summary=Summary(value=scalars)))

    def close(self) -> None:
        """Close the file."""
        with suppress(OSError):
            self._file.close()

    def _append(self, event: "Event") -> None:
        from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

        data = event.SerializeToString()
        header = struct.pack("<Q", len(data))
        crcs = (struct.pack("<I", masked_crc32c(part)) for part in (header, data))
        append(self._file, header + next(crcs) + data + next(crcs))
