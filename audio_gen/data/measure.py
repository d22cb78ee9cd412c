"""Measure the sound of one file, in one pass over its blocks."""

import hashlib
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from audio_gen.audio.channels import ChannelLevels, Mix, cancelled_channel, fold, foldable, width_of
from audio_gen.audio.io import BLOCK_FRAMES, UNKNOWN_LENGTH, AudioInfo, downmix, finite, open_sound
from audio_gen.audio.sound_end import duration
from audio_gen.data.measurement import HASH_DIGITS, Measurement, StereoMeasurement

CODER_FRAMES = 4096  # padding of MP3 encoders that decoders may remove
STRETCH = 256  # frames; the resolution of onsets and ends (6 ms at 44.1 kHz)
DC_STRETCHES = 8  # 46 ms at 44.1 kHz: several periods of all but the lowest bass
DC_MIN = 0.003
SILENCE_BELOW_PEAK = 1e-3  # -60 dB
FULL_SCALE = 0.9999
RULES = 4  # raised when measurements change; older ones are repeated
CLIP_RUN = 3  # samples in a row at full scale that count as clipping; fewer can be a true peak
QUICK_MEAN = np.full(STRETCH, 1 / STRETCH, np.float32)  # by a matrix product, in a third of the time
Pulse = Callable[[float], None]


def measure(path: Path, pulse: Pulse | None = None) -> Measurement:
    """Decode a whole file and measure its mono mix, and left and right if they differ.

    Args:
        path: An audio file; hours of sound are fine.
        pulse: Called repeatedly with the share of the file that is read; an exception in it stops the work.

    Raises:
        AudioFileError: It cannot be decoded to its end.
    """
    first, mix = _measure(path, None, pulse)
    stereo = first.stereo
    if mix.channel is not None:
        first, _ = _measure(path, mix.channel, pulse)
    return replace(
        first,
        channel=mix.channel,
        loss_db=round(mix.loss_db, 1),
        loss_begin=mix.begin,
        loss_end=mix.end,
        loss_excess=mix.excess,
        stereo=stereo,
    )


class _Envelope:
    """Smallest, largest and mean sample of each stretch of a channel."""

    def __init__(self) -> None:
        self.lows: list[np.ndarray] = []
        self.highs: list[np.ndarray] = []
        self.means: list[np.ndarray] = []

    def add(self, x: np.ndarray, quick: bool = False) -> None:
        """Add samples (T,); a quick mean rounds differently."""
        whole = len(x) // STRETCH * STRETCH
        for part in (x[:whole].reshape(-1, STRETCH), x[whole:][None]):
            if part.size:
                self.lows.append(part.min(axis=1))
                self.highs.append(part.max(axis=1))
                self.means.append(part @ QUICK_MEAN if quick and part.shape[1] == STRETCH else part.mean(axis=1))

    def sum(self, frames: int) -> float:
        """The sum of all samples, of which there are `frames`."""
        means = [part.sum(dtype=np.float64) for part in self.means]
        stretches = sum(map(len, self.means))
        missing = STRETCH * stretches - frames  # of the last stretch
        return float(STRETCH * sum(means) - (missing * self.means[-1][-1] if stretches else 0))


