"""Store a sound as int16 in the cache: decode, repair, resample and scale it block by block."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from audio_gen.audio.resample import resample_blocks, resampled_length
from audio_gen.data.measure import Measurement, Pulse, blocks_between
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
    """

    path: Path
    measurement: Measurement
    start: int
    stop: int
    sample_rate: int
    pcm: Path
    offset: int

    @property
    def samples(self) -> int:
        """Length in the cache."""
        return resampled_length(self.stop - self.start, self.measurement.sample_rate, self.sample_rate)


def make_job(path: Path, m: Measurement, *, sample_rate: int, trim_onset: bool, pcm: Path, offset: int) -> Job:
    """The job that stores a file."""
    start, stop = sound_extent(m, trim_onset)
    return Job(path, m, start, stop, sample_rate, pcm, offset)


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
    step = HEADROOM * FULL / job.measurement.peak
    largest = _encode(job, step, pulse)
    if largest > FULL:  # full-scale noise can overshoot by more than the headroom
        step *= HEADROOM * FULL / largest
        _encode(job, step, pulse)
    return step * max(job.measurement.peak, 1.0)


def _encode(job: Job, step: float, pulse: Pulse | None) -> float:
    """Write the samples at `step` units per unit of amplitude; returns the largest before rounding."""
    largest, written = 0.0, 0
    blocks = blocks_between(job.path, job.measurement, job.start, job.stop, pulse)
    with open(job.pcm, "r+b", opener=open_no_link) as f:
        f.seek(2 * job.offset)
        for block in resample_blocks(blocks, job.measurement.sample_rate, job.sample_rate):
            if not len(block):
                continue
            block = block * np.float32(step)
            largest = max(largest, float(block.max()), -float(block.min()))
            f.write(np.rint(block).clip(-FULL, FULL).astype("<i2").tobytes())
            written += len(block)
    if written != job.samples:
        raise AudioFileError(f"{one_line(job.path)}: changed while it was read; run the command again")
    return largest
