"""Save clip features as a reference file, and load them with checks that they are comparable."""

from pathlib import Path
from typing import Any

from audio_gen.artefacts.reference import Reference, damaged, read_reference, write_reference
from audio_gen.audio.mel import MelSpec
from audio_gen.errors import ConfigError, DataError, MelMismatchError
from audio_gen.evaluation import signal
from audio_gen.evaluation.clip_features import PARTS, ClipFeatures
from audio_gen.evaluation.embeddings.base import Embedding
from audio_gen.text import clipped, one_line


def save_reference(path: Path, real: ClipFeatures, *, clip_sec: float | None, mel: MelSpec | None) -> None:
    """Write the features of a set of real clips.

    Args:
        path: The file, ending in .safetensors.
        real: The set.
        clip_sec: Seconds used of every file; None for all.
        mel: The mel of the evaluated run, if any.

    Raises:
        DataError: The name does not end in .safetensors.
        OutputError: It cannot be written.
    """
    lists: dict[str, list[Any]] = {
        "titles": real.titles, "groups": real.groups, "classes": real.classes, "pitches": real.pitches,
        "hashes": real.hashes,
    }  # fmt: skip
    spec = mel.to_dict() if mel else None
    write_reference(
        path,
        Reference(
            real.name, real.embedding, real.vectors, lists, real.signal, real.left_out, clip_sec, spec, real.parts or {}
        ),
    )  # fmt: skip


def load_reference(
    path: Path, embedding: Embedding, *, clip_sec: float | None = None, mel: MelSpec | None = None
) -> ClipFeatures:
    """Read a reference file and check that it is comparable.

    Args:
        path: The file.
        embedding: The embedding of the clips to compare.
        clip_sec: The model's clip length, if a model is evaluated.
        mel: The mel of the evaluated run, if any.

    Raises:
        DataError: The file is damaged or not a reference file, or has another embedding.
        MelMismatchError: It was written with a run of another mel.
    """
    name, found = one_line(path), read_reference(path, signal.FIELDS, signal.STEREO_FIELDS)
    try:
        own_spec = None if found.mel is None else MelSpec.from_dict(found.mel)
    except ConfigError as e:
        raise damaged(path, e) from e
    if found.embedding != (embedding.name, embedding.digest):
        raise DataError(
            f"{name}: was written with the embedding {clipped(one_line(' '.join(found.embedding)), 120)}, not "
            f"{embedding.name} {embedding.digest}; give --embedding "
            f"{clipped(one_line(found.embedding[0]), 60)}, or write the reference again"
        )
    if found.vectors.shape[1] != embedding.dimensions:
        raise DataError(f"{name}: is damaged (its vectors); write it again with --save-reference")
    if mel is not None and own_spec is not None:
        own_spec.check_same(mel, f"the reference {name}", "the run")
        if clip_sec is not None and found.clip_sec is not None and abs(found.clip_sec - clip_sec) > 1e-3:
            raise MelMismatchError(
                f"{name}: contains clips of {found.clip_sec:g} s, the run generates {clip_sec:g} s; write it again "
                f"with --run"
            )
    lists = found.lists
    return ClipFeatures(
        found.name, found.embedding, found.vectors, lists["titles"], lists["groups"], lists["classes"],
        lists["pitches"], lists["hashes"], found.signals, found.left_out,
        parts=found.parts if found.parts.keys() >= set(PARTS) else None,
    )  # fmt: skip
