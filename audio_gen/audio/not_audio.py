"""Explain files with an audio suffix that are not audio, or cannot be opened."""

import re

CONVERT = "which cannot be read; convert it to WAV or FLAC"
ANOTHER = "not audio; export the sound again, or remove the file"
MAGICS: list[tuple[int, bytes, str]] = [  # (position, bytes there, what it is)
    (0, b"\x00\x05\x16\x07", "holds macOS metadata (AppleDouble), not audio; delete it"),
    (
        0,
        b"bplist00",
        "is an iCloud placeholder, not the sound; download the file from iCloud",
    ),
    (4, b"ftyp", f"is MP4 or M4A, {CONVERT}"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", f"is WMA (ASF), {CONVERT}"),
    (0, b"wvpk", f"is WavPack, {CONVERT}"),
    (0, b"MAC ", f"is Monkey's Audio, {CONVERT}"),
    (0, b"MPCK", f"is Musepack, {CONVERT}"),
    (0, b"MP+", f"is Musepack, {CONVERT}"),
    (0, b"TTA1", f"is True Audio, {CONVERT}"),
    (0, b"OFR ", f"is OptimFROG, {CONVERT}"),
    (0, b"#!AMR", f"is AMR, {CONVERT}"),
    (0, b"#!SILK", f"is SILK, {CONVERT}"),
    (0, b"\x1a\x45\xdf\xa3", f"is Matroska or WebM, {CONVERT}"),
    (0, b"DSD ", f"is DSD, {CONVERT}"),
    (0, b"FRM8", f"is DSD, {CONVERT}"),
    (0, b"FORM", f"is an IFF file but not an AIFF, {CONVERT}"),
    (0, b"Creative Voice File", f"is VOC, {CONVERT}"),
    (0, b"NIST_1A", f"is NIST SPHERE, {CONVERT}"),
    (0, b"Extended Instrument:", f"is a FastTracker instrument, {CONVERT}"),
    (0, b"2BIT", f"is AVR, {CONVERT}"),
    (0, b" paf", f"is PARIS audio, {CONVERT}"),
    (0, b"fap ", f"is PARIS audio, {CONVERT}"),
    (0, b"PVF1", f"is PVF, {CONVERT}"),
    (0, b"ALawSoundFile**", f"is Psion audio, {CONVERT}"),
    (0, b"\xf0\x7e", f"is a MIDI sample dump, {CONVERT}"),
    (0, b"\x64\xa3", f"is IRCAM, {CONVERT}"),
    (2, b"\xa3\x64", f"is IRCAM, {CONVERT}"),
    (0, b"MATLAB 5.0", f"is a Matlab file, {CONVERT}"),
    (0, b"MThd", f"is MIDI: notes, {ANOTHER}"),
    (0, b"RIFF....sfbk", f"is a SoundFont, {CONVERT}"),
    (0, b"RIFF....AVI ", f"is a video (AVI), {CONVERT}"),
    (0, b"RIFF....RMID", f"is MIDI: notes, {ANOTHER}"),
    (0, b"RIFF....", f"is a RIFF file but not a WAV, {ANOTHER}"),
    (0, b"PK\x03\x04", "is a ZIP archive; unpack it"),
    (0, b"PK\x05\x06", "is a ZIP archive; unpack it"),
    (0, b"Rar!", "is a RAR archive; unpack it"),
    (0, b"7z\xbc\xaf\x27\x1c", "is a 7-Zip archive; unpack it"),
    (0, b"\x1f\x8b", "is compressed (gzip); unpack it"),
    (0, b"BZh", "is compressed (bzip2); unpack it"),
    (0, b"\xfd7zXZ", "is compressed (xz); unpack it"),
    (0, b"\x28\xb5\x2f\xfd", "is compressed (zstd); unpack it"),
    (0, b"%PDF", f"is a PDF, {ANOTHER}"),
    (0, b"\x89PNG", f"is a picture, {ANOTHER}"),
    (0, b"\xff\xd8\xff", f"is a picture, {ANOTHER}"),
    (0, b"GIF8", f"is a picture, {ANOTHER}"),
    (0, b"\x7fELF", f"is a program, {ANOTHER}"),
    (0, b"SQLite format 3", f"is a database, {ANOTHER}"),
]
LFS = b"version https://git-lfs.github.com/spec/"
ANNEX = b"/annex/objects/"
LOADED = "the file itself was not downloaded"


def what_it_is(head: bytes, tagged: bool = False) -> str | None:
    """Describe an unsupported file and the fix; None if its bytes are not recognised.

    Args:
        head: Its first bytes, a hundred or more.
        tagged: An ID3 tag precedes them.
    """
    if not head:
        if tagged:
            return "holds an ID3 tag and no sound; copy it again"
        return "is empty (0 bytes); copy it again, or download it from the cloud"
    for at, magic, what in MAGICS:
        if re.match(
            re.escape(magic).replace(rb"\.\.\.\.", b"....") if b"...." in magic else re.escape(magic), head[at:], re.S
        ):
            return what
    return _text(head)


def _text(head: bytes) -> str | None:
    for mark, encoding in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"), (b"\xef\xbb\xbf", "utf-8")):
        if head.startswith(mark):
            head = head[len(mark) :].decode(encoding, "ignore").encode()
    if not head or not all(32 <= c < 127 or c in b"\t\r\n\f\x1b" or c >= 128 for c in head):
        return None
    if sum(c >= 128 for c in head) > len(head) // 4 or not _is_utf8(head):
        return None
    start = head.lstrip().lower()
    if head.startswith(LFS):
        return f"is a git-lfs pointer, {LOADED}; run `git lfs pull` where it came from"
    if ANNEX in head[:512]:
        return f"is a git-annex pointer, {LOADED}; run `git annex get` where it came from"
    if start.startswith((b"<!doctype html", b"<html")) or b"<html" in start[:1000] or b"<head" in start[:1000]:
        return "holds a web page, not audio: a failed download; download it again"
    if start.startswith(b"<?xml") and b"plist" in start[:400]:
        return "is an iCloud placeholder, not the sound; download the file from iCloud"
    if start.startswith((b"<?xml", b"<")):
        return "holds XML, not audio: perhaps a failed download; download it again"
    if start.startswith((b"{", b"[")):
        return "holds JSON, not audio: perhaps a failed download; download it again"
    return "holds text, not audio; remove it or export the sound again"


def _is_utf8(head: bytes) -> bool:
    try:
        head[: max(1, len(head) - 3)].decode("utf-8", "strict")
    except UnicodeDecodeError as e:
        return e.start >= len(head) - 6
    return True
