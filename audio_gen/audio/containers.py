"""Identify audio containers by their first bytes, and repair wrong headers for libsndfile."""

import re
import stat
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from audio_gen.audio import flac_header, wav_header
from audio_gen.audio.file_view import Part, patched
from audio_gen.audio.not_audio import what_it_is
from audio_gen.audio.sound_end import End, Samples, duration, find_end
from audio_gen.errors import AudioFileError
from audio_gen.text import one_line, visible

FORMATS = "WAV, W64, AIFF, CAF, AU, FLAC, Ogg (Vorbis or Opus) or MP3"  # other formats are refused by name
HEAD_BYTES = 1 << 12
JUNK_BYTES = 1 << 16  # how far a header behind other data is searched
AIFF_TYPES = {b"sowt": "<i", b"fl32": ">f", b"FL32": ">f", b"fl64": ">f", b"FL64": ">f", b"raw ": "u"}
AU_WIDTHS = {2: ">i1", 3: ">i2", 4: ">i3", 5: ">i4", 6: ">f4", 7: ">f8"}
MARKS = re.compile(rb"RIFF|RIFX|RF64|BW64|FORM|fLaC\x00\x00\x00\x22|caff\x00\x01|\xff", re.S)
BITRATES = {  # (1: MPEG 1, 2: MPEG 2 and 2.5; layer): kbit/s
    (1, 1): range(32, 449, 32),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
ID3V1_BYTES = 128
RAW_CODECS = {1: 1, 27: 1}  # bytes per sample of AU's mu-law and A-law


@dataclass(frozen=True)
class Container:
    """A file that can be opened.

    Attributes:
        format: "WAV", "AIFF", ..; empty if libsndfile's name is right.
        parts: The bytes that libsndfile reads instead of the file; None if it can read the file itself.
        note: A fault of the file, if any.
        sample_rate: In Hz, if the header was read.
    """

    format: str = ""
    parts: list[Part] | None = None
    note: str | None = None
    sample_rate: int | None = None


def look(path: Path) -> Container:
    """Identify a file.

    Args:
        path: Any file.

    Raises:
        AudioFileError: It is not a supported audio file; the message says what it is.
        OSError: It cannot be opened.
    """
    about = path.stat()
    if not stat.S_ISREG(about.st_mode):
        raise AudioFileError(f"{one_line(path)}: is a folder, a pipe or a device, not a file; name an audio file")
    with open(path, "rb") as f:
        head = f.read(HEAD_BYTES)
        start = _after_tags(f, head)
        if start:
            f.seek(start)
            head = f.read(HEAD_BYTES)
        how = _reader(head)
        skipped = 0
        if how is None:
            skipped, how = _behind_junk(f, start)
            if what := what_it_is(head, start > 0) if skipped or how is None else None:
                raise AudioFileError(f"{one_line(path)}: {what}")
            if how is None:
                zeros = "holds nothing but zeros" if _is_zeros(f) else f"is none of {FORMATS}"
                raise AudioFileError(f"{one_line(path)}: {zeros}; copy it again, or save it as WAV or FLAC")
        try:
            found = how(f, start + skipped, about.st_size)
        except _RefusedError as e:
            raise AudioFileError(f"{one_line(path)}: {visible(str(e))}") from None
        except struct.error:
            found = Container()  # ends within its header: libsndfile reports it
    if not skipped:
        return found
    junk = f"{skipped} bytes of other data at its start skipped"
    parts = found.parts or [(start + skipped, about.st_size)]
    return Container(found.format, parts, f"{junk}; {found.note}" if found.note else junk, found.sample_rate)


class _RefusedError(Exception):
    """A supported container with unsupported content."""


def _after_tags(f: BinaryIO, head: bytes) -> int:
    """The position after ID3v2 tags."""
    start = 0
    while head[:3] == b"ID3" and len(head) >= 10 and max(head[6:10]) < 128:
        length = (head[6] << 21) | (head[7] << 14) | (head[8] << 7) | head[9]
        start += 10 + length + (10 if head[5] & 16 else 0)
        f.seek(start)
        head = f.read(10)
    return start


def _reader(head: bytes) -> Callable[[BinaryIO, int, int], Container] | None:
    """The function that reads this header; None if the format is not supported."""
    if (head[:4] in wav_header.RIFFS and head[8:12] == b"WAVE") or (
        head[:4] == b"riff" and head[24:28] == b"wave" and head[28:40] == wav_header.W64_TAIL
    ):
        return _wav
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return _aiff
    return {b"caff": _caf, b".snd": _au, b"dns.": _au, b"fLaC": _flac, b"OggS": _ogg}.get(head[:4])


def _behind_junk(f: BinaryIO, start: int) -> tuple[int, Callable[[BinaryIO, int, int], Container] | None]:
    """The number of bytes before a header, and the function that reads it."""
    f.seek(start)
    data = f.read(JUNK_BYTES)
    for found in MARKS.finditer(data):
        at = found.start()
        if at and (how := _reader(data[at : at + 40])) is not None:
            return at, how
        if found[0] == b"\xff" and _is_mpeg(data, at):
            return at, _mpeg
    return 0, None


def _is_mpeg(data: bytes, at: int) -> bool:
    """Whether two consecutive frames of MPEG audio (MP3) begin at `at`; one frame suffices for a whole file."""
    length = mpeg_frame_bytes(data[at : at + 4])
    after = data[at + length : at + length + 4]
    if at == 0 and length and len(after) < 4:
        return True  # a file of one frame
    same = len(after) == 4 and not (after[1] ^ data[at + 1]) & 0xFE and not (after[2] ^ data[at + 2]) & 0x0C
    return bool(length and same and mpeg_frame_bytes(after))


def mpeg_frame_bytes(head: bytes) -> int:
    """Bytes of an MPEG audio frame with this header; 0 if the header is invalid."""
    if len(head) < 4 or head[0] != 255 or head[1] < 0xE0:
        return 0
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    rate, bits = head[2] >> 2 & 3, head[2] >> 4
    if version == 1 or layer == 4 or rate == 3 or bits in (0, 15):
        return 0
    hertz = (44100, 48000, 32000)[rate] >> {3: 0, 2: 1, 0: 2}[version]
    table = BITRATES[1 if version == 3 else 2, layer]
    kilobits, padding = table[bits - 1], head[2] >> 1 & 1
    if layer == 1:
        return (12000 * kilobits // hertz + padding) * 4
    return (72000 if layer == 3 and version != 3 else 144000) * kilobits // hertz + padding


def _is_zeros(f: BinaryIO) -> bool:
    f.seek(0)
    return not f.read(1 << 20).strip(b"\0")


def _mpeg(f: BinaryIO, start: int, size: int) -> Container:
    return Container()


def _wav(f: BinaryIO, start: int, size: int) -> Container:
    header = wav_header.read_wav_header(f, start, size)
    if header is None:
        return Container()
    if header.codec:
        raise _RefusedError(f"is a WAV that holds {header.codec}, which cannot be read; convert it to WAV or FLAC")
    end = wav_header.find_wav_end(f, header)
    further = [] if end.repaired else header.further
    note = end.note
    f.seek(end.stop)
    another = f.read(4) in wav_header.RIFFS  # as `cat` makes it; libsndfile refuses all of it
    if another and not note:
        note = "another WAV follows it in the same file, and only the first is used; split the file to use both"
    if further:
        note = f"holds {1 + len(further)} blocks of samples, one after the other: all are used"
    name = {"RF64": "RF64", "BW64": "RF64", "W64": "W64"}.get(header.kind, "WAV")
    # libsndfile reads all bytes after a W64's samples as samples, and does not support BW64.
    other = header.kind == "BW64" or (header.kind == "W64" and end.stop < size)
    if not (end.repaired or further or other or another):
        return Container("", None, note, header.sample_rate)
    parts = wav_header.rewritten(header, [(header.samples.start, end.stop), *further])
    return Container(name, parts, note, header.sample_rate)


def _iff_chunk(f: BinaryIO, position: int, size: int) -> bool:
    f.seek(position)
    data = f.read(8)
    if len(data) < 8 or not wav_header.is_name(data[:4]):
        return False
    return position + 8 + int(struct.unpack(">I", data[4:])[0]) <= size + 1


def _aiff(f: BinaryIO, start: int, size: int) -> Container:
    position, common, common_at = start + 12, b"", 0
    while position + 8 <= size:
        f.seek(position)
        name, length = struct.unpack(">4sI", f.read(8))
        if name == b"COMM":
            common, common_at = f.read(min(length, 64)), position + 8
        elif name == b"SSND":
            break
        position += 8 + length + length % 2
    else:
        return Container()
    if len(common) < 18:
        return Container()  # libsndfile handles a COMM chunk after the samples
    channels, frames, bits, exponent, mantissa = struct.unpack(">HIHHQ", common[:18])
    offset = struct.unpack(">I", f.read(4))[0]
    rate = mantissa * 2.0 ** (exponent - 16446) if 16383 <= exponent < 16383 + 31 else 0.0  # 80-bit float
    kind = AIFF_TYPES.get(common[18:22], ">i")
    known = len(common) < 22 or common[18:22] in (*AIFF_TYPES, b"NONE", b"twos")
    width = -(-bits // 8)
    dtype = ("u1" if kind == "u" else f"{kind}{width}") if known and width in (1, 2, 3, 4, 8) else None
    if not known or not channels or not width:
        return Container(sample_rate=round(rate) or None)
    begin = position + 16 + offset
    stated = length - 8 - offset
    promised = stated if stated > 0 else frames * channels * width
    samples = Samples(begin, _open_size(promised, size - begin), size, channels * width, rate, dtype)
    end = find_end(f, samples, _iff_chunk)
    parts = None
    if end.repaired:
        count = min(end.stop - begin, 0xFFFFFFFF - 8 - offset)
        numbers = {common_at + 2: struct.pack(">I", count // samples.frame_bytes)}
        numbers[position + 4] = struct.pack(">I", count + 8 + offset)
        parts = patched(start, end.stop, numbers)
    return Container("", parts, end.note, round(rate) or None)


def _open_size(promised: int, available: int) -> int | None:
    """A stated size, or None if it is a placeholder for an unknown size."""
    return None if promised >= wav_header.STREAMED - 64 and promised > available else promised


def _caf_chunk(f: BinaryIO, position: int, size: int) -> bool:
    f.seek(position)
    data = f.read(12)
    if len(data) < 12 or not wav_header.is_name(data[:4]):
        return False
    return 0 <= struct.unpack(">q", data[4:])[0] <= size - position - 12


def _caf(f: BinaryIO, start: int, size: int) -> Container:
    position, about = start + 8, b""
    while position + 12 <= size:
        f.seek(position)
        name, length = struct.unpack(">4sq", f.read(12))
        if name == b"desc":
            about = f.read(32)
        elif name == b"data":
            break
        if length < 0:
            return Container()
        position += 12 + length
    else:
        return Container()
    rate, kind, flags, packet, _, channels, bits = struct.unpack(">d4sIIIII", about)
    rate = rate if 0 < rate < 1e9 else 0.0
    known = kind == b"lpcm"
    whole = known and bits in (8, 16, 24, 32, 64) and packet == channels * bits // 8
    dtype = f"{'<' if flags & 2 else '>'}{'f' if flags & 1 else 'i'}{bits // 8}" if whole else None
    samples = Samples(
        position + 16, length - 4 if length >= 4 else (None if length < 0 else 0), size, packet, rate, dtype
    )
    if not known and (kind not in (b"ulaw", b"alaw") or not packet):
        if length < 0 or (kind == b"alac" and _alac_is_open(f, position, length, size)):
            raise _RefusedError(
                f"is a CAF whose {kind.decode('latin-1').strip().upper()} is incomplete: its packet table is missing; "
                f"open it in the program that wrote it and save it as WAV or FLAC"
            )
        if kind not in (b"ulaw", b"alaw", b"alac"):
            name = kind.decode("latin-1").strip().upper()
            raise _RefusedError(f"is a CAF that holds {name}, which cannot be read; convert it to WAV or FLAC")
        return Container(parts=[(start, size)] if start else None, sample_rate=round(rate) or None)
    end = find_end(f, samples, _caf_chunk)
    number = struct.pack(">q", end.stop - position - 12)
    # libsndfile skips no tag before a CAF
    parts: list[Part] | None = [(start, size)] if start else None
    parts = patched(start, end.stop, {position + 4: number}) if end.repaired else parts
    return Container("", parts, end.note, round(rate) or None)


def _alac_is_open(f: BinaryIO, position: int, length: int, size: int) -> bool:
    """Whether a CAF ends with its samples and has no packet table before them."""
    f.seek(0)
    return position + 12 + length >= size and b"pakt" not in f.read(min(position, 1 << 20))


def _au(f: BinaryIO, start: int, size: int) -> Container:
    f.seek(start)
    order = ">" if f.read(4) == b".snd" else "<"
    begin, length, encoding, rate, channels = struct.unpack(order + "IIIII", f.read(20))
    dtype = AU_WIDTHS.get(encoding)
    width = int(dtype[-1]) if dtype else RAW_CODECS.get(encoding, 0)
    if not width or not channels:
        return Container(sample_rate=rate)
    dtype = dtype and dtype.replace(">", order)
    samples = Samples(start + begin, _open_size(length, size - start - begin), size, width * channels, rate, dtype)
    if length == 0xFFFFFFFF:  # allowed: the length was unknown when the header was written
        return Container(sample_rate=rate)
    end: End = find_end(f, samples, lambda f, position, size: False)
    shown = min(end.stop - start - begin, 0xFFFFFFFE)
    parts = patched(start, end.stop, {start + 8: struct.pack(order + "I", shown)}) if end.repaired else None
    return Container("", parts, end.note, rate)


def _flac(f: BinaryIO, start: int, size: int) -> Container:
    stream = flac_header.read_stream_info(f, start)
    if stream is None:
        return Container()
    if not stream.samples:
        note = "its header leaves the length open: read to the end of the file"
        return Container("", None, note, stream.sample_rate)
    held = flac_header.last_sample(f, stream, size)
    if held <= stream.samples:
        parts: list[Part] | None = [(start, size - ID3V1_BYTES)] if _has_id3v1(f, size) else None
        return Container("", parts, None, stream.sample_rate)
    promised, there = duration(stream.samples / stream.sample_rate), duration(held / stream.sample_rate)
    note = f"its header states {promised}, the file holds {there}: all of it is used"
    return Container("", patched(start, size, stream.open_length()), note, stream.sample_rate)


def _has_id3v1(f: BinaryIO, size: int) -> bool:
    """Whether the file ends with an ID3v1 tag, which confuses libsndfile."""
    f.seek(max(0, size - ID3V1_BYTES))
    return f.read(3) == b"TAG"


def _ogg(f: BinaryIO, start: int, size: int) -> Container:
    f.seek(start)
    head = f.read(HEAD_BYTES)
    first = head[27 + head[26] :] if len(head) > 27 else b""
    names = {
        b"\x7fFLAC": "FLAC in an Ogg container",
        b"Speex   ": "Speex in an Ogg container",
        b"\x80theora": "a video (Ogg Theora)",
        b"fishead\0": "a video or several streams (Ogg Skeleton)",
    }
    for magic, what in names.items():
        if first.startswith(magic):
            raise _RefusedError(f"holds {what}, which cannot be read; convert it to WAV or FLAC")
    if (streams := _ogg_streams(f, start, size)) > 1:
        several = f"holds {streams} streams, one after the other"
        if first.startswith(b"OpusHead"):
            raise _RefusedError(f"{several}, which cannot be read; save it again as WAV or FLAC")
        return Container(note=f"{several}: only the first is used; save it again as WAV or FLAC")
    return Container()


def _ogg_streams(f: BinaryIO, start: int, size: int) -> int:
    """The number of streams in an Ogg, from its page headers; 1 if the pages are not consecutive."""
    at, streams = start, 0
    while at + 27 <= start + size:
        f.seek(at)
        head = f.read(27)
        if head[:4] != b"OggS":
            break
        streams += head[5] & 2 > 0  # the first page of a stream
        lengths = f.read(head[26])
        at += 27 + len(lengths) + sum(lengths)
    return max(streams, 1)
