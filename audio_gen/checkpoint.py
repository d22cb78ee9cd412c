"""Checkpoints (plain dicts) and bundles (config.json + model.safetensors): reading one can run no code."""

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as tensors_of_bytes
from safetensors.torch import save as safetensors_bytes
from torch import Tensor

from audio_gen.bundle_folders import CONFIG_NAME, bundle_folder
from audio_gen.config import first_preview_due
from audio_gen.errors import CheckpointError
from audio_gen.files import write_atomic, write_json

BUNDLE_FORMAT = 1
WEIGHTS_NAME = "model.safetensors"
INSIDE = "audio_gen"  # the key of the config in a weights file
LARGE = 1 << 16  # numbers of a tensor; smaller ones are always written, and in full precision
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


def halved(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Large tensors in fp16, half the size; the rest, and what fp16 cannot hold, as it is."""
    return {key: _half(value) for key, value in tensors.items()}


def restored(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What `halved` gave, in fp32 again."""
    return {key: value.float() if value.dtype == torch.float16 else value for key, value in tensors.items()}


def save_bundle(
    folder: Path, config: dict[str, Any], tensors: Mapping[str, Tensor], *, beside: Path | None = None
) -> str:
    """Write a bundle; a reader finds the old one or the new one at any moment, and so does one after a kill.

    The weights come first, and hold the config too: where config.json is still that of other weights, theirs counts.

    Args:
        folder: Where.
        config: The model's kind, arguments, mel, ..
        tensors: Weights.
        beside: Another bundle in the same folder; large tensors that are equal there are read from it.

    Returns:
        The bundle's digest, twelve hex digits of the SHA-256 of its weights.
    """
    own = {key: value.detach().contiguous().cpu() for key, value in tensors.items()}
    config = {"format": BUNDLE_FORMAT, **config}
    if beside is not None:
        own, shared = _apart(own, beside)
        config |= {"shared": {"with": f"../{beside.name}", "tensors": shared}} if shared else {}
    digest = _digest_of(safetensors_bytes(own, metadata={INSIDE: ""}))
    config["digest"] = digest
    data = safetensors_bytes(own, metadata={INSIDE: json.dumps(config, allow_nan=False)})
    write_atomic(folder / WEIGHTS_NAME, lambda p: p.write_bytes(data))
    write_json(folder / CONFIG_NAME, config)
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
        path: A bundle's folder, or a run's folder, which has the bundle of its best step under `bundle/`.

    Raises:
        CheckpointError: There is no bundle, or its files are damaged or do not belong together.
    """
    if not path.exists():
        raise CheckpointError(f"{path}: does not exist; give a run's folder, which --run of `audio-gen train` names")
    folder = bundle_folder(path)
    if not (folder / CONFIG_NAME).is_file():
        raise CheckpointError(f"{path}: holds no trained model; {_why_none(path)}")
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
    data, tensors = _read_weights(folder)
    digest = _digest_of(data)
    if digest != config["digest"]:
        inside = json.loads(_metadata(_header(data)[0]).get(INSIDE) or "{}")
        if inside.get("digest") != digest:
            raise CheckpointError(
                f"{folder}: its weights ({digest}) are not those that config.json names ({config['digest']}); export "
                "the bundle again from its run"
            )
        config = inside
    if (shared := config.pop("shared", None)) is not None:
        tensors |= _read_shared(folder, shared)
    return Bundle(folder, config, restored(tensors), digest)


def _half(value: Tensor) -> Tensor:
    if value.dtype != torch.float32 or value.numel() < LARGE:
        return value
    half = value.half()
    return half if bool((half.isfinite() == value.isfinite()).all()) else value


def _apart(tensors: dict[str, Tensor], beside: Path) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors that must be written, and the names of those that the bundle `beside` has."""
    theirs = _read_weights(beside)[1]
    shared = [
        key for key, value in tensors.items()
        if value.numel() >= LARGE and key in theirs and value.dtype == theirs[key].dtype
        and torch.equal(value, theirs[key])
    ]  # fmt: skip
    return {key: value for key, value in tensors.items() if key not in shared}, shared


def _read_weights(folder: Path) -> tuple[bytes, dict[str, Tensor]]:
    """A weights file, read once: it may be replaced meanwhile."""
    try:
        data = (folder / WEIGHTS_NAME).read_bytes()
        return data, tensors_of_bytes(data)
    except (OSError, SafetensorError) as e:
        raise CheckpointError(
            f"{folder / WEIGHTS_NAME}: damaged or missing; export the bundle again from its run"
        ) from e


def _read_shared(folder: Path, shared: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors that a bundle has in common with the one beside it."""
    place = folder.resolve().parent / Path(shared["with"]).name
    theirs = _read_weights(place)[1] if (place / WEIGHTS_NAME).is_file() else {}
    if missing := [key for key in shared["tensors"] if key not in theirs]:
        raise CheckpointError(f"{folder}: shares {missing[0]} with {place}, which has none; copy both folders together")
    return {key: theirs[key] for key in shared["tensors"]}


def _header(data: bytes) -> tuple[dict[str, Any], int]:
    """The header of a safetensors file, and where its data begins."""
    begin = 8 + int.from_bytes(data[:8], "little")
    return json.loads(data[8:begin]), begin


def _metadata(header: Mapping[str, Any]) -> dict[str, str]:
    return header.get("__metadata__") or {}


def _digest_of(data: bytes) -> str:
    """Twelve hex digits of the SHA-256 of weights; the config in their file, which names them, is left out."""
    header, begin = _header(data)
    if INSIDE not in _metadata(header):  # as in earlier versions
        return hashlib.sha256(data).hexdigest()[:12]
    tensors = {key: header[key] for key in sorted(header) if key != "__metadata__"}
    digest = hashlib.sha256(json.dumps(tensors, sort_keys=True).encode())
    digest.update(memoryview(data)[begin:])
    return digest.hexdigest()[:12]


def _why_none(path: Path) -> str:
    """Why a folder has no bundle, and what to do."""
    if (path / "run" / "bundle").is_dir():  # what quickstart makes
        return f"give {path / 'run'}"
    if not (path / "config.yaml").is_file():
        return "give a folder made by `audio-gen train`"
    return f"its training has not reached its first preview, which is due {first_preview_due(path / 'config.yaml')}"
