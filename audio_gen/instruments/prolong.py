"""Hold a note for longer than the model's clips: its log-mel walks over the frames of its steady part."""

import numpy as np
import torch
from torch import Tensor

from audio_gen.audio.mel import DB_PER_NAT
from audio_gen.instruments.steady import Steady, steady_part

EDGE_FRAMES = 2  # of the steady part, left out at both ends
LEAST_STEP_SEC = 0.12  # the walk turns after at least this long, and at most after the whole part
LEAST_FRAMES = 6


def steady_of(mel: Tensor, frame_rate: float) -> Steady | None:
    """The steady part of a log-mel (M, L) in nats, without rows of stereo."""
    levels = DB_PER_NAT * torch.logsumexp(2 * mel.double(), dim=0) / 2
    return steady_part(levels.numpy(), frame_rate)


def prolonged(image: Tensor, n_mels: int, frames: int, frame_rate: float, mel_floor: float, seed: int) -> Tensor:
    """A log-mel (rows, L) with more frames in its steady part, so that it is held until a frame.

    The walk goes back and forth through the steady part and turns at random places, so that nothing repeats at equal
    times. What decays goes on to decay: each frame has the level of its time. A note without a steady part stays.

    Args:
        image: Log-mel in nats, with rows of stereo below its `n_mels` bands if there are any.
        n_mels: Bands.
        frames: Frame until which the note is held.
        frame_rate: Frames per second.
        mel_floor: The level of silence.
        seed: Of the walk.
    """
    steady = steady_of(image[:n_mels], frame_rate)
    if steady is None or frames <= steady.stop:
        return image
    first, stop = steady.first + EDGE_FRAMES, steady.stop - EDGE_FRAMES
    if stop - first < LEAST_FRAMES:
        return image
    path = _walk(stop - first, frames - stop, max(2, round(LEAST_STEP_SEC * frame_rate)), np.random.default_rng(seed))
    slope = 0.0 if steady.sustained else min(0.0, steady.slope_db_per_sec)
    places = np.concatenate([np.arange(stop), first + path, np.arange(stop, image.shape[-1])])
    later = np.arange(len(places)) - places  # frames between the time of each frame and its time in the clip
    gain = torch.from_numpy(slope * later / frame_rate / DB_PER_NAT).to(image.dtype)
    out = image[:, places].clone()
    rows = out[:n_mels]
    out[:n_mels] = torch.where(rows > mel_floor, rows + gain, rows).clamp(min=mel_floor)
    return out


def _walk(count: int, steps: int, least: int, generator: np.random.Generator) -> np.ndarray:
    """Places (steps,) of a walk through `count` frames, from the last one backwards."""
    path: list[int] = []
    at, ahead = count - 1, -1
    while len(path) < steps:
        room = at if ahead < 0 else count - 1 - at
        run = room if room <= least else int(generator.integers(least, room + 1))
        path += range(at + ahead, at + ahead * (run + 1), ahead)
        at, ahead = at + ahead * run, -ahead
    return np.array(path[:steps], dtype=np.int64)
