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

BLOCK = 1 << 15  # samples per checksum; a first read of a 2 s crop reads a third more
HEX_DIGITS = 16  # of a digest


class DamagedError(DataError):
    """A file of a cache is damaged."""

    def __init__(self, file: Path | str, what: str, fix: str = "") -> None:
        """Name file, fault and fix.

        Args:
            file: The file.
            what: The fault, which follows the file's name.
            fix: The fix; by default, rebuild the cache.
        """
        self.file, self.what = file, what
        folder = Path(file).parent
        cache = folder.parent if folder.name.startswith("clips") else folder
        super().__init__(f"{one_line(file)}: {what}; {fix or f'rebuild the cache with {build_command(cache)}'}")


def build_command(cache: Path | str) -> str:
    """The command that builds the cache at a path."""
    return f"`{command('preprocess', 'FOLDER', '--out', cache)}`"


class Samples(Protocol):
    """A source of stored samples."""

    def __len__(self) -> int:
        """The number of samples."""

    def read(self, first: int, count: int) -> np.ndarray:
        """Samples (count,) as int16."""


class Source(Samples, Protocol):
    """A source whose samples may be damaged."""

    def doubt(self, first: int, count: int) -> bool:
        """Report wrong samples; returns whether reading them again may help."""

    def damage(self, first: int) -> DamagedError:
        """The error for the block that begins there."""


class Checked:
    """Samples that are compared with their checksums at the first read."""

    def __init__(self, source: Source, sums: np.ndarray | None) -> None:
        """No block is checked yet.

        Args:
            source: The samples.
            sums: CRC-32 of each block (K,); None for old caches without checksums.

        Raises:
            ValueError: The number of checksums is wrong.
        """
        if sums is not None and len(sums) != -(-len(source) // BLOCK):
            raise ValueError("it has another number of blocks")
        self.source, self.sums = source, sums
        self._whole = bytearray(0 if sums is None else len(sums))

    def __len__(self) -> int:
        """The number of samples."""
        return len(self.source)

    def read(self, first: int, count: int) -> np.ndarray:
        """Samples (count,).

        Raises:
            DataError: They are damaged or out of range.
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
        """Whether some samples are undamaged."""
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
        kept: Known checksums of the first blocks.
        mapped: A function like `map`, for example with threads.
    """
    done = 0 if kept is None else len(kept)
    blocks = range(done * BLOCK, len(samples), BLOCK)
    sums = mapped(lambda first: zlib.crc32(samples.read(first, min(BLOCK, len(samples) - first)).data), blocks)
    new = np.fromiter(sums, "<u4", len(blocks))
    return new if kept is None else np.concatenate([kept.astype("<u4"), new])


def _blocks(samples: np.ndarray) -> Iterable[np.ndarray]:
    return (samples[i : i + BLOCK] for i in range(0, len(samples), BLOCK))


def digest_of_file(path: Path, limit: int) -> str:
    """A digest of a file's bytes.

    Raises:
        OSError: It cannot be read.
        MalformedError: It is not a regular file, or larger than the limit.
    """
    return digest(read_regular(path, limit))


def digest(data: bytes) -> str:
    """A digest of bytes."""
    return hashlib.sha256(data).hexdigest()[:HEX_DIGITS]


def digest_of_json(value: dict[str, Any], without: Sequence[str] = ()) -> str:
    """A digest of a JSON object that does not depend on order and formatting."""
    rest = {key: value[key] for key in value if key not in without}
    return digest(json.dumps(rest, sort_keys=True).encode())
