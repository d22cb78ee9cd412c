"""What a checkpoint holds beside weights, compared with what one of ours can hold: it may be a stranger's."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

MOST_STEPS, LONGEST_SEC = 1 << 53, 1e10


def is_state(state: Mapping[str, Any], optimisers: Mapping[str, Optimizer]) -> bool:
    """Whether counts are counts, figures are numbers, and the optimisers' tensors fit their parameters.

    Args:
        state: A checkpoint's.
        optimisers: Those that go on from it.
    """
    guard, figures = state.get("guard"), state.get("figures")
    if not (isinstance(guard, dict) and isinstance(guard.get("recent"), dict) and isinstance(figures, list)):
        return False
    counts: list[Any] = [state.get("step"), state.get("began"), guard.get("skipped"), guard.get("rollbacks")]
    seconds: list[Any] = [state.get("elapsed_sec"), state.get("evaluation_sec")]
    rows: list[Any] = [*guard["recent"].values(), *figures, [guard.get("strain")]]
    return (
        all(type(one) is int and 0 <= one <= MOST_STEPS for one in counts)
        and all(_is_number(one) and 0 <= one <= LONGEST_SEC for one in seconds)
        and all(isinstance(row, list | tuple) and all(map(_is_number, row)) for row in rows)
        and all(len(row) == 3 for row in figures)
        and _fit(state.get("optimisers", {}), optimisers)
    )


def without_retired(
    state: Mapping[str, Any], retired: Sequence[str], optimisers: Mapping[str, Optimizer]
) -> dict[str, Any]:
    """A state without what belongs to networks that this version no longer has.

    Args:
        state: A checkpoint's.
        retired: How the names of their states begin.
        optimisers: Those that go on from it; groups of parameters beyond theirs go too.
    """
    modules = {key: value for key, value in state["modules"].items() if not key.startswith(tuple(retired))}
    changed = {**state, "modules": modules}
    if "optimisers" in state:
        changed["optimisers"] = {name: _shortened(state["optimisers"][name], one) for name, one in optimisers.items()}
    return changed


def _shortened(state: Mapping[str, Any], optimiser: Optimizer) -> dict[str, Any]:
    groups = state["param_groups"][: len(optimiser.param_groups)]
    kept = {number for group in groups for number in group["params"]}
    return {"state": {n: one for n, one in state["state"].items() if n in kept}, "param_groups": groups}


def _is_number(value: object) -> bool:
    return isinstance(value, float) or (type(value) is int and abs(value) <= MOST_STEPS)


def _fit(states: Any, optimisers: Mapping[str, Optimizer]) -> bool:
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
