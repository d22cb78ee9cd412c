"""Profile training steps: time per part, and share of the machine's peak FLOP rate."""

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

WARM_UP_STEPS = 5
PARTS = ("data", "forward", "backward", "optimiser", "average", "logging")
MATRIX_SIZE, MATRIX_SEC = 1024, 0.3


class Stopwatch:
    """Times the parts of some steps of a run.

    Args:
        steps: Steps to time, after WARM_UP_STEPS; 0 times none.
        device: Synchronised at the end of each part.
        clock: Seconds on a clock that only runs forward.
    """

    def __init__(
        self, steps: int = 0, device: torch.device | None = None, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        """Start with the next step."""
        self._left, self._warm_up = steps, WARM_UP_STEPS
        self._device, self._clock = device or torch.device("cpu"), clock
        self._step: dict[str, float] | None = None
        self._steps: list[dict[str, float]] = []

    @property
    def counts(self) -> bool:
        """Whether to count the operations of this step: all timed steps are done."""
        return self._left == 0 and bool(self._steps)

    @contextmanager
    def step(self) -> Iterator[None]:
        """A whole step."""
        if self._left <= 0 or self._warm_up > 0:
            self._warm_up -= 1
            yield
            return
        self._step = defaultdict(float)
        with self.part("whole"):
            yield
        self._steps.append(self._step)
        self._step = None
        self._left -= 1

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """A part of a step; parts of one name add up."""
        if self._step is None:
            yield
            return
        started = self._clock()
        yield
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        self._step[name] += self._clock() - started

    def report(self, flops: float) -> dict[str, Any]:
        """The result; ends the timing.

        Args:
            flops: Floating-point operations of a step in matrix products and convolutions.

        Returns:
            `steps`; `step_sec`, the median; `shares` of it by part, the rest being `other`; `flops`; `flops_per_sec`;
            `matrix_flops_per_sec` of one matrix product on this machine; `peak_share`.
        """
        whole = statistics.median(step["whole"] for step in self._steps)
        shares = {name: statistics.median(step.get(name, 0.0) for step in self._steps) / whole for name in PARTS}
        rate, peak = flops / whole, matrix_rate(self._device)
        shares["other"] = max(0.0, 1 - sum(shares.values()))
        found = {
            "steps": len(self._steps), "step_sec": whole, "shares": shares, "flops": flops, "flops_per_sec": rate,
            "matrix_flops_per_sec": peak, "peak_share": rate / peak,
        }  # fmt: skip
        self._steps.clear()
        return found


def matrix_rate(device: torch.device) -> float:
    """Floating-point operations per second of a large matrix product in float32."""
    a = torch.randn(MATRIX_SIZE, MATRIX_SIZE, device=device)
    seconds: list[float] = []
    while sum(seconds) < MATRIX_SEC:
        started = time.perf_counter()
        a @ a
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - started)
    return 2 * MATRIX_SIZE**3 / statistics.median(seconds)


@contextmanager
def counted(wanted: bool) -> Iterator[list[float]]:
    """A list that receives the floating-point operations of the block, if wanted; counting is slow."""
    flops: list[float] = []
    if not wanted:
        yield flops
        return
    from torch.utils.flop_counter import FlopCounterMode  # slow import

    with FlopCounterMode(display=False) as counter:
        yield flops
    flops.append(float(counter.get_total_flops()))
