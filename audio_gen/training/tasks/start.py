"""Start a run from the weights of a trained model (`--init`), also with other classes or pitches."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from audio_gen.artefacts.bundle import Bundle
from audio_gen.data.names import meant
from audio_gen.errors import CheckpointError
from audio_gen.models.pitch_axis import HarmonicAxis
from audio_gen.models.registry import kind_of, parts_of, trained_weights
from audio_gen.text import one_line
from audio_gen.training.tasks.gan.settings import SIZES
from audio_gen.training.tasks.time_axis import time_axis_in
from audio_gen.training.tasks.vae_settings import VAEAdversarial

CLIP_TENSORS = tuple(
    f"mapping.{name}" for name in ("corners", "slope", "pitch_mean", "pitch_variance", "anchor_class", "spread", "own")
)
EMBEDDING, DECODER_EMBEDDING = "class_embedding.weight", "decoder_class_embedding.weight"  # row 0: no class
READ = ("codec.analysis", "analysis.weight")
WRITTEN = tuple(f"{codec}trunk.{name}" for codec in ("", "codec.") for name in ("mean", "linear.weight", "linear.bias"))
PROJECT, NORM = ("project.weight", "project.bias"), ("norm.weight", "norm.bias")  # of an AdaptiveNorm2d
SHOWN_CLASSES = 10


def check_preroll(bundle: Bundle, preroll: int, path: Path) -> None:
    """Refuse a bundle with another pre-roll than the run's, in samples.

    Raises:
        CheckpointError: They differ.
    """
    theirs = bundle.config.get("preroll", 0)
    if theirs != preroll:
        raise CheckpointError(
            f"--init {one_line(path)}: its clips begin {theirs} samples after the start, those of this run {preroll}; "
            f"add --set data.onset={'align' if theirs else 'keep'}"
        )


def load_same(model: nn.Module, bundle: Bundle, path: Path) -> None:
    """Load a bundle's weights into a model of the same shape.

    Raises:
        CheckpointError: They do not fit.
    """
    load_part(model, trained_weights(bundle), bundle, path)


def load_part(model: nn.Module, theirs: Mapping[str, Tensor], bundle: Bundle, path: Path) -> None:
    """Load weights of a bundle into a network of the same shape.

    Raises:
        CheckpointError: They do not fit.
    """
    mine = model.state_dict()
    _check_shapes(mine, theirs, bundle, path)
    if extra := sorted(theirs.keys() - mine.keys()):
        raise CheckpointError(
            f"--init {one_line(path)}: holds another {kind_of(bundle)} ({extra[0]} is not in this one); use "
            "its settings"
        )
    model.load_state_dict(dict(theirs))


def load_some(
    model: nn.Module, bundle: Bundle, path: Path, *, kind: str, args: Mapping[str, Any], classes: Sequence[str]
) -> None:
    """Load a bundle's weights into a model of the same kind and size.

    Latents of the bundle's training clips are not loaded. Classes are matched by name in any spelling: a new class
    starts as the mean of the bundle's classes. If only the model has classes, they start without effect; if only
    the bundle has, the model starts at their mean. The linear path is transferred to the run's range of pitches.

    Args:
        model: Gets the weights.
        bundle: The bundle.
        path: The user's path of the bundle.
        kind: The model's kind.
        args: Its arguments.
        classes: Its classes.

    Raises:
        CheckpointError: The bundle holds another kind of model, or one of another size.
    """
    if (held := kind_of(bundle)) != kind:
        raise CheckpointError(f"--init {one_line(path)}: holds a {held}; give a run made with --model {kind}")
    parts = parts_of(bundle)
    their_args = {**parts["prior"].args, **parts["codec"].args}
    _check_args(bundle, their_args, args, path)
    mine, theirs = model.state_dict(), trained_weights(bundle)
    known = list(bundle.config.get("classes") or [])
    _transfer_rows(theirs, their_args, args)
    _convert_conditions(theirs, mine)
    for name in [name for name in mine.keys() & theirs.keys() if name.endswith(EMBEDDING)]:
        theirs[name] = _rows_by_name(theirs[name], known, classes)
    apart = {name for name in mine if name in CLIP_TENSORS or (name.endswith(EMBEDDING) and name not in theirs)}
    _check_shapes({name: value for name, value in mine.items() if name not in apart}, theirs, bundle, path)
    with torch.no_grad():
        for name in mine.keys() - apart:
            mine[name].copy_(theirs[name])


def classes_taken(bundle: Bundle, path: Path, classes: Sequence[str]) -> str:
    """Describe the start of a run: classes that the bundle knows, new ones, and dropped ones."""
    theirs = list(bundle.config.get("classes") or [])
    known = _known_classes(theirs, classes)
    kinds = {
        "known classes": [name for name in classes if known[name] is not None],
        "new classes": [name for name in classes if known[name] is None],
        "dropped classes": [name for name in theirs if name not in known.values()],
    }
    parts = [f"{kind}: {', '.join(map(one_line, some[:SHOWN_CLASSES]))}{', ..' * (len(some) > SHOWN_CLASSES)}"
            for kind, some in kinds.items() if some]  # fmt: skip
    return "; ".join([f"starts from the weights of {one_line(path)}", *parts])


def _check_args(bundle: Bundle, theirs: Mapping[str, Any], args: Mapping[str, Any], path: Path) -> None:
    """Refuse a bundle of another size or length; the message names its settings."""
    pitched, wanted = theirs.get("pitch_low") is not None, args.get("pitch_low") is not None
    if pitched != wanted and "pitch_low" in args:
        raise CheckpointError(
            f"--init {one_line(path)}: was trained {'with' if pitched else 'without'} pitches, this run is "
            + (
                "without, since too few clips have one; add --set data.pitch=auto to estimate the missing ones"
                if pitched
                else "with them; add --set net.use_pitch=false"
            )
        )
    axes = [time_axis_in(values) for values in (theirs, args)]
    if axes[0] != axes[1]:
        text = f"has net.time_axis={axes[0]}, this run {axes[1]}; add --set net.time_axis={axes[0]}"
        raise CheckpointError(f"--init {one_line(path)}: {text}")
    grain = [bool(values.get("grain")) for values in (theirs, args)]
    if grain[0] != grain[1]:
        text = f"was trained {'with' if grain[0] else 'without'} a discriminator, this run is the other way"
        start = VAEAdversarial().start if grain[0] else 1
        raise CheckpointError(f"--init {one_line(path)}: {text}; add --set adversarial.start={start:g}")
    names = ("frames", "latent_dim", "noise_dim", "channels", "blocks", "width")
    other = [name for name in names if name in args and theirs.get(name) != args[name]]
    if not other:
        return
    sizes = ", ".join(f"{name} {theirs.get(name)} there, {args[name]} here" for name in other)
    fixes = [f"net.{name}={theirs.get(name)}" for name in other if name in ("latent_dim", "noise_dim")]
    if "frames" in other:
        mel = bundle.config["mel"]
        fixes.append(f"data.segment_sec={theirs['frames'] * mel['hop_length'] / mel['sample_rate']:.6g}")
    if sized := [name for name in other if name in ("channels", "blocks", "width")]:
        fixes += _size_fixes(theirs, sized)
    add = " ".join(f"--set {fix}" for fix in fixes).replace(", ", ",")
    raise CheckpointError(f"--init {one_line(path)}: is of another size ({sizes}); add {add}")


def _size_fixes(theirs: Mapping[str, Any], sized: Sequence[str]) -> list[str]:
    """The settings for a network of the bundle's width and depth."""
    like = [name for name, size in SIZES.items() if size.mapping_width == theirs.get("width")]
    whole = [name for name in like if list(SIZES[name].channels) == theirs.get("channels")]
    whole = [name for name in whole if SIZES[name].blocks == theirs.get("blocks")]
    fixes = [f"net.size={name}" for name in (whole or like)[:1]]
    return (
        fixes if whole else fixes + [f"net.{name}={theirs[name]}" for name in ("channels", "blocks") if name in sized]
    )


