"""A view of a file with corrected bytes: pieces of the file, and replacements."""

import io
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO

Part = bytes | tuple[int, int]  # bytes to show, or start and stop of a piece of the file


class FileView:
    """Parts of a file as one read-only file object; the file is not changed.

    It has the methods that soundfile needs: `seek`, `tell` and `read`.
    """

    def __init__(self, path: Path, parts: Sequence[Part]) -> None:
        """Open the file.

        Args:
            path: The file.
            parts: The content, in order; a piece stops at the end of the file.
        """
        self._file: BinaryIO = open(path, "rb")  # noqa: SIM115 - closed by close()
        self._parts = list(parts)
        self._ends = list(accumulate(len(p) if isinstance(p, bytes) else p[1] - p[0] for p in self._parts))
        self._position = 0

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move the position."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._ends[-1]}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        """The position."""
        return self._position

    def read(self, count: int = -1) -> bytes:
        """Read up to `count` bytes."""
        count = self._ends[-1] - self._position if count < 0 else count
        found, begin = [], 0
        for part, end in zip(self._parts, self._ends, strict=True):
            if count > 0 and self._position < end:
                at = self._position - begin
                data = self._piece(part, at, min(count, end - self._position))
                found.append(data)
                self._position += len(data)
                count -= len(data)
                if self._position < end:
                    break
            begin = end
        return found[0] if len(found) == 1 else b"".join(found)

    def _piece(self, part: Part, at: int, count: int) -> bytes:
        if isinstance(part, bytes):
            return part[at : at + count]
        self._file.seek(part[0] + at)
        return self._file.read(count)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def patched(start: int, stop: int, patches: dict[int, bytes]) -> list[Part]:
    """The bytes start..stop of a file, with replacements at some positions."""
    parts: list[Part] = []
    position = start
    for at, data in sorted(patches.items()):
        parts += [(position, at), data]
        position = at + len(data)
    return [*parts, (position, max(position, stop))]
