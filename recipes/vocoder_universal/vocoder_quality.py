"""What copies of sounds lose: likeness clip by clip and as a set, attacks, steadiness, and speech as PESQ hears it.

Each measure takes an original and its copy as numbers; `group_figures` takes them of all files. `benchmark.py` is the
command.
"""

import importlib
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from audio_gen.audio.distance import mrmel
from audio_gen.audio.io import read_wav
from audio_gen.audio.mel import MelFrontEnd
from audio_gen.audio.resample import resample
from audio_gen.errors import DataError
from audio_gen.evaluation.distances import KAD_SCALE, median_distance
from audio_gen.evaluation.embeddings.base import Embedding
from audio_gen.evaluation.pairs import checked, squared_blocks
from audio_gen.vocoding.griffinlim import GriffinLimVocoder
from audio_gen.vocoding.long import copy_synthesis
from audio_gen.vocoding.lower_rate import LowerRateVocoder
from audio_gen.vocoding.renderer import NetworkVocoder

PEAK, SILENT_PEAK = 0.95, 1e-4  # what clips are brought to; below -80 dBFS there is nothing to bring
ATTACK_WINDOW_SEC, PEAK_WITHIN_SEC, SHIFT_SEC = 0.002, 0.03, 0.02
LOW, HIGH = 0.1, 0.9  # of the peak, the ends of an attack
LEVEL_WINDOW_SEC, LEVEL_STEP_SEC = 0.04, 0.01  # a Hann window of 40 ms is 20 ms wide at half its height
REACHED_DB, SUSTAIN_DROP_DB, SETTLED_SEC, MIN_SUSTAIN_SEC = 6.0, 20.0, 0.05, 0.5
TREND_HZ = 2.0  # what is slower is the note's own course
PESQ_RATE = 16_000
LEAD_SEC = 0.1  # of silence before strokes, so that a copy can be early
MEASURES = {"attack": "drums", "steadiness": "notes", "pesq": "speech"}  # what is not for every group, and for which
Invert = Callable[[Tensor], Tensor]  # log-mel (1, M, L) -> wav (1, 1, T)


def load_clip(path: Path, sample_rate: int, max_sec: float) -> Tensor | None:
    """The beginning (T,) of a file as mono, the file's peak at 0.95; None if the file is silent."""
    wav = read_wav(path, sample_rate=sample_rate)[0][0]
    peak = float(wav.abs().max())
    return None if peak < SILENT_PEAK else (PEAK / peak * wav)[: round(max_sec * sample_rate)]


def paired_kad(originals: Tensor, copies: Tensor) -> dict[str, float | None]:
    """KAD of N originals and the copy of each, in YAMNet's or any other embedding.

    `audio_gen.evaluation.distances.kad` is for two sets drawn apart from each other. Of a set and its own copies it
    compares each clip with its copy, too, but never a clip with itself, so that good copies lie up to 200 / N below 0.

    Args:
        originals: Vectors (N, D), N >= 2.
        copies: Vectors (N, D), in the same order.

    Returns:
        "kad", in which no clip meets itself or its copy: without bias, around 0 on either side for good copies;
        "kad_error", its standard error by the jackknife, None for N < 3; "kad_biased", in which each does: 0 for exact
        copies and never below, so that ratios have a meaning. It adds 1 / N of what single copies are off.

    Source: Gretton 2012 eq. 3, whose sum is over pairs i != j, and eq. 5; kernel and scale as in Chung 2025 (KAD).
    """
    originals, copies = checked(originals, 2), checked(copies, 2)
    bandwidth, count = median_distance(originals), len(originals)

    def kernel(rows: Tensor, columns: Tensor) -> Tensor:
        return torch.cat([block.mul(-0.5 / bandwidth**2).exp() for _, block in squared_blocks(rows, columns)])

    between = kernel(originals, copies)
    terms = KAD_SCALE * (kernel(originals, originals) + kernel(copies, copies) - between - between.T)
    biased = float(terms.mean())
    sums = terms.fill_diagonal_(0).sum(dim=1)
    value, error = float(sums.sum() / (count * (count - 1))), None
    if count > 2:
        without_one = (sums.sum() - 2 * sums) / ((count - 1) * (count - 2))
        error = float((without_one.var(correction=0) * (count - 1)).sqrt())
    return {"kad": value, "kad_error": error, "kad_biased": biased}


