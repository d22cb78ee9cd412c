"""What transforms read of a sound: frames of its log-mel, and loudness, pitch, onsets and brightness along them."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from audio_gen.audio.log_frequency import BINS_PER_SEMITONE, LOWEST_NOTE
from audio_gen.audio.long_mel import LongMel, ReadSamples
from audio_gen.audio.mel import MelSpec
from audio_gen.audio.mel_scale import hz_to_mel, mel_to_hz
from audio_gen.models.salience import PITCHES, PitchSalience, peaks

FLOOR = -9.0  # nats; lower levels of a log-mel count as silence
LEAST_SALIENCE, CERTAIN = 0.3, 0.6  # of a peak that counts, and of one that counts fully
PEAK_WIDTH = 0.4  # deviation of a peak, in semitones
BAND_EDGES_HZ = (320.0, 1100.0, 3900.0)  # between the four bands of brightness
FLUX_FRAMES = 2
QUANTILES, BANDS = 101, 4
SOUNDING_DB = 50.0  # below the loudest frame, a frame is silent
BLOCK_FRAMES = 512
PITCHED = 0.3  # mean salience of the strongest pitch, from which a sound has pitches
FLOOR_DB, SILENT_DB = -60.0, -55.0
LOUDER_DB = 30.0  # the most that a frame of a result is turned up to the level of the sound


class Smoothing(NamedTuple):
    """Frames over which controls are averaged, odd numbers.

    Attributes:
        loudness: Of the level.
        salience: Of the pitches.
    """

    loudness: int
    salience: int


# The target's own attacks and releases are shorter and longer than those of a source. Where both have pitches, they
# come from the target, and only what is slower from the source: a third of the distance is gone.
FINE, COARSE = Smoothing(9, 1), Smoothing(23, 13)
SMOOTHINGS = (FINE, COARSE)


class Controls(NamedTuple):
    """What frames of a sound sound like, besides their timbre.

    Attributes:
        salience: Strength of each pitch (P, L), 0 to 1, with narrow peaks.
        loudness_db: Level (L,) in dB.
        onset: Mean rise of the log-mel over two frames (L,), in nats.
        brightness_db: Levels (4, L) of four bands, from low to high, relative to the whole.
    """

    salience: Tensor
    loudness_db: Tensor
    onset: Tensor
    brightness_db: Tensor


class KeptSalience:
    """The pitch salience of a sound that is read many times, in a byte for each number.

    Attributes:
        hop_length: See `PitchSalience`.
        frames: Number of frames.
    """

    def __init__(self, found: PitchSalience) -> None:
        """Compute it."""
        self.hop_length, self.frames = found.hop_length, found.frames
        parts = [found(at, min(at + BLOCK_FRAMES, found.frames)) for at in range(0, found.frames, BLOCK_FRAMES)]
        self._values = (255 * torch.cat(parts, dim=1)).round().to(torch.uint8)

    def __call__(self, first: int, stop: int) -> Tensor:
        """Frames from `first` to `stop` as (253, stop - first); those outside the sound are 0."""
        begin, end = max(0, first), max(0, first, min(stop, self.frames))
        inside = self._values[:, min(begin, self.frames) : end].float() / 255
        return F.pad(inside, (min(stop, begin) - first, max(0, stop - first - (begin - first) - inside.shape[1])))


class SoundFrames:
    """Reads frames of a mono sound of any length; what is before and after it is silence.

    Attributes:
        spec: The mel.
        frames: Number of frames; the last one may be partly silent.
    """

    def __init__(
        self, read: ReadSamples, samples: int, spec: MelSpec, salience: "PitchSalience | KeptSalience | None" = None
    ) -> None:
        """For a sound of `samples` samples that `read` returns as (1, T), at the mel's rate.

        `salience` is that of the sound, if it is known already.
        """
        self.spec, self._read, self._samples = spec.mono, read, samples
        self._mel = LongMel(read, samples, self.spec, 1)
        self._salience = salience or PitchSalience(read, samples, spec.sample_rate)
        self.frames = self._mel.frames

    @classmethod
    def of_wav(cls, wav: Tensor, spec: MelSpec) -> "SoundFrames":
        """The frames of wav (1, T) in memory."""
        return cls(lambda start, count: wav[:, start : start + count], wav.shape[-1], spec)

    def mel(self, first: int, stop: int) -> Tensor:
        """The log-mel (M, stop - first), no lower than silence."""
        return self._mel(first, stop).clamp(min=FLOOR)

    def image(self, spec: MelSpec) -> LongMel:
        """Its image for a model of this spec; in stereo both channels are the same."""
        return LongMel(lambda start, count: self._read(start, count).expand(spec.channels, -1), self._samples, spec,
                       spec.channels)  # fmt: skip

    def salience(self, first: int, stop: int) -> Tensor:
        """The salience of pitches (P, stop - first) at the centres of the frames, as narrow peaks."""
        hop, step = self.spec.hop_length, self._salience.hop_length
        at = (torch.arange(first, stop, dtype=torch.float64) + 0.5) * hop / step - 0.5
        begin = math.floor(float(at[0])) if len(at) else 0
        sharp = peaked(self._salience(begin, math.floor(float(at[-1])) + 2)) if len(at) else torch.empty(PITCHES, 2)
        left = (at.floor() - begin).long()
        share = (at - at.floor()).float()
        return torch.lerp(sharp[:, left], sharp[:, left + 1], share)

    def controls(self, first: int, stop: int, smoothing: Smoothing = FINE) -> Controls:
        """The controls of frames from `first` to `stop`."""
        return self.controls_by(first, stop, (smoothing,))[0]

    def controls_by(self, first: int, stop: int, smoothings: Sequence[Smoothing] = SMOOTHINGS) -> list[Controls]:
        """The same for each of several smoothings, from one analysis."""
        reach = max(FLUX_FRAMES, *(one.loudness // 2 for one in smoothings))
        side = max(one.salience // 2 for one in smoothings)
        mel, salience = self.mel(first - reach, stop + reach), self.salience(first - side, stop + side)
        level = loudness_db(mel, self.spec)
        onset = rises(mel[:, reach - FLUX_FRAMES : reach + stop - first])
        brightness = brightness_db(mel[:, reach : reach + stop - first], self.spec)
        return [
            Controls(
                averaged(_within(salience, side - one.salience // 2), one.salience),
                smoothed_db(_within(level, reach - one.loudness // 2), one.loudness), onset, brightness,
            )
            for one in smoothings
        ]  # fmt: skip

    def blocks(self, frames: int = BLOCK_FRAMES) -> Iterable[tuple[int, int]]:
        """First frame and end of each block of the sound."""
        return ((at, min(at + frames, self.frames)) for at in range(0, self.frames, frames))


def peaked(salience: Tensor) -> Tensor:
    """Salience (P, L) -> its peaks, each as wide as the others and as high as it is certain."""
    height = peaks(salience, LEAST_SALIENCE) * ((salience - LEAST_SALIENCE) / (CERTAIN - LEAST_SALIENCE)).clamp(0, 1)
    reach = BINS_PER_SEMITONE
    shape = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / (PEAK_WIDTH * BINS_PER_SEMITONE)) ** 2)
    wide = F.conv1d(height.T[:, None], shape[None, None], padding=reach)[:, 0].T
    return wide.clamp(max=1)


@lru_cache(maxsize=8)
def _bandwidths(spec: MelSpec) -> Tensor:
    """Bandwidths (M, 1) in Hz of the mel's filters, whose area is 1."""
    edges = _edges(spec)
    return ((edges[2:] - edges[:-2]) / 2).float()[:, None]


