"""Pitch salience: how strongly each pitch sounds at each time, of one voice or of chords."""

from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from audio_gen.artefacts.tensors import read_tensors, restored
from audio_gen.audio.log_frequency import BINS, BINS_PER_SEMITONE, LOWEST_NOTE, LogFrequencySpectrum
from audio_gen.audio.long_mel import ReadSamples

HIGHEST_NOTE = 108
PITCHES = (HIGHEST_NOTE - LOWEST_NOTE) * BINS_PER_SEMITONE + 1
HARMONICS = (-36, 0, 36, 57, 72, 84, 93)  # of each pitch, in bins: 1/2, 1, 2, 3, 4, 5, 6 times its frequency
CHANNELS = 16
NEAR_FRAMES = 43  # on each side, about a second: levels are relative to the loudest bin there
RANGE_DB, LEAST_DB = 60.0, -60.0
FILE = Path(__file__).with_name("salience.safetensors")


class _Block(nn.Module):
    def __init__(self, kernel: tuple[int, int], dilation: int = 1) -> None:
        super().__init__()
        padding = (kernel[0] // 2 * dilation, kernel[1] // 2)
        self.near = nn.Conv2d(CHANNELS, CHANNELS, kernel, padding=padding, dilation=(dilation, 1), bias=False)
        self.norm = nn.BatchNorm2d(CHANNELS)
        self.mix = nn.Conv2d(CHANNELS, CHANNELS, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.mix(F.relu(self.norm(self.near(x))))
        return y


class SalienceNetwork(nn.Module):
    """A log-frequency spectrum -> salience of 253 pitches, three to a semitone, from C1 to C8.

    A network of convolutions over pitch and time, whose inputs are the harmonics of each pitch. Some kernels reach an
    octave, or four semitones, up and down.
    """

    height: Tensor
    reach = 9  # frames on each side that a frame depends on, besides those of `relative`

    def __init__(self) -> None:
        """Build it without trained weights."""
        super().__init__()
        self.stem = nn.Conv2d(len(HARMONICS) + 1, CHANNELS, (5, 3), padding=(2, 1), bias=False)
        self.norm = nn.BatchNorm2d(CHANNELS)
        self.blocks = nn.Sequential(
            _Block((9, 3)), _Block((3, 1), 36), _Block((5, 5)), _Block((5, 1), 12), _Block((5, 5)), _Block((3, 1), 36),
            _Block((5, 5)),
        )  # fmt: skip
        self.head = nn.Conv2d(CHANNELS, 1, 3, padding=1)
        self.register_buffer("height", torch.linspace(-1, 1, PITCHES), persistent=False)
        self.to(memory_format=torch.channels_last)  # several times as fast on a CPU

    def forward(self, level: Tensor) -> Tensor:
        """Relative levels (B, 300, L), see `relative`, -> logits (B, 253, L)."""
        x = torch.stack([_shifted(level, bins) for bins in HARMONICS], dim=1)
        height = self.height[None, None, :, None].expand(len(x), 1, -1, x.shape[3])
        x = torch.cat([x, height], dim=1).contiguous(memory_format=torch.channels_last)
        logits: Tensor = self.head(self.blocks(F.relu(self.norm(self.stem(x)))))
        return logits[:, 0]


def _shifted(level: Tensor, bins: int) -> Tensor:
    """Levels (B, 300, L) of the pitches' harmonics that lie so many bins above them, (B, 253, L)."""
    padded = F.pad(level, (0, 0, max(0, -bins), max(0, bins + PITCHES - BINS)))
    return padded[:, max(0, bins) : max(0, bins) + PITCHES]


def relative(level_db: Tensor) -> Tensor:
    """Levels (B, 300, L) in dB -> 1 for the loudest bin of about two seconds, 0 from 60 dB below it."""
    loudest = level_db.amax(1, keepdim=True)
    loudest = F.max_pool1d(loudest, 2 * NEAR_FRAMES + 1, 1, NEAR_FRAMES).clamp(min=LEAST_DB)
    return ((level_db - loudest) / RANGE_DB + 1).clamp(min=0)


class PitchSalience:
    """Reads the pitch salience of a mono sound of any length, computed in parts that equal the whole.

    Frame i is centred on sample (i + 1/2) `hop_length`.

    Attributes:
        hop_length: Samples from frame to frame, 23.2 ms.
        frames: Number of frames; the last one may be partly silent.
    """

    def __init__(self, read: ReadSamples, samples: int, sample_rate: int) -> None:
        """For a sound of `samples` samples that `read` returns as (1, T)."""
        self._spectrum = LogFrequencySpectrum(read, samples, sample_rate)
        self.hop_length, self.frames = self._spectrum.hop_length, self._spectrum.frames

    @torch.no_grad()
    def __call__(self, first: int, stop: int) -> Tensor:
        """Frames from `first` to `stop` as (253, stop - first), 0 to 1."""
        network = shipped_network()
        margin = NEAR_FRAMES + network.reach
        level = relative(self._spectrum(first - margin, stop + margin)[None])
        level = level[..., NEAR_FRAMES:-NEAR_FRAMES]
        salience: Tensor = network(level)[0, :, network.reach : -network.reach].sigmoid()
        return salience


def salience_of(wav: Tensor, sample_rate: int) -> Tensor:
    """The pitch salience (253, L) of wav (1, T) in memory."""
    found = PitchSalience(lambda start, count: wav[:, start : start + count], wav.shape[-1], sample_rate)
    return found(0, found.frames)


@lru_cache(maxsize=1)
def shipped_network() -> SalienceNetwork:
    """The trained network, on the CPU."""
    network = SalienceNetwork()
    network.load_state_dict(restored(read_tensors(FILE)[1]))
    return network.eval().requires_grad_(False)


def peaks(salience: Tensor, least: float) -> Tensor:
    """Whether a pitch of (P, L) is a local maximum of at least some salience."""
    around = F.max_pool1d(salience.T[None], 3, 1, 1)[0].T
    return (salience >= around) & (salience >= least)
