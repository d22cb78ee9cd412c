"""WAV files that samplers play as loops: with a `smpl` chunk."""

import struct
from pathlib import Path
from typing import TYPE_CHECKING

from audio_gen.audio.io import write_wav
from audio_gen.files import write_atomic

if TYPE_CHECKING:
    from torch import Tensor

MIDDLE_C = 60


def write_loop(path: Path, wav: "Tensor", sample_rate: int, subtype: str = "PCM_24") -> float:
    """Write a WAV whose `smpl` chunk loops all of it for ever.

    Args:
        path, wav, sample_rate, subtype: As for `write_wav`, like result and errors.

    Source: "Multimedia Programming Interface and Data Specifications 1.0", the chunk of samplers in its later editions.
    """

    def write(temporary: Path) -> float:
        gain = write_wav(temporary, wav, sample_rate, subtype)
        append_loop(temporary, wav.shape[-1], sample_rate)
        return gain

    return write_atomic(path, write)


def append_loop(path: Path, samples: int, sample_rate: int) -> None:
    """Append a `smpl` chunk to a WAV of `samples` samples that loops all of it."""
    period_ns = round(1e9 / sample_rate)
    loop = struct.pack("<6I", 0, 0, 0, samples - 1, 0, 0)
    body = struct.pack("<9I", 0, 0, period_ns, MIDDLE_C, 0, 0, 0, 1, 0) + loop
    with open(path, "r+b") as file:
        file.seek(0, 2)
        file.write(bytes(file.tell() % 2) + struct.pack("<4sI", b"smpl", len(body)) + body)
        size = file.tell() - 8
        file.seek(4)
        file.write(struct.pack("<I", size))
