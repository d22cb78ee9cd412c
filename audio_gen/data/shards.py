"""The samples of a cache: one file, or shards of equal length on a disk or at any URL that fsspec knows."""

import hashlib
import os
from collections import OrderedDict
from pathlib import Path
from typing import Protocol

import numpy as np

from audio_gen.errors import DataError
from audio_gen.files import at_home, write_atomic
from audio_gen.hints import command
from audio_gen.text import one_line

OPEN_SHARDS = 64  # kept open at once
BLOCK = 2**19  # samples of a remote shard that are fetched and kept at a time
STORE = "AUDIO_GEN_SHARDS"  # names the folder of fetched blocks
BYTES = 2  # of a sample


class Samples(Protocol):
    """Where stored samples come from."""

    def __len__(self) -> int:
        """How many there are."""

    def read(self, first: int, count: int) -> np.ndarray:
        """Some of them, int16 (count,)."""


class OneFile:
    """A file that is mapped into memory."""

    def __init__(self, path: Path, count: int) -> None:
        """Map the first `count` samples.

        Raises:
            DataError: They are not all there.
        """
        size = path.stat().st_size if path.is_file() else 0
        if size < BYTES * count:
            raise DataError(
                f"{one_line(path)}: holds {size} of {BYTES * count} bytes; make it again with "
                f"`{command('preprocess', 'FOLDER', '--out', path.parent)}`"
            )
        self._samples = np.memmap(path, dtype="<i2", mode="r", shape=(count,))

    def __len__(self) -> int:
        """How many samples there are."""
        return len(self._samples)

    def read(self, first: int, count: int) -> np.ndarray:
        """Samples (count,), not copied."""
        return self._samples[first : first + count]


class Shards:
    """Shards that are opened when they are read from; what is fetched from afar is kept in blocks on this machine."""

    def __init__(self, place: str, count: int, shard_samples: int, sounds: str = "") -> None:
        """Look for nothing yet.

        Args:
            place: The folder or URL in which they lie.
            count: Samples in all.
            shard_samples: Samples in each but the last.
            sounds: A digest of what they hold, so that blocks kept of other sounds at the same place are not taken.
        """
        self.place, self._count, self._each = place, count, shard_samples
        self._mapped: OrderedDict[int, np.ndarray] = OrderedDict()
        store = at_home(os.environ.get(STORE) or "~/.cache/audio_gen/shards")
        self._store = store / hashlib.sha256(repr((place, count, shard_samples, sounds)).encode()).hexdigest()[:16]

    def __len__(self) -> int:
        """How many samples there are."""
        return self._count

    def read(self, first: int, count: int) -> np.ndarray:
        """Samples (count,), which may lie in several shards.

        Raises:
            DataError: A shard is missing or too short, or cannot be reached.
        """
        parts = []
        while count > 0:
            number, start = divmod(first, self._each)
            here = min(count, self._each - start)
            try:
                part = self._fetched(number, start, here) if "://" in self.place else self._local(number, start, here)
            except (OSError, ValueError) as e:
                raise DataError(
                    f"{shard_name(self.place, number)}: cannot be read ({e}); write the shards of this cache again"
                ) from e
            if len(part) < here:
                raise DataError(f"{shard_name(self.place, number)}: is too short; write the shards of this cache again")
            parts.append(part)
            first, count = first + here, count - here
        return np.concatenate(parts) if parts else np.zeros(0, "<i2")

    def _local(self, number: int, start: int, count: int) -> np.ndarray:
        if number not in self._mapped:
            self._mapped[number] = np.memmap(shard_name(self.place, number), dtype="<i2", mode="r")
            if len(self._mapped) > OPEN_SHARDS:
                self._mapped.popitem(last=False)
        self._mapped.move_to_end(number)
        return self._mapped[number][start : start + count]

    def _fetched(self, number: int, start: int, count: int) -> np.ndarray:
        blocks = range(start // BLOCK, (start + count - 1) // BLOCK + 1)
        data = b"".join(self._block(number, block) for block in blocks)
        return np.frombuffer(data, "<i2")[start - blocks[0] * BLOCK :][:count]

    def _block(self, number: int, block: int) -> bytes:
        """A block of a shard; each lies in a file of its own, which several processes may fetch and use."""
        kept = self._store / f"{number:06d}" / f"{block:06d}"
        if kept.is_file():
            return kept.read_bytes()
        import fsspec

        system, path = fsspec.url_to_fs(shard_name(self.place, number))
        first, last = block * BLOCK, min((block + 1) * BLOCK, self._each, self._count - number * self._each)
        data: bytes = system.cat_file(path, BYTES * first, BYTES * last)
        if len(data) == BYTES * (last - first):
            write_atomic(kept, lambda p: p.write_bytes(data))
        return data


def shard_name(place: str, number: int) -> str:
    """The path or URL of a shard."""
    return f"{place.rstrip('/')}/{number:06d}.int16"


def write_shards(samples: Samples, place: str, shard_samples: int) -> int:
    """Copy samples into shards.

    Args:
        samples: Of a cache.
        place: A folder, which is made, or a URL.
        shard_samples: Samples in each shard.

    Returns:
        How many shards there are.
    """
    import fsspec

    count = -(-len(samples) // shard_samples)
    for number in range(count):
        first = number * shard_samples
        with fsspec.open(shard_name(place, number), "wb", auto_mkdir=True) as file:
            file.write(samples.read(first, min(shard_samples, len(samples) - first)).astype("<i2").tobytes())
    return count
