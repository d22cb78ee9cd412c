"""Checksums of a cache. Each block is checked when it is first read, so training never uses damaged data."""

import hashlib
import json
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from audio_gen.errors import DataError
from audio_gen.files import read_regular
from audio_gen.hints import command
from audio_gen.text import one_line

BLOCK = 1 << 15  # samples that have one checksum; a crop of 2 s reads a third more than it needs, once
HEX_DIGITS = 16  # of the digest of a small file


class DamagedError(DataError):
    """A file of a cache is not what was written."""

    def __init__(self, file: Path | str, what: str, fix: str = "") -> None:
        """Name the file.

        Args:
            file: The file.
            what: What is wrong, which follows the file's name.
            fix: What to do about it; by default, make the cache again.
        """
        self.file, self.what = file, what
        super().__init__(f"{one_line(file)}: {what}; {fix or f'make the cache again with {made_by(file)}'}")


def made_by(file: Path | str) -> str:
    """The command that makes the cache in which a file lies."""
    folder = Path(file).parent
    return f"`{command('preprocess', 'FOLDER', '--out', folder.parent if folder.name.startswith('clips') else folder)}`"


class Samples(Protocol):
    """Where stored samples come from."""

    def __len__(self) -> int:
        """How many there are."""

    def read(self, first: int, count: int) -> np.ndarray:
        """Some of them, int16 (count,)."""


class Source(Samples, Protocol):
    """Samples that may be damaged."""

    def doubt(self, first: int, count: int) -> bool:
        """Take note that these are wrong; returns whether reading them again may help."""

    def damage(self, first: int) -> DamagedError:
        """What to say of the block that begins there."""


class Checked:
    """Samples that are compared with their checksums when they are first read."""

    def __init__(self, source: Source, sums: np.ndarray | None) -> None:
        """Check nothing yet.

        Args:
            source: The samples.
            sums: CRC-32 of each block (K,); None for caches that have none.

        Raises:
            ValueError: There are more or fewer blocks.
        """
        if sums is not None and len(sums) != -(-len(source) // BLOCK):
            raise ValueError("it has another number of blocks")
        self.source, self.sums = source, sums
        self._whole = bytearray(0 if sums is None else len(sums))

    def __len__(self) -> int:
        """How many samples there are."""
        return len(self.source)

    def read(self, first: int, count: int) -> np.ndarray:
        """Samples (count,).

        Raises:
            DataError: They are damaged, or there are none at that place.
        """
        if count <= 0:
            return np.zeros(0, "<i2")
        if first < 0 or first + count > len(self.source):
            raise self.source.damage(first)
        begin, end = first // BLOCK, -(-(first + count) // BLOCK)
        if self._whole.find(0, begin, end) < 0:
            return self.source.read(first, count)
        start = begin * BLOCK
        whole = min(end * BLOCK, len(self.source)) - start
        samples = self.source.read(start, whole)
        bad = self._first_bad(samples, begin)
        if bad is not None and self.source.doubt(start, whole):
            samples = self.source.read(start, whole)
            bad = self._first_bad(samples, begin)
        if bad is not None:
            raise self.source.damage(bad * BLOCK)
        self._whole[begin:end] = b"\x01" * (end - begin)
        return samples[first - start : first - start + count]

    def is_whole(self, first: int, count: int) -> bool:
        """Whether some samples can be read as they were written."""
        try:
            self.read(first, count)
        except DataError:
            return False
        return True

    def _first_bad(self, samples: np.ndarray, begin: int) -> int | None:
        assert self.sums is not None
        for i, part in enumerate(_blocks(samples), begin):
            if not self._whole[i] and zlib.crc32(part.data) != self.sums[i]:
                return i
        return None


def sums_of(samples: Samples, kept: np.ndarray | None = None, mapped: Callable[..., Iterable[Any]] = map) -> np.ndarray:
    """The CRC-32 of each block of samples (K,).

    Args:
        samples: All of them.
        kept: Checksums of the first blocks, which are not read.
        mapped: Like `map`, for example one that works in threads.
    """
    done = 0 if kept is None else len(kept)
    blocks = range(done * BLOCK, len(samples), BLOCK)
    made = mapped(lambda first: zlib.crc32(samples.read(first, min(BLOCK, len(samples) - first)).data), blocks)
    new = np.fromiter(made, "<u4", len(blocks))
    return new if kept is None else np.concatenate([kept.astype("<u4"), new])


def _blocks(samples: np.ndarray) -> Iterable[np.ndarray]:
    return (samples[i : i + BLOCK] for i in range(0, len(samples), BLOCK))


def digest_of_file(path: Path, limit: int) -> str:
    """A digest of a file's bytes.

    Raises:
        OSError: It cannot be read.
        MalformedError: It is no regular file, or larger than the limit.
    """
    return digest(read_regular(path, limit))


def digest(data: bytes) -> str:
    """A digest of bytes."""
    return hashlib.sha256(data).hexdigest()[:HEX_DIGITS]


def digest_of_json(value: dict[str, Any], without: Sequence[str] = ()) -> str:
    """A digest of what a JSON object says, however it is written."""
    rest = {key: value[key] for key in value if key not in without}
    return digest(json.dumps(rest, sort_keys=True).encode())
