"""A run's metrics: metrics.jsonl and TensorBoard event files.

TensorBoard's own writer uses a thread, which a full disk ends with a traceback; this one writes at once.
"""

import json
import math
import socket
import struct
import time
from collections.abc import Mapping
from contextlib import suppress
from io import FileIO
from itertools import count
from os import getpid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audio_gen.artefacts.folders import RunFolder
from audio_gen.errors import DataError, OutputError
from audio_gen.files import MalformedError, parse_json, read_regular, write_text
from audio_gen.text import one_line
from audio_gen.training.events import Diagnosed, Evaluated, Event, StepLogged, Validated

if TYPE_CHECKING:
    from tensorboard.compat.proto.event_pb2 import Event as TensorBoardEvent

LARGEST_BYTES, MOST_STEPS, LARGEST_FIGURE = 1 << 31, 1 << 53, 1e39
FILE_VERSION = "brain.Event:2"
_numbers = count()


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """The lines of a run's metrics; truncated and foreign lines are skipped.

    Raises:
        DataError: The file cannot be read.
    """
    path, lines = RunFolder(run).metrics, []
    if not path.is_file():
        return []
    try:
        texts = read_regular(path, LARGEST_BYTES).split(b"\n")
    except (OSError, MalformedError) as e:
        raise DataError(f"{one_line(path)}: cannot be read ({e}); move it away") from e
    for text in texts:
        try:
            line = parse_json(text)
        except MalformedError:
            continue
        if isinstance(line, dict) and type(line.get("step")) in (int, float) and 0 <= line["step"] <= MOST_STEPS:
            lines.append({key: value for key, value in line.items() if key == "step" or _is_figure(value)})
    return lines


def _is_figure(value: object) -> bool:
    """Whether a value is a text, a table, or a number in the range of float32."""
    return not isinstance(value, int | float) or abs(value) <= LARGEST_FIGURE


class MetricsLog:
    """Appends one line per call; on resume, lines after the checkpoint's step are dropped.

    If the disk is full, lines are lost and training continues.
    """

    def __init__(self, run: Path, step: int) -> None:
        """Continue after `step`."""
        kept = [line for line in read_metrics(run) if line["step"] <= step]
        write_text(RunFolder(run).metrics, "".join(json.dumps(line) + "\n" for line in kept))
        self._file = open(RunFolder(run).metrics, "ab", buffering=0)  # noqa: SIM115 (closed in close)
        try:
            self._events = EventFile(RunFolder(run).events, step + 1)
        except OSError as e:
            raise OutputError(
                f"{one_line(RunFolder(run).events)}: cannot be written ({e.strerror or e}); free some space or move it"
            ) from e

    def record(self, event: Event) -> None:
        """Write the figures of an event."""
        match event:
            case StepLogged():
                times = {"time/step_sec": event.step_sec, "time/elapsed_sec": event.elapsed_sec}
                self.write(event.step, {**event.values, **times})
            case Validated():
                self.write(event.step, {f"val/{key}": value for key, value in event.values.items()})
            case Evaluated():
                times = {"time/evaluation_sec": event.evaluation_sec, "time/elapsed_sec": event.elapsed_sec}
                self.write(event.step, {f"eval/{key}": value for key, value in event.values.items()} | times)
            case Diagnosed():
                self.write_text(event.step, "health", [finding.to_json() for finding in event.findings])

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Write finite values for a step."""
        finite = {key: float(f"{value:.6g}") for key, value in values.items() if math.isfinite(value)}
        self._append({"step": step, **finite})
        self._events.write(step, finite)

    def write_text(self, step: int, key: str, value: Any) -> None:
        """Write a value that is no number, such as findings."""
        self._append({"step": step, key: value})

    def close(self) -> None:
        """Close both files."""
        with suppress(OSError):
            self._file.close()
        self._events.close()

    def _append(self, line: dict[str, Any]) -> None:
        append(self._file, (json.dumps(line) + "\n").encode())


def append(file: FileIO, data: bytes) -> None:
    """Append to an unbuffered file; a record that a full disk truncates is removed, without an error."""
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
        """Start a file; it hides steps of earlier files from `purge_step` on.

        Raises:
            OSError: It cannot be created.
        """
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog

        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{getpid()}.{next(_numbers):06d}"
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

    def _append(self, event: "TensorBoardEvent") -> None:
        from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

        data = event.SerializeToString()
        header = struct.pack("<Q", len(data))
        crcs = (struct.pack("<I", masked_crc32c(part)) for part in (header, data))
        append(self._file, header + next(crcs) + data + next(crcs))
