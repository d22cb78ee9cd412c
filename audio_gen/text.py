"""Sanitise text from files and users for terminals and one-line messages."""

import os
from pathlib import Path

SHOWN_CHARACTERS = 120


def visible(text: str, keep: str = "") -> str:
    """Escape control, bidirectional and other unprintable characters, which could change what a terminal shows.

    Args:
        text: Any text.
        keep: Characters that are not escaped.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)


def one_line(path: Path | str) -> str:
    """A printable file name: line breaks, control and undecodable characters are escaped."""
    try:
        text = os.fsencode(path).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # a lone surrogate that is not from a file name
        text = str(path)
    return visible(text)


def clipped(text: str, limit: int) -> str:
    """A text, with its middle cut if it is long.

    Args:
        text: Any text.
        limit: Maximum length in characters.
    """
    half = (limit - 4) // 2
    return text if len(text) <= limit else f"{text[:half]} .. {text[-half:]}"


def shortened(value: object, limit: int = SHOWN_CHARACTERS) -> str:
    """A value for a message: on one line, with its middle cut if it is long.

    Args:
        value: Any object; strings are shown in quotes.
        limit: Maximum length in characters.
    """
    if isinstance(value, list | tuple | set | dict) and len(value) > limit:
        return f"{type(value).__name__} of {len(value)} entries"
    if isinstance(value, int) and value.bit_length() > 4 * limit:  # Python refuses to print thousands of digits
        return f"integer of {value.bit_length()} bits"
    if isinstance(value, str) and len(value) > 2 * limit:
        value = f"{value[:limit]}{value[-limit:]}"
    try:
        text = visible(repr(value))
    except (ValueError, RecursionError):
        return type(value).__name__
    return clipped(text, limit)


def distinct_sounds(count: int) -> str:
    """A count of sounds without their duplicates: "1 sound", "3 different sounds"."""
    return "1 sound" if count == 1 else f"{count} different sounds"


def megabytes(size: float) -> str:
    """Bytes as megabytes, such as "4.4 MB"."""
    value = size / 1e6
    return f"{value:.0f} MB" if value >= 10 else f"{value:.1f} MB"
