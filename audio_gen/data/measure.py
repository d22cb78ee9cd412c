"""Measure the sound of one file, in one pass over its blocks."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from audio_gen.audio.channels import ChannelLevels, Mix
from audio_gen.audio.io import BLOCK_FRAMES, UNKNOWN_LENGTH, AudioInfo, downmix, finite, open_sound, read_blocks
from audio_gen.audio.sound_end import duration
from audio_gen.files import MalformedError

CODER_FRAMES = 4096  # padding of MP3 encoders that decoders may remove
STRETCH = 256  # frames; the resolution of onsets and ends (6 ms at 44.1 kHz)
DC_STRETCHES = 8  # 46 ms at 44.1 kHz: several periods of all but the lowest bass
DC_MIN = 0.003
SILENCE_BELOW_PEAK = 1e-3  # -60 dB
FULL_SCALE = 0.9999
RULES = 3  # raised when measurements change; older ones are repeated
CLIP_RUN = 3  # samples in a row at full scale that count as clipping; fewer can be a true peak


Pulse = Callable[[float], None]


@dataclass(frozen=True)
class Measurement:
    """The measurement of a file's mono mix, before any repair.

    Attributes:
        sample_rate: In Hz.
        channels: Number of channels.
        frames: Decoded samples per channel.
        format: Container, as libsndfile names it.
        subtype: Encoding, as libsndfile names it.
        peak: Largest deviation from `dc`.
        dc: Constant offset of the whole file, or 0.
        start: First frame of sound (above -60 dB of the peak).
        stop: Frame after the last one of sound.
        clip_runs: Number of clipped places.
        non_finite: Samples that were NaN or infinite.
        channel: The channel to use if channels cancel each other; None for their mean.
        silent_channels: Number of silent channels, if others are not silent.
        content_hash: Hash of the rate and the mono samples; the same in any lossless container.
        header_note: A fault of the file, if any.
        loss_db: Loss of the mean of the channels; for this and the next three see `Mix`.
        loss_begin: Its first frame.
        loss_end: Frame after its last one.
        loss_excess: The mean is used although it loses more than that of uncorrelated channels.
        rules: Version of the rules that it was measured by.
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
    loss_db: float = 0.0
    loss_begin: int = 0
    loss_end: int = 0
    loss_excess: bool = False
    rules: int = 1  # old caches have no number

    @property
    def duration_sec(self) -> float:
        """Length in seconds."""
        return self.frames / self.sample_rate


SIGNED, MOST, MOST_CHANNELS = {"dc", "loss_db"}, 1 << 62, 1 << 16
KINDS: dict[str, Any] = {
    name: kind | int if kind is float else kind for name, kind in Measurement.__annotations__.items()
}


def measurement_from(values: dict[str, Any]) -> Measurement:
    """A measurement from an untrusted file.

    Args:
        values: The result of `asdict`.

    Raises:
        MalformedError: A value is invalid.
        TypeError: It has other fields.
    """
    found = Measurement(**values)
    for name, kind in KINDS.items():
        value = getattr(found, name)
        fits = isinstance(value, kind) and (type(value) is not bool or kind is bool)
        if not fits or (isinstance(value, int | float) and not (0 <= value <= MOST or name in SIGNED)):
            raise MalformedError(name)
    if not found.sample_rate or found.channels > MOST_CHANNELS or (found.channel or 0) >= max(found.channels, 1):
        raise MalformedError("sample_rate or channels")
    return found


def measure(path: Path, pulse: Pulse | None = None) -> Measurement:
    """Decode a whole file and measure its mono mix.

    Args:
        path: An audio file; hours of sound are fine.
        pulse: Called repeatedly with the share of the file that is read; an exception in it stops the work.

    Raises:
        AudioFileError: It cannot be decoded to its end.
    """
    first, mix = _measure(path, None, pulse)
    if mix.channel is not None:
        first, _ = _measure(path, mix.channel, pulse)
    return replace(
        first,
        channel=mix.channel,
        loss_db=round(mix.loss_db, 1),
        loss_begin=mix.begin,
        loss_end=mix.end,
        loss_excess=mix.excess,
    )


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


