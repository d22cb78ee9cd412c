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
    """Points on the straight line between two latents.

    Args:
        start: A set of one.
        end: A set of one.
        positions: (B,) from 0 (start) to 1 (end).

    Returns:
        B points, with a latent per style layer if an end has that. Pitch (in semitones) and velocity are interpolated
        if both ends have one; class, and conditions of one end only, are those of the closer end.
    """
    late, ends = positions >= 0.5, (start.conditions, end.conditions)
    values = {name: torch.where(late, ends[1].get(name), ends[0].get(name)) for name in (CLASS, *SCALARS)}
    values |= {name: torch.lerp(ends[0].get(name), ends[1].get(name), positions) for name in _moving(*ends)}
    known = {name: value for name, value in values.items() if any(name in one.values for one in ends)}
    return Latents(torch.lerp(start.z, end.z, positions[:, None, None]), Conditions(len(positions), known))


def decode_between(
    pipeline: Pipeline, start: Latents, end: Latents, positions: Tensor, batch: int = 16, *, attack_sec: float = 0.0
) -> Tensor:
    """Log-mels between two latents; at 0 and 1 they are exactly those of the ends.

    Classes have no middle. If the ends' classes differ (or only one has a pitch or a velocity), a point is decoded with
    the conditions of each end, and the two log-mels are mixed. The level is interpolated in dB.

    Args:
        pipeline: The model.
        start: A set of one.
        end: A set of one.
        positions: (B,) from 0 to 1.
        batch: Clips at a time on a GPU.
        attack_sec: This much of the start, from its onset, stays; only the rest moves.

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
    """The points with the conditions of one end, except for interpolated ones."""
    conditions = end.conditions.repeat(len(points))
    for name in _moving(end.conditions, other.conditions):
        conditions = conditions.replaced(name, points.conditions.get(name))
    return Latents(points.z, conditions)


def _moving(start: Conditions, end: Conditions) -> list[str]:
    """Names of the conditions that are interpolated: numbers that both ends have."""
    return [name for name in SCALARS if bool(torch.isfinite(start.get(name) + end.get(name)).all())]


def level_db(mel: Tensor) -> Tensor:
    """Mean energy of log-mels (B, M, L), in dB (B,)."""
    # Clip by clip: a sum over a batch may round differently, and the ends must be exact.
    energy = torch.stack([torch.logsumexp(2 * clip.flatten(), dim=0) for clip in mel])
    return DB_PER_NAT / 2 * (energy - math.log(mel[0].numel()))


def set_level(mel: Tensor, wanted_db: Tensor, mel_floor: float) -> Tensor:
    """Shift log-mels (B, M, L) to levels (B,): midpoints of a line are often quieter than its ends.

    Values at the floor are silence and stay.
    """
    shift = (wanted_db - level_db(mel)) / DB_PER_NAT
    return torch.where(mel > mel_floor, mel + shift[:, None, None], mel).clamp(min=mel_floor)


def with_attack(first: Tensor, mel: Tensor, attack: float, fade: float) -> Tensor:
    """Log-mels (B, M, L) with the attack of `first` (1, M, L): for `attack` frames from its onset, then a crossfade."""
    after = torch.arange(mel.shape[2]) - (sounding_frames(first[0])[0] + attack)
    return torch.lerp(first.expand_as(mel), mel, (after / max(fade, 1.0)).clamp(0, 1))


def morph(
    pipeline: Pipeline, start: Latents, end: Latents, duration_sec: float, batch: int = 16, *, attack_sec: float = 0.0
) -> Tensor:
    """One sound of a given length whose timbre (and pitch) moves from `start` to `end`.

    The clip is stretched to the duration except for its attack; each frame is read from a later point of the
    interpolation.

    Args:
        pipeline: The model.
        start: A set of one.
        end: A set of one.
        duration_sec: Length in seconds.
        batch: Clips at a time on a GPU.
        attack_sec: See `decode_between`.

    Returns:
        mel (M, N), N frames.
    """
    frames = max(2, round(duration_sec * pipeline.spec.frame_rate))
    count = max(2, min(MAX_MORPH_POINTS, frames // 2))
    mels = decode_between(pipeline, start, end, torch.linspace(0, 1, count), batch, attack_sec=attack_sec)
    positions = torch.linspace(0, 1, frames)
    last = torch.lerp(last_frame(mels[0]), last_frame(mels[-1]), positions)
    time = stretched(frames, last, ATTACK_SEC * pipeline.spec.frame_rate)
    return read_bilinear(mels, positions * (count - 1), time)


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
