"""metrics.jsonl, always, and TensorBoard events beside it."""

import json
import math
from contextlib import suppress
from pathlib import Path
from typing import Any

from audio_gen.artefacts.folders import RunFolder
from audio_gen.errors import DataError, OutputError
from audio_gen.files import MalformedError, parse_json, read_regular, write_text
from audio_gen.text import one_line
from audio_gen.training.events import EventFile, append

LARGEST_BYTES, MOST_STEPS, LARGEST_FIGURE = 1 << 31, 1 << 53, 1e39


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """The lines of a run's metrics; one that a kill cut off, or that is none of a run's, is passed over.

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
    """Whether a value may be one of a run's: a text, a table, or a number that single precision holds."""
    return not isinstance(value, int | float) or abs(value) <= LARGEST_FIGURE


class MetricsLog:
    """Appends a line a call; on resume, lines after the checkpoint's step are dropped, so that none is there twice.

    A line that cannot be written, since the disk is full, is lost; training is worth more.
    """

    def __init__(self, run: Path, step: int) -> None:
        """Go on after `step`."""
        kept = [line for line in read_metrics(run) if line["step"] <= step]
        write_text(RunFolder(run).metrics, "".join(json.dumps(line) + "\n" for line in kept))
        self._file = open(RunFolder(run).metrics, "ab", buffering=0)  # noqa: SIM115 (closed in close)
        try:
            self._events = EventFile(RunFolder(run).events, step + 1)
        except OSError as e:
            raise OutputError(
                f"{one_line(RunFolder(run).events)}: cannot be written ({e.strerror or e}); free some space or move it"
            ) from e

    def write(self, step: int, values: dict[str, float]) -> None:
        """Write finite values for a step."""
        finite = {key: float(f"{value:.6g}") for key, value in values.items() if math.isfinite(value)}
        self._append({"step": step, **finite})
        self._events.write(step, finite)

    def write_text(self, step: int, key: str, value: Any) -> None:
        """Write what is no number, such as verdicts."""
        self._append({"step": step, key: value})

    def close(self) -> None:
        """Write out and close both."""
        with suppress(OSError):
            self._file.close()
        self._events.close()

    def _append(self, line: dict[str, Any]) -> None:
        append(self._file, (json.dumps(line) + "\n").encode())
