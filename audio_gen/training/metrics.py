"""metrics.jsonl, always, and TensorBoard events beside it."""

import json
import math
from contextlib import suppress
from pathlib import Path
from typing import Any

from audio_gen.files import write_text

METRICS_NAME = "metrics.jsonl"


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """The lines of a run's metrics; a line cut off by a kill is passed over."""
    lines = []
    path = run / METRICS_NAME
    for text in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            lines.append(json.loads(text))
        except ValueError:
            continue
    return lines


class MetricsLog:
    """Appends a line a call; on resume, lines after the checkpoint's step are dropped, so that none is there twice.

    A line that cannot be written, since the disk is full, is lost; training is worth more.
    """

    def __init__(self, run: Path, step: int) -> None:
        """Go on after `step`."""
        from torch.utils.tensorboard import SummaryWriter

        kept = [line for line in read_metrics(run) if line["step"] <= step]
        write_text(run / METRICS_NAME, "".join(json.dumps(line) + "\n" for line in kept))
        self._file = open(run / METRICS_NAME, "ab", buffering=0)  # noqa: SIM115 (closed in close)
        self._events = run / "tensorboard"
        self._board = SummaryWriter(str(self._events), purge_step=step + 1)

    def write(self, step: int, values: dict[str, float]) -> None:
        """Write finite values for a step."""
        finite = {key: float(f"{value:.6g}") for key, value in values.items() if math.isfinite(value)}
        self._append({"step": step, **finite})
        with suppress(OSError):
            for key, value in finite.items():
                self._board.add_scalar(key, value, step)

    def write_text(self, step: int, key: str, value: Any) -> None:
        """Write what is no number, such as verdicts."""
        self._append({"step": step, key: value})

    def close(self) -> None:
        """Write out and close both."""
        with suppress(OSError):
            self._file.close()
        if self._events.is_dir():  # else its thread would end with a traceback
            with suppress(OSError):
                self._board.close()

    def _append(self, line: dict[str, Any]) -> None:
        """Write a line at once; what a full disk cut off of one does not spoil the next."""
        data = (json.dumps(line) + "\n").encode()
        with suppress(OSError):
            whole, written = self._file.tell(), 0
            try:
                written = self._file.write(data)
            finally:
                if written != len(data):
                    self._file.truncate(whole)
