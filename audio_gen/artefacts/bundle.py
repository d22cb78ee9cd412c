"""Bundles: a trained model as config.json + model.safetensors. Reading one runs no code."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as safetensors_bytes
from torch import Tensor

from audio_gen.artefacts.folders import BundleFolder, QuickstartFolder, RunFolder, bundle_folder
from audio_gen.artefacts.tensors import LARGE, header, metadata, read_tensors, restored
from audio_gen.config import first_preview_due
from audio_gen.errors import CheckpointError
from audio_gen.files import MalformedError, at_home, parse_json, read_json, write_atomic, write_json
from audio_gen.text import clipped, one_line, shortened

BUNDLE_FORMAT = 2  # a list of parts, each with kind and arguments; format 1 has one model
PARTS = ("codec", "prior", "transform", "vocoder")
INSIDE = "audio_gen"  # the key of the config in a weights file
PATH_PREFIX = "path:"  # marks the rest as a path, even if it is the name of a shipped bundle
MOST_CLASSES, LONGEST_CLASS, MOST_PREROLL, FARTHEST_PITCH = 1 << 16, 1000, 1 << 20, 256
SHIPPED = Path(__file__).parents[1] / "vocoders"  # the shipped bundles, by name


@dataclass(frozen=True)
class Bundle:
    """A trained model: kind and arguments of its parts, weights, mel and classes."""

    path: Path
    config: dict[str, Any]
    tensors: dict[str, Tensor]
    digest: str

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors with the prefix `name.`, without it."""
        return {key[len(name) + 1 :]: value for key, value in self.tensors.items() if key.startswith(f"{name}.")}


def save_bundle(
    folder: Path, config: dict[str, Any], tensors: Mapping[str, Tensor], *, beside: Path | None = None
) -> str:
    """Write a bundle atomically, also if the process is killed: readers find the old one or the new one.

    The weights file is written first and also holds the config, which counts if config.json is still the old one.

    Args:
        folder: Its folder.
        config: Kind and arguments of the parts, mel, ..
        tensors: Weights.
        beside: A neighbouring bundle; large tensors that are equal in it are not written again.

    Returns:
        The bundle's digest, twelve hex digits of the SHA-256 of its weights.
    """
    tensors_here = {key: value.detach().contiguous().cpu() for key, value in tensors.items()}
    config = {"format": BUNDLE_FORMAT, **config}
    if beside is not None:
        tensors_here, shared = _split_shared(tensors_here, beside)
        config |= {"shared": {"with": f"../{beside.name}", "tensors": shared}} if shared else {}
    digest = _digest_of(safetensors_bytes(tensors_here, metadata={INSIDE: ""}))
    config["digest"] = digest
    data = safetensors_bytes(tensors_here, metadata={INSIDE: json.dumps(config, allow_nan=False)})
    write_atomic(BundleFolder(folder).weights, lambda p: p.write_bytes(data))
    write_json(BundleFolder(folder).config, config)
    return digest


def shipped(name: str | Path) -> Path | None:
    """The folder of the shipped bundle of that name, such as "small"; None if there is none."""
    text = str(name)
    if any(separator in text for separator in {os.sep, os.altsep or os.sep, "\0"}):
        return None
    folder = SHIPPED / text
    return folder if folder.parent == SHIPPED and BundleFolder(folder).exists() else None


def shipped_mel(folder: Path) -> dict[str, Any]:
    """The mel of a shipped bundle."""
    return read_json(BundleFolder(folder).config)["mel"]


def bundle_named(name: str | Path) -> Path:
    """The folder of a bundle by name or path; names of shipped bundles have priority.

    Args:
        name: "small", or a path; a text with a separator (`./small`) or the prefix `path:` is always a path.
    """
    text = str(name)
    if text.startswith(PATH_PREFIX):
        return at_home(text[len(PATH_PREFIX) :])
    return shipped(text) or at_home(name)


def load_bundle(path: Path) -> Bundle:
    """Read a bundle, or the bundle of a run.

    Args:
        path: A bundle's folder, or a run's folder, whose best step is the bundle in `bundle/`.

    Raises:
        CheckpointError: There is no bundle, or its files are damaged or do not match.
    """
    if not path.exists():
        raise CheckpointError(
            f"{one_line(path)}: does not exist; give a run's folder, which --run of `audio-gen train` names"
        )
    folder = bundle_folder(path)
    if not BundleFolder(folder).exists():
        raise CheckpointError(f"{one_line(path)}: holds no trained model; {_why_none(path)}")
    config = _read_config(folder)
    data, tensors = _read_weights(folder)
    digest = _digest_of(data)
    if digest != config["digest"]:
        inside = _config_inside(data)
        if not isinstance(inside, dict) or inside.get("digest") != digest:
            raise CheckpointError(
                f"{one_line(folder)}: its weights ({digest}) are not those of its config.json "
                f"({shortened(config['digest'])}); export the bundle again from its run"
            )
        config = _checked(inside, BundleFolder(folder).weights)
    if (shared := config.pop("shared", None)) is not None:
        tensors |= _read_shared(folder, shared)
    return Bundle(folder, config, restored(tensors), digest)


def _read_config(folder: Path) -> dict[str, Any]:
    """The checked config of a bundle."""
    try:
        config = read_json(BundleFolder(folder).config)
    except (OSError, MalformedError) as e:
        raise CheckpointError(
            f"{one_line(BundleFolder(folder).config)}: damaged ({e}); export the bundle again from its run"
        ) from e
    return _checked(config, BundleFolder(folder).config)