def _check_shapes(mine: Mapping[str, Tensor], theirs: Mapping[str, Tensor], bundle: Bundle, path: Path) -> None:
    other = [
        f"{name} is {tuple(theirs[name].shape) if name in theirs else 'missing'} there, {tuple(mine[name].shape)} here"
        for name in mine
        if name not in theirs or theirs[name].shape != mine[name].shape
    ]
    if other:
        raise CheckpointError(
            f"--init {one_line(path)}: holds a {kind_of(bundle)} of another shape ({other[0]}); use its settings"
        )


def _rows_by_name(rows: Tensor, known: Sequence[str], classes: Sequence[str]) -> Tensor:
    """The embedding of `classes`, from that of the `known` ones (N + 1, D)."""
    new = rows[1:].mean(0) if len(rows) > 1 else rows[0]
    number = {name: i for i, name in enumerate(known, 1)}
    found = {
        name: new if other is None else rows[number[other]] for name, other in _known_classes(known, classes).items()
    }
    return torch.stack([rows[0], *(found[name] for name in classes)])


def _known_classes(known: Sequence[str], classes: Sequence[str]) -> dict[str, str | None]:
    """The `known` class of each class, in any spelling; None for a new one."""
    there = set(known)
    alike = {name: [name] if name in there else meant(name, known) for name in classes}
    return {name: others[0] if len(others) == 1 else None for name, others in alike.items()}


