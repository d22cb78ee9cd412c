"""Log-mels of files that may exceed memory, read in parts: an .npy array, or the mel of a sound."""

import sys
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from audio_gen.audio.io import info, read_wav
from audio_gen.audio.mel import MelFrontEnd, MelSpec
from audio_gen.audio.npy import read_npy_header
from audio_gen.audio.onset import loudest, silent_until
from audio_gen.audio.stereo import FRAMES, STEREO_BANDS
from audio_gen.errors import AudioFileError, DataError
from audio_gen.files import MalformedError
from audio_gen.text import one_line
from audio_gen.vocoding.silence import silent_frames


class MelFile:
    """The log-mel (M, L) of an .npy file, with rows of stereo if it has as many; only requested parts are in memory."""

    def __init__(self, file: Path, spec: MelSpec, device: torch.device) -> None:
        """Read the array's shape; parts go to `device`. `spec` is the mel without stereo."""
        self._file, self._device = file, device
        self.shape = self._mapped().shape
        stereo = spec.with_stereo(STEREO_BANDS)
        self.spec = stereo if len(self.shape) == 2 and self.shape[0] == stereo.rows else spec
        self.lead, self.length, self.onset = 0, sys.maxsize, None

    def __getitem__(self, part: tuple[slice, slice], /) -> Tensor:
        """A part of the mel, in rows and columns."""
        with np.errstate(over="ignore"):  # overflow becomes infinite, which `check_mel` reports
            values = self._mapped()[part].astype(np.float32)
        return torch.from_numpy(values).to(self._device)

    def _mapped(self) -> np.ndarray:
        """Map the file again, which releases the pages read so far."""
        if self._file.exists() and not self._file.is_file():  # a pipe would block
            raise DataError(
                f"{one_line(self._file)}: is a folder, a pipe or a device; give a file written by numpy.save"
            )
        name = one_line(self._file)
        try:
            with open(self._file, "rb") as file:
                shape, by_columns, dtype = read_npy_header(file)
                if dtype.kind != "f":
                    raise DataError(
                        f"{name}: must contain one array of floating-point numbers; save the log-mel with numpy.save"
                    )
                values = np.memmap(file, dtype, "r", file.tell(), shape, "F" if by_columns else "C")
        except OSError as e:
            raise DataError(f"{name}: cannot be opened ({e.strerror or e}); check that it exists") from e
        except (MalformedError, ValueError, OverflowError) as e:  # or it is shorter than its header says
            raise DataError(f"{name}: cannot be read as an .npy array; save it with numpy.save") from e
        return values[0] if values.ndim == 3 and len(values) == 1 else values  # (1, M, L) -> (M, L)


class MelOfSound:
    """The log-mel (M, L) of a sound file between silences; only its samples stay in memory.

    Parts of a stereo mel begin at multiples of 4 frames, as its rows of stereo do.

    Attributes:
        spec: Its mel; with rows of stereo if the sound has two channels.
        lead: Samples of silence before the sound.
        length: Samples of the sound.
        file_rate: Sample rate of the file in Hz.
        onset: The first sample that is not silence, counted with `lead`.
    """

    def __init__(
        self, file: Path, spec: MelSpec, device: torch.device, channels: Literal[1] | None = None
    ) -> None:  # fmt: skip
        """Read the sound at the rate of `spec`, a mel without stereo; parts go to `device`.

        `channels` is 1 for the mono mix; None for left and right, if the file has two that differ.
        """
        self.file_rate = info(file).sample_rate
        self._wav, _ = read_wav(file, sample_rate=spec.sample_rate, channels=channels)
        spec = self.spec = spec.with_stereo(STEREO_BANDS if len(self._wav) == 2 else 0)
        if not self._wav.shape[-1]:
            raise AudioFileError(f"{one_line(file)}: has no samples; give a file with sound")
        self._front_end, self._device = MelFrontEnd(spec), device
        self.lead, self.length = spec.samples(silent_frames(spec)), self._wav.shape[-1]
        self.onset = self.lead + silent_until(loudest(self._wav.numpy()), spec.sample_rate)
        self._wav = F.pad(self._wav, (self.lead, self.lead))
        self.shape = (spec.rows, -(-self._wav.shape[-1] // spec.hop_length))

    def __getitem__(self, part: tuple[slice, slice], /) -> Tensor:
        """A part of the mel, in rows and columns."""
        spec = self.spec
        start, end, _ = part[1].indices(self.shape[1])
        context = -(-spec.pad // spec.hop_length)  # frames that the window reaches into on either side
        first, last = max(0, start - context), end + context
        if spec.stereo_bands:
            assert start % FRAMES == 0
            first, last = first // FRAMES * FRAMES, -(-end // FRAMES) * FRAMES + context
        wav = self._wav[None, :, spec.samples(first) : spec.samples(last)]
        return self._front_end(wav)[0, part[0], start - first : end - first].to(self._device)
