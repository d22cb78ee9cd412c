"""How seamless a loop or a continuation is: the step of its log-mel and the jump of its samples at the join."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from audio_gen.audio.music_features import music_features, window_length

LOCAL_SEC, LONGEST_SEC = 0.02, 30.0
CLICK_OF_PEAK, CLICK_RATIO = 0.01, 1.5
AROUND = 8  # frames; a window of 4 hops reaches 2 to either side


@dataclass(frozen=True)
class Seam:
    """The join of a loop with itself, or of a continuation with what it continues.

    Attributes:
        step_z: The largest step between neighbouring log-mel frames across the join, as a z-score among those of the
            same number of frames everywhere inside. 0 is like the inside; above 2 it can be noticed.
        source_z: The same of the sound that the loop was cut from, at its start or its end, whichever is larger: a loop
            that starts with an attack has a large step there anyway. 0 if unknown.
        jump: The step from the last sample to the first, over the RMS of the 20 ms around the join.
        slip: That step without the one before it, over the same RMS: a click where it is large, a waveform that goes
            on where it is small.
        peak_jump: The step from the last sample to the first over the peak of the sound.
        slip_ratio: The slip at the join over the largest one at other samples of the 20 ms.
    """

    step_z: float
    source_z: float
    jump: float
    slip: float
    peak_jump: float
    slip_ratio: float

    @property
    def clicks(self) -> bool:
        """Whether the join can be heard as a click: a step above 1 % of the peak that none of its surroundings has."""
        return self.peak_jump > CLICK_OF_PEAK and self.slip_ratio > CLICK_RATIO


def seam(loop: np.ndarray, sample_rate: int, source: Sequence[np.ndarray] = ()) -> Seam:
    """Measure the join of a loop.

    Args:
        loop: (C, T) float32.
        sample_rate: In Hz.
        source: Parts (C, 2 * `reach(sample_rate)`) of the sound that it was cut from, around its start and its end.
    """
    mono, lead = loop.mean(0, dtype=np.float32), reach(sample_rate)
    # The frame grid starts so that the join lies on a frame.
    largest = _largest_steps(np.take(mono, np.arange(-lead, len(mono) + lead), mode="wrap"), sample_rate)
    inside = largest[AROUND + 2 : -AROUND - 2]
    mean, spread = (float(inside.mean()), float(inside.std())) if len(inside) else (0.0, 0.0)
    steps = [largest[AROUND - 2], *(_largest_steps(part.mean(0), sample_rate)[AROUND - 2] for part in source)]
    z, *source_z = ((float(step) - mean) / spread if spread > 0 else 0.0 for step in steps)
    local = _local(sample_rate)
    near = np.take(loop, np.arange(-local, local), axis=1, mode="wrap")
    return Seam(z, max(source_z, default=0.0), *_jumps(near, float(np.abs(loop).max())))


def join_seam(wav: np.ndarray, sample_rate: int, at: int) -> Seam:
    """Measure the join of a continuation, compared with 30 s on each side.

    Args:
        wav: (C, T) float32.
        sample_rate: In Hz.
        at: The first sample of the continuation, 1 .. T - 1.
    """
    assert 0 < at < wav.shape[1]
    hop, local = window_length(sample_rate) // 4, _local(sample_rate)
    frame = min(at, round(LONGEST_SEC * sample_rate)) // hop
    # The frame grid starts so that the join lies on a frame.
    part = wav[:, at - frame * hop : at + round(LONGEST_SEC * sample_rate)].mean(0, dtype=np.float32)
    missing = (max(0, local - at), max(0, at + local - wav.shape[1]))
    near = np.pad(wav[:, max(0, at - local) : at + local], [(0, 0), missing])
    z = 0.0
    if AROUND <= frame <= len(part) // hop - AROUND:
        largest = _largest_steps(part, sample_rate)
        places = np.arange(len(largest))
        inside = largest[(np.abs(places - (frame - 2)) > 4) & (places > 4) & (places < len(largest) - 4)]
        spread = float(inside.std())
        z = (float(largest[frame - 2]) - float(inside.mean())) / spread if spread > 0 else 0.0
    return Seam(z, 0.0, *_jumps(near, float(np.abs(wav).max())))


def _jumps(near: np.ndarray, peak: float) -> tuple[float, float, float, float]:
    """Jump, slip, jump over the peak and slip ratio in the middle of (C, 2 K) samples."""
    near, middle = near.astype(np.float64), near.shape[1] // 2
    rms = np.sqrt((near**2).mean(1) + 1e-12)
    steps = np.diff(near, axis=1)
    slips = np.abs(np.diff(steps, axis=1))
    jump = np.abs(steps[:, middle - 1])
    # A broken waveform has two large slips, at the join and one sample later.
    broken = [middle - 2, middle - 1]
    ratio = slips[:, broken].max(1) / np.maximum(np.delete(slips, broken, axis=1).max(1, initial=0), 1e-9)
    return (
        float((jump / rms).max()),
        float((slips[:, middle - 2] / rms).max()),
        float(jump.max()) / max(peak, 1e-9),
        float(ratio.max()),
    )


def _local(sample_rate: int) -> int:
    return max(4, round(LOCAL_SEC / 2 * sample_rate))


def reach(sample_rate: int) -> int:
    """Samples to either side of a join that its step depends on."""
    return AROUND * window_length(sample_rate) // 4


def _largest_steps(mono: np.ndarray, sample_rate: int) -> np.ndarray:
    """The largest step, in dB, among the log-mel frames that cover a place, for a place at each frame."""
    steps = np.abs(np.diff(music_features([mono], sample_rate, chroma=False).mel_db, axis=0)).mean(1)
    return np.lib.stride_tricks.sliding_window_view(steps, 4).max(1)
