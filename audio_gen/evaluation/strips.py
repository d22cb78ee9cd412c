"""Long sounds as strips: level, spectral centroid, onsets and a coarse log-mel over time, read in blocks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import Tensor

from audio_gen.audio.mel import DB_PER_NAT, MelFrontEnd, MelSpec
from audio_gen.audio.mel_scale import hz_to_mel, mel_to_hz
from audio_gen.audio.resample import resample
from audio_gen.audio.seam import Seam, join_seam, seam
from audio_gen.data.index import in_threads
from audio_gen.evaluation.long_sound import LongSound

SPEC = MelSpec(sample_rate=32000, n_fft=1024, hop_length=320, n_mels=48, f_min=40.0)
POOLED = 5  # mel frames of 10 ms in a frame of a strip
FRAME_RATE = SPEC.frame_rate / POOLED
BLOCK_SEC = 20  # hours of sound need little memory; a whole number of windows
WINDOW_SEC = 2
WINDOW = round(WINDOW_SEC * FRAME_RATE)
FLOOR_DB = -50.0  # below the loudest cell of a sound; codecs and vocoders leave their noise there
EDGE_SEC, EDGE_DB = 0.1, -30.0  # softer ends are silence
SOUNDING_DB = -40.0  # below the loudest window of a sound; softer windows are silence


@dataclass(frozen=True)
class Strip:
    """A sound over time, in frames of 50 ms.

    Attributes:
        sound: The sound.
        mel: Log-mel (L, M) in dB, float16, never below `floor_db`.
        floor_db: 50 dB below its loudest cell.
        power: Mean square of the samples (L,).
        centroid_hz: Mean frequency of the magnitude spectrum (L,).
        onsets: Rise of the log-mel in dB (POOLED * L,), every 10 ms.
        seam: Its seam as a loop, from its end to its start; None if it starts or ends with silence.
    """

    sound: LongSound
    mel: Tensor
    floor_db: float
    power: Tensor
    centroid_hz: Tensor
    onsets: Tensor
    seam: Seam | None = None

    def __len__(self) -> int:
        """Number of frames, L."""
        return len(self.mel)

    @property
    def title(self) -> str:
        """Its name in reports."""
        return self.sound.title

    @property
    def duration_sec(self) -> float:
        """Length in seconds."""
        return len(self) / FRAME_RATE

    def stretch(self, start: int, count: int) -> "Strip":
        """The frames start .. start + count."""
        rows = slice(start, start + count)
        onsets = self.onsets[POOLED * start : POOLED * (start + count)]
        return replace(
            self, mel=self.mel[rows], power=self.power[rows], centroid_hz=self.centroid_hz[rows], onsets=onsets
        )

    def audible(self) -> Tensor:
        """Number of cells of each frame above the floor (L,)."""
        return (self.mel > self.floor_db + 1).sum(1).float()

    def levels_db(self, frames: int = WINDOW) -> Tensor:
        """Level (K,) of each `frames` in dB of full scale, at least -100; an incomplete window is left out."""
        whole = len(self) // frames * frames
        return 10 * torch.log10(self.power[:whole].view(-1, frames).mean(1).clamp(min=1e-10))

    def sounding(self, frames: int = WINDOW) -> Tensor:
        """Which windows (K,) are not silence."""
        levels = self.levels_db(frames)
        return (levels > levels.max() + SOUNDING_DB) & (levels > -90) if len(levels) else levels > 0


def strip_of(sound: LongSound) -> Strip:
    """Measure a sound in one pass.

    Raises:
        AudioFileError: It cannot be decoded.
    """
    empty, last, head, tail = torch.zeros(0), None, torch.zeros(0), torch.zeros(0)
    mels, powers, centroids, onsets = [torch.zeros(0, SPEC.n_mels).half()], [empty], [empty], [empty]
    for part in sound.parts(BLOCK_SEC):
        head, tail = head if len(head) else part, torch.cat([tail, part])[-BLOCK_SEC * sound.sample_rate :]
        wav = resample(part[None], sound.sample_rate, SPEC.sample_rate)[0]
        frames = len(wav) // (POOLED * SPEC.hop_length) * POOLED
        if not frames:
            continue  # a rest below 50 ms
        wav = wav[: SPEC.samples(frames)]
        mel = _front_end()(wav[None, None])[0, :, :frames].T  # (M, L) -> (L, M)
        before = mel[:1] if last is None else last
        last = mel[-1:]
        onsets.append(DB_PER_NAT * (mel - torch.cat([before, mel[:-1]])).clamp(min=0).mean(1))
        mels.append(DB_PER_NAT * _pooled(mel).half())
        powers.append(wav.square().view(-1, POOLED * SPEC.hop_length).mean(1))
        weights = _pooled(mel.exp()) * _widths()
        centroids.append(weights @ _centres() / weights.sum(1))
    mel = torch.cat(mels)
    floor_db = float(mel.max()) + FLOOR_DB if len(mel) else FLOOR_DB
    return Strip(
        sound, mel.clamp(min=floor_db).half(), floor_db, torch.cat(powers), torch.cat(centroids), torch.cat(onsets),
        _seam(head, tail, sound.sample_rate),
    )  # fmt: skip


def _seam(head: Tensor, tail: Tensor, sample_rate: int) -> Seam | None:
    """The seam from the end of a sound to its start, of which up to 20 s are given."""
    edge = round(EDGE_SEC * sample_rate)
    level, *edges = (float(x.double().square().mean()) for x in (torch.cat([head, tail]), head[:edge], tail[-edge:]))
    if not len(head) or min(edges) < 10 ** (EDGE_DB / 10) * level or not level:
        return None
    if len(head) < BLOCK_SEC * sample_rate:
        return seam(head[None].numpy(), sample_rate) if len(head) > 1 else None
    return join_seam(torch.cat([tail, head])[None].numpy(), sample_rate, len(tail))


def strips_of(
    sounds: Sequence[LongSound], *, workers: int = 2, advance: Callable[[float], object] = lambda amount: None
) -> list[Strip]:
    """Measure sounds, `workers` at a time; those below four seconds are left out."""

    def measured(sound: LongSound) -> Strip:
        found = strip_of(sound)
        advance(1)
        return found

    return [strip for strip in in_threads(measured, list(sounds), workers, "") if len(strip) >= 2 * WINDOW]


def _pooled(frames: Tensor) -> Tensor:
    """(POOLED * L, M) -> (L, M)."""
    return frames.view(-1, POOLED, frames.shape[1]).mean(1)


@cache
def _front_end() -> MelFrontEnd:
    with torch.inference_mode(False):
        return MelFrontEnd(SPEC)


@cache
def _edges() -> Tensor:
    low, high = hz_to_mel(SPEC.f_min), hz_to_mel(SPEC.nyquist)
    mels = torch.linspace(low, high, SPEC.n_mels + 2, dtype=torch.float64)
    return mel_to_hz(mels).float()


def _centres() -> Tensor:
    return _edges()[1:-1]


def _widths() -> Tensor:
    return _edges()[2:] - _edges()[:-2]
