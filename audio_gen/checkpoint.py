"""Checkpoints (plain dicts) and bundles (config.json + model.safetensors): reading one can run no code."""

import hashlib
import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as safetensors_bytes
from torch import Tensor

from audio_gen.errors import CheckpointError
from audio_gen.files import write_atomic, write_json

BUNDLE_FORMAT = 1
CONFIG_NAME, WEIGHTS_NAME = "config.json", "model.safetensors"
SHIPPED = Path(__file__).parent / "vocoders"  # bundles that come with the package, by name


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a dict of tensors, numbers, strings and containers of these, atomically."""
    buffer = io.BytesIO()  # torch hides a full disk behind an error of its own, a plain write does not
    torch.save(state, buffer)
    write_atomic(path, lambda p: p.write_bytes(buffer.getbuffer()))


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read what `save_checkpoint` wrote, onto the CPU.

    Raises:
        CheckpointError: The file is missing, damaged, or holds more than plain data.
    """
    try:
        with zipfile.ZipFile(path) as archive:  # torch.load does not look at the checksums
            if (damaged := archive.testzip()) is not None:
                raise zipfile.BadZipFile(f"the checksum of {damaged} is wrong")
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as e:  # torch raises many kinds for a damaged file
        raise CheckpointError(
            f"{path}: not a whole checkpoint ({type(e).__name__}); delete it to go on from an older one"
        ) from e
    if not isinstance(state, dict):
        raise CheckpointError(f"{path}: holds no checkpoint; delete it to go on from an older one")
    return state


@dataclass(frozen=True)
class Bundle:
    """What is needed to generate: the model's kind and arguments, its weights, mel, classes and latent density."""

    path: Path
    config: dict[str, Any]
    tensors: dict[str, Tensor]
    digest: str

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors whose names begin with `name.`, without that beginning."""
        return {key[len(name) + 1 :]: value for key, value in self.tensors.items() if key.startswith(f"{name}.")}


def save_bundle(folder: Path, config: dict[str, Any], tensors: dict[str, Tensor]) -> str:
    """Write a bundle; its weights first, so that config.json names a hash that is there.

    Returns:
        The bundle's digest, twelve hex digits of its weights' SHA-256.
    """
    data = safetensors_bytes({key: value.detach().contiguous().cpu() for key, value in tensors.items()})
    digest = hashlib.sha256(data).hexdigest()[:12]
    write_atomic(folder / WEIGHTS_NAME, lambda p: p.write_bytes(data))
    write_json(folder / CONFIG_NAME, {"format": BUNDLE_FORMAT, **config, "digest": digest})
    return digest


def shipped(name: str | Path) -> Path | None:
    """The folder of the bundle of that name, such as "small", that comes with the package; None where there is none."""
    folder = SHIPPED / name
    return folder if folder.parent == SHIPPED and (folder / CONFIG_NAME).is_file() else None


def shipped_mel(folder: Path) -> dict[str, Any]:
    """The mel of a bundle that comes with the package."""
    return json.loads((folder / CONFIG_NAME).read_text(encoding="utf-8"))["mel"]


def load_bundle(path: Path) -> Bundle:
    """Read a bundle, or the bundle of a run.

    Args:
        path: A bundle's folder, or a run's folder, which has its bundle under `bundle/`.

    Raises:
        CheckpointError: There is no bundle, or its files are damaged or do not belong together.
    """
    if not path.exists():
        raise CheckpointError(f"{path}: does not exist; give a run's folder, which --run of `audio-gen train` names")
    folder = path if (path / CONFIG_NAME).is_file() else path / "bundle"
    if not (folder / CONFIG_NAME).is_file():
        hint = "its training has not got there yet; run the same `audio-gen train` again to go on"
        if not (path / "config.yaml").is_file():
            hint = "give a folder made by `audio-gen train`"
        raise CheckpointError(f"{path}: holds no trained model; {hint}")
    try:
        config = json.loads((folder / CONFIG_NAME).read_text(encoding="utf-8"))
        wanted = {"format", "model", "args", "mel", "digest"}
        if not isinstance(config, dict) or not wanted <= config.keys():
            raise ValueError("keys are missing")
    except (OSError, ValueError) as e:
        raise CheckpointError(f"{folder / CONFIG_NAME}: damaged ({e}); export the bundle again from its run") from e
    if config["format"] != BUNDLE_FORMAT:
        raise CheckpointError(
            f"{folder}: bundle format {config['format']}, this version reads {BUNDLE_FORMAT}; update audio_gen"
        )
    try:
        digest = hashlib.sha256((folder / WEIGHTS_NAME).read_bytes()).hexdigest()[:12]
        tensors = load_file(folder / WEIGHTS_NAME)
    except (OSError, SafetensorError) as e:
        raise CheckpointError(
            f"{folder / WEIGHTS_NAME}: damaged or missing; export the bundle again from its run"
        ) from e
    if digest != config["digest"]:
        raise CheckpointError(
            f"{folder}: its weights ({digest}) are not those that config.json names ({config['digest']}); export the "
            "bundle again from its run"
        )
    return Bundle(folder, config, tensors, digest)
