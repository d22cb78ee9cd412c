"""Starting a run from a trained model."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from audio_gen.checkpoint import Bundle
from audio_gen.errors import CheckpointError

CLIP_TENSORS = tuple(
    f"mapping.{name}" for name in ("corners", "slope", "pitch_mean", "pitch_variance", "anchor_class", "spread", "own")
)


def check_preroll(bundle: Bundle, preroll: int, path: Path) -> None:
    """Refuse a bundle whose clips begin elsewhere than those of the run, `preroll` samples after the start.

    Raises:
        CheckpointError: They do.
    """
    theirs = bundle.config.get("preroll", 0)
    if theirs != preroll:
        raise CheckpointError(
            f"--init {path}: its clips begin {theirs} samples after the start, those of this run {preroll}; "
            f"add --set data.onset={'align' if theirs else 'keep'}"
        )


def load_same(model: nn.Module, bundle: Bundle, path: Path) -> None:
    """Load a bundle's weights into a model of the same shape.

    Raises:
        CheckpointError: They do not fit.
    """
    try:
        model.load_state_dict(bundle.part("model"))
    except RuntimeError as e:
        raise CheckpointError(
            f"--init {path}: does not fit ({str(e).splitlines()[-1].strip()}); use its settings"
        ) from e


def load_some(model: nn.Module, bundle: Bundle, path: Path, *, kind: str, classes: Sequence[str]) -> None:
    """Load a bundle's weights into a model of the same kind and shape.

    What follows from a folder's clips is left out, and so is what belongs to classes unless they are the same.

    Raises:
        CheckpointError: The bundle holds another kind of model, or one of another shape.
    """
    if bundle.config["model"] != kind:
        raise CheckpointError(f"--init {path}: holds a {bundle.config['model']}; give a run made with --model {kind}")
    apart = set(CLIP_TENSORS)
    mine, theirs = model.state_dict(), bundle.part("model")
    if list(bundle.config.get("classes") or []) != list(classes):
        apart |= {name for name in mine if "class_embedding" in name}
    other = [
        f"{name} is {tuple(theirs[name].shape) if name in theirs else 'missing'} there, {tuple(mine[name].shape)} here"
        for name in mine
        if name not in apart and (name not in theirs or theirs[name].shape != mine[name].shape)
    ]
    if other:
        raise CheckpointError(f"--init {path}: another shape ({other[0]}); use its net and data.segment_sec settings")
    with torch.no_grad():
        for name in mine.keys() - apart:
            mine[name].copy_(theirs[name])
