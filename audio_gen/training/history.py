"""The metrics of a run as series of figures; missing and non-finite values are skipped."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

ERROR, PRIOR_LOSS = "error on held-out files", "loss of the prior on held-out passages"  # names of `error_key`
# With fewer lines the first and the last tenth would overlap.
MIN_LINES = 6


@dataclass(frozen=True)
class History:
    """Metrics of a run.

    Attributes:
        rows: Lines of metrics.jsonl, oldest first.
        progress: Share of the run that the rows cover, 0 to 1.
    """

    rows: Sequence[Mapping[str, Any]]
    progress: float = 1.0

    def keys(self, prefix: str) -> list[str]:
        """Keys that start with `prefix`, in order of first appearance."""
        return list(dict.fromkeys(key for row in self.rows for key in row if key.startswith(prefix)))

    def series(self, key: str) -> list[tuple[float, float]]:
        """(step, value) of every line with a finite value for `key`."""
        return [(row.get("step", i), row[key]) for i, row in enumerate(self.rows) if _is_finite(row.get(key))]

    def values(self, key: str) -> list[float]:
        """The values of `series`."""
        return [value for _, value in self.series(key)]

    def last(self, key: str) -> float | None:
        """The newest value; None without any."""
        values = self.values(key)
        return values[-1] if values else None

    def latest(self, *prefixes: str) -> dict[str, float]:
        """The newest value of every key that starts with one of `prefixes`."""
        found = {key: self.last(key) for prefix in prefixes for key in self.keys(prefix)}
        return {key: value for key, value in found.items() if value is not None}

    def start_and_end(self, key: str) -> tuple[float, float]:
        """Medians of the first and the last tenth (at least three lines); NaN, which compares false, if too few."""
        values = self.values(key)
        tenth = max(3, len(values) // 10)
        return (median(values[:tenth]), median(values[-tenth:])) if len(values) >= MIN_LINES else (math.nan, math.nan)

    def best_start_and_end(self, key: str) -> tuple[float, float]:
        """Like `start_and_end`, with the minimum of the first tenth: a run may diverge by its third line."""
        values = self.values(key)
        end = self.start_and_end(key)[1]
        return min(values[: max(3, len(values) // 10)], default=math.nan), end

    def error_key(self) -> str:
        """The key of the error on held-out files, lower is better; "" without one, as with a GAN.

        That of a sequence model's prior, once it trains; the mel error otherwise.
        """
        keys = self.keys("val/")
        return next((key for name in ("prior_loss", "mel") for key in keys if name in key), "")

    def error_name(self) -> str:
        """The name of the figure of `error_key` in messages."""
        return PRIOR_LOSS if "prior_loss" in self.error_key() else ERROR

    def errors(self) -> list[float]:
        """The error on held-out files, at every validation."""
        return self.values(self.error_key())

    def mel_losses(self) -> list[str]:
        """Keys of training losses that compare mels; adversarial losses may rise in a healthy run."""
        return [key for key in self.keys("loss/") if "mel" in key]

    def learns(self) -> bool:
        """Whether a mel loss ends below its start."""
        return any(end < start for start, end in map(self.best_start_and_end, self.mel_losses()))

    def steps_done(self) -> float:
        """The newest step."""
        return max((row["step"] for row in self.rows if _is_finite(row.get("step"))), default=0)

    def steps(self) -> float:
        """Steps of the whole run, estimated from the newest step and the progress."""
        return max(self.steps_done() / max(self.progress, 1e-3), 1.0)


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
