"""Channels to stereo and to mono: width, folding of 5.1, and the mean, or one channel if the channels cancel.

The loss is the mean energy of the channels over the energy of their mean. It is 0 dB for equal channels and 10 log10(C)
for C uncorrelated channels or a sound in one of C channels: 3 dB in stereo. Channels in antiphase lose more.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor  # `inspect` starts without torch

WINDOW_SEC = 0.05
LONG, LONG_DB = 5, 4.5  # windows in a row, and their loss above that of uncorrelated channels ..
SHORT, SHORT_DB = 2, 9.0  # .. or these; single windows of low sounds lose that much by chance ..
WHOLE_DB = 3.0  # .. or the loss of the whole file
MATTERS_DB = {LONG: 40.0, SHORT: 20.0}  # below the loudest windows; quieter windows are ignored
NOTED_DB = 0.2  # loss of the whole file above that of uncorrelated channels: noted, and mixed
MOST_DB = 60.0  # the largest loss and the largest or smallest width that are reported
WIDTH_DB = -26.0  # stereo is wider than this; a level difference of less than 1 dB everywhere is not
CANCELS = 1 / 16  # of the channels' mean energy, kept by their mean: below this the channels cancel each other
TIE = 1e-3  # a relative difference of energies that is rounding
SURROUND = {False: (0, 1, 2, 4, 5), True: (0, 2, 1, 3, 4)}  # L, R, C, Ls, Rs in WAV and Vorbis order; no LFE
SURROUND_GAIN = math.sqrt(0.5)  # of centre and surrounds

Samples = TypeVar("Samples", np.ndarray, "Tensor")


def width_db(wav: "np.ndarray | Tensor") -> float:
    """Energy of the side (L - R) / 2 relative to that of the mid (L + R) / 2.

    Args:
        wav: (1, T) or (2, T).

    Returns:
        dB from -60 (mono or silence) to 60 (antiphase); 0 if only one channel sounds.
    """
    if len(wav) == 1:
        return -MOST_DB
    mid, side = wav[0] + wav[1], wav[0] - wav[1]
    return width_of(float((mid * mid).sum()), float((side * side).sum()))


def width_of(mid_energy: float, side_energy: float) -> float:
    """The width in dB of two energies, see `width_db`."""
    if side_energy <= 0:
        return -MOST_DB
    ratio_db = 10 * math.log10(side_energy / mid_energy) if mid_energy > 0 else MOST_DB
    return min(max(ratio_db, -MOST_DB), MOST_DB)


def mono(x: Samples) -> Samples:
    """Mix channels to mono: their mean, or the loudest one if the mean loses more than 12 dB of their mean energy.

    Args:
        x: (C, T).

    Returns:
        (T,).
    """
    if len(x) == 1:
        return x[0]
    mean, energies = x.mean(0), (x * x).sum(1)
    if float((mean * mean).sum()) < CANCELS * float(energies.mean()):
        return x[_loudest([float(energy) for energy in energies])]
    return mean


def in_channels(wav: "Tensor", channels: int) -> "Tensor":
    """A block (C, T) of a sound as its mean, or with its only channel on both sides."""
    return wav.mean(0, keepdim=True) if channels < len(wav) else wav.expand(channels, -1)


def cancelled_channel(products: np.ndarray) -> int | None:
    """The channel that `mono` uses instead of the mean, if any.

    Args:
        products: Sums of the products of the samples of each two channels (C, C).
    """
    energies = np.diagonal(products)
    if products.sum() / len(products) ** 2 >= CANCELS * energies.mean():
        return None
    return _loudest(energies.tolist())


def _loudest(energies: list[float]) -> int:
    """The loudest channel; ties go to the first."""
    least = (1 - TIE) * max(max(energies), 0.0)
    return next((i for i, energy in enumerate(energies) if energy >= least), 0)


def foldable(channels: int) -> bool:
    """Whether a number of channels can be folded to stereo: 2 and 6 (5.1)."""
    return channels in (2, 6)


def fold(x: np.ndarray, vorbis: bool = False) -> np.ndarray:
    """Fold 2 or 6 channels to stereo: centre and surrounds of 5.1 at -3 dB, without its LFE channel.

    Args:
        x: (T, 2) or (T, 6).
        vorbis: The order of six channels is that of Vorbis and Opus, not that of WAV.

    Returns:
        (2, T), contiguous.

    Source: ITU-R BS.775-3, table 2.
    """
    if x.shape[1] == 2:
        return np.ascontiguousarray(x.T)
    left, right, centre, *surrounds = (np.ascontiguousarray(x[:, i]) for i in SURROUND[vorbis])
    gain = np.float32(SURROUND_GAIN)
    return np.stack([left + gain * (centre + surrounds[0]), right + gain * (centre + surrounds[1])])


@dataclass(frozen=True)
class Mix:
    """How the channels of a file are mixed to mono.

    Attributes:
        channel: The only channel to use; None for the mean of all.
        loss_db: The loss of the mean: in the cancelled part if one channel is used instead, otherwise over the whole
            file.
        begin: First frame of that part.
        end: Frame after its last one.
        excess: The whole file loses more than uncorrelated channels do.
    """

    channel: int | None = None
    loss_db: float = 0.0
    begin: int = 0
    end: int = 0
    excess: bool = False


class ChannelLevels:
    """Energies of the channels and of their mean in short windows, collected block by block."""

    def __init__(self, channels: int, sample_rate: int) -> None:
        """Start without windows."""
        self._channels = channels
        self._window = max(1, round(WINDOW_SEC * sample_rate))
        self._energies: list[np.ndarray] = []  # (windows, C + 1) each, the mean last
        self._frames: list[int] = []  # of each block

    def add(self, x: np.ndarray, mean: np.ndarray) -> None:
        """Add a block x (frames, channels) and its mean (frames,)."""
        self._frames.append(len(x))
        whole = len(x) // self._window * self._window
        energies = np.empty((-(-len(x) // self._window), self._channels + 1), np.float32)
        for i, c in enumerate((*x.T, mean)):
            c = np.ascontiguousarray(c)
            windows = c[:whole].reshape(-1, self._window)
            energies[: len(windows), i] = np.einsum("ij,ij->i", windows, windows)
            if whole < len(x):
                energies[-1, i] = np.dot(c[whole:], c[whole:])
        self._energies.append(energies)

    def silent(self) -> int:
        """The number of silent channels, if others are not silent."""
        powers = self._powers()
        return int((powers == 0).sum()) if powers.any() else 0

    def _powers(self) -> np.ndarray:
        if not self._energies:
            return np.zeros(self._channels)
        return np.sum([e[:, :-1].sum(axis=0, dtype=np.float64) for e in self._energies], axis=0)

    def mix(self) -> Mix:
        """Choose the mix."""
        if self._channels < 2 or not self._energies:
            return Mix()
        energies = np.concatenate(self._energies).astype(np.float64)
        level = energies[:, :-1].mean(axis=1)
        if not level.any():
            return Mix()
        uncorrelated = 10 * math.log10(self._channels)
        whole_db = float(_loss(level.sum(), energies[:, -1].sum()))
        lost = self._lost(energies[:, -1], level)
        if not lost.any():
            return Mix(None, whole_db, excess=whole_db > uncorrelated + NOTED_DB)
        channel = self._best(energies[:, :-1], level)
        rest = self._lost(energies[:, channel], level)
        if rest.sum() >= lost.sum():
            return Mix(None, whole_db, excess=whole_db > uncorrelated + NOTED_DB)
        starts = self._starts()
        first, last = np.flatnonzero(lost)[[0, -1]]
        loss = float(_loss(level[lost].sum(), energies[lost, -1].sum()))
        matters = np.flatnonzero(level > level.max() * 10 ** (-MATTERS_DB[LONG] / 10))
        begin = 0 if first <= matters[0] else int(starts[first])
        end = int(starts[-1]) if last >= matters[-1] else int(starts[last + 1])
        return Mix(channel, loss, begin, end)

    def _starts(self) -> np.ndarray:
        """The first frame of each window, and the number of all frames."""
        lengths: list[int] = []
        for frames in self._frames:
            lengths += [self._window] * (frames // self._window)
            lengths += [frames % self._window] if frames % self._window else []
        return np.concatenate([[0], np.cumsum(lengths)])

    def _lost(self, mixed: np.ndarray, level: np.ndarray) -> np.ndarray:
        """The windows in which a mix loses far more than uncorrelated channels do, for longer than by chance."""
        lost = np.zeros(len(level), bool)
        for count, excess_db in ((LONG, LONG_DB), (SHORT, SHORT_DB), (len(level), WHOLE_DB)):
            count = min(count, len(level))
            have, keep = _sums(level, count), _sums(mixed, count)
            threshold = 10 ** (-(10 * math.log10(self._channels) + excess_db) / 10)
            matters = have > have.max() * 10 ** (-MATTERS_DB.get(count, MATTERS_DB[LONG]) / 10)
            lost |= np.convolve(matters & (keep < threshold * have), np.ones(count)) > 0
        return lost & (mixed < level / self._channels)  # without neighbours that lose little

    def _best(self, channels: np.ndarray, level: np.ndarray) -> int:
        """The channel that loses in the fewest windows; ties go to the loudest, then to the first."""
        counts = np.array([self._lost(c, level).sum() for c in channels.T])
        powers = np.where(counts == counts.min(), channels.sum(axis=0), 0)
        return int(np.flatnonzero(powers >= powers.max() * (1 - TIE))[0])


def _sums(x: np.ndarray, count: int) -> np.ndarray:
    """Sums of `count` neighbours."""
    return np.convolve(x, np.ones(count), "valid")


def _loss(have: float, keep: float) -> float:
    return MOST_DB if keep <= 10 ** (-MOST_DB / 10) * have else 10 * math.log10(have / keep)