def _measure(path: Path, channel: int | None, pulse: Pulse | None) -> tuple[Measurement, Mix]:
    with open_sound(path) as sound:
        about = sound.about
        envelope, digest = _Envelope(), hashlib.blake2b(str(about.sample_rate).encode(), digest_size=16)
        levels = ChannelLevels(about.channels, about.sample_rate) if about.channels > 1 else None
        frames = non_finite = clip_runs = 0
        for block in sound.blocks(BLOCK_FRAMES):
            frames += len(block)
            if pulse is not None:
                pulse(frames / max(frames, about.frames))
            non_finite += finite(block)
            clip_runs += _clip_runs(block)
            mono = downmix(block, channel)
            if levels is not None:
                levels.add(block, mono)
            digest.update(mono.data)
            envelope.add(mono)
    peak, dc, start, stop = _extent(envelope, frames)
    measurement = Measurement(
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
        channel=channel,
        silent_channels=levels.silent() if levels else 0,
        content_hash=digest.hexdigest(),
        header_note=_note(about, frames),
        rules=RULES,
    )
    return measurement, levels.mix() if levels and channel is None else Mix()


def _clip_runs(block: np.ndarray) -> int:
    """Count runs of clipped samples; float samples above full scale are not clipped."""
    if block.max() < FULL_SCALE and block.min() > -FULL_SCALE:
        return 0
    size = np.abs(block)
    at = (size >= FULL_SCALE) & (size <= 2 - FULL_SCALE)
    run = np.ones_like(at[CLIP_RUN - 1 :])
    for i in range(CLIP_RUN):
        run &= at[i : len(at) - CLIP_RUN + 1 + i]
    return int((run[1:] & ~run[:-1]).sum() + run[:1].sum())


def _note(about: AudioInfo, frames: int) -> str | None:
    """A note on the fault of a file with `frames` decoded frames."""
    promised = about.frames if about.frames < UNKNOWN_LENGTH else 0
    if about.note or not about.format.startswith("MP") or frames + CODER_FRAMES >= promised:
        return about.note if frames else None
    present, all_of_it = duration(frames / about.sample_rate), duration(promised / about.sample_rate)
    return (
        f"its header states {all_of_it}, the file holds {present}: truncated; the part that exists is used"
        if frames
        else None
    )


def _extent(envelope: _Envelope, frames: int) -> tuple[float, float, int, int]:
    """Peak, DC offset, and start and stop of the sound."""
    if not frames:
        return 0.0, 0.0, 0, 0
    lows, highs, means = (_joined(part) for part in (envelope.lows, envelope.highs, envelope.means))
    dc = _steady_offset(means, float(lows.min()), float(highs.max()))
    del means
    highs -= np.float32(dc)  # in place: the envelope of a day of sound is large
    np.subtract(np.float32(dc), lows, out=lows)
    loudest = np.maximum(highs, lows, out=highs)
    peak = float(loudest.max())
    loud = np.flatnonzero(loudest > peak * SILENCE_BELOW_PEAK)
    if not len(loud):
        return peak, dc, 0, frames
    return peak, dc, int(loud[0]) * STRETCH, min((int(loud[-1]) + 1) * STRETCH, frames)


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    """All parts as one array; the list is emptied."""
    joined = np.concatenate(parts)
    parts.clear()
    return joined


def _steady_offset(means: np.ndarray, low: float, high: float) -> float:
    """The DC offset if most stretches agree on one: a drum's asymmetric swing is not an offset."""
    if low == high:
        return low
    groups = len(means) // DC_STRETCHES
    if groups < 4:
        return 0.0
    m = means[: groups * DC_STRETCHES].reshape(groups, -1).mean(axis=1)
    dc = float(np.median(m))
    agree = float((np.abs(m - dc) < abs(dc) / 2).mean())
    return dc if abs(dc) > max(DC_MIN, 0.01 * (high - low)) and agree > 0.8 else 0.0


def blocks_between(
    path: Path, m: Measurement, start: int, stop: int, pulse: Pulse | None = None
) -> Iterator[np.ndarray]:
    """Decode the repaired mono mix of a file: NaN set to 0, DC removed, cut to frames start..stop.

    Args:
        path: The file.
        m: Its measurement.
        start: First frame.
        stop: Frame after the last one.
        pulse: As for `measure`.

    Yields:
        float32 arrays (T,), stop - start samples in total if the file is unchanged.
    """
    position = 0
    for block in read_blocks(path, BLOCK_FRAMES):
        finite(block)
        mono = downmix(block, m.channel)[max(0, start - position) : max(0, stop - position)]
        position += len(block)
        if pulse is not None:
            pulse(min(1.0, position / max(1, stop)))
        if len(mono):
            yield mono - np.float32(m.dc) if m.dc else mono
        if position >= stop:
            break
