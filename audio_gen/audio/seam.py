"""Seams: how much a loop's end differs from its start, or a continuation from what it continues."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from audio_gen.audio.mel import DB_PER_NAT, MelFrontEnd, MelSpec

FRAME_SEC = 0.046  # the nearest power of two is 2048 samples at 44.1 kHz
FRAMES_PER_WINDOW, BANDS, FLOOR_DB = 4, 40, -60.0
TOUCHING = FRAMES_PER_WINDOW + 1  # steps between frames of which one covers the seam
LEAD = 3 * FRAMES_PER_WINDOW  # frames around a loop
LONGEST_SEC = 30.0  # of the sound on each side that a step is compared with
LOCAL_SEC = 0.02
CLICK_RATIO, CLICK_OF_PEAK = 1.5, 0.01


@dataclass(frozen=True)
class Seam:
    """A seam, compared with the sound around it.

    Attributes:
        step_z: The largest step between neighbouring log-mel frames at the seam, as a z-score among the largest steps
            of as many frames elsewhere. 0 is usual; above 2 it can be noticed. 0 if the sound is too short to tell.
        jump: Step from the last sample before the seam to the first one after it, over the RMS of the 20 ms around it.
        peak_jump: That step over the peak of the sound.
        slip: That step less the one before it, over the same RMS: small where the waveform continues.
        slip_ratio: `slip` over the largest one at other samples of the 20 ms.
    """

    step_z: float
    jump: float
    peak_jump: float
    slip: float
    slip_ratio: float

    @property
    def clicks(self) -> bool:
        """Whether a click can be heard: a step above 1 % of the peak that none of its surroundings reaches."""
        return self.peak_jump > CLICK_OF_PEAK and self.slip_ratio > CLICK_RATIO


def loop_seam(loop: np.ndarray, sample_rate: int) -> Seam:
    """Measure the seam of a loop: from its end to its start.

    Args:
        loop: (C, T) float32, T at least 2.
        sample_rate: In Hz.
    """
    hop = _spec(sample_rate).hop_length
    lead = LEAD * hop
    mono = np.take(loop.mean(0, dtype=np.float32), np.arange(-lead, loop.shape[1] + lead), mode="wrap")
    near = np.take(loop, np.arange(-_local(sample_rate), _local(sample_rate)), axis=1, mode="wrap")
    inside = slice(LEAD + FRAMES_PER_WINDOW, LEAD + loop.shape[1] // hop - FRAMES_PER_WINDOW)
    return _seam(_step_z(mono, sample_rate, LEAD, inside), near, float(np.abs(loop).max()))


def join_seam(wav: np.ndarray, sample_rate: int, at: int) -> Seam:
    """Measure the seam of a continuation.

    Args:
        wav: (C, T) float32.
        sample_rate: In Hz.
        at: The first sample after the seam, 1 .. T - 1.
    """
    assert 0 < at < wav.shape[1]
    hop, local = _spec(sample_rate).hop_length, _local(sample_rate)
    frames = min(at, round(LONGEST_SEC * sample_rate)) // hop
    mono = wav[:, at - frames * hop : at + round(LONGEST_SEC * sample_rate)].mean(0, dtype=np.float32)
    near = np.pad(
        wav[:, max(0, at - local) : at + local], [(0, 0), (max(0, local - at), max(0, at + local - wav.shape[1]))]
    )
    inside = slice(FRAMES_PER_WINDOW, len(mono) // hop - FRAMES_PER_WINDOW)
    return _seam(_step_z(mono, sample_rate, frames, inside), near, float(np.abs(wav).max()))


def _seam(step_z: float, near: np.ndarray, peak: float) -> Seam:
    """The seam between both halves of `near` (C, 2 * K)."""
    middle = near.shape[1] // 2
    rms = np.sqrt((near.astype(np.float64) ** 2).mean(1) + 1e-12)
    steps = np.diff(near.astype(np.float64), axis=1)  # (C, K - 1)
    slips = np.abs(np.diff(steps, axis=1))
    jump, slip = np.abs(steps[:, middle - 1]), slips[:, middle - 2]
    # A broken waveform has two large differences of steps, at the seam and one sample later.
    elsewhere = np.delete(slips, [middle - 2, middle - 1], axis=1).max(1, initial=0)
    at_seam = slips[:, middle - 2 : middle].max(1)
    return Seam(
        step_z,
        float((jump / rms).max()),
        float(jump.max()) / max(peak, 1e-9),
        float((slip / rms).max()),
        float((at_seam / np.maximum(elsewhere, 1e-9)).max()),
    )


def _step_z(mono: np.ndarray, sample_rate: int, frame: int, inside: slice) -> float:
    """The z-score of the steps where `frame` begins among those of the frames `inside`."""
    spec = _spec(sample_rate)
    wav = torch.from_numpy(np.ascontiguousarray(mono[: len(mono) // spec.hop_length * spec.hop_length]))
    if len(wav) <= spec.n_fft:
        return 0.0
    with torch.inference_mode():
        level = DB_PER_NAT * _front_end(spec)(wav[None, None])[0].numpy()  # (M, L)
    level = np.maximum(level, level.max() + FLOOR_DB)
    steps = np.abs(np.diff(level, axis=1)).mean(0)  # steps[i] is from frame i to frame i + 1
    largest = np.lib.stride_tricks.sliding_window_view(steps, min(TOUCHING, len(steps))).max(1)
    first = frame - 1 - TOUCHING // 2  # of the steps that touch the seam
    if not 0 <= first < len(largest):
        return 0.0
    rest = np.arange(max(0, inside.start), min(inside.stop - TOUCHING, len(largest)))
    rest = rest[np.abs(rest - first) > TOUCHING]
    spread = float(largest[rest].std()) if len(rest) > TOUCHING else 0.0
    return (float(largest[first]) - float(largest[rest].mean())) / spread if spread > 1e-6 else 0.0


def _local(sample_rate: int) -> int:
    return max(4, round(LOCAL_SEC / 2 * sample_rate))


@lru_cache(maxsize=4)
def _spec(sample_rate: int) -> MelSpec:
    n_fft = 2 ** max(8, round(math.log2(FRAME_SEC * sample_rate)))
    return MelSpec(sample_rate, n_fft, n_fft // FRAMES_PER_WINDOW, BANDS)


@lru_cache(maxsize=4)
def _front_end(spec: MelSpec) -> MelFrontEnd:
    with torch.inference_mode(False):
        return MelFrontEnd(spec)
