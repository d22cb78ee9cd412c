"""The samples of a cache: one file, or shards of equal length on a disk or at a URL of fsspec."""

import errno
import hashlib
import os
import re
import stat
import threading
import weakref
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np

from audio_gen.data import checksums
from audio_gen.data.checksums import DamagedError
from audio_gen.errors import DataError
from audio_gen.files import at_home, user_cache, write_atomic
from audio_gen.text import one_line, shortened

OPEN_SHARDS = 64  # open at the same time
BLOCK = 2**19  # samples per fetched and stored block of a remote shard
STORE = "AUDIO_GEN_SHARDS"  # variable with the folder of fetched blocks
PLACE = "AUDIO_GEN_SHARD_PLACE"  # variable with the folder or URL of the shards, overrides the index
BYTES = 2  # of a sample
WRITE_AGAIN = "write the shards of this cache again"
# Without "::", which chains file systems, queries, and characters with a special meaning.
URL = re.compile(r"(s3|gs|https)://[\w.-]+(:\d{1,5})?(/[^:?*#${}\[\]<>|\\\"'`]*)?")
_SEEKING = threading.Lock()


class OneFile:
    """A PCM file, read without mapping: if another program truncates a mapped file, the process is killed."""

    def __init__(self, path: Path, count: int) -> None:
        """Open it.

        Args:
            path: The file.
            count: Samples to use; there may be more.

        Raises:
            DataError: The file has fewer.
        """
        self._path, self._count = path, count
        self._file = _OpenFile(path)
        size = os.fstat(self._file.number).st_size
        if size < BYTES * count:
            raise DamagedError(path, f"holds {size} of {BYTES * count} bytes")

    def __len__(self) -> int:
        """How many samples there are."""
        return self._count

    def read(self, first: int, count: int) -> np.ndarray:
        """Samples (count,).

        Raises:
            DataError: The file was truncated, or cannot be read.
        """
        try:
            data = self._file.read(BYTES * first, BYTES * count)
        except OSError as e:
            raise DamagedError(self._path, f"cannot be read ({e.strerror or e})") from e
        if len(data) < BYTES * count:
            raise DamagedError(self._path, f"was truncated while in use: it ends at byte {BYTES * first + len(data)}")
        return np.frombuffer(data, "<i2")

    def doubt(self, first: int, count: int) -> bool:
        """Change the file's time, so that the next build checks the whole file."""
        with suppress(OSError):
            os.utime(self._path)
        return False

    def damage(self, first: int) -> DamagedError:
        """The error for a damaged block."""
        return DamagedError(
            self._path, f"is damaged in the {BYTES * checksums.BLOCK >> 10} KiB from byte {BYTES * first} on"
        )