def _convert_conditions(theirs: dict[str, Tensor], mine: Mapping[str, Tensor]) -> None:
    """Add or remove the class input of a VAE's layers without changing their outputs."""
    if (EMBEDDING in theirs) == (EMBEDDING in mine):
        return
    if EMBEDDING in mine:
        width = mine[EMBEDDING].shape[1]
        for name, value in mine.items():
            if name.endswith(PROJECT[0]) and (start := name.removesuffix(PROJECT[0])) + NORM[0] in theirs:
                scale, shift = (theirs.pop(start + part) for part in NORM)
                theirs[name], theirs[start + PROJECT[1]] = torch.zeros_like(value), torch.cat([scale - 1, shift])
            elif name in theirs and value.ndim == 2 and value.shape[1] == theirs[name].shape[1] + width:
                theirs[name] = torch.cat([theirs[name], torch.zeros(len(value), width)], dim=1)
        return
    mean = theirs.pop(EMBEDDING)[1:].mean(0)
    mean_of_decoder = theirs.pop(DECODER_EMBEDDING)[1:].mean(0) if DECODER_EMBEDDING in theirs else mean
    for name, value in mine.items():
        typical = mean_of_decoder if name.startswith("decoder.") else mean
        if name.endswith(NORM[0]) and (start := name.removesuffix(NORM[0])) + PROJECT[0] in theirs:
            weight, bias = (theirs.pop(start + part) for part in PROJECT)
            theirs[name], theirs[start + NORM[1]] = (
                (weight @ typical + bias).add(torch.cat([torch.ones(len(value)), torch.zeros(len(value))])).chunk(2)
            )
        elif name in theirs and value.ndim == 2 and theirs[name].shape[1] == value.shape[1] + len(typical):
            kept, dropped = theirs[name].split([value.shape[1], len(typical)], dim=1)
            bias_name = f"{name.removesuffix('weight')}bias"
            theirs[name], theirs[bias_name] = kept, theirs[bias_name] + dropped @ typical


def _transfer_rows(tensors: dict[str, Tensor], then: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Transfer the linear path between the harmonic axes of two ranges of pitches."""
    keys = ("n_mels", "f_min", "f_max", "pitch_low", "pitch_high")
    if any(values.get(key) is None for values in (then, now) for key in keys):
        return
    old, new = (HarmonicAxis(**{key: values[key] for key in keys}) for values in (then, now))
    if old.log_step == new.log_step:
        return
    to_new, to_old = new.reading(old), old.reading(new)
    for name in tensors.keys() & {*READ, *WRITTEN}:
        value = tensors[name]
        if name in READ:  # inputs: new rows are mapped to old ones
            tensors[name] = torch.einsum("dol,on->dnl", value.unflatten(1, (old.rows, -1)), to_old).flatten(1)
        else:
            apart = value.reshape(old.rows, -1)
            tensors[name] = (to_new @ apart).reshape(value.shape)
