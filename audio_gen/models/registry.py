"""The kinds of codec, prior and transform, and the construction of a bundle's parts.

Bundles are untrusted: arguments and sizes are checked before memory or time is used.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_type_hints

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from audio_gen.artefacts.bundle import Bundle
from audio_gen.audio.mel import MelSpec
from audio_gen.errors import CheckpointError, ConfigError
from audio_gen.models.codecs.gan import GANCodec
from audio_gen.models.codecs.local import LocalCodec
from audio_gen.models.codecs.vae import VAE
from audio_gen.models.earlier import parts_of_format_1
from audio_gen.models.priors.autoregressive import AttentionPrior, LSTMPrior
from audio_gen.models.priors.flow import FlowPrior
from audio_gen.models.priors.mapped import MappedPrior
from audio_gen.models.priors.neighbours import NeighbourPrior
from audio_gen.models.transforms.controls import ControlDecoder
from audio_gen.models.transforms.cycle import CycleNetwork
from audio_gen.text import clipped, one_line, shortened

KINDS: dict[str, dict[str, type[nn.Module]]] = {
    "codec": {"vae": VAE, "gan": GANCodec, "local": LocalCodec},
    "prior": {
        "neighbours": NeighbourPrior,
        "mapped": MappedPrior,
        "flow": FlowPrior,
        "lstm": LSTMPrior,
        "attention": AttentionPrior,
    },
    "transform": {"controls": ControlDecoder, "cycle": CycleNetwork},
}
ALONG_TIME = ("local",)  # codecs of sequence models
VOCODER = "vocoder"  # the part of a bundle with a vocoder network; `vocoding` has its kinds
CLASS_NUMBERS, MAY_BE_NAN = ("classes", "class_id"), ("pitches", "velocities", "velocity")
FACTORIES = {torch.empty, torch.zeros, torch.ones, torch.full, torch.randn, torch.rand}
SMALL = 1 << 16  # elements of a tensor that is always allocated
SLACK = 1 << 25  # elements that are not in files, such as mel filters
LEAST_BOUND, MOST_STAGES = 1024, 16
LARGEST_FLOAT = 1e6
NOT_SIZES = ("sample_rate", "hop_length")
LEAST_BPM, MOST_BPM = 20.0, 400.0
LONGEST_REASON = 300  # characters


class UnfitError(ValueError):
    """Arguments or weights do not fit the model; the message names them."""


@dataclass(frozen=True)
class Part:
    """A part of a model in a bundle.

    Attributes:
        kind: Its name in the table of kinds.
        args: Constructor arguments.
        tensors: Its state dict.
    """

    kind: str
    args: dict[str, Any]
    tensors: Mapping[str, Tensor]


def packed(parts: Mapping[str, Part]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Config and tensors of a bundle with these parts ("codec", "prior", ..); `parts_of` is the inverse."""
    config = {name: {"kind": part.kind, "args": part.args} for name, part in parts.items()}
    tensors = {f"{name}.{key}": value for name, part in parts.items() for key, value in part.tensors.items()}
    return config, tensors


def parts_of(bundle: Bundle) -> dict[str, Part]:
    """The unchecked parts of a bundle of any format, with the present names of kinds, arguments and tensors."""
    if bundle.config["format"] == 1:
        found = parts_of_format_1(bundle.config, bundle.tensors)
        return {name: Part(*values) for name, values in found.items()}
    named = {name: bundle.config[name] for name in (*KINDS, VOCODER) if name in bundle.config}
    return {name: Part(about["kind"], about["args"], bundle.part(name)) for name, about in named.items()}


def kind_of(bundle: Bundle) -> str:
    """The kind of a bundle's codec, otherwise of its transform or vocoder."""
    parts = parts_of(bundle)
    return next(parts[name].kind for name in ("codec", "transform", VOCODER, "prior") if name in parts)


