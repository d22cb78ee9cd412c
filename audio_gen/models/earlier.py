"""Convert names of weights, kinds and arguments in checkpoints and bundles of earlier versions."""

from collections.abc import Mapping, MutableMapping
from functools import partial
from typing import Any

from torch import Tensor, nn

_TRUNK = {name: f"trunk.{name}" for name in ("mean", "scale", "ceiling")}
VAE_KEYS = {**_TRUNK, "linear_in.": "analysis.", "linear_out.": "trunk.linear."}
GAN_KEYS = {**_TRUNK, "linear.": "trunk.linear."}
EXAMPLES = {name: f"examples.{name}" for name in ("classes", "pitches")}
MAPPING_ARGS = ("noise_dim", "latent_dim", "anchors", "n_classes", "mapping_width", "condition_dim", "own_directions",
                "velocity")  # fmt: skip
VOCODER_ARGS = {"low_projections": 16, "projections": 2}  # of bundles that were written before these were arguments
CODEC_ARGS_TOO = ("latent_dim", "n_classes", "condition_dim", "velocity")


def rename(state: MutableMapping[str, Any], table: Mapping[str, str], prefix: str = "") -> None:
    """Rename the entries of a state dict to their present names, in place.

    Args:
        state: Tensors by name.
        table: New names by old ones; an old name that ends in a dot is a prefix.
        prefix: Only entries with this prefix are renamed.
    """
    for key in [key for key in state if key.startswith(prefix)]:
        name = key[len(prefix) :]
        for old, new in table.items():
            if name == old or (old.endswith(".") and name.startswith(old)):
                state[prefix + new + name[len(old) :]] = state.pop(key)
                break


def rename_on_load(module: nn.Module, table: Mapping[str, str]) -> None:
    """Let `module.load_state_dict` also accept the names of earlier versions."""
    module.register_load_state_dict_pre_hook(partial(_hook, table))


def _hook(table: Mapping[str, str], module: nn.Module, state: dict[str, Any], prefix: str, *_: object) -> None:
    rename(state, table, prefix)


def parts_of_format_1(
    config: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> dict[str, tuple[str, dict[str, Any], dict[str, Tensor]]]:
    """Kind, arguments and state dict of each part of an untrusted bundle of format 1.

    Such a bundle has one model. The network of a GAN contained its mapping, the prior of a VAE was its "density".
    """
    kind, args, weights = config["model"], config["args"], _below("model.", tensors)
    if kind == "vae":
        rename(weights, VAE_KEYS)
        density = _below("density.", tensors)
        sizes = {"corners": (0, "components"), "factors": (2, "rank"), "classes": (0, "clips")}
        prior = {name: _size(density, key, axis) for key, (axis, name) in sizes.items()}
        prior |= {"corners": _size(density, "corners", 1), "latent_dim": _size(density, "corners", 2) - 1}
        rename(density, EXAMPLES)
        return {"codec": (kind, args, weights), "prior": ("neighbours", prior, density)}
    if kind == "gan":
        mapping = {key: weights.pop(key) for key in [key for key in weights if key.startswith("mapping.")]}
        rename(weights, GAN_KEYS)
        codec, mapping_args = split_gan_args(args)
        drawn = _below("prior.", tensors)
        prior = {**mapping_args, "clips": _size(drawn, "classes", 0)}
        rename(drawn, EXAMPLES)
        return {"codec": (kind, codec, weights), "prior": ("mapped", prior, {**mapping, **drawn})}
    if kind == "vocoder":
        return {"vocoder": (kind, {**VOCODER_ARGS, **args} if isinstance(args, dict) else args, weights)}
    return {"codec": (kind, args, weights)}


def split_gan_args(args: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split joint arguments into those of a GAN's codec and of its mapping network."""
    codec = {key: value for key, value in args.items() if key not in MAPPING_ARGS or key in CODEC_ARGS_TOO}
    mapping = {key: args[key] for key in MAPPING_ARGS if key in args}
    if "mapping_width" in mapping:
        mapping["width"] = mapping.pop("mapping_width")
    return codec, mapping


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}


def _size(tensors: Mapping[str, Tensor], name: str, axis: int) -> int:
    """The size of a tensor along an axis; 0 if there is no such tensor or axis, which fails later checks."""
    value = tensors.get(name)
    return value.shape[axis] if value is not None and value.ndim > axis else 0
