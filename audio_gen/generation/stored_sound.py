"""A user's sound of any length, repaired and at a model's rate, in a temporary file."""

import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from audio_gen.audio.resample import resample_blocks, resampled_length
from audio_gen.data.measure import blocks_between, measure
from audio_gen.data.measurement import Measurement
from audio_gen.errors import AudioFileError, OutputError
from audio_gen.generation.finish import SILENT
from audio_gen.text import one_line


def check_sound(path: Path) -> Measurement:
    """Measure a file.

    Raises:
        AudioFileError: It cannot be read, or is silent.
    """
    m = measure(path)
    if not m.frames:
        raise AudioFileError(f"{one_line(path)}: has no samples; give a file with sound")
    if m.peak < SILENT:
        raise AudioFileError(f"{one_line(path)}: is silent; give a file with sound")
    return m


class StoredSound:
    """Reads samples of a sound.

    Attributes:
        samples: Its length.
        channels: 2 if left and right differ, otherwise 1.
        sample_rate: In Hz.
        file_rate: That of the file.
        file_samples: Length of the file at its own rate.
        notes: What is not as in the file.
    """

    def __init__(self, path: Path, m: Measurement, sample_rate: int) -> None:
        """Read a file that `check_sound` measured: NaN becomes silence, and an offset is removed, as for training.

        Raises:
            AudioFileError: It cannot be read.
            OutputError: There is no room for it.
        """
        self.file_rate, self.file_samples, notes = m.sample_rate, m.frames, []
        self.channels = 1 if m.stereo is None else 2
        if m.non_finite:
            notes.append(f"{m.non_finite} samples are not finite numbers, and taken as silence")
        if m.stereo is not None and m.stereo.mono_channel is not None:
            self.channels = 1
            notes.append("left and right cancel each other; one of them is used, and the result is mono")
        if m.channels > 2:
            notes.append(f"its {m.channels} channels are mixed to {'mono' if self.channels == 1 else 'two'}")
        self.notes = tuple(notes)
        m = m.of_channels(self.channels)
        self.sample_rate, self.samples = sample_rate, resampled_length(m.frames, m.sample_rate, sample_rate)
        blocks = blocks_between(path, m, 0, m.frames, channels=self.channels)
        done = 0
        try:
            with tempfile.TemporaryFile() as file:
                for block in resample_blocks(blocks, m.sample_rate, sample_rate):
                    part = np.atleast_2d(block).T[: self.samples - done]
                    file.write(np.ascontiguousarray(part, np.float32).data)
                    done += len(part)
                file.flush()
                self._wav = np.memmap(file, np.float32, "r", shape=(done, self.channels))
        except OSError as e:
            raise OutputError(
                f"no room for the samples of {one_line(path)} ({e.strerror}); free some disk space"
            ) from e
        self.samples = done

    def read(self, start: int, count: int) -> Tensor:
        """Samples (C, count) from `start`."""
        return torch.from_numpy(self._wav[start : start + count].T.copy())

    def mono(self, start: int, count: int) -> Tensor:
        """The mono mix (1, count) of samples from `start`."""
        return self.read(start, count).mean(0, keepdim=True)
