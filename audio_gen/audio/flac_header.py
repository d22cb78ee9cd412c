"""Compare the sample count in a FLAC header with the actual one: pipes leave it empty, crashes leave it wrong."""

import struct
from dataclasses import dataclass
from typing import BinaryIO

END_BYTES = 1 << 16  # the last frame begins within this distance of the end
BLOCK_SIZES = {1: 192, **{i: 576 << (i - 2) for i in range(2, 6)}, **{i: 256 << (i - 8) for i in range(8, 16)}}


@dataclass(frozen=True)
class StreamInfo:
    """The first block of a FLAC.

    Attributes:
        position: Position of the eight bytes that hold rate, channels, bits and samples.
        value: These bytes as a number.
        block: Samples of the longest block.
        fixed: All blocks but the last have this length.
    """

    position: int
    value: int
    block: int
    fixed: bool

    @property
    def sample_rate(self) -> int:
        """In Hz."""
        return self.value >> 44

    @property
    def samples(self) -> int:
        """Samples of each channel; 0 if unknown."""
        return self.value & ((1 << 36) - 1)

    def open_length(self) -> dict[int, bytes]:
        """Replacement bytes for an unknown number of samples, by position."""
        return {self.position: struct.pack(">Q", self.value >> 36 << 36)}


def read_stream_info(f: BinaryIO, start: int) -> StreamInfo | None:
    """Read the first block of a FLAC that begins at `start`; None if there is no FLAC."""
    f.seek(start)
    head = f.read(42)
    if len(head) < 42 or head[:4] != b"fLaC" or head[4] & 127:
        return None
    least, most = struct.unpack_from(">HH", head, 8)
    info = StreamInfo(start + 18, int(struct.unpack_from(">Q", head, 18)[0]), most, least == most)
    return info if info.sample_rate else None


def last_sample(f: BinaryIO, info: StreamInfo, size: int) -> int:
    """The number of samples up to the end of the last frame; 0 if no frame is found near the end."""
    begin = max(info.position + 8, size - END_BYTES)
    f.seek(begin)
    data = f.read(END_BYTES)
    at = len(data)
    while (at := data.rfind(b"\xff", 0, at)) >= 0:
        if data[at + 1 : at + 2] in (b"\xf8", b"\xf9") and (end := _frame_end(data[at : at + 20], info)):
            return end
    return 0


def _frame_end(head: bytes, info: StreamInfo) -> int:
    """The number of samples up to the end of the frame with this header; 0 if it is invalid."""
    if len(head) < 16 or (head[1] & 1) == info.fixed or head[3] & 1 or (head[3] >> 4) > 10:
        return 0
    number, at = _coded_number(head, 4)
    code = head[2] >> 4
    if at == 0 or code == 0:
        return 0
    block = BLOCK_SIZES.get(code, 0)
    if code in (6, 7):
        block = int.from_bytes(head[at : at + code - 5], "big") + 1
        at += code - 5
    at += {12: 1, 13: 2, 14: 2}.get(head[2] & 15, 0)
    if at >= len(head) or _crc8(head[:at]) != head[at] or block > info.block:
        return 0
    return (number * info.block if info.fixed else number) + block


def _coded_number(head: bytes, at: int) -> tuple[int, int]:
    """A number in UTF-8 coding, and the position after it; 0 for both if invalid."""
    first = head[at]
    more = next((i for i in range(8) if not first >> (7 - i) & 1), 8)
    if more == 1 or more == 8:
        return 0, 0
    if more == 0:
        return first, at + 1
    number = first & (0x7F >> more)
    for c in head[at + 1 : at + more]:
        if c >> 6 != 2:
            return 0, 0
        number = number << 6 | c & 63
    return number, at + more


def _crc8(data: bytes) -> int:
    crc = 0
    for c in data:
        crc ^= c
        for _ in range(8):
            crc = (crc << 1 ^ 7) & 255 if crc & 128 else crc << 1
    return crc
