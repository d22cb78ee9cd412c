"""All state that a checkpoint holds, registered once by name; a checkpoint may be a stranger's, so it is checked."""

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
        load: Takes them back.
        valid: Whether a value is one that `save` could have returned.
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
        """Take a state back, in the order of registration; an optional part that is missing stays as it is."""
        for name, part in self._parts.items():
            if name in state or not part.optional:
                part.load(state[name])


def is_count(value: object) -> bool:
    """Whether a value is a number of steps."""
    return type(value) is int and 0 <= value <= MOST_STEPS


def is_number(value: object) -> bool:
    """Whether a value is a float, or an int of no more than 53 bits."""
    return isinstance(value, float) or (type(value) is int and abs(value) <= MOST_STEPS)


def is_duration(value: Any) -> bool:
    """Whether a value is a number of seconds."""
    return is_number(value) and 0 <= value <= LONGEST_SEC


def is_row(value: object, length: int | None = None) -> bool:
    """Whether a value is a sequence of numbers, of this length if one is given."""
    return isinstance(value, list | tuple) and all(map(is_number, value)) and length in (None, len(value))


def are_optimisers(states: Any, optimisers: Mapping[str, Optimizer]) -> bool:
    """Whether each tensor has its parameter's shape, or is a number; torch finds that out in the first step."""
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
            if not _alike(values.values(), parameters[number]):
                return False
    return True


def _alike(values: Iterable[Any], parameter: Tensor) -> bool:
    return all(
        isinstance(value, Tensor) and value.is_floating_point() and (not value.ndim or value.shape == parameter.shape)
        for value in values
    )


def without_retired(modules: Mapping[str, Tensor], retired: Sequence[str]) -> dict[str, Tensor]:
    """The states of modules without those whose names begin with one of `retired`."""
    return {key: value for key, value in modules.items() if not key.startswith(tuple(retired))}


def shortened_groups(state: Mapping[str, Any], optimiser: Optimizer) -> dict[str, Any]:
    """An optimiser's state without groups of parameters beyond its own, which were those of networks that are gone."""
    groups = state["param_groups"][: len(optimiser.param_groups)]
    kept = {number for group in groups for number in group["params"]}
    return {"state": {n: one for n, one in state["state"].items() if n in kept}, "param_groups": groups}
