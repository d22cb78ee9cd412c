"""Reading and writing audio files with libsndfile; everything that can go wrong is an `AudioFileError` of one line."""

import os
import struct
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
import soundfile as sf

from audio_gen.audio.channels import ChannelLevels
from audio_gen.audio.containers import Container, look
from audio_gen.audio.file_view import FileView
from audio_gen.audio.resample import as_wav, resample
from audio_gen.errors import AudioFileError
from audio_gen.files import file_for_callbacks, write_atomic
from audio_gen.text import one_line

if TYPE_CHECKING:
    from torch import Tensor  # `inspect` starts without torch

BLOCK_FRAMES = 1 << 16
SAMPLE_RATES = range(1000, 1_000_001)
HUGE = 1e12  # no sound; larger values would overflow when squared
SAMPLE_BYTES = {"PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4}
WAV_BYTES = (1 << 32) - (1 << 17)  # what a WAV's 32-bit sizes can tell of, headers aside; an RF64's have 64
IN_MEMORY_BYTES = 1 << 24  # a sound to be written is kept in memory up to this, and on the disk beyond
UNKNOWN_LENGTH = 1 << 48  # libsndfile reports a huge number of frames when a stream does not say


@dataclass(frozen=True)
class AudioInfo:
    """What a file says about itself.

    Attributes:
        path: The file.
        sample_rate: In Hz.
        channels: Number of channels.
        frames: Samples in each channel.
        format: Container as libsndfile found it ("WAV", "FLAC", ..), whatever the name says.
        subtype: Encoding of the samples ("PCM_16", "FLOAT", ..).
        note: What is wrong with the file, if anything.
    """

    path: Path
    sample_rate: int
    channels: int
    frames: int
    format: str
    subtype: str
    note: str | None = None

    @property
    def duration_sec(self) -> float:
        """Length in seconds."""
        return self.frames / self.sample_rate


class OpenSound:
    """An audio file that is open for reading, from its beginning to its end."""

    def __init__(self, path: Path, file: sf.SoundFile, container: Container) -> None:
        """Take over what `open_sound` opened."""
        self.about = AudioInfo(
            path,
            file.samplerate,
            file.channels,
            file.frames,
            container.format or file.format,
            file.subtype,
            container.note,
        )
        self._file = file

    def blocks(self, block_frames: int = BLOCK_FRAMES) -> Iterator[np.ndarray]:
        """Decode block by block, once.

        Args:
            block_frames: Samples per channel in each block; the last one may be shorter.

        Yields:
            float32 arrays (frames, channels), as stored: NaN and values beyond 1 are passed on.
        """
        count, frames = 0, self._file.frames
        while len(block := self._file.read(block_frames, dtype="float32", always_2d=True)):
            count += len(block)
            yield block
        if self._file.format == "FLAC" and count < frames < UNKNOWN_LENGTH:
            held = f"{count} of {frames} samples are there"
            raise AudioFileError(f"{one_line(self.about.path)}: cut off, {held}; copy it again")


@contextmanager
def open_sound(path: Path | str) -> Iterator[OpenSound]:
    """Open a file for reading, through a mended header where needed.

    Args:
        path: The file.

    Yields:
        The file; errors inside the block are told as `AudioFileError`.

    Raises:
        AudioFileError: It is not there, cannot be opened, or is no audio of the formats that are read.
    """
    path = Path(path)
    try:
        container = look(path)
        if container.sample_rate is not None:
            _refuse_rate(path, container.sample_rate)
        if container.parts is None:
            with _Decoder(os.fsencode(path) if os.name == "posix" else str(path)) as f:
                _refuse_rate(path, f.samplerate)
                yield OpenSound(path, f, container)
        else:
            with closing(FileView(path, container.parts)) as view, _Decoder(view) as f:
                _refuse_rate(path, f.samplerate)
                yield OpenSound(path, f, container)
    except OSError as e:
        raise AudioFileError(f"{one_line(path)}: cannot be opened ({e.strerror or e}); check that it is there") from e
    except (sf.LibsndfileError, RuntimeError, struct.error) as e:
        raise AudioFileError(f"{one_line(path)}: cannot be decoded ({_why(e)}); save it again as WAV or FLAC") from e


class _Decoder(sf.SoundFile):
    """Reads on from block to block: libsndfile cannot seek in a FLAC that does not say how long it is."""

    def seekable(self) -> bool:
        return False


def info(path: Path | str) -> AudioInfo:
    """Read the header of an audio file.

    Args:
        path: The file.

    Returns:
        What it says about itself; the length is counted by decoding when the header leaves it open.

    Raises:
        AudioFileError: It is not there, cannot be opened, or is no audio of the formats that are read.
    """
    with open_sound(path) as sound:
        if sound.about.frames < UNKNOWN_LENGTH:
            return sound.about
        return replace(sound.about, frames=sum(len(block) for block in sound.blocks()))


def read_blocks(path: Path | str, block_frames: int = BLOCK_FRAMES) -> Iterator[np.ndarray]:
    """Decode a file block by block, so that hours of sound need little memory.

    Args:
        path: The file.
        block_frames: Samples per channel in each block; the last one may be shorter.

    Yields:
        float32 arrays (frames, channels), as stored: NaN and values beyond 1 are passed on.

    Raises:
        AudioFileError: The file cannot be opened, or cannot be decoded to its end.
    """
    with open_sound(path) as sound:
        yield from sound.blocks(block_frames)


def read_wav(path: Path | str, *, sample_rate: int | None = None) -> "tuple[Tensor, int]":
    """Read a whole file as mono.

    The channels are averaged; where they cancel each other (see `audio_gen.audio.channels`), the one that keeps the
    sound is taken instead. NaN and infinite samples become 0.

    Args:
        path: The file.
        sample_rate: Resample to this rate in Hz; None keeps the file's own.

    Returns:
        wav (1, T) float32 and its sample rate in Hz.

    Raises:
        AudioFileError: The file cannot be read to its end, or holds no samples.
    """
    path = Path(path)
    with open_sound(path) as sound:
        rate, blocks = sound.about.sample_rate, list(sound.blocks())
    if not blocks:
        raise AudioFileError(f"{one_line(path)}: holds no samples; choose another file")
    levels = ChannelLevels(blocks[0].shape[1], rate)
    means = []
    for block in blocks:
        finite(block)
        means.append(downmix(block, None))
        levels.add(block, means[-1])
    channel = levels.mix().channel
    mono = np.concatenate(means if channel is None else [downmix(block, channel) for block in blocks])
    target = sample_rate or rate
    return resample(as_wav(mono), rate, target), target


def finite(x: np.ndarray) -> int:
    """Set NaN, infinite and absurdly large samples to 0, in place; returns how many there were."""
    if x.min() > -HUGE and x.max() < HUGE:  # false for NaN; far faster than looking at each sample
        return 0
    with np.errstate(invalid="ignore"):
        bad = ~(np.abs(x) < HUGE)
    x[bad] = 0
    return int(bad.sum())


def downmix(x: np.ndarray, channel: int | None) -> np.ndarray:
    """Mean of all channels of x (frames, channels), or one channel; (frames,) and contiguous."""
    if channel is not None or x.shape[1] == 1:
        return np.ascontiguousarray(x[:, channel or 0])
    if x.shape[1] == 2:  # the common case, several times faster than mean(axis=1)
        return (x[:, 0] + x[:, 1]) * np.float32(0.5)
    return x.mean(axis=1, dtype=np.float32)


def write_wav(path: Path | str, wav: "Tensor", sample_rate: int, subtype: str = "PCM_16") -> float:
    """Write a WAV, whole or not at all; the same samples give the same bytes.

    Args:
        path: Where it is wanted; its folder is made.
        wav: (C, T); peaks beyond 1 are scaled down to 0.999, never clipped.
        sample_rate: In Hz.
        subtype: Encoding of the samples, as libsndfile names it.

    Returns:
        The gain that was applied: 1, or less when the sound was too loud.

    Raises:
        AudioFileError: The samples hold NaN or infinity, or the encoding is unknown.
        OutputError: The place cannot be written.
    """
    return write_wav_blocks(path, [wav], sample_rate, subtype)


def write_wav_blocks(path: Path | str, blocks: "Iterable[Tensor]", sample_rate: int, subtype: str = "PCM_16") -> float:
    """Write a WAV that is made block by block and need not fit into memory; nothing is left if making it fails.

    The gain is known only at the end, so a long sound waits as float32 in a nameless file beside `path`.

    Args:
        path, sample_rate, subtype: As for `write_wav`, as are result and errors; beyond 4 GiB the file is an RF64.
        blocks: (C, T) each, of any lengths.
    """
    path = Path(path)
    if not sf.check_format("WAV", subtype):  # told before hours of work
        raise AudioFileError(f"{one_line(path)}: not written, a WAV cannot hold {subtype}; try PCM_16")
    return write_atomic(path, lambda temporary: _write_kept(temporary, one_line(path), blocks, sample_rate, subtype))


def _write_kept(path: Path, name: str, blocks: "Iterable[Tensor]", sample_rate: int, subtype: str) -> float:
    with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES, dir=str(path.parent)) as kept:
        channels, samples, peak = _keep(kept, name, blocks)
        kept.seek(0)
        gain = 0.999 / peak if peak > 1 else 1.0
        container = "WAV" if channels * samples * SAMPLE_BYTES.get(subtype, 8) < WAV_BYTES else "RF64"
        try:
            with (
                file_for_callbacks(path) as out,
                sf.SoundFile(out, "w", sample_rate, channels, subtype, format=container) as f,
            ):
                while data := kept.read(4 * channels * BLOCK_FRAMES):
                    f.write(np.frombuffer(data, np.float32).reshape(-1, channels) * np.float32(gain))
        except (sf.LibsndfileError, ValueError, TypeError) as e:
            raise AudioFileError(f"{name}: not written as {subtype} at {sample_rate} Hz ({e}); try PCM_16") from e
    _drop_clock(path)
    return gain


