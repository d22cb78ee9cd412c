"""What the sound in one file is like, read once from end to end in blocks."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from audio_gen.audio.io import BLOCK_FRAMES, channel_powers, downmix, finite, info, mix_channel, read_blocks
from audio_gen.audio.wav_header import read_wav_header

STRETCH = 256  # frames; the resolution at which onsets and ends are found (6 ms at 44.1 kHz)
DC_STRETCHES = 8  # means over 46 ms at 44.1 kHz: several periods of all but the lowest bass
DC_MIN = 0.003
SILENCE_BELOW_PEAK = 1e-3  # -60 dB
FULL_SCALE = 0.9999
CLIP_RUN = 3  # this many samples in a row at full scale are a clip, fewer can be a true peak


@dataclass(frozen=True)
class Measurement:
    """The facts about one file's mono mix, before any repair.

    Attributes:
        sample_rate: In Hz.
        channels: Number of channels.
        frames: Samples per channel that could be decoded.
        format: Container, as libsndfile names it.
        subtype: Encoding, as libsndfile names it.
        peak: Largest deviation from `dc`.
        dc: Offset that runs through the whole file, 0 if there is none.
        start: Frame at which the sound begins (first above -60 dB of the peak).
        stop: Frame after which only silence follows.
        clip_runs: Places where the sound stays at full scale.
        non_finite: Samples that were NaN or infinite.
        channel: The one channel to use because the mean of all is cancelled; None for the mean.
        silent_channels: Channels that hold nothing while others do.
        content_hash: Of the rate and the decoded mono samples; equal for equal sounds in any lossless container.
        header_note: What is wrong with the header, if anything.
    """

    sample_rate: int
    channels: int
    frames: int
    format: str
    subtype: str
    peak: float
    dc: float
    start: int
    stop: int
    clip_runs: int
    non_finite: int
    channel: int | None
    silent_channels: int
    content_hash: str
    header_note: str | None

    @property
    def duration_sec(self) -> float:
        """Length in seconds."""
        return self.frames / self.sample_rate


def measure(path: Path) -> Measurement:
    """Decode a whole file and measure its mono mix.

    Args:
        path: An audio file; hours of sound are fine.

    Raises:
        AudioFileError: It cannot be decoded to its end.
    """
    first = _measure(path, None)
    return first if first.channel is None else replace(_measure(path, first.channel), channel=first.channel)


@dataclass
class _Envelope:
    """Smallest, largest and mean sample of each stretch of the mono mix."""

    lows: list[np.ndarray] = field(default_factory=list)
    highs: list[np.ndarray] = field(default_factory=list)
    means: list[np.ndarray] = field(default_factory=list)

    def add(self, mono: np.ndarray) -> None:
        whole = len(mono) // STRETCH * STRETCH
        for part in (mono[:whole].reshape(-1, STRETCH), mono[whole:][None]):
            if part.size:
                self.lows.append(part.min(axis=1))
                self.highs.append(part.max(axis=1))
                self.means.append(part.mean(axis=1))


def _measure(path: Path, channel: int | None) -> Measurement:
    about = info(path)
    envelope, digest = _Envelope(), hashlib.blake2b(str(about.sample_rate).encode(), digest_size=16)
    frames = non_finite = clip_runs = 0
    powers, mono_power = np.zeros(about.channels), 0.0
    for block in read_blocks(path, BLOCK_FRAMES):
        frames += len(block)
        non_finite += finite(block)
        clip_runs += _clip_runs(block)
        block_powers, block_mono_power = channel_powers(block)
        powers, mono_power = powers + block_powers, mono_power + block_mono_power
        mono = downmix(block, channel)
        digest.update(mono.data)
        envelope.add(mono)
    peak, dc, start, stop = _extent(envelope, frames)
    return Measurement(
        sample_rate=about.sample_rate,
        channels=about.channels,
        frames=frames,
        format=about.format,
        subtype=about.subtype,
        peak=peak,
        dc=dc,
        start=start,
        stop=stop,
        clip_runs=clip_runs,
        non_finite=non_finite,
        channel=mix_channel(powers, mono_power) if channel is None and about.channels > 1 else None,
        silent_channels=int((powers == 0).sum()) if powers.any() else 0,
        content_hash=digest.hexdigest(),
        header_note=_header_note(path, frames),
    )


def _clip_runs(block: np.ndarray) -> int:
    """How often the sound reaches full scale and stays there; float samples beyond full scale are no clips."""
    if block.max() < FULL_SCALE and block.min() > -FULL_SCALE:
        return 0
    size = np.abs(block)
    at = (size >= FULL_SCALE) & (size <= 2 - FULL_SCALE)
    run = np.ones_like(at[CLIP_RUN - 1 :])
    for i in range(CLIP_RUN):
        run &= at[i : len(at) - CLIP_RUN + 1 + i]
    return int((run[1:] & ~run[:-1]).sum() + run[:1].sum())


def _extent(envelope: _Envelope, frames: int) -> tuple[float, float, int, int]:
    """Peak, DC offset and the first and last frame of sound."""
    if not frames:
        return 0.0, 0.0, 0, 0
    lows, highs, means = (np.concatenate(part) for part in (envelope.lows, envelope.highs, envelope.means))
    dc = _steady_offset(means, float(lows.min()), float(highs.max()))
    loudest = np.maximum(highs - dc, dc - lows)
    peak = float(loudest.max())
    loud = np.flatnonzero(loudest > peak * SILENCE_BELOW_PEAK)
    if not len(loud):
        return peak, dc, 0, frames
    return peak, dc, int(loud[0]) * STRETCH, min((int(loud[-1]) + 1) * STRETCH, frames)


def _steady_offset(means: np.ndarray, low: float, high: float) -> float:
    """The DC offset, where most stretches agree on one: a drum's one-sided swing is no offset."""
    if low == high:
        return low
    groups = len(means) // DC_STRETCHES
    if groups < 4:
        return 0.0
    m = means[: groups * DC_STRETCHES].reshape(groups, -1).mean(axis=1)
    dc = float(np.median(m))
    agree = float((np.abs(m - dc) < abs(dc) / 2).mean())
    return dc if abs(dc) > max(DC_MIN, 0.01 * (high - low)) and agree > 0.8 else 0.0


def _header_note(path: Path, frames: int) -> str | None:
    header = read_wav_header(path)
    if header is None:
        return None
    if header.unfinished or header.streamed:
        return "its header was never finished: read to the end of the file"
    if header.cut_off and header.frame_bytes and frames:
        missing = 1 - header.available / header.data_size
        return f"cut off: {missing:.0%} of its samples are missing, the rest is used"
    return None


def blocks_between(path: Path, m: Measurement, start: int, stop: int) -> Iterator[np.ndarray]:
    """Decode the repaired mono mix of a file: NaN set to 0, DC removed, cut to frames start..stop.

    Yields:
        float32 arrays (T,), stop - start samples in all if the file is still as it was measured.
    """
    position = 0
    for block in read_blocks(path, BLOCK_FRAMES):
        finite(block)
        mono = downmix(block, m.channel)[max(0, start - position) : max(0, stop - position)]
        position += len(block)
        if len(mono):
            yield mono - np.float32(m.dc) if m.dc else mono
        if position >= stop:
            break
