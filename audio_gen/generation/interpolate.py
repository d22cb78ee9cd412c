"""The way from one sound to another: in equal steps, or as one sound that glides."""

import re
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from audio_gen.audio.stereo import FRAMES, Strip, packed, unpacked
from audio_gen.errors import ConfigError
from audio_gen.generation.blend import Blend, blended, line
from audio_gen.generation.latents import Latents
from audio_gen.generation.level import level_db
from audio_gen.generation.pipeline import Pipeline
from audio_gen.generation.source import Source
from audio_gen.generation.spacing import equal_steps

MAX_MORPH_SEC = 300.0
MAX_MORPH_POINTS = 64  # decoded points; log-mels between them are interpolated
ATTACK_FADE_SEC = 0.02  # crossfade from an attack to another tail
ATTACK_SEC = 0.08  # not stretched: a slow attack sounds like another instrument
END_BELOW_PEAK_DB = 40.0
DURATION = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(ms|s|min)?\s*")


def parse_duration(text: str) -> float:
    """Seconds from "4s", "4", "1.5 s", "500ms" or "1min".

    Raises:
        ConfigError: It is not a duration, or not above 0 and at most 300 s.
    """
    match = DURATION.fullmatch(text.lower())
    if match is None:
        raise ConfigError(f"duration ({text}) must be a number followed by ms, s or min; try 4s")
    duration_sec = float(match[1]) * {"ms": 0.001, "min": 60.0}.get(match[2] or "s", 1.0)
    if not 0 < duration_sec <= MAX_MORPH_SEC:
        raise ConfigError(f"duration ({text}) must be above 0 and at most {MAX_MORPH_SEC:g} s; try 4s")
    return duration_sec


def between(start: Latents, end: Latents, positions: Tensor) -> Latents:
    """Points on the straight line between two latents, each a set of one, at positions (B,) from 0 to 1.

    See `blended` for their conditions.
    """
    return blended([start, end], line(positions))


def decode_between(
    pipeline: Pipeline, start: Latents, end: Latents, positions: Tensor, batch: int = 16, *, attack_sec: float = 0.0
) -> Tensor:
    """Log-mels (B, M, L) between two latents, each a set of one; see `PathBetween`."""
    ends = Source.exact(pipeline, start), Source.exact(pipeline, end)
    return PathBetween(pipeline, *ends, attack_sec).mel(positions, batch)


@dataclass(frozen=True)
class PathBetween:
    """The way from one sound to another.

    Attributes:
        pipeline: The model.
        start: The sound at position 0.
        end: The sound at position 1.
        attack_sec: This much of the start, from its onset, stays; only the rest moves.
    """

    pipeline: Pipeline
    start: Source
    end: Source
    attack_sec: float = 0.0

    def points(self, positions: Tensor) -> Latents:
        """The latents at positions (B,)."""
        return between(self.start.latents, self.end.latents, positions)

    def mel(self, positions: Tensor, batch: int = 16) -> Tensor:
        """The log-mels (B, M, L) at positions (B,); at 0 and 1 they are exactly those of the ends."""
        mel = Blend(self.pipeline, (self.start, self.end)).mel(line(positions), batch)
        if not self.attack_sec:
            return mel
        spec = self.pipeline.spec
        attack, fade = (seconds * spec.frame_rate for seconds in (self.attack_sec, ATTACK_FADE_SEC))
        return with_attack(self.start.mel, mel, attack, fade, spec.n_mels)

    def steps(self, count: int) -> tuple[Tensor, Tensor]:
        """`count` positions whose sounds are equally far apart, and their distances from the start in dB."""
        return equal_steps(lambda positions: self.mel(positions)[:, : self.pipeline.spec.n_mels], count)


