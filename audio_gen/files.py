"""Write files atomically (to a temporary name, which is then renamed), and read untrusted JSON and YAML."""

import errno
import io
import json
import math
import os
import re
import stat
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeGuard, TypeVar

from audio_gen.errors import ConfigError, OutputError
from audio_gen.text import shortened

T = TypeVar("T")
RESERVED_CHARACTERS = frozenset('<>:"/\\|?*')
RESERVED_NAMES = {"CON", "PRN", "AUX", "NUL"} | {f"{kind}{number}" for kind in ("COM", "LPT") for number in range(10)}
LEFTOVER = re.compile(r"\..*\.\d+(-\d+)?\.tmp(\.\w+)?")  # a name that `write_atomic` gives
BUSY_TRIES, BUSY_SEC = (20 if os.name == "nt" else 0), 0.1


def at_home(path: Path | str) -> Path:
    """A path with a leading `~` or `~user` expanded."""
    try:
        return Path(path).expanduser()
    except RuntimeError:  # no such user
        return Path(path)


def all_at_home(value: Any) -> Any:
    """An option's value with `~` expanded in its paths, alone or in a list or tuple; other values as they are."""
    if isinstance(value, list | tuple):
        return type(value)(map(all_at_home, value))
    return at_home(value) if isinstance(value, Path) else value


def named_path(text: str) -> Path:
    """A path that a user names; an empty one would be the current folder.

    Raises:
        ConfigError: The text is empty.
    """
    if not text.strip():
        raise ConfigError("a path is empty; give a file or folder, such as . for the current folder")
    return Path(text)


def legal_name(name: str) -> str:
    """A file name that every system allows: Windows reserves words, characters and trailing dots."""
    text = "".join("_" if c in RESERVED_CHARACTERS or not c.isprintable() else c for c in name).rstrip(". ")
    stem, dot, rest = text.partition(".")
    return f"{stem}_{dot}{rest}" if stem.rstrip().upper() in RESERVED_NAMES else text or "_"


