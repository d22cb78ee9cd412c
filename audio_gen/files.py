"""Files that are whole or not there: everything is written to a temporary name and renamed."""

import io
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from audio_gen.errors import OutputError

T = TypeVar("T")


def write_atomic(path: Path, write: Callable[[Path], T]) -> T:
    """Call `write` with a temporary path beside `path`, then rename it to `path`.

    Args:
        path: Where the file is wanted; its folder is made.
        write: Writes the whole file at the path that it is given (same suffix as `path`).

    Returns:
        What `write` returned.

    Raises:
        OutputError: The disk is full or the place cannot be written; `path` is as it was before.
    """
    temporary = path.with_name(f".{path.stem[:64]}.{os.getpid()}.tmp{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        result = write(temporary)
        os.replace(temporary, path)
        return result
    except OSError as e:
        raise OutputError(
            f"{path}: cannot be written ({e.strerror or e}); free some space or choose another place"
        ) from e
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def file_for_callbacks(path: Path) -> Iterator[io.FileIO]:
    """Open a new file that a C library writes by callbacks, which cannot pass an error on.

    Yields:
        The file; what goes wrong in its `write` is raised at the end of the block, in place of the library's own error.

    Raises:
        OSError: The disk is full, for example.
    """
    with _CallbackFile(path, "wb") as file:
        try:
            yield file
        finally:
            if file.error is not None:
                raise file.error


class _CallbackFile(io.FileIO):
    error: OSError | None = None

    def write(self, data: Any, /) -> int:
        view, done = memoryview(data), 0
        try:
            while done < len(view):
                done += super().write(view[done:]) or 0
        except OSError as e:
            self.error = e
        return done


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    write_atomic(path, lambda p: p.write_text(text, encoding="utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically; NaN is refused, since JSON has none."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
