"""A reference set in one small file: compare against it later, without its audio."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save as safetensors_bytes

from audio_gen import __version__
from audio_gen.audio.mel import MelSpec
from audio_gen.checkpoint import read_tensors
from audio_gen.errors import ConfigError, DataError, MelMismatchError
from audio_gen.evaluation import signal
from audio_gen.evaluation.described import Described
from audio_gen.evaluation.embeddings.base import Embedding
from audio_gen.files import MalformedError, parse_json, write_atomic
from audio_gen.text import clipped, one_line

# 2: with how clips begin and end
SUFFIX, FORMAT, EARLIER = ".safetensors", "audio_gen reference 2", {"audio_gen reference 1"}


def save_reference(path: Path, real: Described, *, clip_sec: float | None, mel: MelSpec | None) -> None:
    """Write what comparisons need of a set of real clips: two bytes for each dimension of each clip.

    Args:
        path: Where, ending in .safetensors.
        real: The set.
        clip_sec: Seconds that were heard of every file; None for all.
        mel: The mel of the run that it was made with, if any.

    Raises:
        DataError: The name does not end in .safetensors.
        OutputError: It cannot be written.
    """
    if path.suffix != SUFFIX:
        raise DataError(f"{one_line(path)}: a reference file must end in {SUFFIX}; try {path.stem}{SUFFIX}")
    about = {
        "titles": real.titles, "groups": real.groups, "classes": real.classes, "pitches": real.pitches,
        "hashes": real.hashes, "left_out": real.left_out,
    }  # fmt: skip
    meta = {
        "format": FORMAT, "version": __version__, "name": real.name, "embedding": real.embedding[0],
        "digest": real.embedding[1], "clip_sec": json.dumps(clip_sec),
        "mel": json.dumps(mel.to_dict() if mel else None), "clips": json.dumps(about),
    }  # fmt: skip
    tensors = {"vectors": real.vectors.half().contiguous()}
    tensors |= {f"signal.{key}": torch.from_numpy(values).float() for key, values in real.signal.items()}
    data = safetensors_bytes(tensors, meta)  # writing a file, the library raises an error of its own on a full disk
    write_atomic(path, lambda temporary: temporary.write_bytes(data))


def is_reference(path: Path) -> bool:
    """Whether a path is meant to be a reference file."""
    return path.is_file() and path.suffix == SUFFIX


def load_reference(
    path: Path, embedding: Embedding, *, clip_sec: float | None = None, mel: MelSpec | None = None
) -> Described:
    """Read a reference file and check that it can be compared with.

    Args:
        path: The file.
        embedding: What the clips to compare are embedded with.
        clip_sec: Seconds that are heard of them, where a model says so.
        mel: The mel of the run that is evaluated, if any.

    Raises:
        DataError: It is damaged, no reference file, or of another embedding.
        MelMismatchError: It was made with a run of another mel.
    """
    name = one_line(path)
    try:
        meta, tensors, _ = read_tensors(path)
        if meta.get("format") in EARLIER:
            raise DataError(
                f"{name}: an earlier version wrote it, without figures that are compared now; make it anew with "
                "audio-gen evaluate --save-reference"
            )
        if meta.get("format") != FORMAT:
            make = "`audio-gen evaluate FOLDER --save-reference FILE`"
            raise DataError(f"{name}: is no reference file; make one with {make}")
        about = parse_json(meta["clips"])
        own_mel, own_sec = parse_json(meta["mel"]), parse_json(meta["clip_sec"])
        if not isinstance(own_mel, dict | None) or not (own_sec is None or type(own_sec) in (int, float)):
            raise MalformedError("mel or clip_sec")
        found = _described(meta, about, tensors)
        own_spec = None if own_mel is None else MelSpec.from_dict(own_mel)
    except (OSError, KeyError, ValueError, TypeError, ConfigError) as e:
        raise DataError(
            f"{name}: is damaged or no reference file ({type(e).__name__}); make it anew with --save-reference"
        ) from e
    if found.embedding != (embedding.name, embedding.digest):
        raise DataError(
            f"{name}: was made with the embedding {clipped(one_line(' '.join(found.embedding)), 120)}, not "
            f"{embedding.name} {embedding.digest}; give --embedding "
            f"{clipped(one_line(found.embedding[0]), 60)}, or make the reference anew"
        )
    if found.vectors.shape[1] != embedding.dimensions:
        raise DataError(f"{name}: is damaged (its vectors); make it anew with --save-reference")
    if mel is not None and own_spec is not None:
        own_spec.check_same(mel, f"the reference {name}", "the run")
        if clip_sec is not None and own_sec is not None and abs(own_sec - clip_sec) > 1e-3:
            raise MelMismatchError(
                f"{name}: holds clips of {own_sec:g} s, the run makes {clip_sec:g} s; make it anew with --run"
            )
    return found


def _described(meta: Mapping[str, str], about: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> Described:
    vectors = tensors["vectors"].float()
    signals = {key: np.asarray(tensors[f"signal.{key}"].double()) for key in signal.FIELDS}
    if vectors.ndim != 2 or not bool(vectors.isfinite().all()) or not isinstance(about, dict):
        raise MalformedError("vectors")
    kinds: dict[str, tuple[type, ...]] = {
        "titles": (str,), "groups": (str,), "classes": (str, type(None)), "pitches": (int, float, type(None)),
        "hashes": (str, type(None)),
    }  # fmt: skip
    for key, kind in kinds.items():
        values = about[key]
        if not isinstance(values, list) or len(values) != len(vectors) or any(type(one) not in kind for one in values):
            raise MalformedError(key)
    if any(values.shape != (len(vectors),) for values in signals.values()):
        raise MalformedError("signal")
    if any(not isinstance(text, str) for pair in about["left_out"] for text in pair):
        raise MalformedError("left_out")
    return Described(
        meta["name"], (meta["embedding"], meta["digest"]), vectors, about["titles"],
        about["groups"], about["classes"], about["pitches"], about["hashes"], signals,
        [(title, reason) for title, reason in about["left_out"]],
    )  # fmt: skip
