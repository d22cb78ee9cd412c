"""Compile loops with numba, and store the machine code in the user's cache folder.

numba loads pickles and machine code unchecked. So a folder that other users can write to is not used, and functions
with a wrong file digest are compiled again.
"""

import hashlib
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import IndexDataCacheFile

from audio_gen.files import user_cache


def compiled(function: Callable[..., Any], fastmath: bool | set[str] = True) -> Any:
    """Compile a function, or load it from the cache; without a writable folder it is not stored."""
    options: dict[str, Any] = {"nogil": True, "fastmath": fastmath, "error_model": "numpy"}
    config: Any = numba.config
    chosen = config.CACHE_DIR  # the user's NUMBA_CACHE_DIR
    folder = chosen or private_folder()
    if not folder:
        return numba.njit(**options)(function)
    try:
        config.CACHE_DIR = folder
        kept = numba.njit(cache=True, **options)(function)
        old = kept._cache._cache_file
        if not Path(old._cache_path).is_relative_to(folder):  # numba chose another folder
            return numba.njit(**options)(function)
        kept._cache._cache_file = _CheckedFile(old)
        return kept
    except (RuntimeError, AttributeError, OSError):  # not writable, or numba's cache has changed
        return numba.njit(**options)(function)
    finally:
        config.CACHE_DIR = chosen


@lru_cache(maxsize=1)
def private_folder() -> str | None:
    """The folder of machine code, created if needed; None if that fails or other users can write to it."""
    folder = user_cache("numba")
    try:
        if not folder.is_absolute():
            return None
        folder.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        about = folder.lstat()
    except (OSError, ValueError):
        return None
    if not stat.S_ISDIR(about.st_mode):
        return None
    if hasattr(os, "getuid") and (about.st_uid != os.getuid() or about.st_mode & (stat.S_IWGRP | stat.S_IWOTH)):
        return None
    return str(folder) if os.access(folder, os.W_OK | os.X_OK) else None


class _CheckedFile(IndexDataCacheFile):
    """numba's cache files of one function, each with a digest file."""

    def __init__(self, of: Any) -> None:
        self.__dict__.update(vars(of))

    def save(self, key: Any, data: Any) -> None:
        with suppress(OSError):  # on a full disk it is compiled again next time
            super().save(key, data)

    def _load_index(self) -> Any:
        return super()._load_index() if _is_whole(self._index_path) else {}

    def _save_index(self, overloads: Any) -> None:
        super()._save_index(overloads)
        _seal(self._index_path)

    def _load_data(self, name: str) -> Any:
        if not _is_whole(self._data_path(name)):
            raise FileNotFoundError(name)
        return super()._load_data(name)

    def _save_data(self, name: str, data: Any) -> None:
        super()._save_data(name, data)
        _seal(self._data_path(name))


def _digest(path: str) -> bytes:
    return hashlib.sha256(Path(path).read_bytes()).digest()


def _is_whole(path: str) -> bool:
    try:
        return Path(f"{path}.sha256").read_bytes() == _digest(path)
    except OSError:
        return False


def _seal(path: str) -> None:
    Path(f"{path}.sha256").write_bytes(_digest(path))
