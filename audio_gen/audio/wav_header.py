"""WAV headers (RIFF, big-endian RIFX, RF64, BW64 and W64), and replacements for broken ones."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from audio_gen.audio.file_view import Part
from audio_gen.audio.sound_end import WRAP, End, Samples, find_end

STREAMED = 0x7FFF0000  # larger sizes in a smaller file are placeholders for an unknown length
RIFFS = (b"RIFF", b"RIFX", b"RF64", b"BW64")
W64_TAIL = bytes.fromhex("f3acd3118cd100c04f8edb8a")  # end of the GUIDs of all chunks but the first
CODECS = {0x00FF: "AAC", 0x0160: "WMA", 0x0161: "WMA", 0x0162: "WMA", 0x0163: "WMA", 0x1600: "AAC", 0x1610: "AAC"}
CODECS |= {0x2000: "AC-3", 0x2001: "DTS", 0x0008: "DTS", 0x674F: "Ogg Vorbis", 0x566F: "Ogg Vorbis", 0x0270: "ATRAC"}
PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
LARGEST_FMT = 1 << 12
# Chunks that may follow samples, even truncated.
USUAL = {
    b"LIST", b"fact", b"cue ", b"smpl", b"inst", b"bext", b"iXML", b"id3 ", b"ID3 ", b"PEAK", b"acid", b"cart",
    b"JUNK", b"junk", b"FLLR", b"PAD ", b"umid", b"axml", b"chna", b"_PMX", b"DISP", b"data", b"afsp", b"LGWV",
    b"minf",
}  # fmt: skip


@dataclass
class WavHeader:
    """A WAV's header as written, which may be wrong.

    Attributes:
        kind: "RIFF", "RIFX", "RF64", "BW64" or "W64".
        fmt: The body of the format chunk.
        samples: Position and stated size of the samples.
        further: Start and stop of further data chunks, which are rare and invalid.
    """

    kind: str
    fmt: bytes
    samples: Samples
    further: list[tuple[int, int]] = field(default_factory=list)

    @property
    def sample_rate(self) -> int:
        """In Hz."""
        return int(struct.unpack_from(_order(self.kind) + "I", self.fmt, 4)[0])

    @property
    def codec(self) -> str | None:
        """Name of the codec if it is not supported."""
        return CODECS.get(_tag(self.kind, self.fmt))


def read_wav_header(f: BinaryIO, start: int, size: int) -> WavHeader | None:
    """Read the chunks of a WAV up to its samples, and look for further samples after them.

    Args:
        f: The file.
        start: Position of its header.
        size: Bytes of the whole file.

    Returns:
        The header, or None if it ends before its samples or has no format.
    """
    f.seek(start)
    kind = "W64" if f.read(4) == b"riff" else ""
    f.seek(start)
    kind = kind or f.read(4).decode("latin-1")
    fmt, long_size = b"", None
    chunks = _chunks(f, kind, start + (40 if kind == "W64" else 12), size)
    for name, here, length in chunks:
        if name == b"fmt " and length >= 16:
            f.seek(here)
            fmt = f.read(min(length, LARGEST_FMT))
        elif name == b"ds64" and length >= 16:
            f.seek(here + 8)
            long_size = struct.unpack("<Q", f.read(8).ljust(8, b"\0"))[0]
        elif name == b"data":
            if len(fmt) < 16:
                return None
            return _header(f, kind, fmt, here, _promised(kind, length, long_size, size - here), size)
    return None


def _header(f: BinaryIO, kind: str, fmt: bytes, here: int, promised: int | None, size: int) -> WavHeader:
    order = _order(kind)
    rate, per_sec, frame_bytes, bits = struct.unpack_from(order + "IIHH", fmt, 4)
    known = _tag(kind, fmt) in (PCM, FLOAT)
    channels = struct.unpack_from(order + "H", fmt, 2)[0]
    width = frame_bytes // channels if channels else 0
    letter = "f" if _tag(kind, fmt) == FLOAT else "i"
    dtype = ("u1" if width == 1 else f"{order}{letter}{width}") if known and width in (1, 2, 3, 4, 8) else None
    frames_per_sec = rate if known or bits >= 8 else per_sec / max(1, frame_bytes)
    header = WavHeader(kind, fmt, Samples(here, promised, size, frame_bytes, frames_per_sec, dtype))
    if promised is not None and here + promised < size:
        following = _chunks(f, kind, _even(kind, here + promised), size)
        header.further = [(at, min(at + length, size)) for name, at, length in following if name == b"data"]
    return header


def _promised(kind: str, length: int, long_size: int | None, available: int) -> int | None:
    """The stated bytes of samples; None for a placeholder."""
    if kind in ("RF64", "BW64") and length == WRAP - 1:  # the actual size is in the ds64 chunk
        return long_size or None
    return None if length >= STREAMED and length > available else length


def _order(kind: str) -> str:
    return ">" if kind == "RIFX" else "<"


def _tag(kind: str, fmt: bytes) -> int:
    """The codec number; an extensible format has it in its GUID."""
    tag = int(struct.unpack_from(_order(kind) + "H", fmt)[0])
    return int(struct.unpack_from(_order(kind) + "H", fmt, 24)[0]) if tag == EXTENSIBLE and len(fmt) >= 26 else tag


def _even(kind: str, position: int) -> int:
    return position + (-position % 8 if kind == "W64" else position % 2)


def _chunks(f: BinaryIO, kind: str, position: int, size: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, position and length of the body of each chunk, until the first invalid name."""
    head = 24 if kind == "W64" else 8
    while position + head <= size:
        f.seek(position)
        data = f.read(head)
        name = data[:4]
        if not is_name(name) or (kind == "W64" and data[4:16] != W64_TAIL):
            return
        length = (
            struct.unpack("<Q", data[16:24])[0] - 24
            if kind == "W64"
            else struct.unpack(_order(kind) + "I", data[4:])[0]
        )
        yield name, position + head, max(0, length)
        position = _next(kind, position + head, max(0, length))


