"""Valid records of every kind that is read, each with one field wrong, and what a reader may make of it."""

import copy
import json
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audio_gen.errors import AudioGenError

DEEP: Any = []
for _ in range(500):
    DEEP = [DEEP]
DELETED = object()
WRONG: dict[str, Any] = {
    "deleted": DELETED, "null": None, "true": True, "text": "x", "empty": "", "minus": -1, "zero": 0, "large": 10**6,
    "larger": 10**9, "huge": 1e308, "digits": 10**400, "list": [], "deep": DEEP, "table": {},
    "escape": "\x00\x1b[2J", "half": "\ud800", "long": "y" * 10**6,
}  # fmt: skip
LONGEST_LINE, MOST_SEC, MOST_MB = 1000, 10.0, 1000


@dataclass(frozen=True)
class Kind:
    """A record: a valid value, how it is written, and who reads it."""

    value: Any
    write: Callable[[Any], None]
    read: Callable[[], object]


def as_json(path: Path) -> Callable[[Any], None]:
    return lambda value: path.write_text(json.dumps(value))  # type: ignore[return-value]


def as_yaml(path: Path) -> Callable[[Any], None]:
    """JSON is YAML; a text of 1 MB takes its reader seconds, in each field."""
    return lambda value: path.write_text(json.dumps(value).replace("y" * 10**6, "y" * 10**5))  # type: ignore[return-value]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every field, and of lists to the first and the last entry."""
    yield path
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*path, key))
    if isinstance(value, list) and value:
        for i in {0, len(value) - 1}:
            yield from places(value[i], (*path, i))


def damaged(value: Any, place: tuple[Any, ...], wrong: Any) -> Any:
    """A copy with another value at a place."""
    if not place:
        return {} if wrong is DELETED else wrong
    made = copy.deepcopy(value)
    within = made
    for key in place[:-1]:
        within = within[key]
    if wrong is DELETED:
        del within[place[-1]]
    else:
        within[place[-1]] = wrong
    return made


def outcome(kind: Kind, value: Any) -> str | None:
    """What is wrong with how a damaged record is read; None where it works, or is refused in one line."""
    try:
        kind.write(value)
    except (RecursionError, ValueError):
        return None  # what cannot be written cannot be read
    began, memory = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        kind.read()
    except AudioGenError as e:
        line = str(e)
        if len(line) > LONGEST_LINE or not line.isprintable():
            return f"a message of {len(line)} characters: {line[:200]!r}"
    except Exception as e:
        return f"{type(e).__name__}: {str(e)[:200]!r}"
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) / 1024
    took = time.monotonic() - began
    return f"{took:.1f} s, {grown:.0f} MB" if took > MOST_SEC or grown > MOST_MB else None


def faults(kind: Kind, wrong: list[str] | None = None) -> list[str]:
    """Every place and value that ends in anything else than a result or one line."""
    found = []
    for place in places(kind.value):
        for name in wrong or WRONG:
            if (told := outcome(kind, damaged(kind.value, place, WRONG[name]))) is not None:
                found.append(f"{'.'.join(map(str, place)) or 'all'} = {name}: {told}")
    kind.write(kind.value)
    kind.read()
    return found
