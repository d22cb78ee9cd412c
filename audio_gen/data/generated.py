"""Detect audio, and folders, that this package generated, so that they are not used as training data."""

import os
import re
import struct
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from audio_gen.audio.io import GENERATED
from audio_gen.files import MalformedError, read_json

LARGEST_BYTES = 1 << 20  # of a JSON beside a clip
SIDECAR_KEYS = ({"z", "bundle", "version"}, {"vocoder", "command", "version"})  # of clips, and of `vocode`
MARK = GENERATED.encode()
LARGEST_COMMENT = 1 << 10
MOST_CHUNKS = 64
HEAD_BYTES = 1 << 13  # comments of FLAC and Ogg stand near the start
# A comment of FLAC, Vorbis or Opus with its length, so that a longer comment that quotes the mark is another.
VORBIS_COMMENTS = re.compile(
    b"|".join(
        re.escape(struct.pack("<I", len(key) + 1 + len(MARK))) + b"(?i:" + key + b")=" + re.escape(MARK)
        for key in (b"comment", b"description")
    ),
    re.DOTALL,
)
RUN_KEYS, CACHE_KEYS = {"source", "sounds"}, {"version", "sample_rate", "pcm"}


def generated_by(path: Path) -> str | None:
    """How a file tells that this package generated it ("its comment", "the JSON beside it"); None if it does not."""
    if is_marked(path):
        return "its comment"
    return "the JSON beside it" if _has_sidecar(path) else None


def is_marked(path: Path) -> bool:
    """Whether a WAV, AIFF, FLAC or Ogg has the comment that `write_wav` puts into every file."""
    try:
        with open(path, "rb") as f:
            start = f.read(12)
            kind, form = start[:4], start[8:12]
            if kind in (b"RIFF", b"RF64", b"BW64") and form == b"WAVE":
                return _is_marked_riff(f)
            if kind == b"FORM" and form in (b"AIFF", b"AIFC"):
                return any(_text(body) == MARK for name, body in _chunks(f, ">") if name == b"ANNO")
            if kind in (b"fLaC", b"OggS"):
                return VORBIS_COMMENTS.search(start + f.read(HEAD_BYTES)) is not None
    except OSError:
        pass  # the file is refused where it is read
    return False


def _is_marked_riff(f: BinaryIO) -> bool:
    for name, body in _chunks(f, "<"):
        if name == b"LIST" and body[:4] == b"INFO":
            at = 4
            while at + 8 <= len(body):
                entry, length = struct.unpack_from("<4sI", body, at)
                if entry == b"ICMT" and _text(body[at + 8 : at + 8 + length]) == MARK:
                    return True
                at += 8 + length + length % 2
    return False


def _chunks(f: BinaryIO, order: str) -> list[tuple[bytes, bytes]]:
    """Name and first bytes of each chunk; samples are skipped."""
    found: list[tuple[bytes, bytes]] = []
    while len(found) < MOST_CHUNKS and len(head := f.read(8)) == 8:
        name, length = struct.unpack(f"{order}4sI", head)
        here = f.tell()
        body = f.read(min(length, LARGEST_COMMENT)) if name in (b"LIST", b"ANNO") else b""
        found.append((name, body))
        f.seek(here + length + length % 2)
    return found


def _text(value: bytes) -> bytes:
    return value.partition(b"\0")[0].strip()


def _has_sidecar(path: Path) -> bool:
    """Whether the JSON beside a sound is one of ours; one that cannot be read says nothing."""
    keys = _keys(path.with_suffix(".json"), LARGEST_BYTES)
    return any(keys >= some for some in SIDECAR_KEYS)


def own_folder(folder: str | Path, names: Collection[str]) -> str | None:
    """What of this package a folder is, by what is in it: "a training run", "a cache"; None for any other.

    Args:
        folder: Where it is.
        names: What it holds.
    """
    place = Path(folder)
    if "run.json" in names and _keys(place / "run.json") >= RUN_KEYS:
        return "a training run"
    if "config.yaml" in names and "checkpoints" in names and _has_weights(place):
        return "a training run"
    if "index.json" in names and _keys(place / "index.json") >= CACHE_KEYS:
        return "a cache"
    return None


def _has_weights(run: Path) -> bool:
    """Whether a folder with a config.yaml has checkpoints of ours; runs of early versions have no run.json."""
    with suppress(OSError):
        return any(re.fullmatch(r"step-\d+\.pt", name) for name in os.listdir(run / "checkpoints"))
    return False


def _keys(path: Path, limit: int = 1 << 26) -> set[str]:
    try:
        values: Any = read_json(path, limit)
    except (OSError, MalformedError):
        return set()
    return set(values) if isinstance(values, dict) else set()
