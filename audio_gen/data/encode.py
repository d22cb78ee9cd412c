"""Store a sound as int16 in the cache: decode, repair, resample and scale it block by block."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from audio_gen.audio.resample import resample_blocks, resampled_length
from audio_gen.data.measure import Pulse, blocks_between
from audio_gen.data.measurement import Measurement
from audio_gen.data.report import sound_extent
from audio_gen.errors import AudioFileError
from audio_gen.files import open_no_link
from audio_gen.text import one_line

FULL = 32767
HEADROOM = 0.7  # of full scale, for the overshoot of resampling; the scaling keeps the resolution of quiet files


@dataclass(frozen=True)
class Job:
    """A sound to store.

    Attributes:
        path: Its file.
        measurement: Its measurement.
        start: First frame to store.
        stop: Frame after the last one.
        sample_rate: Rate of the cache in Hz.
        pcm: The PCM file of the cache.
        offset: Position in that file, in samples.
        channels: 1, or 2 for left and right, one after the other.
    """

    path: Path
    measurement: Measurement
    start: int
    stop: int
    sample_rate: int
    pcm: Path
    offset: int
    channels: int = 1

    @property
    def samples(self) -> int:
        """Length in the cache."""
        return resampled_length(self.stop - self.start, self.measurement.sample_rate, self.sample_rate)

    @property
    def stored_samples(self) -> int:
        """The number of its samples in the PCM file."""
        return self.channels * self.samples


def make_job(
    path: Path, m: Measurement, *, sample_rate: int, trim_onset: bool, pcm: Path, offset: int, channels: int = 1
) -> Job:
    """The job that stores a file in a cache of 1 or 2 channels."""
    start, stop = sound_extent(m.of_channels(channels), trim_onset)
    return Job(path, m, start, stop, sample_rate, pcm, offset, m.stored_channels(channels))


def encode(job: Job, pulse: Pulse | None = None) -> float:
    """Store one sound.

    Args:
        job: The sound.
        pulse: As for `measure`.

    Returns:
        Its scale: stored samples divided by it are the sound, with peaks above 1 scaled down to 1.

    Raises:
        AudioFileError: The file changed since it was measured, or cannot be read.
        OSError: The cache cannot be written.
    """
    peak = job.measurement.of_channels(job.channels).peak
    step = HEADROOM * FULL / peak
    largest = _encode(job, step, pulse)
    if largest > FULL:  # full-scale noise can overshoot by more than the headroom
        step *= HEADROOM * FULL / largest
        _encode(job, step, pulse)
    return step * max(peak, 1.0)


def _encode(job: Job, step: float, pulse: Pulse | None) -> float:
    """Write the samples at `step` units per unit of amplitude; returns the largest before rounding."""
    largest, written = 0.0, 0
    blocks = blocks_between(job.path, job.measurement, job.start, job.stop, pulse, job.channels)
    with open(job.pcm, "r+b", opener=open_no_link) as f:
        for block in resample_blocks(blocks, job.measurement.sample_rate, job.sample_rate):
            rows = np.atleast_2d(block)
            if not rows.shape[1]:
                continue
            rows = rows * np.float32(step)
            largest = max(largest, float(rows.max()), -float(rows.min()))
            if largest > FULL:
                rows = rows.clip(-FULL, FULL)  # written again by `encode`
            for channel, row in enumerate(np.rint(rows).astype("<i2")):
                if written + len(row) <= job.samples:
                    f.seek(2 * (job.offset + channel * job.samples + written))
                    f.write(row.tobytes())
            written += rows.shape[1]
    if written != job.samples:
        raise AudioFileError(f"{one_line(job.path)}: changed while it was read; run the command again")
    return largest
