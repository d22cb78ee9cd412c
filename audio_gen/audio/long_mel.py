"""The log-mel of a sound of any length, computed in parts that equal the whole."""

from collections.abc import Callable

import torch
from torch import Tensor

from audio_gen.audio.mel import MelFrontEnd, MelSpec
from audio_gen.audio.stereo import FRAMES
from audio_gen.audio.stft import padding

ReadSamples = Callable[[int, int], Tensor]  # first sample and number of samples, inside the sound -> wav (C, T)


class LongMel:
    """Reads frames of a sound; what is before and after it is silence."""

    def __init__(self, read: ReadSamples, samples: int, spec: MelSpec, channels: int) -> None:
        """For a sound of `samples` samples; the last frame may be partly silent."""
        self._read, self._samples, self.spec, self._channels = read, samples, spec, channels
        self._front_end = MelFrontEnd(spec)
        self._margin = FRAMES * -(-padding(spec.n_fft, spec.hop_length) // (FRAMES * spec.hop_length))  # frames
        self.frames = -(-samples // spec.hop_length)

    def __call__(self, first: int, stop: int) -> Tensor:
        """Frames from `first` to `stop`, multiples of 4, as an image (R, stop - first)."""
        begin, end = (self.spec.samples(1) * frame for frame in (first - self._margin, stop + self._margin))
        wav = torch.zeros(self._channels, end - begin)
        inside = max(0, begin), min(self._samples, end)
        if inside[1] > inside[0]:
            wav[:, inside[0] - begin : inside[1] - begin] = self._read(inside[0], inside[1] - inside[0])
        with torch.no_grad():
            image: Tensor = self._front_end(wav[None])[0]
        return image[:, self._margin : self._margin + stop - first]


def of_wav(wav: Tensor, spec: MelSpec) -> LongMel:
    """The log-mel of wav (C, T) in memory."""
    return LongMel(lambda start, count: wav[:, start : start + count], wav.shape[-1], spec, len(wav))
