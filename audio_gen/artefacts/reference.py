"""Reference files: embeddings and figures of a set of real clips, without audio."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from audio_gen import __version__
from audio_gen.artefacts.tensors import read_tensors, write_tensors
from audio_gen.errors import DataError
from audio_gen.files import MalformedError, parse_json
from audio_gen.text import one_line

# version 2 adds figures of the starts and ends of clips
SUFFIX, FORMAT, EARLIER = ".safetensors", "audio_gen reference 2", {"audio_gen reference 1"}
# The allowed types in each list of one value per clip.
LISTS: dict[str, tuple[type, ...]] = {
    "titles": (str,), "groups": (str,), "classes": (str, type(None)), "pitches": (int, float, type(None)),
    "hashes": (str, type(None)),
}  # fmt: skip


@dataclass(frozen=True)
class Reference:
    """Content of a reference file with N clips.

    Attributes:
        name: Name of the set.
        embedding: Name and digest of the embedding.
        vectors: (N, D) float32.
        lists: One value per clip for each key of LISTS.
        signals: Values (N,) of each figure.
        left_out: Title and reason of each skipped file.
        clip_sec: Seconds used of each file; None for all.
        mel: Fields of the mel of the run used for the set, if any.
        parts: Vectors (N, D) of left, right and side of a stereo set, NaN where one is silent.
    """

    name: str
    embedding: tuple[str, str]
    vectors: Tensor
    lists: dict[str, list[Any]]
    signals: dict[str, np.ndarray]
    left_out: list[tuple[str, str]]
    clip_sec: float | None
    mel: dict[str, Any] | None
    parts: dict[str, Tensor] = field(default_factory=dict)


def is_reference(path: Path) -> bool:
    """Whether a path is a file with the suffix of reference files."""
    return path.is_file() and path.suffix == SUFFIX


def write_reference(path: Path, reference: Reference) -> None:
    """Write a reference file, with vectors in float16.

    Raises:
        DataError: The name does not end in .safetensors.
        OutputError: It cannot be written.
    """
    if path.suffix != SUFFIX:
        raise DataError(f"{one_line(path)}: a reference file must end in {SUFFIX}; try {path.stem}{SUFFIX}")
    meta = {
        "format": FORMAT, "version": __version__, "name": reference.name, "embedding": reference.embedding[0],
        "digest": reference.embedding[1], "clip_sec": json.dumps(reference.clip_sec),
        "mel": json.dumps(reference.mel), "clips": json.dumps({**reference.lists, "left_out": reference.left_out}),
    }  # fmt: skip
    tensors = {"vectors": reference.vectors.half().contiguous()}
    tensors |= {f"signal.{key}": torch.from_numpy(values).float() for key, values in reference.signals.items()}
    tensors |= {f"part.{key}": vectors.half().contiguous() for key, vectors in reference.parts.items()}
    write_tensors(path, tensors, meta)


def read_reference(path: Path, figures: Sequence[str], optional: Sequence[str] = ()) -> Reference:
    """Read a reference file.

    Args:
        path: The file.
        figures: Names of the required figures.
        optional: Names of figures that only some files have.

    Raises:
        DataError: It is damaged, not a reference file, or of an earlier format.
    """
    name = one_line(path)
    try:
        meta, tensors, _ = read_tensors(path)
        if meta.get("format") in EARLIER:
            raise DataError(
                f"{name}: it is from an earlier version and lacks figures; write it again with "
                "audio-gen evaluate --save-reference"
            )
        if meta.get("format") != FORMAT:
            make = "`audio-gen evaluate FOLDER --save-reference FILE`"
            raise DataError(f"{name}: is not a reference file; make one with {make}")
        about, mel, clip_sec = (parse_json(meta[key]) for key in ("clips", "mel", "clip_sec"))
        if not isinstance(mel, dict | None) or not (clip_sec is None or type(clip_sec) in (int, float)):
            raise MalformedError("mel or clip_sec")
        vectors = tensors["vectors"].float()
        signals = {key: np.asarray(tensors[f"signal.{key}"].double()) for key in figures}
        more = [key for key in optional if f"signal.{key}" in tensors]
        signals |= {key: np.asarray(tensors[f"signal.{key}"].double()) for key in more}
        parts = {key[5:]: some.float() for key, some in tensors.items() if key.startswith("part.")}
        if vectors.ndim != 2 or not bool(vectors.isfinite().all()) or not isinstance(about, dict):
            raise MalformedError("vectors")
        for key, kinds in LISTS.items():
            values = about[key]
            if not isinstance(values, list) or len(values) != len(vectors) or any(type(v) not in kinds for v in values):
                raise MalformedError(key)
        if any(values.shape != (len(vectors),) for values in signals.values()):
            raise MalformedError("signal")
        if any(some.shape != vectors.shape for some in parts.values()):
            raise MalformedError("part")
        left_out = [(title, reason) for title, reason in about["left_out"]]
        if any(not isinstance(text, str) for pair in left_out for text in pair):
            raise MalformedError("left_out")
        lists = {key: about[key] for key in LISTS}
        embedding = (meta["embedding"], meta["digest"])
        return Reference(meta["name"], embedding, vectors, lists, signals, left_out, clip_sec, mel, parts)
    except (OSError, KeyError, ValueError, TypeError) as e:
        raise damaged(path, e) from e


def damaged(path: Path, error: Exception) -> DataError:
    """The error for a damaged reference file."""
    return DataError(
        f"{one_line(path)}: is damaged or not a reference file ({type(error).__name__}); write it again with "
        f"--save-reference"
    )
