"""Iterations of `griffinlim` by compiled loops: CPU only, no gradients, one pass over memory between two FFTs.

A few loops replace about thirty tensor operations per iteration. A long sound is split into parts that fit the
processor's cache and run on several cores.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from audio_gen.audio.parallel import cores, on_cores, one_thread
from audio_gen.audio.stft import STFT
from audio_gen.vocoding.kernels import NARROW, UNROLLED, WIDTH, Floats, Ints, again, overlap, reflect, turn_and_fit
from audio_gen.vocoding.silence import FIRST_WEIGHT, Opening

BLOCK_SAMPLES = 1 << 18  # in the frames of a part
MOST_TURNS = 8  # iterations of a part between exchanges with its neighbours
LEAST_FRAMES = 144  # in a part of a sound that is split only for several cores

_Known = tuple[Tensor, Tensor | None]  # a spectrum (L, F), and the previous one for the momentum
_Spectrum = tuple[Tensor, Floats]  # (L, F), and a view as alternating real and imaginary parts (L, 2 F)


class NumbaPart:
    """The iterations of one part of a spectrum.

    Args:
        stft: Of the part.
        decimation: Of the part.
        filters: Mel filters (M, F) of the bands inside.
        share: Factors (F) with which the weights of each bin sum to 1.
        kept: Bins below this are refitted.
    """

    def __init__(self, stft: STFT, decimation: int, filters: Floats, share: Floats, kept: int) -> None:
        """Lay out the filters."""
        self._stft, self._decimation, self._window = stft, decimation, stft.window.numpy()
        self._block = max(1, BLOCK_SAMPLES // stft.n_fft)
        # Iterations between exchanges with neighbouring parts.
        self._round = max(1, min(MOST_TURNS, self._block // (16 * stft.reach)))
        # A bin is in at most two bands, which are neighbours unless bands between them have no bin.
        bins = range(filters.shape[1])
        bands = [(*np.flatnonzero(filters[:, f]), 0, 0) for f in bins]
        lower, upper = (np.array([rows[i] for rows in bands], np.int32) for i in range(2))
        falling = filters[lower, bins] * share
        rising = np.where([len(rows) > 3 for rows in bands], filters[upper, bins] * share, 0)
        self._bands = (*_rows(filters), lower, upper, falling, rising, kept)
        self._gain = lru_cache(maxsize=16)(self._new_gain)

    @one_thread()
    def refined(
        self, spectrum: Tensor, target: Tensor, iterations: int, momentum: float, opening: Opening | None = None
    ) -> Tensor:
        """As `griffinlim.iterated`: spectrum (L, F) and mel amplitudes (L, M) -> spectrum (L, F).

        A long sound is split into parts. For a round of iterations each part extends so far into its neighbours that
        errors at its ends do not reach its own frames, so the result is the same as without parts.
        """
        count, turns, wanted = len(spectrum), min(iterations, self._round), target.contiguous().numpy()
        owns = self._owns(count, turns)
        if len(owns) == 1:
            turns = iterations
        parts = [_Part(own, turns * self._stft.reach, count) for own in owns]
        rooms = self._rooms(parts)
        known: _Known = (spectrum, None)
        spare: _Known | None = None  # the previous buffers, reused for new results
        for done in range(0, iterations, turns):
            times, continues = min(turns, iterations - done), momentum and done + turns < iterations
            room = spare or (torch.empty_like(spectrum), torch.empty_like(spectrum) if continues else None)
            found = room[0], room[1] if continues else None

            def go(part: _Part, known: _Known = known, found: _Known = found, times: int = times) -> None:
                with _taken(rooms) as room:
                    self._iterate(part, room, wanted[part.all], known, found, times, momentum, opening)

            on_cores(go, parts)
            known, spare = found, known if done else None
        return known[0]

    @one_thread()
    def wave(self, spectrum: Tensor, opening: Opening | None = None) -> Tensor:
        """As `STFT.inverse`: spectrum (L, F) -> wave (L * hop_length)."""
        hop, out = self._stft.hop_length, torch.empty(len(spectrum) * self._stft.hop_length)

        parts = [_Part(own, self._stft.reach, len(spectrum)) for own in self._owns(len(spectrum), 1)]
        rooms = self._rooms(parts)

        def go(part: _Part) -> None:
            with _taken(rooms) as room:
                frames, padded = room.frames[: part.count], room.wave(part.count)
                torch.fft.irfft(spectrum[part.all], n=self._stft.n_fft, out=frames)
                gain, weighed = self._gain(part.count, self._seen_from(part, opening))
                frames[weighed] *= FIRST_WEIGHT
                padded.fill(0)
                overlap(frames.numpy(), self._window, hop, padded)
                reflect(padded, self._stft.pad, gain)
                begin = self._stft.pad + part.inner.start * hop
                wav = torch.from_numpy(padded[begin : begin + (part.own.stop - part.own.start) * hop])
                out[part.own.start * hop : part.own.stop * hop] = wav

        on_cores(go, parts)
        return out

    def _new_gain(self, count: int, opening: Opening | None) -> tuple[Floats, slice]:
        """Factors (T,) of `count` overlapped frames, and the slice of the emphasised frame."""
        if opening is None:
            return self._stft.coverage(count)[0, 0].reciprocal().numpy(), slice(0)
        gain, first = opening.gain(self._stft, count, self._decimation)
        return gain.numpy(), slice(0) if first is None else slice(first, first + 1)

    def _seen_from(self, part: "_Part", opening: Opening | None) -> Opening | None:
        """The opening relative to the samples of a part; None if it is before all of them."""
        if opening is None:
            return None
        own = opening.later(part.all.start * self._stft.hop_length)
        return own if own.onset > -self._stft.n_fft else None

    def _owns(self, count: int, turns: int) -> list[slice]:
        """Split frames into parts: as many as memory needs, and one for each core if that is faster."""
        parts = max(1, min(cores(), count // LEAST_FRAMES))
        if count > self._block:
            own = self._block - 2 * turns * self._stft.reach
            parts *= -(-count // (own * parts))
        edges = [count * i // parts for i in range(parts + 1)]
        return [slice(*pair) for pair in pairwise(edges)]

    def _rooms(self, parts: "list[_Part]") -> "list[_Room]":
        """Buffers for as many parts as there are cores."""
        largest = max(part.count for part in parts)
        return [_Room(self._stft, largest) for _ in range(min(cores(), len(parts)))]

    def _iterate(
        self, part: "_Part", room: "_Room", wanted: Floats, known: _Known, found: _Known, iterations: int,
        momentum: float, opening: Opening | None,
    ) -> None:  # fmt: skip
        """Iterate on a part: from the known state of all its frames to the new state of its own."""
        n_fft, hop, pad = self._stft.n_fft, self._stft.hop_length, self._stft.pad
        before, now, ahead = (room.spectrum(i, part.count) for i in range(3))
        ahead[0].copy_(known[0][part.all])
        if known[1] is not None:
            before[0].copy_(known[1][part.all])
        room_frames = room.frames[: part.count]
        frames, padded = room_frames.numpy(), room.wave(part.count)
        gain, weighed = self._gain(part.count, self._seen_from(part, opening))
        for i in range(iterations):
            torch.fft.irfft(ahead[0], n=n_fft, out=room_frames)
            room_frames[weighed] *= FIRST_WEIGHT
            again(frames, self._window, hop, padded, pad, gain)
            torch.fft.rfft(room_frames, out=now[0])
            back = momentum if i or known[1] is not None else 0.0
            # Without momentum the previous spectrum is not read.
            turn_and_fit(now[1], (before if back else now)[1], back, wanted, *self._bands, ahead[1])
            before, now = now, before
        for one, mine in zip(found, (ahead, before), strict=True):
            if one is not None:
                one[part.own] = mine[0][part.inner]


class _Part:
    """A part of a sound: its `own` frames, and `all` frames that it computes, where its own are `inner`."""

    def __init__(self, own: slice, reach: int, frames: int) -> None:
        first, last = max(0, own.start - reach), min(frames, own.stop + reach)
        self.own, self.all, self.count = own, slice(first, last), last - first
        self.inner = slice(own.start - first, own.stop - first)


class _Room:
    """Buffers for at most `count` frames."""

    def __init__(self, stft: STFT, count: int) -> None:
        self._stft, bins = stft, stft.n_fft // 2 + 1
        self.frames = torch.empty(count, stft.n_fft)
        self._spectra = [torch.empty(count, bins, dtype=torch.complex64) for _ in range(3)]
        self._wave = np.empty(count * stft.hop_length + 2 * stft.pad, np.float32)

    def spectrum(self, number: int, count: int) -> _Spectrum:
        """The first frames of one of three spectra."""
        spectrum = self._spectra[number][:count]
        return spectrum, torch.view_as_real(spectrum).flatten(1).numpy()

    def wave(self, count: int) -> Floats:
        """The wave of `count` frames, with its padding."""
        return self._wave[: count * self._stft.hop_length + 2 * self._stft.pad]


@contextmanager
def _taken(rooms: list[_Room]) -> Iterator[_Room]:
    """Take buffers that no other thread uses."""
    room = rooms.pop()
    try:
        yield room
    finally:
        rooms.append(room)


def _rows(filters: Floats) -> tuple[Ints, Ints, Floats]:
    """Mel filters (M, F) as first bins, numbers of bins to sum, and weights padded with zeros."""
    rows = [np.flatnonzero(row) for row in filters]
    starts = np.array([x[0] if len(x) else 0 for x in rows], np.int32)
    ends = np.array([x[-1] + 1 if len(x) else 0 for x in rows], np.int32)
    sizes = ends - starts
    step = np.where(sizes > NARROW, WIDTH, UNROLLED).astype(np.int32)
    sizes = -(-sizes // step) * step
    weights = np.zeros((len(rows), sizes.max(initial=0)), np.float32)
    for band, (start, end) in enumerate(zip(starts, ends, strict=True)):
        weights[band, : end - start] = filters[band, start:end]
    return starts, sizes, weights
