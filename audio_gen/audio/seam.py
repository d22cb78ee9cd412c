"""How seamless a loop is: the step of its log-mel and the jump of its samples where its end meets its start."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from audio_gen.audio.music_features import music_features, window_length

LOCAL_SEC = 0.02
AROUND = 8  # frames; a window of 4 hops reaches 2 to either side


@dataclass(frozen=True)
class Seam:
    """The join of a loop with itself.

    Attributes:
        step_z: The largest step between neighbouring log-mel frames across the join, as a z-score among those of the
            same number of frames everywhere inside. 0 is like the inside; above 2 it can be noticed.
        source_z: The same of the sound that the loop was cut from, at its start or its end, whichever is larger: a loop
            that starts with an attack has a large step there anyway. 0 if unknown.
        jump: The step from the last sample to the first, over the RMS of the 20 ms around the join.
        slip: That step without the one before it, over the same RMS: a click where it is large, a waveform that goes
            on where it is small.
    """

    step_z: float
    source_z: float
    jump: float
    slip: float


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
    local = max(2, round(LOCAL_SEC / 2 * sample_rate))
    near = np.take(loop, np.arange(-local, local), axis=1, mode="wrap")
    rms = np.sqrt((near**2).mean(1) + 1e-12)
    step = near[:, local] - near[:, local - 1]
    before = near[:, local - 1] - near[:, local - 2]
    return Seam(
        z, max(source_z, default=0.0), float((np.abs(step) / rms).max()), float((np.abs(step - before) / rms).max())
    )


def reach(sample_rate: int) -> int:
    """Samples to either side of a join that its step depends on."""
    return AROUND * window_length(sample_rate) // 4


def _largest_steps(mono: np.ndarray, sample_rate: int) -> np.ndarray:
    """The largest step, in dB, among the log-mel frames that cover a place, for a place at each frame."""
    steps = np.abs(np.diff(music_features([mono], sample_rate, chroma=False).mel_db, axis=0)).mean(1)
    return np.lib.stride_tricks.sliding_window_view(steps, 4).max(1)
