"""Tensors on disk (safetensors and torch.save), read without running code or exhausting memory."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as tensors_of_bytes
from safetensors.torch import save as safetensors_bytes
from torch import Tensor

from audio_gen.files import MalformedError, parse_json, read_regular, write_atomic
from audio_gen.text import clipped, one_line

LARGEST_WEIGHTS_BYTES = 1 << 32
LARGE = 1 << 16  # elements; smaller tensors keep full precision


def load_plain(path: Path) -> Any:
    """Load a torch.save file onto the CPU: only plain data, from a regular file with uncompressed parts.

    Raises:
        Exception: Of any type, if the file is damaged or of another kind.
    """
    if not path.is_file():  # a pipe would block
        raise FileNotFoundError(path)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:  # torch.load does not check the checksums
            if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):
                raise zipfile.BadZipFile("it is compressed, and may be any size")
            if (damaged := archive.testzip()) is not None:
                raise zipfile.BadZipFile(f"the checksum of {damaged} is wrong")
    return torch.load(path, map_location="cpu", weights_only=True)


def read_tensors(path: Path, limit: int = LARGEST_WEIGHTS_BYTES) -> tuple[dict[str, str], dict[str, Tensor], bytes]:
    """The metadata, tensors and bytes of a safetensors file, read once since it may be replaced meanwhile.

    Args:
        path: The file.
        limit: Maximum size in bytes.

    Raises:
        OSError: The file is missing or cannot be opened.
        MalformedError: It is not a safetensors file, or too large.
    """
    data = read_regular(path, limit)
    try:
        return metadata(header(data)[0]), tensors_of_bytes(data), data
    except (SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as e:
        raise MalformedError(f"it holds no tensors ({clipped(one_line(str(e)), 120)})") from e


def write_tensors(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> None:
    """Write a safetensors file atomically.

    Args:
        path: The file.
        tensors: Contiguous, by name.
        about: The metadata.

    Raises:
        OutputError: It cannot be written.
    """
    data = safetensors_bytes(dict(tensors), dict(about))  # save_file would hide a full disk behind another error
    write_atomic(path, lambda temporary: temporary.write_bytes(data))


def header(data: bytes) -> tuple[dict[str, Any], int]:
    """The header of a safetensors file, and the position of its data.

    Raises:
        MalformedError: It is invalid.
    """
    begin = 8 + int.from_bytes(data[:8], "little")
    found = parse_json(data[8:begin])
    if not isinstance(found, dict) or not isinstance(found.get("__metadata__") or {}, dict):
        raise MalformedError("its header is invalid")
    return found, begin


def metadata(found: Mapping[str, Any]) -> dict[str, str]:
    """The metadata in the header of a safetensors file."""
    return found.get("__metadata__") or {}


def halved(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert large tensors to fp16 to halve their size; small ones, and values beyond fp16, are unchanged."""
    return {key: _half(value) for key, value in tensors.items()}


def restored(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The result of `halved` in fp32 again."""
    return {key: value.float() if value.dtype == torch.float16 else value for key, value in tensors.items()}


def _half(value: Tensor) -> Tensor:
    if value.dtype != torch.float32 or value.numel() < LARGE:
        return value
    half = value.half()
    return half if bool((half.isfinite() == value.isfinite()).all()) else value
