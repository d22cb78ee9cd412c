"""Checkpoints (plain dicts) and bundles (config.json + model.safetensors): reading one can run no code."""

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Callable, Mapping
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
from audio_gen.files import MalformedError, at_home, parse_json, read_json, read_regular, write_atomic, write_json
from audio_gen.text import clipped, one_line, shortened

BUNDLE_FORMAT = 1
WEIGHTS_NAME = "model.safetensors"
INSIDE = "audio_gen"  # the key of the config in a weights file
LARGEST_WEIGHTS_BYTES = 1 << 32
PATH_PREFIX = "path:"  # names what follows as a path, whatever it is called
MOST_CLASSES, LONGEST_CLASS, MOST_PREROLL, FARTHEST_PITCH = 1 << 16, 1000, 1 << 20, 256
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
        state = load_plain(path)
        if not zipfile.is_zipfile(path):
            raise zipfile.BadZipFile("of an older format")
    except Exception as e:  # torch raises many kinds for a damaged file
        raise CheckpointError(
            f"{one_line(path)}: not a whole checkpoint ({type(e).__name__}); delete it to go on from an older one"
        ) from e
    if not isinstance(state, dict):
        raise CheckpointError(f"{one_line(path)}: holds no checkpoint; delete it to go on from an older one")
    return state


def load_plain(path: Path) -> Any:
    """What torch.save wrote, onto the CPU: plain data alone, from a regular file, whose parts are not compressed.

    Raises:
        Exception: Of any kind, where it is damaged or something else.
    """
    if not path.is_file():  # a pipe would be waited for
        raise FileNotFoundError(path)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:  # torch.load does not look at the checksums
            if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):
                raise zipfile.BadZipFile("it is compressed, and may be any size")
            if (damaged := archive.testzip()) is not None:
                raise zipfile.BadZipFile(f"the checksum of {damaged} is wrong")
    return torch.load(path, map_location="cpu", weights_only=True)