class Shards:
    """Shards that are opened when they are read; remote ones are stored in blocks on this machine.

    Each block is a file. fsspec's block cache maps one sparse file per shard instead: a full disk ends the process with
    SIGBUS, and a kill loses its blocks, since its index is written on close.
    """

    def __init__(self, place: str, count: int, shard_samples: int, sounds: str = "") -> None:
        """No shard is opened yet.

        Args:
            place: Their folder or URL.
            count: Total number of samples.
            shard_samples: Samples in each but the last.
            sounds: A digest of their content, so that stored blocks of other content at this place are not used.
        """
        self.place, self._count, self._each = place, count, shard_samples
        self._open: OrderedDict[int, _OpenFile] = OrderedDict()
        store = at_home(os.environ.get(STORE) or user_cache("shards"))
        self._store = store / hashlib.sha256(repr((place, count, shard_samples, sounds)).encode()).hexdigest()[:16]

    def __len__(self) -> int:
        """How many samples there are."""
        return self._count

    def read(self, first: int, count: int) -> np.ndarray:
        """Samples (count,), from one or several shards.

        Raises:
            DataError: A shard is missing or too short, or cannot be reached.
        """
        parts = []
        while count > 0:
            number, start = divmod(first, self._each)
            here = min(count, self._each - start)
            try:
                part = self._fetched(number, start, here) if "://" in self.place else self._local(number, start, here)
            except (OSError, ValueError, ImportError) as e:  # fsspec's message names a missing package
                raise DamagedError(self._name(number), f"cannot be read ({shortened(str(e))})", WRITE_AGAIN) from e
            if len(part) < here:
                raise DamagedError(self._name(number), "is too short", WRITE_AGAIN)
            parts.append(part)
            first, count = first + here, count - here
        return np.concatenate(parts) if parts else np.zeros(0, "<i2")

    def doubt(self, first: int, count: int) -> bool:
        """Delete the fetched blocks, which may be damaged on this machine."""
        if "://" not in self.place:
            return False
        for number in range(first // self._each, (first + count - 1) // self._each + 1):
            start, stop = (min(max(i - number * self._each, 0), self._each) for i in (first, first + count))
            for block in range(start // BLOCK, -(-stop // BLOCK)):
                with suppress(OSError):
                    self._kept(number, block).unlink(missing_ok=True)
        return True

    def damage(self, first: int) -> DamagedError:
        """The error for a damaged block."""
        number, start = divmod(first, self._each)
        return DamagedError(self._name(number), f"is damaged at or after byte {BYTES * start}", WRITE_AGAIN)

    def _name(self, number: int) -> str:
        return shard_name(self.place, number)

    def _local(self, number: int, start: int, count: int) -> np.ndarray:
        if number not in self._open:
            self._open[number] = _OpenFile(Path(self._name(number)))
            if len(self._open) > OPEN_SHARDS:
                self._open.popitem(last=False)
        self._open.move_to_end(number)
        data = self._open[number].read(BYTES * start, BYTES * count)
        return np.frombuffer(data, "<i2", len(data) // BYTES)

    def _fetched(self, number: int, start: int, count: int) -> np.ndarray:
        blocks = range(start // BLOCK, (start + count - 1) // BLOCK + 1)
        data = b"".join(self._block(number, block) for block in blocks)
        return np.frombuffer(data, "<i2")[start - blocks[0] * BLOCK :][:count]

    def _kept(self, number: int, block: int) -> Path:
        return self._store / f"{number:06d}" / f"{block:06d}"

    def _block(self, number: int, block: int) -> bytes:
        """A block of a shard, in a file that several processes may fetch and use."""
        kept = self._kept(number, block)
        first, last = block * BLOCK, min((block + 1) * BLOCK, self._each, self._count - number * self._each)
        size = BYTES * (last - first)
        if kept.is_file() and kept.stat().st_size == size:
            return kept.read_bytes()
        from fsspec.core import url_to_fs

        system, path = url_to_fs(self._name(number))
        data: bytes = system.cat_file(path, BYTES * first, BYTES * last)
        if len(data) > size:
            raise ValueError("the server sent more bytes than requested")
        if len(data) == size:
            write_atomic(kept, lambda p: p.write_bytes(data))
        return data


class _OpenFile:
    """A file that stays open for reading as long as this object exists."""

    def __init__(self, path: Path) -> None:
        flags = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_BINARY", "O_CLOEXEC", "O_NONBLOCK"))
        self.number = os.open(path, flags)
        weakref.finalize(self, os.close, self.number)
        if not stat.S_ISREG(os.fstat(self.number).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))

    def read(self, first: int, count: int) -> bytes:
        """`count` bytes from `first`, fewer at the end of the file; threads and forks may read at the same time."""
        data = self._at(first, count)
        while 0 < len(data) < count:  # a system call returns at most 2 GB
            more = self._at(first + len(data), count - len(data))
            if not more:
                break
            data += more
        return data

    def _at(self, first: int, count: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(self.number, count, first)
        with _SEEKING:
            os.lseek(self.number, first, os.SEEK_SET)
            return os.read(self.number, count)


def allowed_place(place: object, cache: Path) -> str:
    """The place of the shards of a cache with an untrusted index.

    Args:
        place: The place in the index.
        cache: The folder of the cache.

    Returns:
        The path or URL; AUDIO_GEN_SHARD_PLACE overrides the index, and may be any URL of fsspec.

    Raises:
        DataError: It is neither a path inside the cache nor a plain URL of s3, gs or https.
    """
    if override := os.environ.get(PLACE):
        return override if "://" in override else os.path.expanduser(override)
    if isinstance(place, str) and place.isprintable() and ".." not in re.split(r"[/\\]", place):
        if URL.fullmatch(place):
            return place
        inside = not (PureWindowsPath(place).anchor or PurePosixPath(place).anchor)
        if inside and place and ":" not in place:
            return str(cache.absolute() / place)
    raise DataError(
        f"{one_line(cache)}: its shards are at {shortened(place)}, which is neither a path inside it nor a plain URL "
        f"of s3, gs or https; if you trust that place, set {PLACE} to it"
    )


def shard_name(place: str, number: int) -> str:
    """The path or URL of a shard."""
    return f"{place.rstrip('/')}/{number:06d}.int16"
