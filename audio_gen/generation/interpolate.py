"""Interpolation between two sounds, in steps or as one morph."""

import math
import re

import torch
from torch import Tensor

from audio_gen.errors import ConfigError
from audio_gen.generation.latents import Latents
from audio_gen.generation.pipeline import Pipeline
from audio_gen.models.contract import CLASS, SCALARS, Conditions

DB_PER_NAT = 20 / math.log(10)
MAX_MORPH_SEC = 300.0
MAX_MORPH_POINTS = 64  # decoded along the way; between them log-mels are mixed
ATTACK_FADE_SEC = 0.02  # over which one attack gives way to another tail
ATTACK_SEC = 0.08  # is not stretched: a slow attack makes another instrument of a sound
END_BELOW_PEAK_DB = 40.0
DURATION = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(ms|s|min)?\s*")


def parse_duration(text: str) -> float:
    """Seconds from "4s", "4", "1.5 s", "500ms" or "1min".

    Raises:
        ConfigError: It is no duration, or not above 0 and at most 300 s.
    """
    match = DURATION.fullmatch(text.lower())
    if match is None:
        raise ConfigError(f"duration ({text}) must be a number with ms, s or min behind it; try 4s")
    duration_sec = float(match[1]) * {"ms": 0.001, "min": 60.0}.get(match[2] or "s", 1.0)
    if not 0 < duration_sec <= MAX_MORPH_SEC:
        raise ConfigError(f"duration ({text}) must be above 0 and at most {MAX_MORPH_SEC:g} s; try 4s")
    return duration_sec


def between(start: Latents, end: Latents, positions: Tensor) -> Latents:
    """Points on the straight line between two latents.

    Args:
        start: A set of one.
        end: A set of one.
        positions: (B,) from 0 (start) to 1 (end).

    Returns:
        B points, with a latent for each style layer where an end has that. Pitch (in semitones) and velocity move
        where both ends have one; the class, and what only one end has, is that of the nearer end.
    """
    late, ends = positions >= 0.5, (start.conditions, end.conditions)
    values = {name: torch.where(late, ends[1].get(name), ends[0].get(name)) for name in (CLASS, *SCALARS)}
    values |= {name: torch.lerp(ends[0].get(name), ends[1].get(name), positions) for name in _moving(*ends)}
    known = {name: value for name, value in values.items() if any(name in one.values for one in ends)}
    return Latents(torch.lerp(start.z, end.z, positions[:, None, None]), Conditions(len(positions), known))


def decode_between(
    pipeline: Pipeline, start: Latents, end: Latents, positions: Tensor, batch: int = 16, *, attack_sec: float = 0.0
) -> Tensor:
    """Log-mels along the way; at 0 and 1 they are exactly what the two ends decode to.

    Numbers of classes have no middle, so where the ends' classes differ (or only one has a pitch or a velocity) a point
    is decoded as either end would be, and the two log-mels are mixed. The level moves evenly from end to end.

    Args:
        pipeline: The model.
        start: A set of one.
        end: A set of one.
        positions: (B,) from 0 to 1.
        batch: Clips at a time on a GPU.
        attack_sec: So much from where the start is first heard stays the start's, and only what follows moves.

    Returns:
        mel (B, M, L).
    """
    points = between(start, end, positions)
    as_start, as_end = _conditioned_as(start, points, end), _conditioned_as(end, points, start)
    mel = pipeline.decode(as_start, batch)
    if not as_start.conditions.same(as_end.conditions):
        mel = torch.lerp(mel, pipeline.decode(as_end, batch), positions[:, None, None])
    first, last = pipeline.decode(start), pipeline.decode(end)
    mel = set_level(mel, torch.lerp(level_db(first), level_db(last), positions), pipeline.codec.mel_floor)
    if not attack_sec:
        return mel
    return with_attack(first, mel, attack_sec * pipeline.spec.frame_rate, ATTACK_FADE_SEC * pipeline.spec.frame_rate)


