"""Small folders of kinds that went wrong in public reports about tools like this one; every file is synthetic."""

import os
import shutil
import struct
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile as sf

from tests.sounds import write

RATE = 44100
SAMPLES = Path(__file__).parents[2] / "samples"


def tone(hz: float, sec: float = 0.5, rate: int = RATE, decay: float = 6.0) -> np.ndarray:
    """A sine (T,) that decays by `decay` nepers a second."""
    t = np.arange(round(sec * rate)) / rate
    return (0.4 * np.sin(2 * np.pi * hz * t) * np.exp(-decay * t)).astype(np.float32)


def class_of(number: int) -> str:
    """Kick for the first three sounds of a folder, snare for the others."""
    return "kick" if number < 3 else "snare"


def labelled(
    folder: Path,
    name: str = "x/{}.wav",
    key: str = "x/{}.wav",
    table: str = "labels.csv",
    header: str = "file,class",
    encode: Callable[[str], bytes] = str.encode,
) -> Path:
    """Six sounds, and a table with a row for each.

    Args:
        folder: Where they go.
        name: The name of a sound on the disk, with {} for its number.
        key: What the table calls it.
        table: The name of the table.
        header: Its first row, whose separator is that of all.
        encode: How its text becomes bytes.
    """
    separator = next(c for c in ";\t," if c in header)
    rows = [header]
    for i in range(6):
        write(folder / name.format(i), tone(60 + i if i < 3 else 200 + 10 * i), RATE)
        rows.append(f"{key.format(i)}{separator}{class_of(i)}")
    (folder / table).write_bytes(encode("\n".join(rows) + "\n"))
    return folder


def decomposed(text: str) -> str:
    """As macOS writes names: letters and accents apart."""
    return unicodedata.normalize("NFD", text)


LABELLED: dict[str, Callable[[Path], Path]] = {
    "plain": labelled,
    "dot": lambda folder: labelled(folder, key="./x/{}.wav"),
    "backslash": lambda folder: labelled(folder, key="x\\{}.wav"),
    "foreign_prefix": lambda folder: labelled(folder, key="/content/drive/pack/x/{}.wav"),
    "windows_prefix": lambda folder: labelled(folder, key="C:\\Users\\me\\pack\\x\\{}.wav"),
    "other_case": lambda folder: labelled(folder, key="X/{}.WAV"),
    "no_suffix": lambda folder: labelled(folder, key="x/{}"),
    "other_suffix": lambda folder: labelled(folder, name="x/{}.flac"),
    "nfd_on_disk": lambda folder: labelled(folder, name=decomposed("Trömmel {}.wav"), key="Trömmel {}.wav"),
    "nfd_in_table": lambda folder: labelled(folder, name="Trömmel {}.wav", key=decomposed("Trömmel {}.wav")),
    "semicolon": lambda folder: labelled(folder, header="file;class"),
    "tab": lambda folder: labelled(folder, header="file\tclass"),
    "label_column": lambda folder: labelled(folder, table="metadata.csv", header="file_name,label"),
    "other_columns": lambda folder: labelled(folder, header="Path,Category"),
    "byte_order_mark": lambda folder: labelled(folder, encode=lambda text: text.encode("utf-8-sig")),
    "utf16": lambda folder: labelled(folder, encode=lambda text: text.encode("utf-16")),
    "latin1": lambda folder: labelled(
        folder, name="Trömmel {}.wav", key="Trömmel {}.wav", encode=lambda text: text.encode("latin-1")
    ),
    "crlf": lambda folder: labelled(folder, encode=lambda text: text.replace("\n", "\r\n").encode()),
}


def kick_and_snare(folder: Path, *tops: str, kick: str = "kick", snare: str = "snare") -> Path:
    """Four kicks and four snares below each of some folders; all sounds differ."""
    for number, top in enumerate(tops or ("",)):
        for i in range(4):
            write(folder / top / kick / f"{number}{i}.wav", tone(55 + i + 5 * number), RATE)
            write(folder / top / snare / f"{number}{i}.wav", tone(300 + 9 * i + 50 * number), RATE)
    return folder


def wav_bytes(pcm: bytes, size: int, magic: bytes = b"RIFF") -> bytes:
    """A mono WAV of 16 bits whose header promises `size` bytes of samples."""
    fmt = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    head = magic + struct.pack("<I", (36 + size) & 0xFFFFFFFF) + b"WAVE" + fmt
    return head + b"data" + struct.pack("<I", size & 0xFFFFFFFF) + pcm


def rf64_bytes(pcm: bytes, size: int, magic: bytes) -> bytes:
    """The same as RF64 or BW64, whose sizes stand in a chunk `ds64`."""
    fmt = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    ds64 = b"ds64" + struct.pack("<IQQQI", 28, size and 72 + size, size, size // 2, 0)
    return magic + b"\xff" * 4 + b"WAVE" + ds64 + fmt + b"data" + b"\xff" * 4 + pcm


def second_of_pcm() -> bytes:
    """One second as 16-bit samples."""
    return (tone(220, 1.0, RATE, 1.0) * 32767).astype("<i2").tobytes()


def flac_of_unknown_length(path: Path) -> Path:
    """One second, as a FLAC from a pipe: 0 as its number of samples."""
    sf.write(path, tone(220, 1.0, RATE, 1.0), RATE)
    raw = bytearray(path.read_bytes())
    assert raw[:4] == b"fLaC" and raw[4] & 0x7F == 0  # STREAMINFO comes first
    raw[8 + 13] &= 0xF0  # the count is the low half of this byte and the four after it
    raw[8 + 14 : 8 + 18] = b"\0\0\0\0"
    path.write_bytes(raw)
    return path


def kick_and_bell(folder: Path, rate: int = 16000) -> Path:
    """Six low and six high sounds; all files have one size and one time of change."""
    for name, hz in (("kick", 60), ("bell", 2000)):
        for i in range(6):
            path = write(folder / name / f"{i}.wav", tone(hz * (1 + i / 30), 1.0, rate, 3.0), rate)
            os.utime(path, (1.7e9, 1.7e9))
    return folder


def some_samples(folder: Path) -> Path:
    """Six kicks and six snares of the bundled samples."""
    for name in ("kick", "snare"):
        (folder / name).mkdir(parents=True)
        for path in sorted((SAMPLES / name).glob("*.wav"))[:6]:
            shutil.copy(path, folder / name)
    return folder
