"""Signal measures of clips (loudness, crest, attack ..), and their comparison between two sets.

Frames count as sounding when their level is less than 60 dB below the loudest frame of the same clip; a clip whose peak
is below -80 dBFS is silent, and has NaN where a figure needs sound.
"""

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from audio_gen.audio.channels import MOST_DB, width_db
from audio_gen.audio.loudness import loudness_lufs
from audio_gen.audio.onset import onset, rise_sec, sound_end

FIELDS = (
    "loudness_lufs", "peak_db", "crest_db", "clipped_share", "dc", "silent_share",
    "centroid_hz", "rolloff_hz", "flatness", "attack_sec", "length_sec",
    "first_sample", "last_sample", "padding_share", "rise_sec", "before_onset_db",
)  # fmt: skip
STEREO_FIELDS = ("width_db", "correlation")  # of sets with clips of two channels

# Smallest spread of each field that distances are divided by, so that tiny spreads do not magnify them.
SMALLEST_SPREAD = {
    "loudness_lufs": 1.0, "peak_db": 1.0, "crest_db": 1.0, "clipped_share": 1e-3, "dc": 1e-3, "silent_share": 0.02,
    "centroid_hz": 25.0, "rolloff_hz": 50.0, "flatness": 0.01, "attack_sec": 0.005, "length_sec": 0.01,
    "first_sample": 0.01, "last_sample": 0.01, "padding_share": 0.02, "rise_sec": 0.005, "before_onset_db": 3.0,
    "width_db": 1.0, "correlation": 0.05,
}  # fmt: skip

SILENT_PEAK = 1e-4  # -80 dBFS
SILENCE_BELOW_LOUDEST = 1e-3  # -60 dB
LEVEL_SEC = 0.01
ENVELOPE_SEC, ENVELOPE_STEP_SEC = 0.01, 0.001
AFTER_ONSET_SEC, NOTHING_DB = 0.05, -100.0
SPECTRUM_SEC = 0.046  # the nearest power of two is 2048 samples at 44.1 kHz
ROLLOFF_SHARE = 0.95
FULL_SCALE, CLIP_RUN, CLIP_TOLERANCE = 0.99, 3, 2**-16  # half a step of 16 bits


def describe(wav: Tensor, sample_rate: int) -> dict[str, float]:
    """Measure one clip.

    Args:
        wav: Samples (T,) of one channel, full scale 1.
        sample_rate: In Hz.

    Returns:
        A figure for each of FIELDS: loudness after ITU-R BS.1770-4; sample peak in dBFS; peak to RMS of the sounding
        frames in dB; share of samples in runs of three or more at the clip's extreme of 0.99 or more; mean; share of
        10-ms frames that do not sound; centroid and 95 % roll-off of the power spectrum summed over the sounding
        frames; median flatness of those frames (white noise .56, a sine 0); time from 10 to 90 % of the peak of the RMS
        over 10 ms (at least 8 ms, from the smoothing); length; first and last sample over the peak; share of the clip
        before its onset and after its end at -60 dB; time from 10 to 90 % of the first peak of the RMS over 1 ms;
        energy before the onset in dB over that of the 50 ms after it, -100 at least. Undefined figures are NaN.
    """
    assert wav.dim() == 1
    x = wav.detach().cpu().float()
    figures = dict.fromkeys(FIELDS, math.nan) | {"length_sec": len(x) / sample_rate}
    if not len(x) or not bool(torch.isfinite(x).all()):
        return figures
    peak = float(x.abs().max())
    figures |= {"clipped_share": _clipped_share(x), "dc": float(x.mean(dtype=torch.float64)), "silent_share": 1.0}
    if peak < SILENT_PEAK:
        return figures
    frame = max(1, round(LEVEL_SEC * sample_rate))
    powers = _frame_powers(x, frame)
    sounding = powers >= SILENCE_BELOW_LOUDEST**2 * powers.max()
    # Blocks half in the silence after a one-shot would measure a padded clip as softer than the unpadded one.
    first, last = (int(torch.nonzero(sounding)[end]) for end in (0, -1))
    loudness = loudness_lufs(x[first * frame : (last + 1) * frame], sample_rate)
    figures |= {"loudness_lufs": loudness, "peak_db": _db(peak**2)}
    figures |= {"crest_db": _db(peak**2 / float(powers[sounding].mean()))}
    figures |= {"silent_share": 1 - float(sounding.float().mean()), "attack_sec": _attack_sec(x, sample_rate)}
    return figures | _edges(x, peak, sample_rate) | _spectral(x, sample_rate)


def describe_stereo(wav: Tensor | None) -> dict[str, float]:
    """Measure the stereo of one clip.

    Args:
        wav: Left and right (2, T); None for a mono clip.

    Returns:
        A figure for each of STEREO_FIELDS: energy of the side relative to that of the mid in dB, -60 for a mono clip;
        correlation of left and right, NaN if one is silent.
    """
    if wav is None:
        return {"width_db": -MOST_DB, "correlation": 1.0}
    left, right = wav.detach().cpu().double()
    norms = float(left.norm() * right.norm())
    return {"width_db": width_db(wav), "correlation": float(left @ right) / norms if norms else math.nan}


def is_silent(wav: Tensor, sample_rate: int) -> bool:
    """Whether wav (T,) is softer than -70 LUFS throughout, the absolute gate of BS.1770."""
    x = wav.detach().cpu().float()
    return not len(x) or float(x.abs().max()) < SILENT_PEAK or math.isnan(loudness_lufs(x, sample_rate))


