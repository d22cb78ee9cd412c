"""One level for all zones of an instrument, so that no key jumps out."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from audio_gen.audio.loudness import loudness_lufs
from audio_gen.audio.onset import amplitude
from audio_gen.generation.finish import PEAK_DB

HEARD_SEC = 1.0  # a note's loudness is that of its first second
ATTACK_WINDOW_SEC = 0.002
QUIETEST_LUFS = -30.0  # a peak may lower the common level to this, and not further


def loudness_of(wav: Tensor, sample_rate: int) -> float:
    """Loudness in LUFS of the first second of a note (C, T); NaN for silence."""
    return loudness_lufs(wav[:, : round(HEARD_SEC * sample_rate)], sample_rate)


def even(wavs: Sequence[Tensor], sample_rate: int, heard: Sequence[Tensor] | None = None) -> list[Tensor]:
    """Sounds (C, T) at one loudness: the largest at which no peak exceeds -1 dBFS.

    With `heard` the loudness is that of these, as of sounds whose loops are played.

    A sound whose peak would still exceed it, because the common level cannot be below -30 LUFS, is softer.
    """
    loudness = [loudness_of(wav, sample_rate) for wav in heard or wavs]
    peaks = [20 * math.log10(max(float(wav.abs().max()), 1e-9)) for wav in wavs]
    known = [(level, peak) for level, peak in zip(loudness, peaks, strict=True) if math.isfinite(level)]
    common = max(QUIETEST_LUFS, min((PEAK_DB + level - peak for level, peak in known), default=QUIETEST_LUFS))
    gains = [
        min(common - level, PEAK_DB - peak) if math.isfinite(level) else 0.0
        for level, peak in zip(loudness, peaks, strict=True)
    ]
    return [wav * amplitude(gain) for wav, gain in zip(wavs, gains, strict=True)]


def attack_sec(wav: Tensor, sample_rate: int) -> float:
    """The time from the start of a sound (C, T) to the first 2 ms that are half as loud as its loudest 2 ms."""
    size = max(1, round(ATTACK_WINDOW_SEC * sample_rate))
    power = torch.nn.functional.avg_pool1d(wav.square().mean(0)[None, None], size, max(1, size // 4))[0, 0]
    reached = torch.nonzero(power >= power.max() / 4)
    return float(reached[0]) * max(1, size // 4) / sample_rate if len(reached) else 0.0


def centroid_hz(wav: Tensor, sample_rate: int) -> float:
    """The spectral centroid of a sound (C, T) in Hz."""
    power = torch.fft.rfft(wav.mean(0).double()).abs().square()
    return float((power * torch.linspace(0, sample_rate / 2, len(power))).sum() / power.sum().clamp(min=1e-20))
