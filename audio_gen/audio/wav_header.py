"""What a WAV's header promises against what the file holds: recorders crash, pipes cannot seek back."""

import io
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

STREAMED = 0x7FFF0000  # sizes above this, in a smaller file, are what programs write before they know the length


@dataclass(frozen=True)
class WavHeader:
    """The facts of a RIFF or RF64 header, as written (they may be wrong).

    Attributes:
        sample_rate: In Hz.
        channels: Number of channels.
        frame_bytes: Bytes of one frame (of one block for compressed kinds).
        size_position: Where in the file the four bytes of the data size stand.
        data_size: Bytes of samples that the header promises.
        available: Bytes that follow the data header in the file.
        chunks_follow: The bytes after an empty data chunk are further chunks, so that it is empty in truth.
    """

    sample_rate: int
    channels: int
    frame_bytes: int
    size_position: int
    data_size: int
    available: int
    chunks_follow: bool

    @property
    def unfinished(self) -> bool:
        """The header says that there is no sound, and there is."""
        return self.data_size == 0 and self.available > 0 and not self.chunks_follow

    @property
    def streamed(self) -> bool:
        """The length was not known when the header was written."""
        return self.data_size >= STREAMED and self.data_size > self.available

    @property
    def cut_off(self) -> bool:
        """The file ends before its samples do."""
        return not self.streamed and self.data_size > self.available


def read_wav_header(path: Path) -> WavHeader | None:
    """Read the chunks of a WAV up to its samples.

    Args:
        path: Any file.

    Returns:
        The header, or None when this is no WAV or ends before its samples.

    Raises:
        OSError: The file cannot be opened.
    """
    with open(path, "rb") as f:
        size = f.seek(0, io.SEEK_END)
        f.seek(0)
        start = f.read(12)
        if start[:4] not in (b"RIFF", b"RF64") or start[8:12] != b"WAVE":
            return None
        return _walk(f, size)


def _walk(f: BinaryIO, size: int) -> WavHeader | None:
    sample_rate = channels = frame_bytes = long_size = 0
    while len(head := f.read(8)) == 8:
        name, length = head[:4], struct.unpack("<I", head[4:])[0]
        here = f.tell()
        if name == b"data":
            long = long_size > 0 and length == 0xFFFFFFFF  # RF64 keeps the true size in its ds64 chunk
            return WavHeader(
                sample_rate=sample_rate,
                channels=channels,
                frame_bytes=frame_bytes,
                size_position=here - 4,
                data_size=long_size if long else length,
                available=size - here,
                chunks_follow=_are_chunks(f, here, size),
            )
        body = f.read(min(length, 64))
        if name == b"fmt " and len(body) >= 14:
            channels, sample_rate, _, frame_bytes = struct.unpack_from("<HIIH", body, 2)
        elif name == b"ds64" and len(body) >= 16:
            long_size = struct.unpack_from("<Q", body, 8)[0]
        f.seek(here + length + length % 2)
    return None


def _are_chunks(f: BinaryIO, position: int, size: int) -> bool:
    """Whether the bytes from `position` to the end are a whole number of RIFF chunks."""
    while position + 8 <= size:
        f.seek(position)
        name, length = struct.unpack("<4sI", f.read(8))
        if not all(32 <= c < 127 for c in name):
            return False
        position += 8 + length + length % 2
    return abs(position - size) <= 1


class FinishedFile:
    """A WAV whose data size is shown as it should have been written; the file itself is left alone.

    It offers what soundfile asks of a file object: `seek`, `tell` and `read`.
    """

    def __init__(self, path: Path, header: WavHeader) -> None:
        """Open the file that `header` was read from."""
        self._file = open(path, "rb")  # noqa: SIM115 - closed by close()
        self._position = header.size_position
        self._size = struct.pack("<I", min(header.available, 0xFFFFFFFF))

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move, as a file does."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Where the file stands."""
        return self._file.tell()

    def read(self, count: int = -1) -> bytes:
        """Read bytes, with the four bytes of the data size replaced."""
        start = self._file.tell()
        data = bytearray(self._file.read(count))
        for i, byte in enumerate(self._size, self._position - start):
            if 0 <= i < len(data):
                data[i] = byte
        return bytes(data)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
