"""Notes of one instrument of a model: one seed at any pitch, velocity and take, in one timbre."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from audio_gen.audio.mel import DB_PER_NAT
from audio_gen.audio.mel_scale import hz_to_mel, mel_to_hz
from audio_gen.audio.stereo import on_mel
from audio_gen.generation.latents import Latents
from audio_gen.generation.pipeline import MAX_SEED, Pipeline
from audio_gen.generation.vocabulary import LOUDEST
from audio_gen.midi.score import pitch_to_hz
from audio_gen.models.contract import CLASS

OCTAVE = 12
TAKE_DB = 2.0  # how far a take is from the first one; a new sound is about 10 dB away
TAKE_MOST = 0.5  # of the way to a new sound
TAKE_STEPS = 8
SOFT_DB_PER_OCTAVE = 3.0  # how much darker the softest note is, above its hinge
HINGE_HZ = 250.0
HINGE_HARMONICS = 2.0
TAKE_SEED = 7919  # between the seeds of the takes of one instrument


@dataclass(frozen=True)
class Played:
    """What a note asks of a model.

    Attributes:
        pitch: MIDI pitch; None for a model without pitch.
        velocity: 1 to 127.
        take: 0 for the first, 1, 2, .. for others that differ a little.
    """

    pitch: float | None
    velocity: float = float(LOUDEST)
    take: int = 0


class ModelNotes:
    """An instrument: one seed of a model.

    A pitched one draws a latent at each octave with the same seed, and blends neighbouring ones in between, so that
    neighbouring notes have neighbouring timbres. Softer notes are darker: by the velocity that the model learned, or
    else by a slope of the spectrum.
    """

    def __init__(
        self, pipeline: Pipeline, *, seed: int = 0, class_name: str | None = None, temperature: float = 1.0
    ) -> None:
        """One seed of a model of clips; without a class the seed draws one, and keeps it."""
        self.pipeline, self.seed, self.temperature = pipeline, seed, temperature
        known = pipeline.vocabulary
        self.pitched = known.pitch_range is not None
        if class_name is None and known.classes:
            middle = sum(known.pitch_range) / 2 if known.pitch_range else None
            drawn = pipeline.latents([seed], pitch=middle, temperature=temperature)
            class_name = known.class_name(int(drawn.conditions.get(CLASS)[0]))
        self.class_name = class_name
        self._anchors: dict[tuple[int, float | None, float | None], Tensor] = {}

    @staticmethod
    def range_of(pipeline: Pipeline) -> tuple[int, int]:
        """The lowest and highest whole MIDI pitch that a model learned."""
        assert pipeline.vocabulary.pitch_range is not None
        low, high = pipeline.vocabulary.pitch_range
        return math.ceil(low - 0.5), math.floor(high + 0.5)

    @property
    def pitch_range(self) -> tuple[int, int]:
        """The lowest and highest whole MIDI pitch that the model learned."""
        return self.range_of(self.pipeline)

    def latents(self, notes: Sequence[Played]) -> Latents:
        """The latents of notes (B)."""
        return Latents.join([self._latent(note) for note in notes])

    def mels(self, notes: Sequence[Played]) -> Tensor:
        """Log-mels (B, M, L) of notes, without the silence below the mel floor changed."""
        mels = self.pipeline.decode(self.latents(notes))
        if self.pipeline.vocabulary.velocity_range is not None:
            return mels
        return torch.stack([self._darker(mel, note) for mel, note in zip(mels, notes, strict=True)])

    def render(self, notes: Sequence[Played]) -> Tensor:
        """Notes as the vocoder makes them, (B, C, T)."""
        return self.pipeline.vocode(self.mels(notes))

    def _latent(self, note: Played) -> Latents:
        velocity = note.velocity if self.pipeline.vocabulary.velocity_range is not None else None
        conditions = self.pipeline.vocabulary.requested(self.class_name, note.pitch, velocity, "clamp")
        z = self._blended(note.pitch, velocity, 0)
        if note.take:
            z = torch.lerp(z, self._blended(note.pitch, velocity, note.take), self._take_share(note.take))
        return Latents(z, conditions)

    def _blended(self, pitch: float | None, velocity: float | None, take: int) -> Tensor:
        """z (1, N, D) between the anchors around a pitch."""
        if pitch is None:
            return self._anchor(None, velocity, take)
        low, high = self.pitch_range
        count = max(1, round((high - low) / OCTAVE))
        place = min(max((pitch - low) / max(1, high - low), 0.0), 1.0) * count
        below = min(int(place), count - 1)
        first, second = (low + (high - low) * i / count for i in (below, below + 1))
        return torch.lerp(self._anchor(first, velocity, take), self._anchor(second, velocity, take), place - below)

    def _anchor(self, pitch: float | None, velocity: float | None, take: int) -> Tensor:
        key = take, pitch, velocity
        if key not in self._anchors:
            seed = (self.seed + TAKE_SEED * take) % MAX_SEED
            drawn = self.pipeline.latents(
                [seed], class_name=self.class_name, pitch=pitch, velocity=velocity, temperature=self.temperature,
                outside="clamp",
            )  # fmt: skip
            self._anchors[key] = drawn.z
        return self._anchors[key]

    @cached_property
    def _shares(self) -> dict[int, float]:
        return {}

    def _take_share(self, take: int) -> float:
        """How far a take moves towards its seed, so that it is 2 dB from the first, measured in the middle of the
        range."""
        if take not in self._shares:
            pitch = float(sum(self.pitch_range)) / 2 if self.pitched else None
            velocity = float(LOUDEST) if self.pipeline.vocabulary.velocity_range is not None else None
            known = self.pipeline.vocabulary.requested(self.class_name, pitch, velocity, "clamp")
            here, there = self._blended(pitch, velocity, 0), self._blended(pitch, velocity, take)
            shares = torch.linspace(0, TAKE_MOST, TAKE_STEPS + 1)
            points = Latents(torch.lerp(here, there, shares[:, None, None]), known.repeat(len(shares)))
            mels = self.pipeline.decode(points)[:, : self.pipeline.spec.n_mels]
            away = DB_PER_NAT * (mels - mels[:1]).abs().mean((1, 2))
            far = int((away < TAKE_DB).long().cumprod(0).sum())  # the first step that is too far
            share = float(shares[min(far, TAKE_STEPS)])
            if 0 < far <= TAKE_STEPS:  # between it and the one before
                below, above = float(away[far - 1]), float(away[far])
                share -= (above - TAKE_DB) / max(above - below, 1e-6) * float(shares[1])
            self._shares[take] = share
        return self._shares[take]

    def _darker(self, mel: Tensor, note: Played) -> Tensor:
        """An image (rows, L) with the slope of a softer note."""
        softness = 1 - min(max(note.velocity, 0.0), float(LOUDEST)) / LOUDEST
        if not softness:
            return mel
        spec, floor = self.pipeline.spec, self.pipeline.codec.mel_floor
        low, high = spec.f_min, spec.f_max or spec.sample_rate / 2
        centres_hz = mel_to_hz(torch.linspace(hz_to_mel(low), hz_to_mel(high), spec.n_mels + 2)[1:-1])
        f0_hz = 0.0 if note.pitch is None else pitch_to_hz(note.pitch)
        octaves = torch.log2(centres_hz / max(HINGE_HZ, HINGE_HARMONICS * f0_hz)).clamp(min=0)
        change = -softness * SOFT_DB_PER_OCTAVE / DB_PER_NAT * octaves

        def slope(rows: Tensor) -> Tensor:
            moved = rows + change[:, None].to(rows.dtype)
            return torch.where(rows > floor, moved, rows).clamp(min=floor)

        return on_mel(mel, spec.n_mels, slope)
