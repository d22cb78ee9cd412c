"""WAV files for samplers: root key, tuning and loop in a `smpl` chunk, ranges of keys and velocities in `inst`."""

import struct
from pathlib import Path
from typing import TYPE_CHECKING

from audio_gen.audio.io import write_wav
from audio_gen.files import write_atomic

if TYPE_CHECKING:
    from torch import Tensor

MIDDLE_C = 60
CENTS, FULL_SCALE = 100, 1 << 32  # of a semitone; the fraction of one is a share of this


def write_loop(path: Path, wav: "Tensor", sample_rate: int, subtype: str = "PCM_24") -> float:
    """Write a WAV whose `smpl` chunk loops all of it for ever; arguments and result as for `write_sample`."""
    return write_sample(path, wav, sample_rate, subtype, loop=(0, wav.shape[-1]))


def write_sample(
    path: Path, wav: "Tensor", sample_rate: int, subtype: str = "PCM_24", *, root: int = MIDDLE_C, cents: float = 0.0,
    loop: tuple[int, int] | None = None, keys: tuple[int, int] | None = None, velocities: tuple[int, int] = (1, 127),
) -> float:  # fmt: skip
    """Write a WAV with the chunks that samplers read.

    Args:
        path, wav, sample_rate, subtype: As for `write_wav`, like result and errors.
        root, cents, loop, keys, velocities: As for `append_sampler_chunks`.
    """

    def write(temporary: Path) -> float:
        gain = write_wav(temporary, wav, sample_rate, subtype)
        append_sampler_chunks(
            temporary, sample_rate, root=root, cents=cents, loop=loop, keys=keys, velocities=velocities
        )
        return gain

    return write_atomic(path, write)


def append_loop(path: Path, samples: int, sample_rate: int) -> None:
    """Append a `smpl` chunk to a WAV of `samples` samples that loops all of it."""
    append_sampler_chunks(path, sample_rate, loop=(0, samples))


def append_sampler_chunks(
    path: Path, sample_rate: int, *, root: int = MIDDLE_C, cents: float = 0.0, loop: tuple[int, int] | None = None,
    keys: tuple[int, int] | None = None, velocities: tuple[int, int] = (1, 127),
) -> None:  # fmt: skip
    """Append the chunks to a WAV that samplers read.

    Args:
        path: The WAV.
        sample_rate: In Hz.
        root: MIDI key at which it plays unchanged.
        cents: How far it is above the pitch of that key.
        loop: First sample of its loop, and the one after its last; None for none.
        keys: Lowest and highest key, for an `inst` chunk; None writes none.
        velocities: Lowest and highest velocity.

    Source: "Multimedia Programming Interface and Data Specifications 1.0", the chunks of samplers in its later
    editions.
    """
    semitones, fraction = divmod(cents / CENTS, 1)
    loops = b"" if loop is None else struct.pack("<6I", 0, 0, loop[0], loop[1] - 1, 0, 0)
    unity = min(max(root + int(semitones), 0), 127)
    head = (0, 0, round(1e9 / sample_rate), unity, min(FULL_SCALE - 1, int(fraction * FULL_SCALE)), 0, 0)
    chunks = [(b"smpl", struct.pack("<9I", *head, int(loop is not None), 0) + loops)]
    if keys is not None:
        tune = min(max(-round(cents), -50), 50)
        chunks.append((b"inst", struct.pack("<Bbb4B", root, tune, 0, *keys, *velocities)))
    with open(path, "r+b") as file:
        file.seek(0, 2)
        for name, body in chunks:
            file.write(bytes(file.tell() % 2) + struct.pack("<4sI", name, len(body)) + body)
        file.write(bytes(file.tell() % 2))
        size = file.tell() - 8
        file.seek(4)
        file.write(struct.pack("<I", size))
