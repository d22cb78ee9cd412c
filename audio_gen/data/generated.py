"""Detect audio that this package generated, so that it is not used as training data."""

import re
import struct
from pathlib import Path
from typing import BinaryIO

from audio_gen.artefacts.sidecar import has_sidecar
from audio_gen.audio.io import GENERATED

MARK = GENERATED.encode()
LARGEST_COMMENT = 1 << 10
MOST_CHUNKS = 64
HEAD_BYTES = 1 << 13  # comments of FLAC and Ogg are near the start
# A comment of FLAC, Vorbis or Opus with its length, so that a longer comment does not match.
VORBIS_COMMENTS = re.compile(
    b"|".join(
        re.escape(struct.pack("<I", len(key) + 1 + len(MARK))) + b"(?i:" + key + b")=" + re.escape(MARK)
        for key in (b"comment", b"description")
    ),
    re.DOTALL,
)


def generated_by(path: Path) -> str | None:
    """The sign that this package generated a file ("its comment", "the JSON next to it"), or None."""
    if is_marked(path):
        return "its comment"
    return "the JSON next to it" if has_sidecar(path) else None


def is_marked(path: Path) -> bool:
    """Whether a WAV, AIFF, FLAC or Ogg has the comment that `write_wav` writes."""
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
        pass  # reading the file reports the error
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
