"""Latents of a side of a cache in a file beside it, which a run that goes on uses again."""

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
from torch import nn

from audio_gen.errors import OutputError
from audio_gen.files import write_atomic

SUM_BYTES = 16

Blocks = Callable[[], Iterable[np.ndarray]]  # latents (n, D) in order, together (N, D)


def key_of(codec: nn.Module, *about: object) -> str:
    """A digest of a codec's weights and of everything else that its latents depend on, sixteen hex digits."""
    digest = hashlib.sha256(json.dumps(about).encode())
    for name, value in sorted(codec.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def latents_in(folder: Path, side: str, key: str, shape: tuple[int, int], blocks: Blocks) -> np.ndarray:
    """Latents (N, D) float16 on disk: those of an earlier run with the same key, or new ones.

    Files of other keys are deleted. Where the folder cannot be written they are in a temporary file.

    Args:
        folder: Of the cache.
        side: Of the cache.
        key: See `key_of`.
        shape: (N, D).
        blocks: Computes them.

    Raises:
        OutputError: There is no room for them.
    """
    path = folder / f"latents-{side}-{key}.f16"
    try:
        if not _is_whole(path, shape):
            write_atomic(path, lambda temporary: _write_file(temporary, blocks))
        latents = np.memmap(path, np.float16, "r", shape=shape)
    except (OutputError, OSError):
        return _temporary(shape, blocks)
    for other in folder.glob(f"latents-{side}-*.f16"):
        if other != path:
            with suppress(OSError):  # in use
                other.unlink()
    return latents


def _temporary(shape: tuple[int, int], blocks: Blocks) -> np.ndarray:
    try:
        with tempfile.TemporaryFile() as file:
            _write(file, blocks())
            return np.memmap(file, np.float16, "r", shape=shape)
    except OSError as e:
        raise OutputError(f"no room for the latents of the training sounds ({e.strerror}); free some disk space") from e


def _write_file(path: Path, blocks: Blocks) -> None:
    with path.open("wb") as file:
        _write(file, blocks())


def _write(file: BinaryIO, blocks: Iterable[np.ndarray]) -> None:
    digest = hashlib.blake2b(digest_size=SUM_BYTES)
    for block in blocks:
        data = block.astype(np.float16).tobytes()
        digest.update(data)
        file.write(data)
    file.write(digest.digest())
    file.flush()


def _is_whole(path: Path, shape: Sequence[int]) -> bool:
    size = 2 * shape[0] * shape[1]
    try:
        if path.stat().st_size != size + SUM_BYTES:
            return False
        digest, left = hashlib.blake2b(digest_size=SUM_BYTES), size
        with path.open("rb") as file:
            while left and (data := file.read(min(left, 1 << 20))):
                digest.update(data)
                left -= len(data)
            return file.read() == digest.digest()
    except OSError:
        return False