def attacks_ms(original: Tensor, copy: Tensor, sample_rate: int) -> tuple[float, float]:
    """Attack times of a stroke (T,) and of its copy (T,), in ms; give both some silence before the stroke.

    The attack is the time in which the envelope goes from 10 to 90 % of its first peak: from the last moment below 10 %
    to the first at 90 %. The envelope is the modulus of the analytic signal, as RMS under a Hann window of 2 ms, so
    that a shifted phase is no other attack. The first peak is the highest point within 30 ms of the moment in which the
    clip first reaches 10 % of its highest point; that of the copy is looked for within 20 ms of the original's, so that
    both are of one stroke. A click has 0.65 ms, the window's own.

    Strokes of noise are not repeatable to the sample: noise convolved with 1 ms of other noise, which is not heard,
    left 78 % of 45 recorded strokes within 1 ms.
    """
    envelopes = [envelope(wav, sample_rate) for wav in (original, copy)]
    within, shift = (round(sec * sample_rate) for sec in (PEAK_WITHIN_SEC, SHIFT_SEC))
    onset = int(np.argmax(envelopes[0] >= LOW * envelopes[0].max()))
    peak = onset + int(np.argmax(envelopes[0][onset : onset + within]))
    spans = ((onset, onset + within), (max(0, peak - shift), peak + shift))
    first, second = (_rise(x, *span) / sample_rate * 1e3 for x, span in zip(envelopes, spans, strict=True))
    return first, second


def envelope(wav: Tensor, sample_rate: int) -> np.ndarray:
    """Level (T,) of wav (T,); a sine's is flat, where the sine of an RMS or a modulus would show through."""
    from scipy.fft import next_fast_len
    from scipy.signal import fftconvolve, hilbert

    x = wav.double().numpy()
    power = np.abs(hilbert(x, next_fast_len(len(x)))[: len(x)]) ** 2
    window = _hann(round(ATTACK_WINDOW_SEC * sample_rate))
    return np.sqrt(fftconvolve(power, window, mode="same").clip(min=0))


def _rise(x: np.ndarray, first: int, last: int) -> int:
    """Samples from 10 to 90 % of the highest point of x[first:last]."""
    top = float(x[first:last].max())
    end = first + int(np.argmax(x[first:last] >= HIGH * top))
    below = np.flatnonzero(x[:end] < LOW * top)
    return end - (int(below[-1]) + 1 if len(below) else 0)


def added_modulation_db(original: Tensor, copy: Tensor, sample_rate: int) -> float | None:
    """How far the level of a note's copy sways, up or down in dB, beyond the original's; None if nothing is sustained.

    Levels are RMS in dB under a Hann window of 40 ms every 10 ms, over the original's sustained part (`sustained`).
    Without the straight line through them and whatever is slower than 2 Hz (a decay, a swell), their variances are
    compared: what the copy's has more is that of a sinusoidal modulation, and its amplitude is returned. Where the
    copy sways less than the original, that is 0. The window takes 10 % from a modulation of 10 Hz, 35 % at 20 Hz.
    """
    levels = [level_db(wav, sample_rate) for wav in (original, copy)]
    part = sustained(levels[0])
    if part is None:
        return None
    before, after = (_sway(x[part]) for x in levels)
    return float(np.sqrt(2 * max(0.0, after - before)))


def level_db(wav: Tensor, sample_rate: int) -> np.ndarray:
    """Levels (L,) of wav (T,) in dB, one for each window that lies in it; none if it is shorter than one."""
    size, step = (round(sec * sample_rate) for sec in (LEVEL_WINDOW_SEC, LEVEL_STEP_SEC))
    if len(wav) < size:
        return np.zeros(0)
    powers = wav.double().square().unfold(0, size, step) @ torch.from_numpy(_hann(size))
    return 10 * np.log10(powers.numpy() + 1e-12)