def with_attack(first: Tensor, mel: Tensor, attack: float, fade: float, n_mels: int | None = None) -> Tensor:
    """Log-mels (B, M, L) with the attack of `first` (1, M, L): for `attack` frames from its onset, then a crossfade.

    Rows from `n_mels` on are those of stereo.
    """
    after = torch.arange(mel.shape[2]) - (sounding_frames(first[0, :n_mels])[0] + attack)
    weights = (after / max(fade, 1.0)).clamp(0, 1)
    mixed = torch.lerp(first.expand_as(mel), mel, weights)
    if n_mels is None or n_mels == mel.shape[1]:
        return mixed
    held = _pooled(weights).repeat_interleave(FRAMES)[: mel.shape[2]]  # a value of stereo is of several frames
    strip = torch.lerp(first[:, n_mels:].expand_as(mel[:, n_mels:]), mel[:, n_mels:], held)
    return torch.cat([mixed[:, :n_mels], strip], dim=1)


def glide(path: PathBetween, duration_sec: float) -> Tensor:
    """One sound of a given length whose timbre (and pitch) moves evenly from the start of a path to its end.

    The clip is stretched to the duration except for its attack; each frame is read from a later point of the path.

    Args:
        path: The path.
        duration_sec: Length in seconds.

    Returns:
        mel (M, N), N frames, with the rows of stereo of the path.
    """
    frame_rate, n_mels = path.pipeline.spec.frame_rate, path.pipeline.spec.n_mels
    frames = max(2, round(duration_sec * frame_rate))
    count = max(2, min(MAX_MORPH_POINTS, frames // 2))
    mels = path.mel(path.steps(count)[0])
    positions = torch.linspace(0, 1, frames)
    last = torch.lerp(last_frame(mels[0, :n_mels]), last_frame(mels[-1, :n_mels]), positions)
    time, points = stretched(frames, last, ATTACK_SEC * frame_rate), positions * (count - 1)
    mel = read_bilinear(mels[:, :n_mels], points, time)
    if mels.shape[1] == n_mels:
        return mel
    values = torch.cat(unpacked(mels[:, n_mels:]), dim=1)  # (K, 2 bands, N), each for FRAMES frames
    read = read_bilinear(values, _pooled(points), ((_pooled(time) + 0.5) / FRAMES - 0.5).clamp(min=0))
    return torch.cat([mel, packed(Strip(*read[None].chunk(2, dim=1)), frames)[0]])


def _pooled(x: Tensor) -> Tensor:
    """Means (N,) of FRAMES frames of x (L,); the last may be of fewer."""
    return F.avg_pool1d(x[None], FRAMES, ceil_mode=True)[0]


def last_frame(mel: Tensor) -> Tensor:
    """Index of the last frame of mel (M, L) within 40 dB of the loudest, as a scalar tensor."""
    return sounding_frames(mel)[-1].float()


def sounding_frames(mel: Tensor) -> Tensor:
    """Indices (N,), at least one, of the frames of mel (M, L) within 40 dB of the loudest."""
    frame_db = level_db(mel.T[..., None])  # (L,)
    return torch.nonzero(frame_db >= frame_db.max() - END_BELOW_PEAK_DB)[:, 0]


def stretched(frames: int, last: Tensor, attack: float) -> Tensor:
    """Positions in the clip of `frames` frames: at original speed in the attack, then evenly to `last` (N,)."""
    attack = min(attack, frames / 4, float(last.min()) / 2)
    step = torch.arange(frames, dtype=torch.float32)
    rest = (step - attack) / max(frames - 1 - attack, 1e-6)
    return torch.where(step <= attack, step, attack + rest * (last - attack))


def read_bilinear(mels: Tensor, point: Tensor, time: Tensor) -> Tensor:
    """Read mels (K, M, L) at real-valued points (N,) and frames (N,) -> (M, N)."""

    def at(k: Tensor) -> Tensor:
        low = time.floor().long().clamp(0, mels.shape[2] - 1)
        high = (low + 1).clamp(max=mels.shape[2] - 1)
        return torch.lerp(mels[k, :, low], mels[k, :, high], (time - low)[:, None])  # (N, M)

    low = point.floor().long().clamp(0, len(mels) - 1)
    high = (low + 1).clamp(max=len(mels) - 1)
    return torch.lerp(at(low), at(high), (point - low)[:, None]).T