def _config_inside(data: bytes) -> Any:
    """The config in a weights file; None if it cannot be read."""
    try:
        return parse_json(metadata(header(data)[0]).get(INSIDE) or "{}")
    except MalformedError:
        return None


def _checked(config: Any, file: Path) -> dict[str, Any]:
    """Validate the config of an untrusted bundle."""
    if isinstance(config, dict) and type(config.get("format")) is int and config["format"] > BUNDLE_FORMAT:
        raise CheckpointError(
            f"{one_line(file.parent)}: bundle format {config['format']}, this version reads up to {BUNDLE_FORMAT}; "
            "update audio_gen"
        )
    if (fault := _fault(config)) is not None:
        raise CheckpointError(f"{one_line(file)}: damaged ({fault}); export the bundle again from its run")
    return config


def _fault(config: Any) -> str | None:
    """The fault of a bundle's config, or None."""
    if not isinstance(config, dict):
        return "it is not a table"
    model = {"model", "args"} if config.get("format") == 1 else set()
    if missing := {"format", "mel", "digest", *model} - config.keys():
        return f"{', '.join(sorted(missing))}: missing"
    if not model and not any(part in config for part in PARTS):
        return f"{', '.join(PARTS)}: all missing"
    tests: dict[str, Callable[[Any], bool]] = {
        "format": lambda value: type(value) is int and value > 0,
        **dict.fromkeys(PARTS, _is_part),
        "model": lambda value: isinstance(value, str),
        "args": lambda value: isinstance(value, dict),
        "mel": lambda value: isinstance(value, dict),
        "digest": lambda value: isinstance(value, str),
        "classes": lambda value: value is None or _are_names(value, MOST_CLASSES),
        "pitch_range": lambda value: value is None or _is_range(value),
        "velocity_range": lambda value: value is None or (_is_range(value) and value[0] >= 0),
        "preroll": lambda value: type(value) is int and 0 <= value <= MOST_PREROLL,
        "shared": lambda value: (
            isinstance(value, dict)
            and isinstance(value.get("with"), str)
            and _are_names(value.get("tensors"), MOST_CLASSES)
        ),
    }
    wrong = next((key for key, test in tests.items() if key in config and not test(config[key])), None)
    return None if wrong is None else f"{wrong} is {shortened(config[wrong])}"


def _are_names(value: Any, most: int) -> bool:
    """Whether a value is a list of distinct names."""
    return (
        isinstance(value, list)
        and len(value) <= most
        and all(isinstance(name, str) and 0 < len(name) <= LONGEST_CLASS for name in value)
        and len(set(value)) == len(value)
    )


def _is_part(value: Any) -> bool:
    """Whether a value describes a part of a model."""
    return isinstance(value, dict) and isinstance(value.get("kind"), str) and isinstance(value.get("args"), dict)


def _is_range(value: Any) -> bool:
    """Whether a value is a pair of a lowest and a highest value."""
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(type(pitch) in (int, float) and abs(pitch) <= FARTHEST_PITCH for pitch in value)
        and value[0] <= value[1]
    )


def _split_shared(tensors: dict[str, Tensor], beside: Path) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors to write, and the names of those in the bundle `beside`."""
    theirs = _read_weights(beside)[1]
    shared = [
        key for key, value in tensors.items()
        if value.numel() >= LARGE and key in theirs and value.dtype == theirs[key].dtype
        and torch.equal(value, theirs[key])
    ]  # fmt: skip
    return {key: value for key, value in tensors.items() if key not in shared}, shared


def _read_weights(folder: Path) -> tuple[bytes, dict[str, Tensor]]:
    """Bytes and tensors of a weights file, read once."""
    try:
        _, tensors, data = read_tensors(BundleFolder(folder).weights)
    except (OSError, MalformedError) as e:
        raise CheckpointError(
            f"{one_line(BundleFolder(folder).weights)}: damaged or missing; export the bundle again from its run"
        ) from e
    return data, tensors


def _read_shared(folder: Path, shared: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors that a bundle shares with a neighbouring one."""
    name = Path(shared["with"]).name
    place = folder.resolve().parent / name
    theirs = _read_weights(place)[1] if name.strip(".") and BundleFolder(place).weights.is_file() else {}
    if missing := [key for key in shared["tensors"] if key not in theirs]:
        raise CheckpointError(
            f"{one_line(folder)}: shares {clipped(one_line(missing[0]), 120)} with {one_line(place)}, which lacks it; "
            "copy both folders together"
        )
    return {key: theirs[key] for key in shared["tensors"]}


def _digest_of(data: bytes) -> str:
    """Twelve hex digits of the SHA-256 of the weights, without the config in their file, which contains the digest."""
    found, begin = header(data)
    if INSIDE not in metadata(found):  # as in earlier versions
        return hashlib.sha256(data).hexdigest()[:12]
    tensors = {key: found[key] for key in sorted(found) if key != "__metadata__"}
    digest = hashlib.sha256(json.dumps(tensors, sort_keys=True).encode())
    digest.update(memoryview(data)[begin:])
    return digest.hexdigest()[:12]


def _why_none(path: Path) -> str:
    """The fix for a folder without a bundle."""
    run = QuickstartFolder(path).run
    if RunFolder(run).bundle.is_dir():
        return f"give {one_line(run)}"
    settings = RunFolder(path).settings
    if not settings.is_file():
        return "give a folder from `audio-gen train`"
    return f"its training has not reached its first preview, which is due {first_preview_due(settings)}"
