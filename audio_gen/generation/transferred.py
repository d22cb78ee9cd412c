"""A sound in the timbre of another: what a transform makes of it, at its own length, level and stereo image."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from audio_gen.audio.long_mel import LongMel
from audio_gen.audio.mel import DB_PER_NAT
from audio_gen.audio.onset import amplitude
from audio_gen.audio.stereo import FRAMES, STEREO_BANDS
from audio_gen.models.contract import Kept, Rendition
from audio_gen.models.transforms.sound import FINE, FLOOR, SoundFrames, loudness_db, smoothed_db
from audio_gen.vocoding.long import vocode_blocks
from audio_gen.vocoding.silence import subtract_floor
from audio_gen.vocoding.stereo import StereoVocoder
from audio_gen.vocoding.vocoder import Vocoder

QUIETER_DB = 90.0  # the most that a frame is turned down
AT_ONCE_DB = 10.0  # by which a single frame may be louder than that of the sound
FADE_IN_SEC, FADE_OUT_SEC, LEAST_SEC, QUIET_END_DB = 0.002, 0.02, 0.001, -50.0
OWN_DB = 4.0  # by which a target's own attacks and releases may differ from the level of the sound


class Readable(Protocol):
    """A sound that can be read in parts."""

    @property
    def samples(self) -> int:
        """Its length."""

    @property
    def channels(self) -> int:
        """1 or 2."""

    def read(self, start: int, count: int) -> Tensor:
        """Samples (C, count) from `start`."""


@dataclass(frozen=True)
class InMemory:
    """A sound (C, T) in memory; see `Readable`."""

    wav: Tensor

    @property
    def samples(self) -> int:
        """Its length."""
        return self.wav.shape[-1]

    @property
    def channels(self) -> int:
        """1 or 2."""
        return len(self.wav)

    def read(self, start: int, count: int) -> Tensor:
        """Samples (C, count) from `start`."""
        return self.wav[:, start : start + count]


@dataclass(frozen=True)
class Transfer:
    """How a sound is transferred.

    Attributes:
        target: Number of the target.
        kept: What is kept of the sound.
        start: Amount of the transfer where the sound begins: 0 is the sound itself, 1 the target's timbre.
        end: Amount where it ends.
        mix: Share of the result in a mix with the sound itself.
    """

    target: int
    kept: Kept = field(default_factory=Kept)
    start: float = 1.0
    end: float = 1.0
    mix: float = 1.0


class TransferredMel:
    """The log-mel (R, L) of a transferred sound for a vocoder, with the stereo image of the sound itself.

    Attributes:
        shape: R and L.
    """

    def __init__(
        self, sound: Readable, frames: SoundFrames, rendition: Rendition, how: Transfer, device: torch.device
    ) -> None:
        """For what a transform makes of a sound; parts go to `device`."""
        self._sound, self._rendition, self._how, self._device = frames, rendition, how, device
        spec = self._spec = frames.spec
        self.spec = spec.with_stereo(STEREO_BANDS if sound.channels == 2 else 0)
        self._image = None if sound.channels == 1 else LongMel(sound.read, sound.samples, self.spec, 2)
        self.shape = (self.spec.rows, FRAMES * -(-frames.frames // FRAMES))

    @torch.no_grad()
    def __getitem__(self, part: tuple[slice, slice], /) -> Tensor:
        """A part of the log-mel with the floor of silence removed."""
        start, end, _ = part[1].indices(self.shape[1])
        mel = subtract_floor(self._mel(start, end), FLOOR)
        if self._image is not None:
            first = start // FRAMES * FRAMES
            image = self._image(first, -(-end // FRAMES) * FRAMES)[:, start - first : end - first]
            mel = torch.cat([mel, image[self._spec.n_mels :]])
        return mel[part[0]].to(self._device)

    def _mel(self, start: int, end: int) -> Tensor:
        """Frames of the log-mel (M, end - start)."""
        side = self._rendition.smoothing.loudness // 2
        mine, mel = self._sound.mel(start - side, end + side), self._rendition.mel(start - side, end + side)
        here = slice(side, side + end - start)
        if self._how.kept.loudness:
            wanted, have = (loudness_db(one, self._spec) for one in (mine, mel))
            slow = smoothed_db(wanted, 2 * side + 1) - smoothed_db(have, 2 * side + 1)
            near = slice(side - FINE.loudness // 2, side + FINE.loudness // 2 + end - start)
            fast = smoothed_db(wanted[near], FINE.loudness) - smoothed_db(have[near], FINE.loudness)
            gain_db = torch.minimum(torch.maximum(slow, fast - OWN_DB), fast + OWN_DB)
            at_once = (wanted - have)[here] + AT_ONCE_DB  # or a hit would be heard before it begins
            gain_db = torch.minimum(gain_db, at_once).clamp(-QUIETER_DB, self._rendition.louder_db)
            mel = (mel[:, here] + gain_db / DB_PER_NAT).clamp(min=FLOOR)
        else:
            mel = mel[:, here]
        if self._how.start == 1 == self._how.end:
            return mel
        place = torch.arange(start, end) / max(1, self._sound.frames - 1)
        amount = self._how.start + (self._how.end - self._how.start) * place.clamp(max=1)
        return torch.lerp(mine[:, here], mel, amount)


def transferred_blocks(
    sound: Readable, frames: SoundFrames, rendition: Rendition, how: Transfer, vocoder: Vocoder, device: torch.device
) -> Iterator[Tensor]:
    """Yield a transferred sound (C, n) in blocks, as long as the sound itself.

    Args:
        sound: The sound.
        frames: What transforms read of it.
        rendition: What a transform makes of it.
        how: How it is transferred.
        vocoder: A mono vocoder.
        device: Of the vocoder.
    """
    mel = TransferredMel(sound, frames, rendition, how, device)
    quiet = _quiet_ends(sound, frames.spec.sample_rate)
    voice = StereoVocoder(vocoder, mel.spec) if mel.spec.stereo_bands else vocoder
    done, mix = 0, how.mix
    power = (mix**2 + (1 - mix) ** 2) ** 0.5  # both are as loud, and differ in phase
    for block in vocode_blocks(voice, mel):
        wet = block[:, : sound.samples - done]
        wet = _faded(wet, done, sound.samples, quiet)
        dry = sound.read(done, wet.shape[-1]) if mix < 1 else wet
        done += wet.shape[-1]
        yield (mix * wet + (1 - mix) * dry) / power


def _quiet_ends(sound: Readable, sample_rate: int) -> tuple[int, int]:
    """Samples over which a result fades in and out: as long as the sound is quiet there, 0 if it is loud."""
    lengths = FADE_IN_SEC, FADE_OUT_SEC, LEAST_SEC
    rise, fall, least = (min(round(sec * sample_rate), sound.samples // 4) for sec in lengths)
    found = []
    for part in (sound.read(0, rise), sound.read(sound.samples - fall, fall).flip(1)):
        loud = (part.abs().amax(0) > amplitude(QUIET_END_DB)).nonzero()
        quiet = int(loud[0]) if len(loud) else part.shape[1]
        found.append(max(quiet, least) if quiet else 0)
    return found[0], found[1]


def _faded(block: Tensor, first: int, samples: int, quiet: tuple[int, int]) -> Tensor:
    """A block (C, n) that begins at a sample of a sound, faded where the sound is quiet at its ends."""
    place, (rise, fall) = torch.arange(first, first + block.shape[-1]), quiet
    if rise and first < rise:
        block = block * (place / rise).clamp(max=1)
    if fall and first + block.shape[-1] > samples - fall:
        block = block * ((samples - 1 - place) / fall).clamp(0, 1)
    return block
