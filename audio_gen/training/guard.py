"""Guard: skip bad updates, and roll back after several."""

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from audio_gen.training.state import is_count, is_number, is_row

MAX_ROLLBACKS = 3
PATIENCE, RELIEF = 5.0, 0.1  # strain of a rollback; a bad step adds 1, a good one subtracts RELIEF
EXPLODED, WINDOW, MIN_SEEN = 100.0, 50, 20  # factor over the median of the last losses; their number
TINY = 1e-3


@dataclass
class Guard:
    """Decides about each update of a run; checkpoints hold it.

    Attributes:
        skipped: Number of skipped updates.
        rollbacks: Number of rollbacks.
        strain: Recent bad steps, reduced by good ones.
        recent: Recent total losses, by phase.
        reason: Why the last bad update was skipped.
    """

    skipped: int = 0
    rollbacks: int = 0
    strain: float = 0.0
    recent: dict[str, list[float]] = field(default_factory=dict)
    reason: str = ""

    @property
    def rate(self) -> float:
        """Factor on the learning rate: halved by each rollback."""
        return 0.5**self.rollbacks

    @property
    def exhausted(self) -> bool:
        """Whether a rollback is needed."""
        return self.strain >= PATIENCE

    def allows(self, phase: str, losses: Mapping[str, Tensor], total: float, norm: float) -> bool:
        """Whether to apply an update, by its losses, their weighted sum and the gradient's norm."""
        seen = self.recent.setdefault(phase, [])
        if not math.isfinite(total + norm):
            bad = [name for name, value in losses.items() if not math.isfinite(float(value))] or ["the gradient"]
            self._skip(f"{', '.join(bad)} became NaN or infinite (phase {phase})")
            return False
        usual = statistics.median(map(abs, seen)) if len(seen) >= MIN_SEEN else math.inf
        if abs(total) > EXPLODED * max(usual, TINY):
            self._skip(f"the loss was {abs(total) / max(usual, TINY):.0f} times as high as before (phase {phase})")
            return False
        seen.append(total)
        del seen[:-WINDOW]
        return True

    def after_step(self, skipped_before: int) -> bool:
        """Update the strain after a step; returns whether no update was skipped."""
        good = self.skipped == skipped_before
        self.strain = max(0.0, self.strain - RELIEF) if good else self.strain + 1
        return good

    def exhaust(self) -> None:
        """Request a rollback at once."""
        self.strain = PATIENCE

    def roll_back(self) -> None:
        """Count a rollback and reset the strain."""
        self.rollbacks += 1
        self.strain = 0.0
        self.recent.clear()

    def state_dict(self) -> dict[str, Any]:
        """Plain numbers for a checkpoint."""
        return {
            "skipped": self.skipped, "rollbacks": self.rollbacks, "strain": self.strain,
            "recent": {phase: list(values) for phase, values in self.recent.items()},
        }  # fmt: skip

    @staticmethod
    def is_state(state: Any) -> bool:
        """Whether `state_dict` could have returned a value."""
        return (
            isinstance(state, dict)
            and all(is_count(state.get(key)) for key in ("skipped", "rollbacks"))
            and is_number(state.get("strain"))
            and isinstance(state.get("recent"), dict)
            and all(map(is_row, state["recent"].values()))
        )

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the values of `state_dict`."""
        self.skipped, self.rollbacks, self.strain = state["skipped"], state["rollbacks"], state["strain"]
        self.recent = {phase: list(values) for phase, values in state["recent"].items()}

    def _skip(self, reason: str) -> None:
        self.skipped += 1
        self.reason = reason
