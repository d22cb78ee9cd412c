"""The spectrum of a sound of any length on a logarithmic axis of frequency, for pitch."""

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from audio_gen.audio.long_mel import ReadSamples, read_padded

BINS_PER_SEMITONE, LOWEST_NOTE, BINS = 3, 24, 300  # from 33 Hz to 10.4 kHz
HOP_SEC, WINDOW_SEC = 1024 / 44100, 8192 / 22050
GAMMA = 2.4  # bandwidth in Hz that is added to each filter, so that the longest one fits into the window
HIGHEST_OF_NYQUIST = 0.94
LEAST = 1e-6  # amplitude
FRAMES_AT_ONCE = 256


class LogFrequencySpectrum:
    """Reads frames of the variable-Q transform of a mono sound; what is before and after it is silence.

    Frame i is centred on sample (i + 1/2) `hop_length`.

    Attributes:
        hop_length: Samples from frame to frame, 23.2 ms.
        frames: Number of frames; the last one may be partly silent.

    Source: Schörkhuber 2014; the filters are those of librosa, whose import takes 130 MB.
    """

    def __init__(self, read: ReadSamples, samples: int, sample_rate: int) -> None:
        """For a sound of `samples` samples that `read` returns as (1, T)."""
        self._read, self._samples = read, samples
        self.hop_length = hop_of(sample_rate)
        self._filters = _filters(sample_rate)
        self._window = window_of(sample_rate)
        self.frames = -(-samples // self.hop_length)

    @torch.no_grad()
    def __call__(self, first: int, stop: int) -> Tensor:
        """Frames from `first` to `stop` in dB relative to a sine of full scale, (300, stop - first)."""
        parts = [self._part(at, min(at + FRAMES_AT_ONCE, stop)) for at in range(first, stop, FRAMES_AT_ONCE)]
        return torch.cat(parts, dim=1) if parts else torch.empty(BINS, 0)

    def _part(self, first: int, stop: int) -> Tensor:
        hop, window = self.hop_length, self._window
        begin = first * hop + hop // 2 - window // 2
        wav = read_padded(self._read, self._samples, 1, begin, begin + (stop - 1 - first) * hop + window)[0]
        spectrum = torch.fft.rfft(torch.fft.ifftshift(wav.unfold(0, window, hop), dim=1))
        found = (spectrum[:, : self._filters.shape[1]] @ self._filters.T).abs()
        return 20 * F.pad(found, (0, BINS - found.shape[1])).clamp(min=LEAST).log10().T


def hop_of(sample_rate: int) -> int:
    """Samples from frame to frame."""
    return max(2, 2 * round(HOP_SEC * sample_rate / 2))


def window_of(sample_rate: int) -> int:
    """Samples of a window, an even number."""
    return 2 * (round(WINDOW_SEC * sample_rate) // 2)


def _wavelet(hz: float, sample_rate: int) -> np.ndarray:
    """A filter (n,) complex: a Hann window of as many periods as tell neighbouring bins apart, with a sum of 1."""
    step = 2 ** (2 / (12 * BINS_PER_SEMITONE))
    bandwidth = (step - 1) / (step + 1)  # relative to the frequency
    half = sample_rate / (bandwidth * hz + GAMMA) / 2
    place = np.arange(math.floor(-half), math.floor(half))
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(len(place)) / len(place))
    return np.exp(2j * np.pi * hz / sample_rate * place) * window / window.sum()


@lru_cache(maxsize=4)
def _filters(sample_rate: int) -> Tensor:
    """The filters on the bins of the Fourier transform of a window, (n, F) complex64."""
    window = window_of(sample_rate)
    notes = LOWEST_NOTE + np.arange(BINS) / BINS_PER_SEMITONE
    centres = 440 * 2 ** ((notes - 69) / 12)
    centres = centres[centres < HIGHEST_OF_NYQUIST * sample_rate / 2]
    filters = np.zeros((len(centres), window), np.complex64)
    for row, hz in zip(filters, centres, strict=True):
        wave = _wavelet(float(hz), sample_rate)
        first = window // 2 - len(wave) // 2
        row[first : first + len(wave)] = wave
    spectra = np.conj(np.fft.fft(np.fft.ifftshift(filters, axes=1), axis=1)[:, : window // 2 + 1])
    most = min(window // 2 + 1, int(1.1 * centres[-1] / sample_rate * window) + 1)
    return torch.from_numpy((2 * spectra[:, :most] / window).astype(np.complex64))
