"""Unfinished and unusual containers: read to their end with a note, or refused with a reason that helps."""

import io
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from audio_gen.audio.io import info, open_sound, read_wav
from audio_gen.data.measure import measure
from audio_gen.errors import AudioFileError
from tests import sounds
from tests.sounds import RATE

X = sounds.sine(sec=1.0)
LITTLE, BIG = ((X * 32767).astype(order + "i2").tobytes() for order in "<>")
FMT = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, RATE, 2 * RATE, 2, 16)
ID3 = b"ID3\x04\0\0" + bytes([0, 0, 1, 0]) + bytes(128)
LIST = b"LIST" + struct.pack("<I", 2000) + b"INFO" + bytes(1996)
UNKNOWN = b"\xff" * 4


def data(pcm: bytes, size: int | None = None) -> bytes:
    return b"data" + struct.pack("<I", len(pcm) if size is None else size) + pcm


def riff(*chunks: bytes) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def rf64(magic: bytes, size: int) -> bytes:
    ds64 = b"ds64" + struct.pack("<IQQQI", 28, size and 72 + size, size, size // 2, 0)
    return magic + UNKNOWN + b"WAVE" + ds64 + FMT + b"data" + UNKNOWN + LITTLE


def aiff(frames: int, size: int) -> bytes:
    common = struct.pack(">hIhHQ", 1, frames, 16, 16383 + 14, RATE << 49)
    body = b"AIFFCOMM" + struct.pack(">I", 18) + common + b"SSND" + struct.pack(">III", size, 0, 0) + BIG
    return b"FORM" + struct.pack(">I", len(body)) + body


def caf(size: int) -> bytes:
    about = struct.pack(">qd4sIIIII", 32, float(RATE), b"lpcm", 0, 2, 1, 1, 16)
    return b"caff\0\1\0\0desc" + about + b"data" + struct.pack(">qI", size, 0) + BIG


def au(size: int) -> bytes:
    return b".snd" + struct.pack(">IIIII", 24, size, 3, RATE, 1) + BIG


def by_libsndfile(**how: str) -> bytes:
    file = io.BytesIO()
    sf.write(file, X, RATE, **how)
    return file.getvalue()


def w64(size: int) -> bytes:
    raw = by_libsndfile(format="W64", subtype="PCM_16")
    at = raw.find(b"data") + 16
    return raw[:at] + struct.pack("<Q", size) + raw[at + 8 :]


def flac(samples: int) -> bytes:
    raw = by_libsndfile(format="FLAC")
    value = struct.unpack_from(">Q", raw, 18)[0]
    return raw[:18] + struct.pack(">Q", value >> 36 << 36 | samples) + raw[26:]


N = len(LITTLE)
NEVER, PROMISE = "has no length: read to the end", "the file holds 1.00 s: all of it is used"
WHOLE: dict[str, tuple[bytes, str | None]] = {
    "bw64.wav": (rf64(b"BW64", N), None),
    "crashed rf64.wav": (rf64(b"RF64", 0), NEVER),
    "crashed bw64.wav": (rf64(b"BW64", 0), NEVER),
    "rf64 with a quarter.wav": (rf64(b"RF64", N // 4), PROMISE),
    "quarter.wav": (riff(FMT, data(LITTLE, N // 4)), PROMISE),
    "quarter and tag.wav": (riff(FMT, data(LITTLE, N // 4)) + b"TAG" + bytes(125), PROMISE),
    "odd quarter.wav": (riff(FMT, data(LITTLE, N // 4 + 1)), PROMISE),
    "two pieces.wav": (riff(FMT, data(LITTLE[: N // 2]), data(LITTLE[N // 2 :])), "2 blocks of samples"),
    "id3 in front.wav": (ID3 + riff(FMT, data(LITTLE)), None),
    "id3 in front, quarter.wav": (ID3 + riff(FMT, data(LITTLE, N // 4)), PROMISE),
    "junk in front.wav": (b"hello" * 20 + riff(FMT, data(LITTLE)), "100 bytes of other data"),
    "list behind.wav": (riff(FMT, data(LITTLE), LIST), None),
    "list cut off behind.wav": (riff(FMT, data(LITTLE), LIST)[:-500], None),
    "id3v1 behind.wav": (riff(FMT, data(LITTLE)) + b"TAG" + bytes(125), None),
    "id3v2 behind.wav": (riff(FMT, data(LITTLE)) + ID3 + b"x" * 5000, None),
    "zeros behind.wav": (riff(FMT, data(LITTLE)) + bytes(50000), None),
    "text behind.wav": (riff(FMT, data(LITTLE)) + b"Take three was the good one.\n" * 200, None),
    "bytes behind.wav": (riff(FMT, data(LITTLE)) + np.random.default_rng(0).bytes(50000), None),
    "w64.w64": (w64(24 + N), None),
    "w64 of size 0.w64": (w64(0), NEVER),
    "w64 with a quarter.w64": (w64(24 + N // 4), PROMISE),
    "no frames.aiff": (aiff(0, 0), NEVER),
    "size 8.aiff": (aiff(0, 8), NEVER),
    "quarter.aiff": (aiff(RATE // 4, N // 4 + 8), PROMISE),
    "open.aiff": (aiff(0, 0xFFFFFFFF), NEVER),
    "open.caf": (caf(-1), NEVER),
    "size 4.caf": (caf(4), NEVER),
    "quarter.caf": (caf(N // 4 + 4), PROMISE),
    "id3 in front.caf": (ID3 + caf(N + 4), None),
    "open.au": (au(0xFFFFFFFF), None),
    "size 0.au": (au(0), NEVER),
    "quarter.au": (au(N // 4), PROMISE),
    "open.flac": (flac(0), "leaves the length open"),
    "quarter.flac": (flac(RATE // 4), PROMISE),
    "id3 in front, open.flac": (ID3 + flac(0), "leaves the length open"),
    "tags around.flac": (ID3 + by_libsndfile(format="FLAC") + b"TAG" + bytes(125), None),
    "two in one.wav": (2 * riff(FMT, data(LITTLE)), "another WAV follows it"),
    "alac.caf": (by_libsndfile(format="CAF", subtype="ALAC_16"), None),
}


@pytest.mark.parametrize("name", WHOLE)
def test_read_to_its_end(tmp_path: Path, name: str) -> None:
    content, note = WHOLE[name]
    (tmp_path / name).write_bytes(content)
    with open_sound(tmp_path / name) as sound:
        told = sound.about.note
    assert told is None if note is None else note in (told or "")
    assert (info(tmp_path / name).frames, info(tmp_path / name).sample_rate) == (RATE, RATE)
    assert np.abs(read_wav(tmp_path / name)[0][0].numpy() - X).max() < 1e-4  # not shifted, nothing else among it


def ogg_of(first: bytes) -> bytes:
    return b"OggS\0\2" + bytes(20) + bytes([1, len(first)]) + first + bytes(100)


REFUSED: dict[str, tuple[bytes, str]] = {
    "flac.ogg": (ogg_of(b"\x7fFLAC\1\0" + bytes(42)), "FLAC in an Ogg container"),
    "speex.ogg": (ogg_of(b"Speex   1.2"), "Speex"),
    "aac.caf": (caf(-1).replace(b"lpcm", b"aac "), "AAC is incomplete"),
    "open alac.caf": (caf(-1).replace(b"lpcm", b"alac"), "packet table is missing"),
    "aac.wav": (riff(FMT.replace(b"\1\0\1\0", b"\xff\0\1\0", 1), data(LITTLE)), "holds AAC"),
    "lfs.wav": (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "git lfs pull"),
    "annex.wav": (b"/annex/objects/SHA256E-s12--ab.wav\n", "git annex get"),
    "cloud.wav": (b"bplist00\xd3\1\2\3" + bytes(100), "iCloud"),
    "page.wav": (b"\xef\xbb\xbf\n<!DOCTYPE html><title>Nicht gefunden \xe2\x80\x93 404</title>", "web page"),
    "denied.wav": (b'{"message": "Not Found"}', "JSON"),
    "s3.wav": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "XML"),
    "pack.wav": (b"PK\3\4" + bytes(100), "unpack it"),
    "clip.wav": (bytes(4) + b"ftypM4A " + bytes(100), "MP4 or M4A"),
    "voice.wav": (b"Creative Voice File\x1a" + bytes(100), "VOC"),
    "instrument.aif": (b"FORM\0\0\0\x448SVXVHDR" + bytes(60), "not an AIFF"),
    "film.wav": (b"RIFF\0\1\0\0AVI LIST" + bytes(100), "a video"),
    "zeros.wav": (bytes(70000), "nothing but zeros"),
    "noise.wav": (np.random.default_rng(2).bytes(5000), "is none of WAV"),
    "frame by chance.wav": (b"\xff\xfb\x90\x44" + np.random.default_rng(2).bytes(5000), "is none of WAV"),
    "tag.mp3": (ID3, "no sound"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_what_it_is(tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    content, reason = REFUSED[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(AudioFileError) as caught:
        info(tmp_path / name)
    message = str(caught.value)
    assert reason in message and "; " in message and "\n" not in message and capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kind", [k for k in sf.available_formats() if k not in ("RAW", "SD2")])
def test_only_what_is_promised_is_opened(tmp_path: Path, kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    promised = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "CAF", "AU", "FLAC", "OGG", "MP3")
    subtype = sf.default_subtype(kind) or next(iter(sf.available_subtypes(kind)))
    path = sounds.write(tmp_path / "a.wav", sounds.sine(sec=1, sample_rate=8000), 8000, format=kind, subtype=subtype)
    if kind in promised:
        assert info(path).format == kind
    else:
        with pytest.raises(AudioFileError):
            info(path)
    assert capfd.readouterr().out == ""


@pytest.mark.skipif(os.name != "posix", reason="pipes with names")
def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.wav")
    with pytest.raises(AudioFileError, match="a pipe"):
        info(tmp_path / "a.wav")


def test_a_size_that_wrapped_at_4_gib_is_seen(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(riff(FMT, data(LITTLE)))
    os.truncate(tmp_path / "a.wav", 44 + (1 << 32) + N)  # sparse
    about = info(tmp_path / "a.wav")
    assert about.frames == ((1 << 32) + N) // 2
    assert about.note == "its header states 1.00 s, the file holds 27 h 3 min: all of it is used"


@pytest.mark.parametrize("spoil", ["flip", "cut"])
def test_spoiled_heads_give_a_sound_or_one_line(tmp_path: Path, spoil: str, capfd: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "a.wav"
    for content, _ in WHOLE.values():
        for _ in range(8):
            raw = bytearray(content[:9000])
            if spoil == "flip":
                for at in rng.integers(0, 120, 3):
                    raw[at] = rng.integers(0, 256)
            else:
                raw = raw[: rng.integers(0, 200)]
            path.write_bytes(raw)
            try:
                read_wav(path)
            except AudioFileError as e:
                assert "\n" not in str(e)
    assert capfd.readouterr().out == ""


def test_an_ogg_of_two_streams_says_so(tmp_path: Path) -> None:
    for subtype in ("VORBIS", "OPUS"):
        path = sounds.write(tmp_path / "one.ogg", sounds.noise(0.5, 48000), 48000, format="OGG", subtype=subtype)
        assert measure(path).header_note is None
        (tmp_path / f"{subtype}.ogg").write_bytes(2 * path.read_bytes())
    assert "holds 2 streams" in (measure(tmp_path / "VORBIS.ogg").header_note or "")
    with pytest.raises(AudioFileError, match="holds 2 streams"):
        measure(tmp_path / "OPUS.ogg")