def trained_weights(bundle: Bundle) -> dict[str, Tensor]:
    """A bundle's weights with the names in training: of one network, or of a `Generator`."""
    parts = parts_of(bundle)
    if "codec" not in parts:
        return dict(parts[VOCODER if VOCODER in parts else "transform"].tensors)
    codec, prior = parts["codec"].tensors, parts["prior"].tensors if "prior" in parts else {}
    if parts["codec"].kind in ALONG_TIME:
        whole = {f"{name}.{key}": value for name, part in parts.items() for key, value in part.tensors.items()}
        return whole | {
            "ready": torch.tensor("prior" in parts),
            "tempo": torch.tensor(tempo_range(bundle) or (0.0, 0.0)),
        }
    mapping = {key: value for key, value in prior.items() if key.startswith("mapping.")}
    return {**{f"codec.{key}": value for key, value in codec.items()}, **mapping} if mapping else dict(codec)


def build_parts(bundle: Bundle, name: str = "the bundle") -> dict[str, nn.Module]:
    """Build codec, prior and transform of a bundle, if it has them, in eval mode on the CPU.

    Args:
        bundle: The bundle, which is untrusted.
        name: Its name in messages.

    Raises:
        CheckpointError: A kind is unknown, arguments or weights do not fit it, or parts do not fit each other.
    """
    parts = parts_of(bundle)
    built = {which: build_part(bundle, which, kinds, name) for which, kinds in KINDS.items() if which in parts}
    if "codec" in parts and "prior" in parts:
        dims = [built["codec"].latent.dim, parts["prior"].args.get("latent_dim")]
        if dims[1] not in (None, dims[0]):
            raise _damaged(name, f"its prior has latents of {dims[1]} numbers, its codec of {dims[0]}")
    return built


def bundle_mel(bundle: Bundle) -> MelSpec:
    """The mel of a bundle.

    Raises:
        CheckpointError: Its config has an invalid mel.
    """
    try:
        return MelSpec.from_dict(bundle.config["mel"])
    except (ConfigError, TypeError) as e:
        raise CheckpointError(
            f"{one_line(bundle.path)}: its config.json is damaged (mel: {e}); export the bundle again from its run"
        ) from e


def tempo_range(bundle: Bundle) -> tuple[float, float] | None:
    """The slowest and the fastest usual tempo in bpm of a sequence model's sounds; None if it knows none."""
    found = bundle.config.get("tempo_range")
    if not isinstance(found, list) or len(found) != 2 or not all(isinstance(bpm, int | float) for bpm in found):
        return None
    low, high = float(found[0]), float(found[1])
    return (low, high) if LEAST_BPM <= low <= high <= MOST_BPM else None


def build_part(bundle: Bundle, which: str, kinds: Mapping[str, type[nn.Module]], name: str) -> nn.Module:
    """Build one part of a bundle, in eval mode on the CPU.

    Args:
        bundle: The bundle, which is untrusted.
        which: "codec", "prior", "transform" or "vocoder".
        kinds: Classes of networks by the names of their kinds.
        name: Name of the bundle in messages.

    Raises:
        CheckpointError: The kind is unknown, or arguments or weights do not fit it.
    """
    part = parts_of(bundle)[which]
    if part.kind not in kinds:
        raise CheckpointError(
            f"{name}: its {which} ({shortened(part.kind)}) is unknown; this version knows {', '.join(kinds)}"
        )
    network, classes = kinds[part.kind], len(bundle.config.get("classes") or ())
    try:
        check_arguments(network, part.args, part.tensors)
        if (known := part.args.get("n_classes", classes)) != classes:
            raise UnfitError(f"{classes} classes, its network knows {known}")
        _check_mel(bundle.config["mel"], part.args)
        check_size(lambda: network(**part.args), part.tensors)
        _check_values(part.tensors, classes)
        with torch.random.fork_rng(devices=[]):
            model = network(**part.args)
        model.load_state_dict(part.tensors)
    except Exception as e:  # untrusted arguments can raise anything in a constructor
        reason = clipped(one_line((str(e).strip() or type(e).__name__).splitlines()[-1].strip()), LONGEST_REASON)
        title = which if which == part.kind else f"{part.kind} {which}"
        raise CheckpointError(
            f"{name}: its weights do not fit its {title} ({reason}); it is damaged, or of another version of "
            "audio_gen: train it again, or use that version"
        ) from e
    return model.eval()


