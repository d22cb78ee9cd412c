"""The state that a checkpoint holds, registered by name, and its validation: a checkpoint may be an untrusted file."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

MOST_STEPS, LONGEST_SEC = 1 << 53, 1e10


@dataclass(frozen=True)
class Part:
    """One entry of a checkpoint.

    Attributes:
        save: Returns plain values and tensors.
        load: Restores them.
        valid: Whether `save` could have returned a value.
        optional: Whether a checkpoint may lack it.
    """

    save: Callable[[], Any]
    load: Callable[[Any], object]
    valid: Callable[[Any], bool] = lambda value: True
    optional: bool = False


class StateRegistry:
    """The parts of a run's state by name."""

    def __init__(self) -> None:
        """Empty."""
        self._parts: dict[str, Part] = {}

    def register(self, name: str, part: Part) -> None:
        """Add a part; each name once."""
        assert name not in self._parts, name
        self._parts[name] = part

    def state_dict(self) -> dict[str, Any]:
        """The values of all parts."""
        return {name: part.save() for name, part in self._parts.items()}

    def fits(self, state: Mapping[str, Any]) -> bool:
        """Whether a state has all parts, and each is valid."""
        return all(part.valid(state[name]) if name in state else part.optional for name, part in self._parts.items())

    def load(self, state: Mapping[str, Any]) -> None:
        """Load a state, in the order of registration; missing optional parts stay unchanged."""
        for name, part in self._parts.items():
            if name in state or not part.optional:
                part.load(state[name])


def is_count(value: object) -> bool:
    """Whether a value is a number of steps."""
    return type(value) is int and 0 <= value <= MOST_STEPS


def is_number(value: object) -> bool:
    """Whether a value is a float, or an int of at most 53 bits."""
    return isinstance(value, float) or (type(value) is int and abs(value) <= MOST_STEPS)


def is_duration(value: Any) -> bool:
    """Whether a value is a number of seconds."""
    return is_number(value) and 0 <= value <= LONGEST_SEC


def is_row(value: object, length: int | None = None) -> bool:
    """Whether a value is a sequence of numbers, of this length if one is given."""
    return isinstance(value, list | tuple) and all(map(is_number, value)) and length in (None, len(value))


def are_optimisers(states: Any, optimisers: Mapping[str, Optimizer]) -> bool:
    """Whether each tensor is a scalar or has its parameter's shape; torch would fail only in the first step."""
    if not isinstance(states, dict):
        return False
    for name, optimiser in optimisers.items():
        kept = states.get(name, {}).get("state", {}) if isinstance(states.get(name, {}), dict) else None
        if not isinstance(kept, dict):
            return False
        parameters = [p for group in optimiser.param_groups for p in group["params"]]
        for number, values in kept.items():
            if not (type(number) is int and 0 <= number < len(parameters) and isinstance(values, dict)):
                return False
            if not _fit(values.values(), parameters[number]):
                return False
    return True


def _fit(values: Iterable[Any], parameter: Tensor) -> bool:
    return all(
        isinstance(value, Tensor) and value.is_floating_point() and (not value.ndim or value.shape == parameter.shape)
        for value in values
    )


def without_retired(modules: Mapping[str, Tensor], retired: Sequence[str]) -> dict[str, Tensor]:
    """The states of modules without names that begin with one of `retired`."""
    return {key: value for key, value in modules.items() if not key.startswith(tuple(retired))}


def shortened_groups(state: Mapping[str, Any], optimiser: Optimizer) -> dict[str, Any]:
    """An optimiser's state without the extra parameter groups of retired networks."""
    groups = state["param_groups"][: len(optimiser.param_groups)]
    kept = {number for group in groups for number in group["params"]}
    return {"state": {n: one for n, one in state["state"].items() if n in kept}, "param_groups": groups}