def compare(
    real: Mapping[str, np.ndarray], generated: Mapping[str, np.ndarray], *, stereo: bool = False
) -> dict[str, dict]:
    """Compare two sets of clips field by field; non-finite values are skipped.

    Args:
        real: Figures (N,) by field.
        generated: Figures (K,) by field.
        stereo: Compare STEREO_FIELDS too.

    Returns:
        By field, in the order of FIELDS: "real" and "generated" with "p10", "median" and "p90", and "distance", the
        Wasserstein distance over the interquartile range of the real clips, or over SMALLEST_SPREAD if that is larger:
        0 for equal distributions, 1 for a shift by the spread of the real ones. None if a side has no figure.
    """
    from scipy.stats import wasserstein_distance  # takes most of a second to import

    result = {}
    fields = (*FIELDS, *STEREO_FIELDS) if stereo else FIELDS
    for field in (field for field in fields if field in real and field in generated):
        sides = [np.asarray(side[field], dtype=np.float64) for side in (real, generated)]
        a, b = (side[np.isfinite(side)] for side in sides)
        distance = None
        if len(a) and len(b):
            low, high = np.quantile(a, [0.25, 0.75])
            distance = float(wasserstein_distance(a, b)) / max(float(high - low), SMALLEST_SPREAD[field])
        result[field] = {"real": _quantiles(a), "generated": _quantiles(b), "distance": distance}
    return result


def _db(power: float) -> float:
    return 10 * math.log10(power)


def _quantiles(values: np.ndarray) -> dict[str, float | None]:
    names = ("p10", "median", "p90")
    if not len(values):
        return dict.fromkeys(names)
    return dict(zip(names, np.quantile(values, [0.1, 0.5, 0.9]).tolist(), strict=True))


def _frame_powers(x: Tensor, size: int) -> Tensor:
    """Mean squares (L,) of frames that do not overlap; the last frame may be shorter."""
    whole = len(x) // size * size
    parts = [x[:whole].view(-1, size).square().mean(1)]
    return torch.cat([*parts, x[whole:].square().mean()[None]] if whole < len(x) else parts)


def _clipped_share(x: Tensor) -> float:
    clipped = 0
    for side in (x, -x):
        extreme = float(side.max())
        if extreme < FULL_SCALE or len(x) < CLIP_RUN:
            continue
        at = side >= extreme - CLIP_TOLERANCE
        starts = at.unfold(0, CLIP_RUN, 1).all(1)  # (T - 2,), True where a run of three starts
        member = torch.zeros_like(at)
        for i in range(CLIP_RUN):
            member[i : len(starts) + i] |= starts
        clipped += int(member.sum())
    return clipped / len(x)


def _attack_sec(x: Tensor, sample_rate: int) -> float:
    size, step = (max(1, round(sec * sample_rate)) for sec in (ENVELOPE_SEC, ENVELOPE_STEP_SEC))
    # Silence around the clip, so that a sound that starts with its first sample has a measurable rise.
    padded = torch.cat([x.new_zeros(size), x, x.new_zeros(size)]).double()
    energy = torch.cat([padded.new_zeros(1), padded.square().cumsum(0)])
    envelope = (energy[size:] - energy[:-size])[::step].clamp(min=0).sqrt()
    top = int((envelope >= 0.9 * envelope.max()).nonzero()[0])
    below = (envelope[:top] < 0.1 * envelope.max()).nonzero()
    return (top - (int(below[-1]) + 1 if len(below) else 0)) * step / sample_rate


def _edges(x: Tensor, peak: float, sample_rate: int) -> dict[str, float]:
    """Measure the start and end of a clip, which a sampler plays unchanged."""
    samples = x.numpy()
    start, end = onset(samples, sample_rate), sound_end(samples)
    after = float(x[start : start + round(AFTER_ONSET_SEC * sample_rate)].square().sum())
    before = float(x[:start].square().sum())
    return {
        "first_sample": abs(float(x[0])) / peak,
        "last_sample": abs(float(x[-1])) / peak,
        "padding_share": (start + len(x) - end) / len(x),
        "rise_sec": rise_sec(samples, sample_rate),
        "before_onset_db": max(NOTHING_DB, _db(max(before / after, 1e-30))),
    }


def _spectral(x: Tensor, sample_rate: int) -> dict[str, float]:
    n_fft = 2 ** max(4, round(math.log2(SPECTRUM_SEC * sample_rate)))
    window = torch.hann_window(n_fft)
    x = x - x.mean()
    if float(x.abs().max()) < SILENT_PEAK:
        return {}  # nothing but an offset
    frames = torch.stft(x, n_fft, n_fft // 4, window=window, pad_mode="constant", return_complex=True)
    power = (frames.real.square() + frames.imag.square()).T.contiguous()  # (F, L) -> (L, F)
    energy = power.sum(1)
    power = power[energy >= SILENCE_BELOW_LOUDEST**2 * energy.max()]
    total = power.sum(0).double()
    bin_hz = torch.arange(len(total), dtype=torch.float64) * sample_rate / n_fft
    rolloff = int((total.cumsum(0) >= ROLLOFF_SHARE * total.sum()).nonzero()[0])
    mean = power.mean(1)
    flatness = (power.clamp(min=1e-30).log().mean(1) - mean.clamp(min=1e-30).log()).exp()
    return {
        "centroid_hz": float(total @ bin_hz / total.sum()),
        "rolloff_hz": float(bin_hz[rolloff]),
        "flatness": float(flatness.quantile(0.5)),
    }