def read_tensors(path: Path, limit: int = LARGEST_WEIGHTS_BYTES) -> tuple[dict[str, str], dict[str, Tensor], bytes]:
    """The metadata, the tensors and all bytes of a safetensors file, read once: it may be replaced meanwhile.

    Args:
        path: The file.
        limit: Most bytes.

    Raises:
        OSError: It is not there or cannot be opened.
        MalformedError: It is no such file, or too large.
    """
    data = read_regular(path, limit)
    try:
        return _metadata(_header(data)[0]), tensors_of_bytes(data), data
    except (SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as e:
        raise MalformedError(f"it holds no tensors ({clipped(one_line(str(e)), 120)})") from e


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
    text = str(name)
    if any(separator in text for separator in {os.sep, os.altsep or os.sep, "\0"}):
        return None
    folder = SHIPPED / text
    return folder if folder.parent == SHIPPED and (folder / CONFIG_NAME).is_file() else None


def shipped_mel(folder: Path) -> dict[str, Any]:
    """The mel of a bundle that comes with the package."""
    return read_json(folder / CONFIG_NAME)["mel"]


def bundle_named(name: str | Path) -> Path:
    """The folder that a user means: a shipped bundle's name goes before a folder of that name.

    Args:
        name: "small", or a path; what has a separator (`./small`) or begins with `path:` is always a path.
    """
    text = str(name)
    if text.startswith(PATH_PREFIX):
        return at_home(text[len(PATH_PREFIX) :])
    return shipped(text) or at_home(name)


def load_bundle(path: Path) -> Bundle:
    """Read a bundle, or the bundle of a run.

    Args:
        path: A bundle's folder, or a run's folder, which has the bundle of its best step under `bundle/`.

    Raises:
        CheckpointError: There is no bundle, or its files are damaged or do not belong together.
    """
    if not path.exists():
        raise CheckpointError(
            f"{one_line(path)}: does not exist; give a run's folder, which --run of `audio-gen train` names"
        )
    folder = bundle_folder(path)
    if not (folder / CONFIG_NAME).is_file():
        raise CheckpointError(f"{one_line(path)}: holds no trained model; {_why_none(path)}")
    config = _read_config(folder)
    data, tensors = _read_weights(folder)
    digest = _digest_of(data)
    if digest != config["digest"]:
        inside = _config_inside(data)
        if not isinstance(inside, dict) or inside.get("digest") != digest:
            raise CheckpointError(
                f"{one_line(folder)}: its weights ({digest}) are not those that config.json names "
                f"({shortened(config['digest'])}); export the bundle again from its run"
            )
        config = _checked(inside, folder / WEIGHTS_NAME)
    if (shared := config.pop("shared", None)) is not None:
        tensors |= _read_shared(folder, shared)
    return Bundle(folder, config, restored(tensors), digest)


def _read_config(folder: Path) -> dict[str, Any]:
    """The checked config of a bundle."""
    try:
        config = read_json(folder / CONFIG_NAME)
    except (OSError, MalformedError) as e:
        raise CheckpointError(
            f"{one_line(folder / CONFIG_NAME)}: damaged ({e}); export the bundle again from its run"
        ) from e
    return _checked(config, folder / CONFIG_NAME)


def _config_inside(data: bytes) -> Any:
    """The config that a weights file holds; None where it cannot be read."""
    try:
        return parse_json(_metadata(_header(data)[0]).get(INSIDE) or "{}")
    except MalformedError:
        return None


def _checked(config: Any, file: Path) -> dict[str, Any]:
    """A config that is a bundle's, whoever wrote it."""
    if isinstance(config, dict) and type(config.get("format")) is int and config["format"] != BUNDLE_FORMAT:
        raise CheckpointError(
            f"{one_line(file.parent)}: bundle format {config['format']}, this version reads {BUNDLE_FORMAT}; update "
            "audio_gen"
        )
    if (fault := _fault(config)) is not None:
        raise CheckpointError(f"{one_line(file)}: damaged ({fault}); export the bundle again from its run")
    return config


def _fault(config: Any) -> str | None:
    """What is wrong with a bundle's config, or None."""
    if not isinstance(config, dict):
        return "it holds no table"
    if missing := {"format", "model", "args", "mel", "digest"} - config.keys():
        return f"{', '.join(sorted(missing))}: missing"
    tests: dict[str, Callable[[Any], bool]] = {
        "format": lambda value: type(value) is int,
        "model": lambda value: isinstance(value, str),
        "args": lambda value: isinstance(value, dict),
        "mel": lambda value: isinstance(value, dict),
        "digest": lambda value: isinstance(value, str),
        "classes": lambda value: value is None or _are_names(value, MOST_CLASSES),
        "pitch_range": lambda value: value is None or _is_range(value),
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
    """Whether a value is a list of different texts."""
    return (
        isinstance(value, list)
        and len(value) <= most
        and all(isinstance(name, str) and 0 < len(name) <= LONGEST_CLASS for name in value)
        and len(set(value)) == len(value)
    )


def _is_range(value: Any) -> bool:
    """Whether a value is a lowest and a highest pitch."""
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(type(pitch) in (int, float) and abs(pitch) <= FARTHEST_PITCH for pitch in value)
        and value[0] <= value[1]
    )


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
    """A weights file, read once."""
    try:
        _, tensors, data = read_tensors(folder / WEIGHTS_NAME)
    except (OSError, MalformedError) as e:
        raise CheckpointError(
            f"{one_line(folder / WEIGHTS_NAME)}: damaged or missing; export the bundle again from its run"
        ) from e
    return data, tensors


def _read_shared(folder: Path, shared: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors that a bundle has in common with the one beside it."""
    name = Path(shared["with"]).name
    place = folder.resolve().parent / name
    theirs = _read_weights(place)[1] if name.strip(".") and (place / WEIGHTS_NAME).is_file() else {}
    if missing := [key for key in shared["tensors"] if key not in theirs]:
        raise CheckpointError(
            f"{one_line(folder)}: shares {clipped(one_line(missing[0]), 120)} with {one_line(place)}, which has none; "
            "copy both folders together"
        )
    return {key: theirs[key] for key in shared["tensors"]}


def _header(data: bytes) -> tuple[dict[str, Any], int]:
    """The header of a safetensors file, and where its data begins."""
    begin = 8 + int.from_bytes(data[:8], "little")
    header = parse_json(data[8:begin])
    if not isinstance(header, dict) or not isinstance(header.get("__metadata__") or {}, dict):
        raise MalformedError("its header is none")
    return header, begin


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
        return f"give {one_line(path / 'run')}"
    if not (path / "config.yaml").is_file():
        return "give a folder made by `audio-gen train`"
    return f"its training has not reached its first preview, which is due {first_preview_due(path / 'config.yaml')}"