def _edges(spec: MelSpec) -> Tensor:
    """The frequencies (M + 2,) in Hz where the mel's filters begin and end."""
    low, high = hz_to_mel(spec.f_min), hz_to_mel(spec.f_max or spec.nyquist)
    return mel_to_hz(torch.linspace(low, high, spec.n_mels + 2, dtype=torch.float64))


@lru_cache(maxsize=8)
def _band_rows(spec: MelSpec) -> tuple[int, ...]:
    """The mel rows where the bands of brightness begin, and the end of the last."""
    centres = _edges(spec)[1:-1].numpy()
    inner = [
        min(max(i + 1, int(np.searchsorted(centres, hz))), spec.n_mels - 3 + i) for i, hz in enumerate(BAND_EDGES_HZ)
    ]
    return (0, *inner, spec.n_mels)


def powers(mel: Tensor, spec: MelSpec) -> Tensor:
    """The power (.., M, L) in each row of a log-mel."""
    return (2 * mel).exp() * _bandwidths(spec)


def loudness_db(mel: Tensor, spec: MelSpec) -> Tensor:
    """The level (.., L) in dB of the frames of a log-mel (.., M, L), above the floor of silence."""
    power = powers(mel, spec).sum(-2) - math.exp(2 * FLOOR) * float(_bandwidths(spec).sum())
    return 10 * power.clamp(min=10 ** (FLOOR_DB / 10)).log10()


def brightness_db(mel: Tensor, spec: MelSpec) -> Tensor:
    """The levels (4, L) of four bands relative to the whole."""
    power, rows = powers(mel, spec), _band_rows(spec)
    bands = torch.stack([power[a:b].sum(0) for a, b in pairwise(rows)])
    return 10 * (bands / power.sum(0)).log10()


def is_heard(level_db: Tensor) -> Tensor:
    """Which frames (L,) of these levels are not silent."""
    return level_db > max(float(level_db.max()) - SOUNDING_DB, SILENT_DB)


