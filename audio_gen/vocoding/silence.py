"""Silence of a sound: before its onset, outside its mel, and at the floor of a model's mel."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from audio_gen.audio.mel import LOG_FLOOR, MelSpec
from audio_gen.audio.stft import STFT, padding

LEAD_SEC, RISE_SEC = 0.0005, 0.001  # the gate opens this long before an onset, over this time
FIRST_WEIGHT = 30.0  # weight of the first frame with sound, which is at the low end of its window
FIRST_SAMPLES = 32  # least samples of sound in that frame


@dataclass(frozen=True)
class Opening:
    """The onset of a sound, as a constraint on the iterations of a vocoder.

    Only the first frame with the onset in its window describes the first milliseconds. So the wave is silenced before
    the onset, and this frame has more weight.

    Attributes:
        onset: In samples of the wave; may be outside of it.
        sample_rate: In Hz.
    """

    onset: float
    sample_rate: float

    def later(self, samples: int) -> "Opening":
        """The same onset in a wave that starts `samples` later."""
        return Opening(self.onset - samples, self.sample_rate)

    def decimated(self, decimation: int) -> "Opening":
        """The same onset in a wave decimated by a factor."""
        return Opening(self.onset / decimation, self.sample_rate / decimation)

    def gate(self, samples: int) -> Tensor:
        """Factors (T,) of the wave: 0 before the onset, 1 after it, a raised cosine between."""
        opened = (torch.arange(samples, dtype=torch.float64) - self.onset) / self.sample_rate + LEAD_SEC
        return 0.5 - 0.5 * torch.cos(torch.pi * (opened / RISE_SEC).clamp(0, 1)).float()

    def first_frame(self, stft: STFT, decimation: int = 1) -> int:
        """Index of the first frame with enough of the sound; may be out of range."""
        end = stft.n_fft - stft.pad - FIRST_SAMPLES // decimation  # end of frame 0, less FIRST_SAMPLES
        return -int((end - self.onset) // stft.hop_length)

    def gain(self, stft: STFT, frames: int, decimation: int = 1) -> tuple[Tensor, int | None]:
        """Normalisation of overlapped frames, gate included.

        Returns:
            Factors (T,) of the overlapped wave, in which the first frame with sound has the weight FIRST_WEIGHT; and
            the index of that frame, None if out of range.
        """
        coverage, first = stft.coverage(frames)[0, 0], self.first_frame(stft, decimation)
        inside = 0 <= first < frames
        if inside:
            coverage = coverage + (FIRST_WEIGHT - 1) * stft.coverage_of(first, frames)
        return self.gate(len(coverage)) / coverage.cpu(), first if inside else None


def silent_frames(spec: MelSpec) -> int:
    """Frames of silence at each end that keep the reflected padding out of a sound."""
    return -(-padding(spec.n_fft, spec.hop_length) // spec.hop_length)


def between_silence(
    vocode: Callable[[Tensor, Opening | None], Tensor], mel: Tensor, spec: MelSpec, onset: float | None
) -> Tensor:
    """Vocode a mel with silence added at both ends, and remove these ends.

    Args:
        vocode: Log-mel (B, M, L) and its opening -> wav (B, 1, L * hop_length).
        mel: (B, M, L).
        spec: Mel definition.
        onset: Sample at which all clips begin; None if unknown.
    """
    frames = silent_frames(spec)
    samples = spec.samples(frames)
    opening = None if onset is None else Opening(onset + samples, spec.sample_rate)
    wav = vocode(F.pad(mel, (frames, frames), value=LOG_FLOOR), opening)
    return wav[..., samples : wav.shape[-1] - samples]


def subtract_floor(mel: Tensor, floor: float) -> Tensor:
    """Subtract the amplitude of a model's mel floor from a log-mel.

    A model that clamps mels at a floor cannot tell silence from a level just above it. Without the subtraction an error
    of 0.01 nats above the floor would add a faint hiss. Levels far above the floor do not change.

    Args:
        mel: Natural-log mel of any shape.
        floor: In nats; levels at or below it become silence.

    Returns:
        Natural-log mel of the same shape, nowhere below LOG_FLOOR.

    Source: Boll 1979 (spectral subtraction).
    """
    left = -torch.expm1(floor - mel.clamp(min=floor))  # remaining share of the amplitude, 0 at the floor
    return torch.where(left > 0, mel + left.clamp(min=1e-30).log(), LOG_FLOOR).clamp(min=LOG_FLOOR)
