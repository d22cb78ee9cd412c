"""Loops compiled by numba: frames to a wave and back, and the refit of a spectrum to a mel.

The first call compiles them; `jit` stores the machine code on disk.
"""

import math

import numpy as np
from numpy.typing import NDArray

from audio_gen.vocoding.bands import MAX_RATIO, SILENT_AMPLITUDE, SILENT_POWER
from audio_gen.vocoding.jit import compiled

UNROLLED, WIDTH = 4, 16  # bins of a narrow and of a wide band per step
NARROW = 8  # bins of the widest narrow band

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]


@compiled
def overlap(frames: Floats, window: Floats, hop: int, padded: Floats) -> None:
    """Add windowed frames (L, N) to a wave."""
    size = frames.shape[1]
    for i in range(frames.shape[0]):
        frame, out = frames[i], padded[i * hop : i * hop + size]
        for n in range(size):
            out[n] += frame[n] * window[n]


@compiled
def reflect(padded: Floats, pad: int, gain: Floats) -> None:
    """Fold the padding back, apply the gain, and reflect the wave at both ends."""
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
def windowed(padded: Floats, window: Floats, hop: int, frames: Floats) -> None:
    """Cut frames (L, N) out of a wave."""
    size = frames.shape[1]
    for i in range(frames.shape[0]):
        out, wav = frames[i], padded[i * hop : i * hop + size]
        for n in range(size):
            out[n] = wav[n] * window[n]


@compiled
def again(frames: Floats, window: Floats, hop: int, padded: Floats, pad: int, gain: Floats) -> None:
    """From frames (L, N) to the wave and back."""
    padded[:] = 0
    overlap(frames, window, hop, padded)
    reflect(padded, pad, gain)
    windowed(padded, window, hop, frames)


@compiled
def _ahead(now: Floats, past: Floats, momentum: float, amplitude: Floats, turn: Floats, ahead: Floats) -> None:
    """A frame's amplitudes (F), its extrapolation (2 F), and factors (F) that give it these amplitudes."""
    back, silent = np.float32(momentum), np.float32(SILENT_POWER)  # float64 would halve the speed
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


@compiled
def _wide(amplitude: Floats, weights: Floats) -> np.float32:
    """The weighted sum of many amplitudes."""
    total = np.float32(SILENT_AMPLITUDE)
    for f in range(amplitude.shape[0]):
        total += amplitude[f] * weights[f]
    return total


def _bands(amplitude: Floats, starts: Ints, sizes: Ints, weights: Floats, mel: Floats) -> None:
    """The mel amplitudes (M) of a frame's amplitudes."""
    for band in range(starts.shape[0]):
        start, size = starts[band], sizes[band]
        if size > NARROW:
            mel[band] = _wide(amplitude[start : start + size], weights[band, :size])
            continue
        even, odd = np.float32(SILENT_AMPLITUDE), np.float32(0)
        for f in range(0, size, UNROLLED):
            even += amplitude[start + f] * weights[band, f]
            odd += amplitude[start + f + 1] * weights[band, f + 1]
            even += amplitude[start + f + 2] * weights[band, f + 2]
            odd += amplitude[start + f + 3] * weights[band, f + 3]
        mel[band] = even + odd


# Without reordering: vectorised sums of so few terms are slower.
_bands = compiled(_bands, {"contract"})


@compiled
def _fit(
    ratio: Floats, lower: Ints, upper: Ints, falling: Floats, rising: Floats, kept: int, turn: Floats, ahead: Floats
) -> None:
    """Scale a frame by its factors and by interpolated factors of its bands."""
    for f in range(kept):
        turn[f] *= ratio[lower[f]] * falling[f] + ratio[upper[f]] * rising[f]
    for f in range(turn.shape[0]):
        ahead[2 * f] *= turn[f]
        ahead[2 * f + 1] *= turn[f]


@compiled
def turn_and_fit(
    now: Floats, past: Floats, momentum: float, wanted: Floats, starts: Ints, sizes: Ints, weights: Floats,
    lower: Ints, upper: Ints, falling: Floats, rising: Floats, kept: int, ahead: Floats,
) -> None:  # fmt: skip
    """One iteration with momentum: refit frames (L, 2 F) to mel amplitudes (L, M)."""
    size, count, most = now.shape[1] // 2, wanted.shape[1], np.float32(MAX_RATIO)
    amplitude = np.zeros(size + weights.shape[1], np.float32)
    turn, ratio = np.empty(size, np.float32), np.empty(count, np.float32)
    for i in range(now.shape[0]):
        _ahead(now[i], past[i], momentum, amplitude[:size], turn, ahead[i])
        _bands(amplitude, starts, sizes, weights, ratio)
        for b in range(count):
            ratio[b] = min(wanted[i, b] / ratio[b], most)
        _fit(ratio, lower, upper, falling, rising, kept, turn, ahead[i])


@compiled
def corrected(output: Floats, amplitude: Floats, first: int, spectrum: Floats) -> None:
    """Apply the output of a vocoder network to frames.

    Args:
        output: Gains, weights of the start, and real and imaginary parts, concatenated (L, 4 (F - first)).
        amplitude: (L, F).
        first: First bin of the network.
        spectrum: Phasors (L, 2 F), alternating real and imaginary parts; overwritten by the spectrum.
    """
    above, one, silent = amplitude.shape[1] - first, np.float32(1), np.float32(SILENT_POWER)
    for i in range(amplitude.shape[0]):
        for f in range(first):
            spectrum[i, 2 * f] *= amplitude[i, f]
            spectrum[i, 2 * f + 1] *= amplitude[i, f]
        gain, weight = output[i, :above], output[i, above : 2 * above]
        reals, imags = output[i, 2 * above : 3 * above], output[i, 3 * above :]
        level, out = amplitude[i, first:], spectrum[i, 2 * first :]
        for f in range(above):
            real = reals[f] + (one + weight[f]) * out[2 * f]
            imag = imags[f] + (one + weight[f]) * out[2 * f + 1]
            scale = level[f] * gain[f] / np.sqrt(real * real + imag * imag + silent)
            out[2 * f] = real * scale
            out[2 * f + 1] = imag * scale