def _check_mel(mel: Mapping[str, Any], args: Mapping[str, Any]) -> None:
    """Raise if the mel of a part differs from that of its bundle."""
    for key, value in MelSpec.from_dict(mel).to_dict().items():
        if key in args and args[key] != value:
            raise UnfitError(f"{key} is {shortened(args[key])} in args and {value} in mel")


def _check_values(tensors: Mapping[str, Tensor], classes: int) -> None:
    """Raise if weights are not finite or class numbers are out of range."""
    for name, value in tensors.items():
        last = name.rpartition(".")[2]
        if last in CLASS_NUMBERS and (
            value.is_floating_point() or not value.numel() or int(value.min()) < -1 or int(value.max()) >= classes
        ):
            raise UnfitError(f"{name} are not the numbers of its {classes} classes")
        if last not in MAY_BE_NAN and not bool(value.isfinite().all()):
            raise UnfitError("they hold NaN or infinite numbers")


def _damaged(name: str, fault: str) -> CheckpointError:
    return CheckpointError(f"{name}: damaged ({fault}); export the bundle again from its run")


def check_arguments(network: type[nn.Module], args: Any, tensors: Mapping[str, Tensor]) -> None:
    """Check a model's arguments against its signature, and against the largest sizes in its weights.

    Args:
        network: The model's class with annotated arguments.
        args: Its arguments, from a file.
        tensors: Its weights.

    Raises:
        UnfitError: One is of the wrong type, or larger than any weight could be.
    """
    if not isinstance(args, dict):
        raise UnfitError("args is not a table")
    hints = get_type_hints(network.__init__)
    largest = max((size for value in tensors.values() for size in value.shape), default=0)
    for name, value in args.items():
        if name not in hints or name == "return":
            raise UnfitError(f"args has {shortened(name)}, which this model does not take")
        most = len(tensors) if name == "blocks" else math.inf if name in NOT_SIZES else max(LEAST_BOUND, 2 * largest)
        if not _is_of(hints[name], value, most):
            raise UnfitError(f"{name} is {shortened(value)}")


def _is_of(kind: Any, value: Any, most: float) -> bool:
    """Whether a JSON value has an argument's type and is at most `most`."""
    if kind is bool or isinstance(value, bool):
        return kind is bool and isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and 0 <= value <= most
    if kind is float:
        return isinstance(value, int | float) and abs(value) <= LARGEST_FLOAT
    if kind == float | None:
        return value is None or _is_of(float, value, most)
    return (
        kind == tuple[int, ...] and isinstance(value, list) and 0 < len(value) <= MOST_STAGES
        and all(_is_of(int, one, most) for one in value)
    )  # fmt: skip


def check_size(make: Callable[[], nn.Module], tensors: Mapping[str, Tensor]) -> None:
    """Build a model without its large tensors, and compare its shapes with weights.

    Args:
        make: Builds the model.
        tensors: The weights.

    Raises:
        UnfitError: It is much larger than the weights, or a shape differs.
    """
    with torch.random.fork_rng(devices=[]), _Weightless():
        model = make()
    for name, value in model.state_dict().items():
        if name in tensors and tensors[name].shape != value.shape:
            raise UnfitError(f"{name} is {tuple(tensors[name].shape)} there, its arguments give {tuple(value.shape)}")
    size = sum(value.numel() for value in [*model.parameters(), *model.buffers()])
    if size > 2 * sum(value.numel() for value in tensors.values()) + SLACK:
        raise UnfitError(f"its arguments give a model of {size:.3g} numbers")


class _Weightless(TorchFunctionMode):
    """Allocate large tensors on the meta device; small ones, which constructors compute with, are real."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in FACTORIES:
            first = args[0] if args else kwargs.get("size", ())
            size = tuple(first) if isinstance(first, tuple | list | torch.Size) else args
            if math.prod(size) > SMALL:
                return torch.empty(size, dtype=kwargs.get("dtype"), device="meta")
        return func(*args, **kwargs)
