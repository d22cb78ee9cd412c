"""Sound files of every container that is read, and damage done to them by a number."""

import io
import struct

import numpy as np
import soundfile as sf

CONTAINERS = [
    ("WAV", "PCM_16"), ("WAV", "PCM_24"), ("WAV", "FLOAT"), ("WAV", "IMA_ADPCM"), ("WAVEX", "PCM_16"),
    ("RF64", "PCM_16"), ("W64", "PCM_16"), ("AIFF", "PCM_16"), ("AIFF", "FLOAT"), ("AU", "PCM_16"), ("CAF", "PCM_16"),
    ("CAF", "ALAC_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"),
]  # fmt: skip
SUFFIXES = {"WAVEX": "wav", "RF64": "wav", "AIFF": "aif"}
HEAD = 256  # bytes in which most fields of a header lie
SIZES = [0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF]


def sound(container: str, subtype: str, channels: int = 2, rate: int = 48000) -> bytes:
    """A tenth of a second in a container."""
    x = np.random.default_rng(0).uniform(-0.5, 0.5, (rate // 10, channels)).astype(np.float32)
    file = io.BytesIO()
    sf.write(file, x, rate, format=container, subtype=subtype)
    return file.getvalue()


def suffix(container: str) -> str:
    """What a file in a container is called."""
    return SUFFIXES.get(container, container.lower())


def mutated(data: bytes, seed: int) -> bytes:
    """The same file with one to four faults: flipped bits, foreign sizes, bytes cut out, put in, doubled or cut off."""
    rng = np.random.default_rng(seed)
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        at = int(rng.integers(0, max(1, len(out) if rng.random() < 0.3 else min(HEAD, len(out)))))
        kind = int(rng.integers(0, 7))
        if kind == 0 and out:
            out[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            out[at : at + 4] = struct.pack("<I" if rng.random() < 0.5 else ">I", SIZES[int(rng.integers(len(SIZES)))])
        elif kind == 2:
            out[at : at + 2] = rng.bytes(2)
        elif kind == 3:
            del out[at : at + int(rng.integers(1, 64))]
        elif kind == 4:
            out[at:at] = rng.bytes(int(rng.integers(1, 64)))
        elif kind == 5:
            out[at:at] = out[at : at + int(rng.integers(1, 128))]
        else:
            del out[int(rng.integers(len(out) + 1)) :]
    return bytes(out)