class _Pair:
    """Left and right of a file, measured block by block."""

    def __init__(self, about: AudioInfo) -> None:
        self._about, self._envelopes = about, (_Envelope(), _Envelope())
        self._sums = [0, 0]  # CRC-32 of left and right
        self._products = np.zeros(3)  # energies of left and right, and their product
        self._differ = False

    def add(self, pair: np.ndarray) -> None:
        """Add a block (2, frames)."""
        left, right = pair
        self._differ = self._differ or not np.array_equal(left, right)
        self._sums[0] = zlib.crc32(left.data, self._sums[0])
        if self._about.channels != 2:  # of two channels, the mean and the left one determine the right one
            self._sums[1] = zlib.crc32(right.data, self._sums[1])
        for envelope, x in zip(self._envelopes, pair, strict=True):
            envelope.add(x, quick=True)
        self._products += (np.dot(left, left), np.dot(right, right), np.dot(left, right))

    def measurement(self, content_hash: str, frames: int) -> StereoMeasurement | None:
        """The result for a file whose mono mix has this hash; None if the channels are equal."""
        if not self._differ:
            return None
        # The content hash covers the rate and the mean of the channels, so the sums need only tell such sounds apart.
        digest = hashlib.blake2b(f"{content_hash} {self._sums}".encode(), digest_size=HASH_DIGITS // 2)
        sums = [envelope.sum(frames) for envelope in self._envelopes]
        peak, dc, start, stop = _extent(self._envelopes, frames)
        left, right, product = self._products  # then without the DC offsets, since that is how the sound is stored
        left += dc[0] * (frames * dc[0] - 2 * sums[0])
        right += dc[1] * (frames * dc[1] - 2 * sums[1])
        product += frames * dc[0] * dc[1] - dc[0] * sums[1] - dc[1] * sums[0]
        left, right = np.maximum(left, 0), np.maximum(right, 0)  # rounding of a constant offset can leave less
        width_db = width_of(left + right + 2 * product, left + right - 2 * product)
        return StereoMeasurement(
            round(width_db, 1) + 0.0,  # turns -0.0 into 0.0
            peak,
            (dc[0], dc[1]),
            start,
            stop,
            digest.hexdigest(),
            cancelled_channel(np.array([[left, product], [product, right]])),
        )


def _measure(path: Path, channel: int | None, pulse: Pulse | None) -> tuple[Measurement, Mix]:
    with open_sound(path) as sound:
        about = sound.about
        envelope, digest = _Envelope(), hashlib.blake2b(str(about.sample_rate).encode(), digest_size=16)
        levels = ChannelLevels(about.channels, about.sample_rate) if about.channels > 1 else None
        pair = _Pair(about) if foldable(about.channels) and channel is None else None
        frames = non_finite = clip_runs = 0
        for block in sound.blocks(BLOCK_FRAMES):
            frames += len(block)
            if pulse is not None:
                pulse(frames / max(frames, about.frames))
            non_finite += finite(block)
            clip_runs += _clip_runs(block)
            if pair is not None:
                both = fold(block, about.vorbis_order)
                pair.add(both)
                block = both.T if about.channels == 2 else block  # each channel is contiguous
            mono = downmix(block, channel)
            if levels is not None:
                levels.add(block, mono)
            digest.update(mono.data)
            envelope.add(mono)
    peak, (dc,), start, stop = _extent([envelope], frames)
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
        stereo=pair.measurement(digest.hexdigest(), frames) if pair else None,
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


def _extent(envelopes: Sequence[_Envelope], frames: int) -> tuple[float, list[float], int, int]:
    """Peak of all channels, DC offset of each, and start and stop of the sound in any of them."""
    if not frames:
        return 0.0, [0.0 for _ in envelopes], 0, 0
    offsets, levels = zip(*(_without_offset(envelope) for envelope in envelopes), strict=True)
    dc = list(offsets)
    loudest = levels[0]
    for level in levels[1:]:
        np.maximum(loudest, level, out=loudest)
    peak = float(loudest.max())
    loud = np.flatnonzero(loudest > peak * SILENCE_BELOW_PEAK)
    if not len(loud):
        return peak, dc, 0, frames
    return peak, dc, int(loud[0]) * STRETCH, min((int(loud[-1]) + 1) * STRETCH, frames)


def _without_offset(envelope: _Envelope) -> tuple[float, np.ndarray]:
    """The DC offset of a channel, and the largest deviation from it in each stretch."""
    lows, highs, means = (_joined(part) for part in (envelope.lows, envelope.highs, envelope.means))
    dc = _steady_offset(means, float(lows.min()), float(highs.max()))
    del means
    highs -= np.float32(dc)  # in place: the envelope of a day of sound is large
    np.subtract(np.float32(dc), lows, out=lows)
    return dc, np.maximum(highs, lows, out=highs)


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
    path: Path, m: Measurement, start: int, stop: int, pulse: Pulse | None = None, channels: int = 1
) -> Iterator[np.ndarray]:
    """Decode the repaired sound of a file: NaN set to 0, DC removed, cut to frames start..stop.

    Args:
        path: The file.
        m: Its measurement.
        start: First frame.
        stop: Frame after the last one.
        pulse: As for `measure`.
        channels: 1 for the mono mix; 2 for left and right where they differ.

    Yields:
        float32 arrays (T,) or (2, T), stop - start samples in total if the file is unchanged.
    """
    position, both = 0, m.stereo if channels == 2 else None
    offset = np.float32(m.dc) if both is None else np.array(both.dc, np.float32)[:, None]
    with open_sound(path) as sound:
        for block in sound.blocks(BLOCK_FRAMES):
            finite(block)
            x = fold(block, sound.about.vorbis_order) if both else downmix(block, m.channel)
            x = x[..., max(0, start - position) : max(0, stop - position)]
            position += len(block)
            if pulse is not None:
                pulse(min(1.0, position / max(1, stop)))
            if x.shape[-1]:
                yield x - offset if np.any(offset) else x
            if position >= stop:
                break
