"""Griffin-Lim with amplitudes refitted to a mel, on a CPU without gradients: one pass over memory between two FFTs.

What `refine.LowPart` does in some thirty tensor operations an iteration are here two loops compiled by numba, which
librosa brings along. They are compiled at their first use and kept on disk where numba can.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from audio_gen.audio.clips import one_thread
from audio_gen.audio.refine import MAX_RATIO, SILENT_AMPLITUDE, SILENT_POWER
from audio_gen.audio.stft import STFT

BLOCK_SAMPLES = 1 << 17  # of the frames that one FFT call transforms: they stay in the processor's cache
UNROLLED = 4  # bins of a band that are added at a time

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
_Block = tuple[Tensor, Floats]  # of frames, and the same memory for numba


def compiled(function: Callable[..., None], fastmath: bool | set[str] = True) -> Any:
    """The function as machine code, from the disk if it is there; where nothing can be written it is not kept."""
    options: dict[str, Any] = {"nogil": True, "fastmath": fastmath, "error_model": "numpy"}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # numba finds no folder for its cache
        return njit(**options)(function)


class FusedPart:
    """The iterations of one part of a spectrum.

    Args:
        stft: Of the part.
        filters: Mel filters (M, F) of the bands inside.
        share: What a bin's weights are multiplied by to sum to 1 (F).
        kept: Bins below this are refitted.
    """

    def __init__(self, stft: STFT, filters: Floats, share: Floats, kept: int) -> None:
        """Lay out the filters."""
        self._stft, self._kept = stft, kept
        self._window = stft.window.numpy()
        self._rows = _rows(filters)
        # A bin lies in two bands at most, which are neighbours unless others between them hold no bin.
        bins = range(filters.shape[1])
        bands = [(*np.flatnonzero(filters[:, f]), 0, 0) for f in bins]
        self._lower, self._upper = (np.array([rows[i] for rows in bands], np.int32) for i in range(2))
        self._falling = filters[self._lower, bins] * share
        self._rising = np.where([len(rows) > 3 for rows in bands], filters[self._upper, bins] * share, 0)

    @one_thread()
    def refined(self, spectrum: Tensor, target: Tensor, iterations: int, momentum: float) -> Tensor:
        """As `LowPart.refined`: spectrum (L, F) and mel amplitudes (L, M) -> spectrum (L, F)."""
        work = _Work(self._stft, len(spectrum))
        here = spectrum.clone(memory_format=torch.contiguous_format)
        spectra = [work.blocks(x) for x in (torch.zeros_like(here), torch.empty_like(here), here)]
        wanted = [target[block].contiguous().numpy() for block in work.slices]
        for i in range(iterations):
            self._to_wave(work, spectra[2])
            for k, (past, now, ahead) in enumerate(zip(*spectra, strict=True)):
                room, frames = work.rooms[k]
                _windowed(work.padded, self._window, self._stft.hop_length, work.slices[k].start, frames)
                torch.fft.rfft(room, out=now[0])
                _turn_and_fit(
                    now[1], past[1], momentum if i else 0.0, wanted[k], *self._rows, self._lower,
                    self._upper, self._falling, self._rising, self._kept, ahead[1],
                )  # fmt: skip
            spectra[:2] = spectra[1::-1]
        return here

    @one_thread()
    def wave(self, spectrum: Tensor) -> Tensor:
        """As `STFT.inverse`: spectrum (L, F) -> wave (L * hop_length)."""
        work, pad = _Work(self._stft, len(spectrum)), self._stft.pad
        self._to_wave(work, work.blocks(spectrum.contiguous()))
        return torch.from_numpy(work.padded[pad : len(work.padded) - pad])

    def _to_wave(self, work: "_Work", spectrum: Sequence["_Block"]) -> None:
        """The wave of a spectrum, with its ends reflected, to `work.padded`."""
        work.padded.fill(0)
        for (block, _), (room, frames), part in zip(spectrum, work.rooms, work.slices, strict=True):
            torch.fft.irfft(block, n=self._stft.n_fft, out=room)
            _overlap(frames, self._window, self._stft.hop_length, part.start, work.padded)
        _reflect(work.padded, self._stft.pad, work.gain)


class _Work:
    """Room to work in, for a number of frames: some at a time, which stay in the processor's cache."""

    def __init__(self, stft: STFT, count: int) -> None:
        size = max(1, BLOCK_SAMPLES // stft.n_fft)
        self.slices = [slice(at, min(at + size, count)) for at in range(0, count, size)]
        frames = torch.empty(min(size, count), stft.n_fft)
        rooms = [frames[: part.stop - part.start] for part in self.slices]
        self.rooms: list[_Block] = [(room, room.numpy()) for room in rooms]
        self.padded = np.empty(count * stft.hop_length + 2 * stft.pad, np.float32)
        self.gain = stft.coverage(count)[0, 0].reciprocal().numpy()

    def blocks(self, spectrum: Tensor) -> "list[_Block]":
        """Parts of a complex spectrum (L, F), and as real and imaginary parts in turn (L, 2 F), in the same memory."""
        parts = [spectrum[part] for part in self.slices]
        return [(part, torch.view_as_real(part).flatten(1).numpy()) for part in parts]


def _rows(filters: Floats) -> tuple[Ints, Ints, Floats]:
    """Mel filters (M, F) as their first bins, how many bins to add up, and weights, with zeros behind."""
    rows = [np.flatnonzero(row) for row in filters]
    starts = np.array([x[0] if len(x) else 0 for x in rows], np.int32)
    ends = np.array([x[-1] + 1 if len(x) else 0 for x in rows], np.int32)
    sizes = -(-(ends - starts) // UNROLLED) * UNROLLED
    weights = np.zeros((len(rows), sizes.max(initial=0)), np.float32)
    for band, (start, end) in enumerate(zip(starts, ends, strict=True)):
        weights[band, : end - start] = filters[band, start:end]
    return starts, sizes, weights


@compiled
def _overlap(frames: Floats, window: Floats, hop: int, first: int, padded: Floats) -> None:
    """Add windowed frames (L, N), of which the first starts `first` hops on, to a wave."""
    size = frames.shape[1]
    for i in range(frames.shape[0]):
        frame, out = frames[i], padded[(first + i) * hop : (first + i) * hop + size]
        for n in range(size):
            out[n] += frame[n] * window[n]


@compiled
def _reflect(padded: Floats, pad: int, gain: Floats) -> None:
    """Fold what lies beyond the ends back in, apply the gain to the wave between, and reflect it at the ends."""
    samples = padded.shape[0] - 2 * pad
    wav = padded[pad : pad + samples]
    for i in range(1, pad + 1):
        wav[i] += padded[pad - i]
        wav[samples - 1 - i] += padded[pad + samples - 1 + i]
    for i in range(samples):
        wav[i] *= gain[i]
    for i in range(1, pad + 1):
        padded[pad - i] = wav[i]
        padded[pad + samples - 1 + i] = wav[samples - 1 - i]


@compiled
def _windowed(padded: Floats, window: Floats, hop: int, first: int, frames: Floats) -> None:
    """Cut frames (L, N) out of a wave."""
    size = frames.shape[1]
    for i in range(frames.shape[0]):
        out, wav = frames[i], padded[(first + i) * hop : (first + i) * hop + size]
        for n in range(size):
            out[n] = wav[n] * window[n]


@compiled
def _ahead(now: Floats, past: Floats, momentum: float, amplitude: Floats, turn: Floats, ahead: Floats) -> None:
    """A frame's amplitudes (F), what it is going to (2 F), and the factors that give that these amplitudes (F)."""
    back, silent = np.float32(momentum), np.float32(SILENT_POWER)  # doubles would halve the speed
    on = np.float32(1) + back
    for f in range(amplitude.shape[0]):
        real, imag = now[2 * f], now[2 * f + 1]
        next_real = on * real - back * past[2 * f]
        next_imag = on * imag - back * past[2 * f + 1]
        size = math.sqrt(real * real + imag * imag + silent)
        amplitude[f] = size
        turn[f] = size / math.sqrt(next_real * next_real + next_imag * next_imag + silent)
        ahead[2 * f] = next_real
        ahead[2 * f + 1] = next_imag


def _bands(amplitude: Floats, starts: Ints, sizes: Ints, weights: Floats, mel: Floats) -> None:
    """The mel (M) of a frame's amplitudes."""
    for band in range(starts.shape[0]):
        start, even, odd = starts[band], np.float32(SILENT_AMPLITUDE), np.float32(0)
        for f in range(0, sizes[band], UNROLLED):
            even += amplitude[start + f] * weights[band, f]
            odd += amplitude[start + f + 1] * weights[band, f + 1]
            even += amplitude[start + f + 2] * weights[band, f + 2]
            odd += amplitude[start + f + 3] * weights[band, f + 3]
        mel[band] = even + odd


# Sums of so few are slower as vectors, which reordering would allow.
_bands = compiled(_bands, {"contract"})


@compiled
def _fit(
    ratio: Floats, lower: Ints, upper: Ints, falling: Floats, rising: Floats, kept: int, turn: Floats, ahead: Floats
) -> None:
    """Scale a frame by its factors, and by those of its bands, interpolated between them."""
    for f in range(kept):
        turn[f] *= ratio[lower[f]] * falling[f] + ratio[upper[f]] * rising[f]
    for f in range(turn.shape[0]):
        ahead[2 * f] *= turn[f]
        ahead[2 * f + 1] *= turn[f]


@compiled
def _turn_and_fit(
    now: Floats, past: Floats, momentum: float, wanted: Floats, starts: Ints, sizes: Ints, weights: Floats,
    lower: Ints, upper: Ints, falling: Floats, rising: Floats, kept: int, ahead: Floats,
) -> None:  # fmt: skip
    """`LowPart._ahead` of frames (L, 2 F) with those before them, to mel amplitudes (L, M)."""
    size, count, most = now.shape[1] // 2, wanted.shape[1], np.float32(MAX_RATIO)
    amplitude = np.zeros(size + weights.shape[1], np.float32)
    turn, ratio = np.empty(size, np.float32), np.empty(count, np.float32)
    for i in range(now.shape[0]):
        _ahead(now[i], past[i], momentum, amplitude[:size], turn, ahead[i])
        _bands(amplitude, starts, sizes, weights, ratio)
        for b in range(count):
            ratio[b] = min(wanted[i, b] / ratio[b], most)
        _fit(ratio, lower, upper, falling, rising, kept, turn, ahead[i])
