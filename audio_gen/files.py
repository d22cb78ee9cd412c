"""Files that are whole or not there: everything is written to a temporary name and renamed."""

import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from audio_gen.errors import OutputError


def write_atomic(path: Path, write: Callable[[Path], object]) -> None:
    """Call `write` with a temporary path beside `path`, then rename it to `path`.

    Args:
        path: Where the file is wanted; its folder is made.
        write: Writes the whole file at the path that it is given (same suffix as `path`).

    Raises:
        OutputError: The disk is full or the place cannot be written; `path` is as it was before.
    """
    temporary = path.with_name(f".{path.stem[:64]}.{os.getpid()}.tmp{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        os.replace(temporary, path)
    except OSError as e:
        raise OutputError(
            f"{path}: cannot be written ({e.strerror or e}); free some space or choose another place"
        ) from e
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    write_atomic(path, lambda p: p.write_text(text, encoding="utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically; NaN is refused, since JSON has none."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