def _next(kind: str, here: int, length: int) -> int:
    return here + length + (-(here + length) % 8 if kind == "W64" else length % 2)


def is_name(name: bytes) -> bool:
    """Whether four bytes are a valid chunk name."""
    return len(name) == 4 and all(32 <= c < 127 for c in name)


def find_wav_end(f: BinaryIO, header: WavHeader) -> End:
    """The end of the samples of a WAV; see `find_end`."""
    kind = header.kind

    def is_chunk(f: BinaryIO, position: int, size: int) -> bool:
        found = next(_chunks(f, kind, position, size), None)
        return found is not None and (found[0] in USUAL or found[1] + found[2] <= size + 1)

    return find_end(f, header.samples, is_chunk)


def rewritten(header: WavHeader, pieces: list[tuple[int, int]]) -> list[Part]:
    """The parts of a WAV with a correct header, for libsndfile.

    Args:
        header: The header as written.
        pieces: Start and stop of the samples in the file.
    """
    size = sum(stop - start for start, stop in pieces)
    big = header.kind == "RIFX"
    order = ">" if big else "<"
    fmt = b"fmt " + struct.pack(order + "I", len(header.fmt)) + header.fmt + bytes(len(header.fmt) % 2)
    if big or 64 + len(fmt) + size < WRAP:
        shown = min(size, WRAP - 1 - len(fmt) - 64)  # there is no 64-bit RIFX
        body = b"WAVE" + fmt + b"data" + struct.pack(order + "I", shown)
        return [(b"RIFX" if big else b"RIFF") + struct.pack(order + "I", len(body) + shown) + body, *pieces]
    frames = size // max(1, header.samples.frame_bytes)
    ds64 = b"ds64" + struct.pack("<IQQQI", 28, 48 + len(fmt) + size, size, frames, 0)
    unknown = b"\xff" * 4
    return [b"RF64" + unknown + b"WAVE" + ds64 + fmt + b"data" + unknown, *pieces]