def write_atomic(path: Path, write: Callable[[Path], T]) -> T:
    """Call `write` with a temporary path next to `path`, then rename it to `path`.

    Args:
        path: The file; its folder is created if needed.
        write: Writes the whole file to the given path, which has the suffix of `path`.

    Returns:
        The result of `write`.

    Raises:
        OutputError: The disk is full or the folder cannot be written; `path` is unchanged.
    """
    stem = os.fsencode(path.stem)[:64].decode("utf-8", "ignore")
    temporary = path.with_name(f".{stem}.{os.getpid()}-{threading.get_native_id()}.tmp{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)  # a link of that name would be followed
        result = write(temporary)
        _replace(temporary, path)
        return result
    except OSError as e:
        raise OutputError(
            f"{path}: cannot be written ({e.strerror or e}); free some space or choose another place"
        ) from e
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def open_no_link(path: str, flags: int) -> int:
    """An `opener` for `open` that refuses symbolic links.

    Raises:
        OSError: It cannot be opened, is a symbolic link, or is not a regular file.
    """
    with suppress(FileNotFoundError):
        kind = os.lstat(path).st_mode
        if stat.S_ISLNK(kind):
            raise OSError(errno.ELOOP, "it is a link to another file", path)
        if not stat.S_ISREG(kind):  # a pipe would wait for its reader
            raise OSError(errno.EINVAL, "it is a folder, a pipe or a device, not a file", path)
    more = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    return os.open(path, flags | more, 0o666)


def _replace(temporary: Path, path: Path) -> None:
    """Rename over `path`; Windows refuses while another program, such as a virus scanner, has it open."""
    for _ in range(BUSY_TRIES):
        try:
            return os.replace(temporary, path)
        except PermissionError:
            time.sleep(BUSY_SEC)
    os.replace(temporary, path)


def drop_leftovers(folder: Path) -> None:
    """Delete temporary files that a killed process left in a folder; no other process may write to it."""
    with suppress(OSError):
        for path in folder.iterdir():
            if LEFTOVER.fullmatch(path.name) and path.is_file():
                with suppress(OSError):
                    path.unlink()


@contextmanager
def file_for_callbacks(path: Path) -> Iterator[io.FileIO]:
    """Open a new file for a C library that writes by callbacks, which cannot raise.

    Yields:
        The file; an error in its `write` is raised at the end of the block, instead of the library's error.

    Raises:
        OSError: The file cannot be written.
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


def write_json(path: Path, value: Any, *, indent: int | None = 2) -> None:
    """Write `value` as JSON, atomically; NaN is refused.

    Args:
        path: The file.
        value: Any JSON value.
        indent: Spaces per level; None is ten times faster, for files that only programs read.
    """
    text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False) + "\n"
    data = text.encode("utf-8", "backslashreplace")  # a lone surrogate of a file name becomes \\udcff
    write_atomic(path, lambda p: p.write_bytes(data))


def user_cache(name: str) -> Path:
    """The user's cache folder of this system.

    Args:
        name: The folder's name below `audio_gen`; it is not created.
    """
    usual = {"win32": os.environ.get("LOCALAPPDATA"), "darwin": "~/Library/Caches"}.get(sys.platform)
    base = os.environ.get("XDG_CACHE_HOME") or usual or "~/.cache"
    return at_home(base) / "audio_gen" / name


LARGEST_BYTES = 1 << 26  # of a JSON file
LARGEST_YAML_BYTES = 1 << 20  # YAML is read a thousand times slower
LARGEST_NUMBER = 1 << 64
SAFE_DIGITS = 19  # integers with fewer digits are below LARGEST_NUMBER


class MalformedError(ValueError):
    """A text is not valid JSON or YAML, or has wrong content; the message does not quote the text."""


def is_path(value: object) -> TypeGuard[str]:
    """Whether a value from a file is a valid path; systems raise for too long names and zero bytes."""
    return (
        isinstance(value, str)
        and len(value.encode("utf-8", "replace")) < 1024
        and "\0" not in value
        and all(len(part.encode("utf-8", "replace")) <= 255 for part in value.split("/"))
    )


def read_regular(path: Path, limit: int = LARGEST_BYTES) -> bytes:
    """Read a whole regular file; pipes and devices, which may never end, are refused.

    Args:
        path: The file.
        limit: Maximum size in bytes.

    Raises:
        OSError: It is missing or cannot be opened.
        MalformedError: It is not a regular file, or larger than the limit.
    """
    try:
        about = path.stat()
    except ValueError:  # a zero byte in its name
        raise MalformedError("its name holds a zero byte") from None
    if not stat.S_ISREG(about.st_mode):
        raise MalformedError("it is a folder, a pipe or a device, not a file")
    if about.st_size > limit:
        raise MalformedError(f"it has {about.st_size / 1e6:.0f} MB, more than {limit / 1e6:.0f} MB")
    return path.read_bytes()


def read_json(path: Path, limit: int = LARGEST_BYTES) -> Any:
    """Read an untrusted JSON file.

    Args:
        path: The file; UTF-8, with or without a byte order mark.
        limit: Maximum size in bytes.

    Raises:
        OSError: It is missing or cannot be opened.
        MalformedError: It is not JSON, too large or too deeply nested.
    """
    return parse_json(read_regular(path, limit))


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text.

    Raises:
        MalformedError: It is not JSON, nests too deeply, or holds an infinite or huge number.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8-sig")
        return json.loads(text, parse_constant=_no_number, parse_float=_float, parse_int=_int)
    except json.JSONDecodeError as e:
        raise MalformedError(f"not JSON at line {e.lineno}") from None
    except RecursionError:
        raise MalformedError("it nests too deep") from None
    except UnicodeDecodeError:
        raise MalformedError("it is not in UTF-8") from None
    except ValueError as e:
        raise MalformedError(
            str(e) if isinstance(e, MalformedError) else "it holds a number of too many digits"
        ) from None


def _no_number(name: str) -> Any:
    raise MalformedError(f"it holds {name}")


def _float(text: str) -> float:
    return _checked(float(text))


def _int(text: str) -> int:
    return int(text) if len(text) < SAFE_DIGITS else _checked(int(text))


def _checked(number: T) -> T:
    """A finite number of at most 64 bits; others break later computations."""
    if isinstance(number, int) and abs(number) >= LARGEST_NUMBER:
        raise MalformedError("it holds a number of too many digits")
    if isinstance(number, float) and not math.isfinite(number):
        raise MalformedError("it holds an infinite number or NaN")
    return number


def parse_yaml(text: str | bytes) -> Any:
    """Parse YAML without duplicate keys or aliases (a few lines with aliases can expand to gigabytes).

    Raises:
        MalformedError: It is not YAML, too large or too deeply nested.
    """
    import yaml  # imported late: most commands do not need it

    class Loader(yaml.SafeLoader):
        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                raise MalformedError(f"it has an alias (*) at line {self.peek_event().start_mark.line + 1}")
            return super().compose_node(parent, index)

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            if len(set(names)) < len(names):
                twice = next(key for key, count in Counter(names).items() if count > 1)
                raise MalformedError(f"it has {shortened(twice)} twice in one section; keep one of them")
            return super().construct_mapping(node, deep)

        def construct_object(self, node: Any, deep: bool = False) -> Any:
            return _checked(super().construct_object(node, deep))

    try:
        if len(text) > LARGEST_YAML_BYTES:
            raise MalformedError(f"it has more than {LARGEST_YAML_BYTES / 1e6:.0f} MB")
        if isinstance(text, bytes):
            text = text.decode("utf-8-sig")
        return yaml.load(text, Loader)
    except yaml.YAMLError as e:
        where, problem = getattr(e, "problem_mark", None), str(getattr(e, "problem", ""))
        what = "a tab, where YAML needs spaces," if "'\\t'" in problem else "not YAML"
        what = "a tag (!), which is not allowed" if "constructor for the tag" in problem else what
        raise MalformedError(f"{what}{f' at line {where.line + 1}' if where else ''}") from None
    except RecursionError:
        raise MalformedError("it nests too deep") from None
    except UnicodeDecodeError:
        raise MalformedError("it is not in UTF-8") from None
    except ValueError as e:  # such as a date of the 30th of February
        raise MalformedError(
            str(e) if isinstance(e, MalformedError) else f"it holds an impossible value ({shortened(str(e))})"
        ) from None
