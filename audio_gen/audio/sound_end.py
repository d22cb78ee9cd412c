"""Find the end of a file's samples: compare the size in the header with the actual one.

Recorders lose power, pipes cannot seek back, and sizes of 32 bits wrap at 4 GiB.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

WRAP = 1 << 32
LEAST_SEC, LEAST_BYTES = 0.02, 1024  # a shorter rest is padding, a tag, or negligible
LOOKS, LOOK_BYTES = 5, 1 << 14  # positions in the rest that are checked, and bytes at each
TEXT_SHARE = 0.9  # share of bytes that are characters; sound has fewer
LOUDER = 8.0  # times the largest sample before; other data looks like huge floats ..
NOISE = 0.4  # .. or has this mean level, of full scale, unless ..
LOUDER_MEAN = 1.3  # .. the samples before have nearly that mean
TAGS = (b"TAG", b"ID3", b"APETAGEX", b"LYRICSBEGIN", b"<?xml", b"RIFF", b"RF64", b"FORM", b"LIST", b"PK\x03\x04")
ID3V1_BYTES = 128

IsChunk = Callable[[BinaryIO, int, int], bool]  # (file, position, file size): whether a chunk begins there


@dataclass(frozen=True)
class Samples:
    """The samples of a file, according to its header.

    Attributes:
        start: Position of the first.
        promised: Their bytes according to the header; None if unknown.
        size: Bytes of the whole file.
        frame_bytes: Bytes of one sample of all channels (of one block for compressed formats).
        frames_per_sec: Number of these per second.
        dtype: NumPy's name for one sample, such as "<i2"; None if the bytes are compressed.
    """

    start: int
    promised: int | None
    size: int
    frame_bytes: int
    frames_per_sec: float
    dtype: str | None = None

    def seconds(self, count: int) -> float:
        """Duration of `count` bytes."""
        return count / max(1, self.frame_bytes) / max(1e-9, self.frames_per_sec)


@dataclass(frozen=True)
class End:
    """The actual end of the samples.

    Attributes:
        stop: Position after the last sample.
        repaired: The header is wrong and must be replaced.
        note: A note for the user, if any.
    """

    stop: int
    repaired: bool
    note: str | None = None


def find_end(f: BinaryIO, s: Samples, is_chunk: IsChunk) -> End:
    """Find the end of the samples.

    A file is read to its end if the header has no length, or length 0 and no chunk follows. It is also read to its end
    if the data after the stated length is not a chunk and looks like the same sound: it lasts at least 20 ms, does not
    begin with a tag, is neither padding nor text, and is not far louder than the samples before. A size wrapped at 4
    GiB is detected if the unwrapped size leads to the end of the file or to a chunk.

    Args:
        f: The file.
        s: Its samples according to the header.
        is_chunk: Whether a chunk begins at a position.
    """
    available = s.size - s.start
    if available <= 0:
        return End(s.size, repaired=False)
    if s.promised is None:
        return _to_the_end(f, s)
    stop = s.start + s.promised
    if s.promised > available:
        missing = f"{1 - available / s.promised:.0%} of its samples are missing"
        return End(s.size, repaired=False, note=f"truncated: {missing}, the rest is used")
    if _ends_here(f, stop, s.size, is_chunk):
        return End(stop, repaired=False)
    if s.promised == 0:
        return _to_the_end(f, s)
    for whole in range(stop + (s.size - stop) // WRAP * WRAP, stop, -WRAP):
        if _ends_here(f, whole, s.size, is_chunk):
            return End(whole, repaired=True, note=_promise(s, whole))
    if _is_more(f, s, stop):
        stop = _before_tag(f, s.size)
        return End(stop, repaired=True, note=_promise(s, stop))
    return End(stop, repaired=False)


def _to_the_end(f: BinaryIO, s: Samples) -> End:
    note = "its header has no length: read to the end of the file"
    return End(_before_tag(f, s.size), repaired=True, note=note)


def _promise(s: Samples, stop: int) -> str:
    promised, held = s.seconds(s.promised or 0), s.seconds(stop - s.start)
    return f"its header states {duration(promised)}, the file holds {duration(held)}: all of it is used"


def duration(seconds: float) -> str:
    """A readable duration: 0.25 s, 3.2 min, 13 h 31 min."""
    if seconds < 120:
        return f"{seconds:.2f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds // 3600:.0f} h {seconds % 3600 // 60:.0f} min"


def _ends_here(f: BinaryIO, position: int, size: int, is_chunk: IsChunk) -> bool:
    """Whether the file ends here or a chunk follows; a padding byte may come first."""
    return size - position <= 1 or is_chunk(f, position, size) or is_chunk(f, position + 1, size)


def _before_tag(f: BinaryIO, size: int) -> int:
    """The end of a file without its ID3v1 tag."""
    f.seek(max(0, size - ID3V1_BYTES))
    return size - ID3V1_BYTES if f.read(3) == b"TAG" and size > ID3V1_BYTES else size


def _is_more(f: BinaryIO, s: Samples, position: int) -> bool:
    """Whether the bytes from `position` to the end look like more of the samples before."""
    rest = s.size - position
    if rest < LEAST_BYTES or s.seconds(rest) < LEAST_SEC:
        return False
    f.seek(position)
    if f.read(16).lstrip(b"\0 \r\n").startswith(TAGS):
        return False
    f.seek(max(s.start, position - LOOK_BYTES * 4))
    before = f.read(min(position - s.start, LOOK_BYTES * 4))
    loudest = LOUDER * _level(before, s.dtype, np.max)
    if s.dtype is not None and s.dtype[-2:-1] != "f":
        noise = max(NOISE * _full(s.dtype), LOUDER_MEAN * _level(before, s.dtype, np.mean))
        loudest = min(loudest or np.inf, noise)
    step = s.frame_bytes or 1
    for i in range(LOOKS):
        at = position + (rest - min(rest, LOOK_BYTES)) * i // (LOOKS - 1)
        at -= (at - s.start) % step
        f.seek(at)
        piece = f.read(LOOK_BYTES)
        if piece.count(piece[:1]) == len(piece):
            continue  # padding or silence
        text = sum(32 <= c < 127 or c in b"\t\r\n" for c in piece) > TEXT_SHARE * len(piece)
        return not text and (loudest == 0 or _level(piece, s.dtype, np.mean) <= loudest)
    return False


def _full(dtype: str) -> float:
    """Full scale of integers, as `_level` reads them."""
    return float(1 << (8 * min(int(dtype[-1]), 2 if dtype[-1] == "3" else 8) - 1))


def _level(piece: bytes, dtype: str | None, how: Callable[[np.ndarray], float]) -> float:
    """The largest or mean magnitude of samples; 0 if unknown."""
    if dtype is None:
        return 0.0
    width = int(dtype[-1])
    piece = piece[: len(piece) // width * width]
    if width == 3:  # the two upper bytes suffice
        whole = np.frombuffer(piece, np.uint8).reshape(-1, 3)
        piece, dtype = (whole[:, 1:] if dtype[0] == "<" else whole[:, :2]).tobytes(), f"{dtype[0]}i2"
    x = np.frombuffer(piece, dtype).astype(np.float64)
    x = np.abs(x - 128 if dtype == "u1" else x)
    x = x[np.isfinite(x)]
    return float(how(x)) if len(x) else 0.0
