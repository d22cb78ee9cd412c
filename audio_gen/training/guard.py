"""Guard: skip bad updates, and roll back after several."""

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from audio_gen.training.state import is_count, is_number, is_row

MAX_ROLLBACKS = 3
PATIENCE, RELIEF = 5.0, 0.1  # so many bad steps are too many; each good one takes this much off them
EXPLODED, WINDOW, MIN_SEEN = 100.0, 50, 20  # times the median of the last losses, once there are enough
TINY = 1e-3


@dataclass
class Guard:
    """Judges each update of a run; checkpoints hold it.

    Attributes:
        skipped: Updates left out so far.
        rollbacks: How often the run went back.
        strain: Bad steps lately, of which good ones take a little off.
        recent: Total losses lately, by phase.
        reason: Why the last bad update was left out.
    """

    skipped: int = 0
    rollbacks: int = 0
    strain: float = 0.0
    recent: dict[str, list[float]] = field(default_factory=dict)
    reason: str = ""

    @property
    def rate(self) -> float:
        """What the learning rate is multiplied by: half as much after every time that the run went back."""
        return 0.5**self.rollbacks

    @property
    def exhausted(self) -> bool:
        """Whether leaving updates out has not helped."""
        return self.strain >= PATIENCE

    def allows(self, phase: str, losses: Mapping[str, Tensor], total: float, norm: float) -> bool:
        """Whether an update may be made, by its losses, their weighted sum and the gradient's norm."""
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
        """Take note of how a step went; returns whether it was good."""
        good = self.skipped == skipped_before
        self.strain = max(0.0, self.strain - RELIEF) if good else self.strain + 1
        return good

    def give_up_on(self) -> None:
        """Call the run so broken that it must go back at once."""
        self.strain = PATIENCE

    def roll_back(self) -> None:
        """Begin again from an earlier state, with a lower rate."""
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
        """Whether a value is one that `state_dict` could have returned."""
        return (
            isinstance(state, dict)
            and all(is_count(state.get(key)) for key in ("skipped", "rollbacks"))
            and is_number(state.get("strain"))
            and isinstance(state.get("recent"), dict)
            and all(map(is_row, state["recent"].values()))
        )

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self.skipped, self.rollbacks, self.strain = state["skipped"], state["rollbacks"], state["strain"]
        self.recent = {phase: list(values) for phase, values in state["recent"].items()}

    def _skip(self, reason: str) -> None:
        self.skipped += 1
        self.reason = reason