def _keep(file: IO[bytes], name: str, blocks: "Iterable[Tensor]") -> tuple[int, int, float]:
    """Append blocks (C, T) to a file as float32 (T, C); returns C, the sum of T, and the greatest magnitude."""
    channels, samples, peak = 0, 0, 0.0
    for wav in blocks:
        x = wav.detach().cpu().float()
        if x.ndim != 2:
            raise AudioFileError(f"{name}: not written, needs the shape (channels, samples) and has {tuple(x.shape)}")
        if not bool(x.isfinite().all()):
            raise AudioFileError(f"{name}: not written, its samples hold NaN or infinity; look at what made it")
        if x.shape[1]:
            assert channels in (0, len(x)), "all blocks have the same channels"
            channels, samples, peak = len(x), samples + x.shape[1], max(peak, float(x.abs().max()))
            file.write(x.T.contiguous().numpy().data)
    if not samples:
        raise AudioFileError(f"{name}: not written, there are no samples; look at what made it")
    return channels, samples, peak


def _drop_clock(path: Path) -> None:
    """Zero the time of writing that libsndfile puts into the PEAK chunk of float files."""
    with open(path, "r+b") as f:
        head = f.read(1 << 16)
        at = head.find(b"PEAK", 12, head.find(b"data", 12))
        if at >= 0:
            f.seek(at + 12)
            f.write(bytes(4))


def _refuse_rate(path: Path, sample_rate: int) -> None:
    if sample_rate not in SAMPLE_RATES:
        raise AudioFileError(
            f"{one_line(path)}: its sample rate ({sample_rate} Hz) is outside {SAMPLE_RATES[0]} to {SAMPLE_RATES[-1]}; "
            "correct its header"
        )


def _why(error: Exception) -> str:
    """libsndfile's own words, without the file name and the stop."""
    text = getattr(error, "error_string", None) or str(error)
    return " ".join(text.removeprefix("Error : ").split()).rstrip(".").lower()