def sounding(level_db: Tensor) -> Tensor:
    """Which frames (L,) of these levels are not silent; all, if every one is: silence has ranges too."""
    heard = is_heard(level_db)
    return heard if bool(heard.any()) else torch.ones_like(heard)


def rises(mel: Tensor) -> Tensor:
    """The mean rise (L,) of frames over those before them, of log-mel (M, FLUX_FRAMES + L)."""
    return (mel[:, FLUX_FRAMES:] - mel[:, :-FLUX_FRAMES]).clamp(min=0).mean(0)


def _within(values: Tensor, skipped: int) -> Tensor:
    """Values (.., L) without so many at each end."""
    return values[..., skipped : values.shape[-1] - skipped]


def averaged(values: Tensor, frames: int) -> Tensor:
    """Values (.., L) averaged over a number of frames: (.., L - frames + 1)."""
    return values.unfold(-1, frames, 1).mean(-1) if frames > 1 else values


def smoothed_db(level_db: Tensor, frames: int) -> Tensor:
    """Levels (.., L) in dB averaged over a number of frames, as powers: (.., L - frames + 1)."""
    return 10 * averaged(10 ** (level_db / 10), frames).log10()


@dataclass(frozen=True)
class Ranges:
    """How the controls of some sounds are distributed.

    Attributes:
        loudness_db: 101 quantiles for each of `SMOOTHINGS`, (2, 101), of frames that are not silent; so are the others.
        onset: 101 quantiles.
        brightness_db: 101 quantiles of each band (4, 101).
        pitches: Mean salience (P,) of frames that are not silent.
        voiced: Mean salience of their strongest pitch.
    """

    loudness_db: Tensor
    onset: Tensor
    brightness_db: Tensor
    pitches: Tensor
    voiced: float

    @classmethod
    def of(cls, sounds: Sequence[SoundFrames], advance: Callable[[float], object] = lambda share: None) -> "Ranges":
        """Measure sounds; `advance` gets shares of the work."""
        total = sum(sound.frames for sound in sounds)
        levels: list[list[Tensor]] = [[] for _ in SMOOTHINGS]
        onsets, bands, strongest, pitches = [], [], [], []
        for sound in sounds:
            for first, stop in sound.blocks():
                found = sound.controls_by(first, stop)
                for level, one in zip(levels, found, strict=True):
                    level.append(one.loudness_db)
                onsets.append(found[0].onset)
                bands.append(found[0].brightness_db)
                strongest.append(found[0].salience.amax(0))
                pitches.append(found[0].salience.sum(1))
                advance((stop - first) / total)
        level_db = torch.cat(levels[0])
        known, heard = sounding(level_db), is_heard(level_db)
        count = max(1, int(heard.sum()))
        return cls(
            torch.stack([quantiles(torch.cat(level)[known]) for level in levels]), quantiles(torch.cat(onsets)[known]),
            quantiles(torch.cat(bands, 1)[:, known]), torch.stack(pitches).sum(0) / count,
            float(torch.cat(strongest)[heard].sum()) / count,
        )  # fmt: skip

    @property
    def is_pitched(self) -> bool:
        """Whether the sounds have pitches."""
        return self.voiced > PITCHED

    @cached_property
    def middle(self) -> float:
        """The median of the pitches, as a MIDI note."""
        below = torch.cumsum(self.pitches, 0) < self.pitches.sum() / 2
        return LOWEST_NOTE + float(below.sum()) / BINS_PER_SEMITONE


def quantiles(values: Tensor) -> Tensor:
    """101 quantiles (.., 101) of values (.., n)."""
    found = np.quantile(values.numpy(), np.linspace(0, 1, QUANTILES), axis=-1)  # torch's takes 16 million at most
    return torch.from_numpy(np.moveaxis(found, 0, -1)).float()


def matched(values: Tensor, have: Tensor, want: Tensor) -> Tensor:
    """Values (n,) with quantiles `have` (101,) -> values with quantiles `want` (101,)."""
    return torch.from_numpy(np.interp(values.numpy(), have.numpy(), want.numpy())).float()


def ranks(values: Tensor, among: Tensor) -> Tensor:
    """The ranks (n,) of values, 0 to 1, among quantiles (101,)."""
    return matched(values, among, torch.linspace(0, 1, len(among)))


def shifted_pitch(salience: Tensor, semitones: float) -> Tensor:
    """Salience (P, L) of the pitches so many semitones higher; those beyond the ends are gone."""
    return shifted_rows(salience, round(semitones * BINS_PER_SEMITONE))


def shifted_rows(values: Tensor, rows: int) -> Tensor:
    """Values (R, L) so many rows further on; those beyond the ends are gone."""
    padded = F.pad(values, (0, 0, max(0, rows), max(0, -rows)))
    return padded[max(0, -rows) :][: len(values)]
