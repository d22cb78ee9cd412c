"""Models that a stranger's file describes: arguments and sizes are checked before memory or time is spent."""

import math
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from audio_gen.artefacts.bundle import Bundle
from audio_gen.audio.mel import MelSpec
from audio_gen.errors import CheckpointError, ConfigError
from audio_gen.text import one_line, shortened

FACTORIES = {torch.empty, torch.zeros, torch.ones, torch.full, torch.randn, torch.rand}
SMALL = 1 << 16  # numbers of a tensor that is made in any case
SLACK = 1 << 25  # numbers that no file holds, such as mel filters
LEAST_BOUND, MOST_STAGES = 1024, 16
LARGEST_FLOAT = 1e6
NOT_SIZES = ("sample_rate", "hop_length")


class UnfitError(ValueError):
    """Arguments or weights are not those of the model; the message says which."""


def bundle_mel(bundle: Bundle) -> MelSpec:
    """The mel of a bundle.

    Raises:
        CheckpointError: What it says of it is no mel.
    """
    try:
        return MelSpec.from_dict(bundle.config["mel"])
    except (ConfigError, TypeError) as e:
        raise CheckpointError(
            f"{one_line(bundle.path)}: its config.json is damaged (mel: {e}); export the bundle again from its run"
        ) from e


def check_arguments(network: type[nn.Module], args: Any, tensors: Mapping[str, Tensor]) -> None:
    """Compare a model's arguments with what it takes, and with the largest sizes in its weights.

    Args:
        network: The model's class; its annotations say what it takes.
        args: Its arguments, from a file.
        tensors: Its weights.

    Raises:
        UnfitError: One is of the wrong type, or larger than any weight could be.
    """
    if not isinstance(args, dict):
        raise UnfitError("args is no table")
    hints = get_type_hints(network.__init__)
    largest = max((size for value in tensors.values() for size in value.shape), default=0)
    for name, value in args.items():
        if name not in hints or name == "return":
            raise UnfitError(f"args has {shortened(name)}, which this model does not take")
        most = len(tensors) if name == "blocks" else math.inf if name in NOT_SIZES else max(LEAST_BOUND, 2 * largest)
        if not _is_of(hints[name], value, most):
            raise UnfitError(f"{name} is {shortened(value)}")


def _is_of(kind: Any, value: Any, most: float) -> bool:
    """Whether a value from a JSON is one of an argument's type, and no larger than `most`."""
    if isinstance(value, bool):
        return False
    if kind is int:
        return isinstance(value, int) and 0 <= value <= most
    if kind is float:
        return isinstance(value, int | float) and abs(value) <= LARGEST_FLOAT
    if kind == float | None:
        return value is None or _is_of(float, value, most)
    if kind == tuple[int, ...]:
        return (
            isinstance(value, list) and 0 < len(value) <= MOST_STAGES and all(_is_of(int, one, most) for one in value)
        )
    return isinstance(value, dict)  # arguments of a model inside, which are checked as this one's are


def check_size(make: Callable[[], nn.Module], tensors: Mapping[str, Tensor]) -> None:
    """Make a model without its large tensors, and compare its shapes with weights.

    Args:
        make: Makes the model; it draws no number from the generator of all.
        tensors: The weights.

    Raises:
        UnfitError: It is much larger than the weights, or a tensor has another shape.
    """
    with torch.random.fork_rng(devices=[]), _Weightless():
        model = make()
    for name, value in model.state_dict().items():
        if name in tensors and tensors[name].shape != value.shape:
            raise UnfitError(f"{name} is {tuple(tensors[name].shape)} there, its arguments make {tuple(value.shape)}")
    size = sum(value.numel() for value in [*model.parameters(), *model.buffers()])
    if size > 2 * sum(value.numel() for value in tensors.values()) + SLACK:
        raise UnfitError(f"its arguments make a model of {size:.3g} numbers")


class _Weightless(TorchFunctionMode):
    """Makes large tensors without memory, on the meta device; small ones, which constructors compute with, as ever."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in FACTORIES:
            first = args[0] if args else kwargs.get("size", ())
            size = tuple(first) if isinstance(first, tuple | list | torch.Size) else args
            if math.prod(size) > SMALL:
                return torch.empty(size, dtype=kwargs.get("dtype"), device="meta")
        return func(*args, **kwargs)
