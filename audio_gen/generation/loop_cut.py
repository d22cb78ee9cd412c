"""Cut a loop to the sample: align its ends, and fade what comes before its start into its end."""

from dataclasses import dataclass

import numpy as np

SEARCH_SEC = 0.03
COMPARED_SEC = (0.04, 0.08)  # before and after each end
EARLIER_SEC = 0.03
FADES_SEC = ((0.8, 0.01), (0.4, 0.04), (-1.0, 0.12))  # correlation of both ends, and the fade from there on
MARGIN_SEC = 0.25  # that a cut needs around a loop
ALIKE = 0.3  # correlation from which on the ends can be aligned by it


@dataclass(frozen=True)
class Cut:
    """Where a loop starts and ends.

    Attributes:
        start: First sample.
        end: The sample after the last one.
        fade: Samples of the cross-fade; 0 for none.
        at_start: Whether the cross-fade is at the start, from what follows the end, because nothing precedes the start.
        correlation: Of the surroundings of both ends, -1 to 1.
    """

    start: int
    end: int
    fade: int
    at_start: bool
    correlation: float


def align(x: np.ndarray, start: int, end: int, rate: int) -> Cut:
    """Refine a loop so that what surrounds its end looks like what surrounds its start.

    Both ends move together to a quiet place at most 30 ms before the start, with samples close to 0, so that the attack
    of a beat stays whole.

    Args:
        x: (C, T) float32, a part of the sound with the loop in it.
        start, end: Rough ends in samples of `x`.
        rate: Sample rate in Hz.
    """
    length = x.shape[1]
    if start <= 0 and end >= length:
        return Cut(0, length, 0, False, 0.0)
    end, correlation = _best_end(x, start, end, rate)
    shift = _quiet_shift(x, start, end, rate)
    start, end = start + shift, end + shift
    fade = next(round(sec * rate) for least, sec in FADES_SEC if correlation >= least)
    fade = min(fade, (end - start) // 4)
    if start >= fade:
        return Cut(start, end, fade, False, correlation)
    if end + fade <= length:
        return Cut(start, end, fade, True, correlation)
    return Cut(start, end, min(fade, start), False, correlation)


def render(x: np.ndarray, cut: Cut) -> np.ndarray:
    """The loop (C, end - start) of a part of a sound x (C, T), with its cross-fade.

    The gains keep the power of the mix at the correlation of the two parts: equal gain where they are alike, equal
    power where they are not.
    """
    loop = x[:, cut.start : cut.end].copy()
    if not cut.fade:
        return loop
    if cut.at_start:
        loop[:, : cut.fade] = _cross(x[:, cut.end : cut.end + cut.fade], loop[:, : cut.fade])
    else:
        loop[:, -cut.fade :] = _cross(loop[:, -cut.fade :], x[:, cut.start - cut.fade : cut.start])
    return loop


def _cross(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    rise = (np.arange(first.shape[1]) + 0.5) / first.shape[1]
    size = np.sqrt(float((first**2).sum()) * float((second**2).sum()))
    alike = max(0.0, float((first * second).sum()) / size) if size > 0 else 1.0
    scale = 1 / np.sqrt(rise**2 + (1 - rise) ** 2 + 2 * rise * (1 - rise) * alike)
    return (first * ((1 - rise) * scale) + second * (rise * scale)).astype(np.float32)


def _best_end(x: np.ndarray, start: int, end: int, rate: int) -> tuple[int, float]:
    """The end near `end` whose surroundings correlate best with those of the start."""
    from scipy.signal import correlate

    before, after = (round(sec * rate) for sec in COMPARED_SEC)
    search = min(round(SEARCH_SEC * rate), (end - start) // 4)
    before = min(before, start)
    after = min(after, x.shape[1] - end - search)
    if before + after < rate // 100:
        return end, 0.0
    template = x[:, start - before : start + after]
    first = max(0, end - before - search)
    held = x[:, first : end + after + search]
    products = sum(correlate(h, t, "valid", "fft") for h, t in zip(held, template, strict=True))
    powers = np.concatenate([[0.0], np.cumsum((held.astype(np.float64) ** 2).sum(0))])
    width = template.shape[1]
    powers = powers[width:] - powers[:-width]
    own = float((template.astype(np.float64) ** 2).sum())
    alike = products / np.sqrt(np.maximum(powers * own, 1e-12))
    best = int(np.argmax(alike))
    correlation = float(min(1.0, alike[best]))
    return (first + best + before if correlation >= ALIKE else end), correlation


def _quiet_shift(x: np.ndarray, start: int, end: int, rate: int) -> int:
    """How far both ends move to a quiet place, then to samples close to 0."""
    from scipy.ndimage import uniform_filter1d

    lowest = max(-round(EARLIER_SEC * rate), -start)
    near = round(0.002 * rate)
    highest = min(near, x.shape[1] - end)
    if highest - lowest < 2 * near:
        return 0
    energies = [(x[:, at + lowest : at + highest].astype(np.float64) ** 2).sum(0) for at in (start, end)]
    energy = energies[0] + energies[1]
    quiet = int(np.argmin(uniform_filter1d(energy, max(3, 2 * near), mode="nearest")))
    low = max(0, quiet - near)
    return lowest + low + int(np.argmin(energy[low : quiet + near]))
