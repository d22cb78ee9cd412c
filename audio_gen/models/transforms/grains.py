"""Transfer without training: every frame of a sound becomes a frame of the target, chosen so that they follow on."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from audio_gen.audio.log_frequency import BINS_PER_SEMITONE
from audio_gen.audio.mel import MelSpec
from audio_gen.audio.resample import resample
from audio_gen.models.contract import Kept
from audio_gen.models.salience import PITCHES
from audio_gen.models.transforms.matching import Matching
from audio_gen.models.transforms.sound import (
    COARSE,
    FLOOR,
    FLUX_FRAMES,
    LOUDER_DB,
    SMOOTHINGS,
    Ranges,
    Smoothing,
    SoundFrames,
    loudness_db,
    ranks,
    rises,
    shifted_rows,
    smoothed_db,
)

STEP = 2  # frames that are chosen together
TRANSPOSED = (0, -1, 1, -2, 2, -3, 3)  # semitones, of targets with pitches
MOST_FRAMES = 190_000  # of the target with its transpositions
CANDIDATES = 32  # of each step, besides those that follow on
SEMITONES = -(-PITCHES // BINS_PER_SEMITONE)
SHAPES = 10  # numbers that describe the spectrum of a frame
PITCH_COST, LOUDNESS_COST, SILENT_COST = 3.0, 1.0, 0.5  # of an octave; of a rank; of a pitch where there is none
SHAPE_COST, ONSET_COST = 0.3, 0.5  # where pitches are kept
UNPITCHED_SHAPE_COST, UNPITCHED_ONSET_COST = 1.0, 1.0
JUMP_COST, JOIN_COST = 1.0, 1.0  # of not following on; of a nat between what would have followed and what does
SHARP, SHARP_JUMP = 0.8, 0.7  # a rank of onsets from which a jump is so much cheaper
STEPS_AT_ONCE = 16
MEASURED = 0.2  # of the time that the measurement of a sound takes


@dataclass(frozen=True)
class _Features:
    """What the choice of frames compares.

    Attributes:
        pitch: Salience of semitones (S, L), of norm 1, or 0 where there is none.
        voiced: Salience of the strongest pitch (L,).
        loudness_db: Levels (2, L) for each of `SMOOTHINGS`.
        onset: Rises (L,).
        shape: Shapes of the spectra (SHAPES, L).
    """

    pitch: Tensor
    voiced: Tensor
    loudness_db: Tensor
    onset: Tensor
    shape: Tensor

    @classmethod
    def of(cls, sound: SoundFrames, first: int, stop: int) -> "_Features":
        """Those of frames of a sound."""
        found = sound.controls_by(first, stop)
        pitch = found[SMOOTHINGS.index(COARSE)].salience
        return cls(
            *_semitones(pitch), torch.stack([one.loudness_db for one in found]), found[0].onset,
            _shapes(sound.mel(first, stop)),
        )  # fmt: skip

    @classmethod
    def empty(cls, frames: int) -> "_Features":
        """Space for those of so many frames."""
        return cls(
            torch.empty(SEMITONES, frames), torch.empty(frames), torch.empty(len(SMOOTHINGS), frames),
            torch.empty(frames), torch.empty(SHAPES, frames),
        )  # fmt: skip

    def put(self, first: int, part: "_Features") -> None:
        """Set those of the frames from `first` on."""
        for field in fields(self):
            value = getattr(part, field.name)
            getattr(self, field.name)[..., first : first + value.shape[-1]] = value


class Grains:
    """The frames of a target's sounds, and their choice for a sound."""

    usual_target = 0

    def __init__(
        self,
        sounds: Sequence[Tensor],
        spec: MelSpec,
        advance: Callable[[float], object] = lambda share: None,
    ) -> None:
        """Compute the frames of sounds.

        Args:
            sounds: Each (1, T) at the mel's rate.
            spec: The mel.
            advance: Gets the share of the work that was done since it was last called.
        """
        self.spec = spec.mono
        frames = [SoundFrames.of_wav(wav, spec) for wav in sounds]
        self.ranges = Ranges.of(frames)
        total = sum(one.frames for one in frames)
        semitones = TRANSPOSED[: max(1, MOST_FRAMES // total)] if self.ranges.is_pitched else TRANSPOSED[:1]
        lengths = [_played(one.frames, shift) for one in frames for shift in semitones]
        self.mel = torch.empty(spec.n_mels, sum(lengths), dtype=torch.float16)
        self.features = _Features.empty(sum(lengths))
        self.follows = torch.ones(sum(lengths), dtype=torch.bool)
        at = 0
        for wav, one in zip(sounds, frames, strict=True):
            own = _Features.of(one, 0, one.frames)
            for shift in semitones:
                mel, found = (one.mel(0, one.frames), own) if not shift else _transposed(wav, one, own, shift)
                end = at + mel.shape[1]
                self.mel[:, at:end] = mel
                self.features.put(at, found)
                self.follows[max(at, end - STEP) : end] = False
                at = end
                advance(one.frames / total / len(semitones))
        assert at == self.mel.shape[1]
        self.shape_scale = self.features.shape.std(1, keepdim=True).clamp(min=1e-3)
        self.shape_mean = self.features.shape.mean(1, keepdim=True)

    def begin(
        self, sound: SoundFrames, target: int, kept: Kept, advance: Callable[[float], object] = lambda share: None
    ) -> "GrainRendition":
        """See `Transform.begin`."""
        ranges = Ranges.of([sound], lambda share: advance(MEASURED * share))
        matching = Matching(ranges, self.ranges, kept)
        path = _path(self, sound, matching, lambda share: advance((1 - MEASURED) * share))
        return GrainRendition(self, path, matching.notes, matching.smoothing)


@dataclass(frozen=True)
class GrainRendition:
    """See `Rendition`.

    Attributes:
        grains: The target's frames.
        path: The number of the target's frame for each step.
        notes: For the user.
        smoothing: See `Rendition`.
    """

    grains: Grains
    path: np.ndarray
    notes: tuple[str, ...]
    smoothing: Smoothing
    louder_db = LOUDER_DB

    def mel(self, first: int, stop: int) -> Tensor:
        """See `Rendition.mel`."""
        at = np.arange(first, stop).clip(0, STEP * len(self.path) - 1)
        chosen = np.minimum(self.path[at // STEP] + at % STEP, self.grains.mel.shape[1] - 1)
        return self.grains.mel[:, chosen].float()


def _semitones(salience: Tensor) -> tuple[Tensor, Tensor]:
    """Salience (P, L) by semitone (S, L), with norm 1; and that of the strongest pitch (L,)."""
    around = 2 * (BINS_PER_SEMITONE // 2) + BINS_PER_SEMITONE
    pooled = F.avg_pool1d(salience.T[:, None], around, BINS_PER_SEMITONE, padding=around // 2)[:, 0].T
    return F.normalize(pooled, dim=0), salience.amax(0)


def _shapes(mel: Tensor) -> Tensor:
    """The first cosine coefficients (SHAPES, L) of the frames of a log-mel (M, L), without the level."""
    rows = mel.shape[0]
    cosines = torch.cos(math.pi * torch.arange(1, SHAPES + 1)[:, None] * (torch.arange(rows) + 0.5) / rows)
    return cosines @ (mel - mel.mean(0, keepdim=True)) / rows


def _transposed(wav: Tensor, sound: SoundFrames, own: _Features, semitones: int) -> tuple[Tensor, _Features]:
    """The log-mel and features of a sound (1, T) that plays faster or slower; pitches are those of its own, moved."""
    rate, count = sound.spec.sample_rate, _played(sound.frames, semitones)
    played = SoundFrames.of_wav(resample(wav, round(rate * 2 ** (semitones / 12)), rate), sound.spec)
    mel = played.mel(0, count)
    at = ((torch.arange(count) + 0.5) * sound.frames / count).long().clamp(max=sound.frames - 1)
    levels = loudness_db(mel, sound.spec)
    features = _Features(
        shifted_rows(own.pitch[:, at], semitones), own.voiced[at],
        torch.stack([smoothed_db(_held(levels, one.loudness // 2), one.loudness) for one in SMOOTHINGS]),
        rises(F.pad(mel, (FLUX_FRAMES, 0), value=FLOOR)), _shapes(mel),
    )  # fmt: skip
    return mel, features


def _played(frames: int, semitones: int) -> int:
    """The number of frames of a sound that plays faster or slower."""
    return round(frames * 2 ** (-semitones / 12))


def _held(values: Tensor, frames: int) -> Tensor:
    """Values (L,) with their ends repeated."""
    return F.pad(values[None], (frames, frames), mode="replicate")[0]


class _Costs:
    """The cost of each of the target's frames for steps of a sound."""

    def __init__(self, grains: Grains, sound: SoundFrames, matching: Matching) -> None:
        self._grains, self._sound, self._matching = grains, sound, matching
        row = SMOOTHINGS.index(matching.smoothing)
        have, want = matching.source, matching.target
        bank = grains.features
        self._row, self._levels = row, (have.loudness_db if matching.kept.levels else want.loudness_db)[row]
        self._onsets = have.onset
        self._bank_loudness = ranks(bank.loudness_db[row], want.loudness_db[row])
        self._bank_onset = ranks(bank.onset, want.onset)
        self._bank_shape = ((bank.shape - grains.shape_mean) / grains.shape_scale).T.contiguous()
        self._bank_pitch = bank.pitch.contiguous()
        mean, square, count = torch.zeros(SHAPES), torch.zeros(SHAPES), 0
        for first, stop in sound.blocks():
            shape = _shapes(sound.mel(first, stop))
            mean, square, count = mean + shape.sum(1), square + shape.square().sum(1), count + stop - first
        self._mean = (mean / count)[:, None]
        self._scale = (square / count - (mean / count) ** 2).clamp(min=1e-6).sqrt()[:, None]

    def __call__(self, first: int, stop: int) -> tuple[Tensor, Tensor]:
        """The costs (n, F) of the steps in frames from `first` to `stop`, and the ranks of their onsets (n,)."""
        found, bank, kept = _Features.of(self._sound, first, stop), self._grains.features, self._matching.kept
        pitched = self._matching.pitched
        onset = ranks(found.onset, self._onsets)[::STEP]
        costs = torch.zeros(len(onset), bank.pitch.shape[1])
        if pitched:
            pitch = shifted_rows(found.pitch, 12 * self._matching.octaves)[:, ::STEP]
            voiced = found.voiced[::STEP].clamp(max=1)[:, None]
            costs += PITCH_COST * voiced * (1 - pitch.T @ self._bank_pitch)
            costs += SILENT_COST * (1 - voiced) * bank.voiced[None]
        if kept.loudness:
            loudness = ranks(found.loudness_db[self._row], self._levels)[::STEP]
            costs += LOUDNESS_COST * (loudness[:, None] - self._bank_loudness[None]).abs()
        if kept.attack:
            weight = ONSET_COST if pitched else UNPITCHED_ONSET_COST
            costs += weight * (onset[:, None] - self._bank_onset[None]).abs()
        if kept.brightness:
            shape = ((found.shape - self._mean) / self._scale)[:, ::STEP].T.contiguous()
            weight = SHAPE_COST if pitched else UNPITCHED_SHAPE_COST
            costs += weight * torch.cdist(shape, self._bank_shape) / math.sqrt(SHAPES)
        return costs, onset


def _path(grains: Grains, sound: SoundFrames, matching: Matching, advance: Callable[[float], object]) -> np.ndarray:
    """The target's frame for each step: the cheapest way through all of them (Viterbi)."""
    costs_of = _Costs(grains, sound, matching)

    def level_free(frames: Tensor) -> Tensor:
        mel = grains.mel[:, frames].float()
        return (mel - mel.mean(0, keepdim=True)).T

    states: list[np.ndarray] = []
    back: list[np.ndarray] = []
    total = torch.zeros(0)
    before: Tensor | None = None
    for first in range(0, sound.frames, STEP * STEPS_AT_ONCE):
        costs, onset = costs_of(first, min(first + STEP * STEPS_AT_ONCE, sound.frames))
        nearest = costs.topk(min(CANDIDATES, costs.shape[1]), dim=1, largest=False).indices
        for cost, chosen, sharp in zip(costs, nearest, onset.tolist(), strict=True):
            if before is None:
                total, origin = cost[chosen], torch.zeros(len(chosen), dtype=torch.int16)
            else:
                follows = grains.follows[before]
                next_ones = torch.where(follows, before + STEP, before)
                best = total.topk(min(CANDIDATES, len(total)), largest=False).indices
                chosen = torch.cat([next_ones[best], chosen])
                jump = JUMP_COST * (1 - (SHARP_JUMP * sharp if sharp > SHARP else 0.0))
                apart = torch.cdist(level_free(next_ones), level_free(chosen), p=1) / len(grains.mel)
                same = (next_ones[:, None] == chosen[None]) & follows[:, None]
                steps = torch.where(same, 0.0, jump + JOIN_COST * apart)
                least, found = (total[:, None] + steps).min(0)
                total, origin = least - least.min() + cost[chosen], found.to(torch.int16)
            states.append(chosen.to(torch.int32).numpy())
            back.append(origin.numpy())
            before = chosen
        advance(min(STEP * STEPS_AT_ONCE, sound.frames - first) / sound.frames)
    path = np.zeros(len(states), np.int64)
    state = int(total.argmin())
    for step in range(len(states) - 1, -1, -1):
        path[step] = states[step][state]
        state = int(back[step][state])
    return path
