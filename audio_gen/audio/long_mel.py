"""The log-mel of a sound of any length, computed in parts that equal the whole, also as if it were played faster."""

import math
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from audio_gen.audio.mel import MelFrontEnd, MelSpec
from audio_gen.audio.stereo import FRAMES
from audio_gen.audio.stft import STFT, padding

ReadSamples = Callable[[int, int], Tensor]  # first sample and number of samples, inside the sound -> wav (C, T)


class LongMel:
    """Reads frames of a sound; what is before and after it is silence.

    Attributes:
        spec: The mel.
        speed: How much faster than in reality the sound plays: tempo and pitch have this factor.
        frames: Number of frames; the last one may be partly silent.
    """

    def __init__(self, read: ReadSamples, samples: int, spec: MelSpec, channels: int, speed: float = 1.0) -> None:
        """For a sound of `samples` samples; the factor is the nearest to `speed` with a fast transform."""
        self._read, self._samples, self.spec, self._channels = read, samples, spec, channels
        self._hop = spec.hop_length if speed == 1 else _fast_hop(spec.hop_length, speed)
        self._front_end = _front_end(spec, self._hop)
        self.speed = self._hop / spec.hop_length
        self._margin = FRAMES * -(-padding(spec.n_fft, spec.hop_length) // (FRAMES * spec.hop_length))  # frames
        self.frames = -(-samples // self._hop)

    def __call__(self, first: int, stop: int) -> Tensor:
        """Frames from `first` to `stop`, multiples of 4, as an image (R, stop - first)."""
        begin, end = (self._hop * frame for frame in (first - self._margin, stop + self._margin))
        wav = read_padded(self._read, self._samples, self._channels, begin, end)
        with torch.no_grad():
            image: Tensor = self._front_end(wav[None])[0]
        return image[:, self._margin : self._margin + stop - first]


def read_padded(read: ReadSamples, samples: int, channels: int, begin: int, end: int) -> Tensor:
    """Samples (C, end - begin) of a sound of `samples` samples, with silence before and after it."""
    wav = torch.zeros(channels, end - begin)
    first, last = max(0, begin), min(samples, end)
    if last > first:
        wav[:, first - begin : last - begin] = read(first, last - first)
    return wav


def _fast_hop(hop_length: int, speed: float) -> int:
    """The hop that is nearest to a multiple of `hop_length`, of those with a fast transform."""
    from scipy.fft import next_fast_len

    half = speed * hop_length / 2
    fast = (n for n in range(1, 2 * math.ceil(half) + 1) if next_fast_len(n) == n)
    return int(2 * min(fast, key=lambda n: abs(n - half)))


@lru_cache(maxsize=64)
def _front_end(spec: MelSpec, hop_length: int) -> MelFrontEnd:
    """The front end of a mel for a sound that plays faster; many sounds share one."""
    front_end = MelFrontEnd(spec)
    if hop_length != spec.hop_length:
        front_end.framing = _FasterPlayed(spec, hop_length)
    return front_end


class _FasterPlayed(STFT):
    """The STFT of a sound that plays faster: windows and hops are longer, and its bins are those of the normal one."""

    def __init__(self, spec: MelSpec, hop_length: int) -> None:
        super().__init__(2 * round(spec.n_fft * hop_length / spec.hop_length / 2), hop_length)
        self._bins, self._scale = spec.n_bins, spec.n_fft / self.n_fft

    def forward(self, wav: Tensor, step: int = 1) -> Tensor:
        spectrum = self._scale * super().forward(wav, step)
        return F.pad(spectrum, (0, 0, 0, max(0, self._bins - spectrum.shape[1])))[:, : self._bins]


def of_wav(wav: Tensor, spec: MelSpec) -> LongMel:
    """The log-mel of wav (C, T) in memory."""
    return LongMel(lambda start, count: wav[:, start : start + count], wav.shape[-1], spec, len(wav))