def sustained(levels: np.ndarray) -> slice | None:
    """The sustained part of levels (L,) in dB; None if it is shorter than half a second.

    It begins 50 ms after the level first comes within 6 dB of its highest and ends where it falls 20 dB below; the
    window at the end is left out as well, since a note that is cut off there would seem to sway.
    """
    if not len(levels):
        return None
    highest = int(levels.argmax())
    start = int(np.argmax(levels >= levels[highest] - REACHED_DB)) + round(SETTLED_SEC / LEVEL_STEP_SEC)
    soft = np.flatnonzero(levels[highest:] < levels[highest] - SUSTAIN_DROP_DB)
    end = highest + int(soft[0]) if len(soft) else len(levels)
    end -= round(LEVEL_WINDOW_SEC / LEVEL_STEP_SEC)
    return slice(start, end) if (end - start) * LEVEL_STEP_SEC >= MIN_SUSTAIN_SEC else None


def _sway(levels: np.ndarray) -> float:
    """Variance of levels (L,) around their line, of what is faster than TREND_HZ."""
    from scipy.fft import dct
    from scipy.signal import detrend

    parts = dct(detrend(levels), norm="ortho")  # orthonormal: the squares of its parts add up to those of the levels
    slow = 1 + int(2 * TREND_HZ * len(levels) * LEVEL_STEP_SEC)
    return float(np.square(parts[slow:]).sum() / len(levels))


def _hann(size: int) -> np.ndarray:
    """A window (N,) that weighs squares: its sum is 1, and no weight is 0."""
    window = np.hanning(size + 2)[1:-1]
    return window / window.sum()


def pesq_package() -> Any | None:
    """The package `pesq`, which is optional: it is compiled as it is installed."""
    try:
        return importlib.import_module("pesq")
    except ImportError:
        return None


def pesq_score(package: Any, original: Tensor, copy: Tensor, sample_rate: int) -> float | None:
    """Wide-band PESQ (ITU-T P.862.2, about 1 to 4.6) of speech (T,) at 16 kHz; None where it hears no speech."""
    pair = [resample(wav[None], sample_rate, PESQ_RATE)[0].numpy() for wav in (original, copy)]
    try:
        return float(package.pesq(PESQ_RATE, *pair, "wb"))
    except (package.NoUtterancesError, package.BufferTooShortError):
        return None


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, float | int | None]:
    """Figures of a group's files: means of mrmel and PESQ, medians and shares of the others; None without any."""
    heard = {key: [row[key] for row in rows if row.get(key) is not None] for key in ("mrmel", "pesq", "modulation_db")}
    off = [abs(row["attack_ms"][1] - row["attack_ms"][0]) for row in rows if row.get("attack_ms")]
    sway = heard["modulation_db"]
    return {
        "files": len(rows),
        "mrmel": statistics.mean(heard["mrmel"]) if heard["mrmel"] else None,
        "attacks": len(off),
        "attack_off_ms": statistics.median(off) if off else None,
        "attack_within_1_ms": sum(x <= 1 for x in off) / len(off) if off else None,
        "sustained": len(sway),
        "modulation_db": statistics.median(sway) if sway else None,
        "modulation_worst_db": max(sway, default=None),
        "modulation_within_half_db": sum(x <= 0.5 for x in sway) / len(sway) if sway else None,
        "pesq": statistics.mean(heard["pesq"]) if heard["pesq"] else None,
    }


def copied(invert: Invert, front_end: MelFrontEnd, wav: Tensor) -> Tensor:
    """Wav (T,) through its mel and back."""
    with torch.no_grad():
        placed = wav[None].to(front_end.filters.device)
        if isinstance(invert, GriffinLimVocoder | NetworkVocoder | LowerRateVocoder):  # as `audio-gen vocode` does it
            copy = copy_synthesis(invert, placed)[0].float().cpu()
        else:
            copy = invert(front_end(placed[None]))[0, 0, : len(wav)].float().cpu()
    if not bool(copy.isfinite().all()):
        raise DataError("a vocoder made NaN or infinite samples of a sound; measure a run that has not diverged")
    return copy