def _conditioned_as(end: Latents, points: Latents, other: Latents) -> Latents:
    """The points with the conditions of one end, but for those that move."""
    conditions = end.conditions.repeat(len(points))
    for name in _moving(end.conditions, other.conditions):
        conditions = conditions.replaced(name, points.conditions.get(name))
    return Latents(points.z, conditions)


def _moving(start: Conditions, end: Conditions) -> list[str]:
    """Names of the conditions that both ends have, and that have a middle."""
    return [name for name in SCALARS if bool(torch.isfinite(start.get(name) + end.get(name)).all())]


def level_db(mel: Tensor) -> Tensor:
    """Mean energy of log-mels (B, M, L), in dB (B,)."""
    # Clip by clip: a sum over a batch may round otherwise, and the ends must come out to the bit.
    energy = torch.stack([torch.logsumexp(2 * clip.flatten(), dim=0) for clip in mel])
    return DB_PER_NAT / 2 * (energy - math.log(mel[0].numel()))


def set_level(mel: Tensor, wanted_db: Tensor, mel_floor: float) -> Tensor:
    """Shift log-mels (B, M, L) to the levels wanted (B,): half-way points of a line are often quieter than its ends.

    What lies at the floor is silence and stays there.
    """
    shift = (wanted_db - level_db(mel)) / DB_PER_NAT
    return torch.where(mel > mel_floor, mel + shift[:, None, None], mel).clamp(min=mel_floor)


def with_attack(first: Tensor, mel: Tensor, attack: float, fade: float) -> Tensor:
    """Log-mels (B, M, L) whose attack is that of `first` (1, M, L): for `attack` frames from its onset, then a fade."""
    after = torch.arange(mel.shape[2]) - (heard_frames(first[0])[0] + attack)
    return torch.lerp(first.expand_as(mel), mel, (after / max(fade, 1.0)).clamp(0, 1))


def morph(
    pipeline: Pipeline, start: Latents, end: Latents, duration_sec: float, batch: int = 16, *, attack_sec: float = 0.0
) -> Tensor:
    """One sound of a given length whose timbre (and pitch) moves from `start` to `end`.

    The clip's course in time is spread over the whole duration, its attack excepted; frame after frame it is read from
    the log-mel of a later point on the way.

    Args:
        pipeline: The model.
        start: A set of one.
        end: A set of one.
        duration_sec: Length in seconds.
        batch: Clips at a time on a GPU.
        attack_sec: As for `decode_between`.

    Returns:
        mel (M, N), N frames.
    """
    frames = max(2, round(duration_sec * pipeline.spec.frame_rate))
    count = max(2, min(MAX_MORPH_POINTS, frames // 2))
    mels = decode_between(pipeline, start, end, torch.linspace(0, 1, count), batch, attack_sec=attack_sec)
    way = torch.linspace(0, 1, frames)
    last = torch.lerp(last_frame(mels[0]), last_frame(mels[-1]), way)
    time = stretched(frames, last, ATTACK_SEC * pipeline.spec.frame_rate)
    return read_bilinear(mels, way * (count - 1), time)


def last_frame(mel: Tensor) -> Tensor:
    """Number of the last frame of mel (M, L) that is not yet 40 dB quieter than the loudest, as a scalar tensor."""
    return heard_frames(mel)[-1].float()


def heard_frames(mel: Tensor) -> Tensor:
    """Numbers (N,) of the frames of mel (M, L) that are at most 40 dB quieter than the loudest; there is always one."""
    frame_db = level_db(mel.T[..., None])  # (L,)
    return torch.nonzero(frame_db >= frame_db.max() - END_BELOW_PEAK_DB)[:, 0]


def stretched(frames: int, last: Tensor, attack: float) -> Tensor:
    """Where in the clip each of `frames` frames is read: at its own speed in the attack, then evenly to `last` (N,)."""
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
