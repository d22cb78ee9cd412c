"""Telling sounds that a model of this project made from those that it is to learn from."""

import json
from pathlib import Path

LARGEST_BYTES = 1 << 20
TELLING = {"z", "bundle", "version"}  # keys of the JSON beside every clip that is made


def is_made(path: Path) -> bool:
    """Whether the JSON beside a sound says that a model made it; one that cannot be read says nothing."""
    about = path.with_suffix(".json")
    try:
        if about.stat().st_size > LARGEST_BYTES:
            return False
        values = json.loads(about.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(values, dict) and values.keys() >= TELLING