@dataclass(frozen=True)
class Heard:
    """What is known of a file: its groups, its vector (D,), and by vocoder the figures of its copy and its vector."""

    groups: set[str]
    vector: Tensor | None
    rows: dict[str, dict[str, Any]]
    vectors: dict[str, Tensor]


def hear(
    file: str, wav: Tensor, groups: set[str], wanted: set[str], table: Mapping[str, Invert], front_end: MelFrontEnd,
    embedding: Embedding | None,
) -> Heard:  # fmt: skip
    """Put wav (T,) through every vocoder of a table, and measure mrmel and what is wanted of MEASURES."""
    rows, vectors = {}, {}
    for name, invert in table.items():
        copy = copied(invert, front_end, wav)
        rows[name] = {"file": file, **measured(invert, front_end, wav, copy, wanted)}
        if embedding is not None:
            vectors[name] = embedded(copy, front_end, embedding)
    return Heard(groups, embedded(wav, front_end, embedding) if embedding else None, rows, vectors)


def measured(
    invert: Invert, front_end: MelFrontEnd, wav: Tensor, copy: Tensor, wanted: set[str]
) -> dict[str, float | tuple[float, float] | None]:
    rate = front_end.spec.sample_rate
    row: dict[str, float | tuple[float, float] | None] = {"mrmel": mrmel(wav, copy, rate)}
    if "attack" in wanted:
        stroke = F.pad(wav, (round(LEAD_SEC * rate), 0))
        row["attack_ms"] = attacks_ms(stroke, copied(invert, front_end, stroke), rate)
    if "steadiness" in wanted:
        row["modulation_db"] = added_modulation_db(wav, copy, rate)
    if "pesq" in wanted and (package := pesq_package()):
        row["pesq"] = pesq_score(package, wav, copy, rate)
    return row


def embedded(wav: Tensor, front_end: MelFrontEnd, embedding: Embedding) -> Tensor:
    """The vector (D,) of wav (T,)."""
    return embedding([resample(wav[None], front_end.spec.sample_rate, embedding.sample_rate)[0]])[0]


def group_figures(heard: Sequence[Heard]) -> dict[str, dict[str, Any]]:
    """The figures of files in one, by vocoder; biased KADs over that of the first vocoder."""
    found: dict[str, dict[str, Any]] = {}
    originals = [one.vector for one in heard if one.vector is not None]
    for name in heard[0].rows:
        rows = [one.rows[name] for one in heard]
        kads: dict[str, float | None] = dict.fromkeys(("kad", "kad_error", "kad_biased", "kad_ratio"))
        if len(originals) > 1:
            kads |= paired_kad(torch.stack(originals), torch.stack([one.vectors[name] for one in heard]))
        found[name] = summary(rows) | kads | {"rows": rows}
        first = next(iter(found.values()))["kad_biased"]
        found[name]["kad_ratio"] = found[name]["kad_biased"] / first if first else None
    return found


def shown(value: float | None, form: str = ".2f") -> str:
    return "-" if value is None else format(value, form)


def quality_table(groups: Mapping[str, Mapping[str, Any]], reference: str) -> list[list[str]]:
    head = ["group", "vocoder", "files", "mrmel", "KAD", "biased KAD", f"of {reference}'s", "attack, ms off",
            "within 1 ms", "added sway, dB", "within 0.5 dB", "PESQ"]  # fmt: skip
    rows = [
        [group, name, str(x["files"]), shown(x["mrmel"], ".3f"),
         shown(x["kad"]) + ("" if x["kad_error"] is None else f" ± {x['kad_error']:.2f}"),
         shown(x["kad_biased"]), shown(x["kad_ratio"]), shown(x["attack_off_ms"]),
         shown(x["attack_within_1_ms"], ".0%"), shown(x["modulation_db"]),
         shown(x["modulation_within_half_db"], ".0%"), shown(x["pesq"])]
        for group, found in groups.items() for name, x in found.items()
    ]  # fmt: skip
    return [head, *rows]
