"""The sustain loop of a note: whole periods of its steady part, with a cross-fade that hides the join."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from audio_gen.audio.crossfade import crossfade
from audio_gen.instruments.steady import HOP_SEC, RANGE_DB, levels_db, steady_part

RESCALED_FADE = 0.1  # of a loop
FADE_SEC, LEAST_FADE_SEC = 0.12, 0.01
LEAST_PART_SEC, LEAST_LOOP_SEC = 0.2, 0.1
MOST_LEVELLED_DB = 9.0
STARTS = 6  # places that are tried, in the first part of the steady part
FIRST_SHARE, LAST_SHARE = 0.35, 0.4  # of the steady part, in which loops start and end
MARGIN_SEC = 0.03  # of the steady part, left out at both ends
LOOSE_DB_PER_SEC, LOOSE_RANGE_DB = 10.0, 8.0  # of notes that beat or swell, if those around them are held
LEAST_CORRELATION = 0.3  # of the two sides of the join; below, it would beat


@dataclass(frozen=True)
class SustainLoop:
    """A loop in a note.

    Attributes:
        first: Its first sample.
        stop: The sample after its last one.
        correlation: Of what is faded out with what is faded in; 1 is the same wave.
    """

    first: int
    stop: int
    correlation: float

    def places(self, at: np.ndarray) -> np.ndarray:
        """The samples of the note (n,) that are played at samples (n,) of one that is held for ever."""
        return np.where(at < self.stop, at, self.first + (at - self.stop) % (self.stop - self.first))


def sustain_loop(
    wav: Tensor, sample_rate: int, f0_hz: float | None, *, loose: bool = False
) -> tuple[Tensor, SustainLoop] | None:
    """Find a loop, and fade its end into the sound before its start, at constant power.

    Args:
        wav: The note (C, T).
        sample_rate: In Hz.
        f0_hz: Its fundamental; None for a sound without pitch.
        loose: Also take a part whose level changes, and any two places of it.

    Returns:
        The note with the cross-fade, and the loop; None if no part of it is steady, or no two places of it fit.
    """
    x = wav.numpy()
    hop = round(HOP_SEC * sample_rate)
    steady = steady_part(levels_db(x, sample_rate), 1 / HOP_SEC, LOOSE_RANGE_DB if loose else RANGE_DB)
    if steady is None or (not steady.sustained and not (loose and abs(steady.slope_db_per_sec) < LOOSE_DB_PER_SEC)):
        return None
    margin = round(MARGIN_SEC * sample_rate)
    low, high = steady.first * hop + margin, int(min(steady.stop * hop, x.shape[1])) - margin
    if high - low < LEAST_PART_SEC * sample_rate:
        return None
    fade = int(min(FADE_SEC * sample_rate, (high - low) / 4))
    if f0_hz is not None:  # whole periods
        fade = int(max(1, round(fade * f0_hz / sample_rate)) * sample_rate / f0_hz)
    found = _best_join(
        x, low + fade, high, fade, -1.0 if loose else LEAST_CORRELATION, round(LEAST_LOOP_SEC * sample_rate)
    )
    if found is None or fade < LEAST_FADE_SEC * sample_rate:
        return None
    wav = _levelled(wav, found, fade)
    out = wav.clone()
    old, new = wav[:, found.stop - fade : found.stop], wav[:, found.first - fade : found.first]
    out[:, found.stop - fade : found.stop] = crossfade(old, new, found.correlation)
    # What follows the loop begins as its start goes on, so that a player that leaves the loop makes no step either.
    tail = min(fade, wav.shape[-1] - found.stop)
    begins, rest = out[:, found.first : found.first + tail], wav[:, found.stop : found.stop + tail]
    out[:, found.stop : found.stop + tail] = crossfade(begins, rest, found.correlation)
    return out, found


def _levelled(wav: Tensor, loop: SustainLoop, fade: int) -> Tensor:
    """A note (C, T) with a level that is the same at the end of the loop as at its start, so that it does not pump."""
    first, last = (float(wav[:, at - fade : at].square().mean().sqrt()) for at in (loop.first, loop.stop))
    change_db = 20 * np.log10(max(first, 1e-9) / max(last, 1e-9))
    change_db = float(np.clip(change_db, -MOST_LEVELLED_DB, MOST_LEVELLED_DB))
    ramp = torch.zeros(wav.shape[-1])
    ramp[loop.first : loop.stop] = torch.linspace(0, change_db, loop.stop - loop.first)
    ramp[loop.stop :] = change_db
    return wav * 10 ** (ramp / 20)


def _best_join(
    x: np.ndarray, low: int, high: int, fade: int, least_correlation: float, shortest: int
) -> SustainLoop | None:
    """The start and the end whose surroundings correlate most; the longer of two that are as good."""
    span = high - low
    starts = np.linspace(low, low + FIRST_SHARE * span, STARTS).astype(int)
    best: tuple[float, SustainLoop] | None = None
    for first in starts:
        least = max(int(high - LAST_SHARE * span), int(first) + max(fade + 1, shortest))
        if least >= high:
            continue
        before = x[:, first - fade : first]
        region = x[:, least - fade : high]
        match = sum(np.correlate(channel, one, "valid") for channel, one in zip(region, before, strict=True))
        energy = np.concatenate([[0.0], np.cumsum(np.square(region, dtype=np.float64).sum(0))])
        norm = np.sqrt((energy[fade:] - energy[:-fade]) * np.square(before, dtype=np.float64).sum() + 1e-20)
        correlation = match / norm
        top = int(np.argmax(correlation))
        loop = SustainLoop(int(first), least + top, float(correlation[top]))
        score = loop.correlation + 0.05 * (loop.stop - loop.first) / span
        if best is None or score > best[0]:
            best = score, loop
    return best[1] if best is not None and best[1].correlation >= least_correlation else None


def rescaled(wav: Tensor, loop: SustainLoop, scale: float) -> tuple[Tensor, SustainLoop]:
    """A note (C, T) that was resampled, and its loop, with a short cross-fade: whole samples are not whole periods."""
    first = round(loop.first * scale)
    stop = max(first + 1, min(round(loop.stop * scale), wav.shape[-1]))
    fade = min(max(1, round(RESCALED_FADE * (stop - first))), first)
    out = wav.clone()
    out[:, stop - fade : stop] = crossfade(wav[:, stop - fade : stop], wav[:, first - fade : first], 1.0)
    return out, SustainLoop(first, stop, loop.correlation)


def played(wav: Tensor, loop: SustainLoop, samples: int) -> Tensor:
    """A note (C, T) held for a number of samples, with its loop repeated."""
    return wav[:, torch.from_numpy(loop.places(np.arange(samples)))]
