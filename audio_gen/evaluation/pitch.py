"""Pitch of clips against the requested pitch."""

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

import numpy as np
import torch
from torch import Tensor

from audio_gen.data.index import in_threads
from audio_gen.data.pitch import ANALYSED_SEC, EDGE_SEMITONES, F_MAX, F_MIN, MIN_SEC, RATE, VOICED_SHARE
from audio_gen.errors import ConfigError

LIMITS_HZ = {"pyin": (22.0, RATE / 4), "crepe": (32.8, 1975.0)}  # range of each method
FRAME, HOP = 2048, 512  # pYIN, samples at RATE
HIGH_HZ = 500.0  # from here up pYIN runs at twice the rate: at RATE it is an octave off for some notes above C7
GRID_SEMITONES = 0.1
SEMITONES_A_FRAME = 10  # pYIN's largest pitch change; it fails if this exceeds the range
CREPE_RATE, CREPE_FRAME, CREPE_HOP, CREPE_MODEL = 16000, 1024, 368, "tiny"  # the same hop in seconds as pYIN
CREPE_VOICED = 0.5  # its periodicity
RANGE_AROUND = 2 ** (14 / 12)  # 14 semitones each way of a requested pitch, so that the pitch is on the grid
SOUNDING = 0.1  # -20 dB of the loudest frame
REQUESTED_VOICED_SHARE = 0.25
CENTS, NEAR_CENTS = 1200, 50
SILENT_PEAK = 1e-4
_CREPE_LOADING = Lock()


@dataclass(frozen=True)
class Track:
    """Pitch along a clip.

    Attributes:
        f0_hz: (L,) fundamental in Hz; undefined in unvoiced frames.
        voiced: (L,) bool, whether the frame has a pitch.
        sounding: (L,) bool, whether the frame is less than 20 dB below the loudest.
    """

    f0_hz: np.ndarray
    voiced: np.ndarray
    sounding: np.ndarray


def track(
    wav: Tensor, sample_rate: int, *, method: str = "pyin", f_min_hz: float = F_MIN, f_max_hz: float = F_MAX,
    grid_semitones: float = GRID_SEMITONES,
) -> Track:  # fmt: skip
    """Track the pitch of a clip, one frame every 23 ms.

    Args:
        wav: Samples (T,), T at least 1.
        sample_rate: In Hz.
        method: "pyin" (22 to 5512 Hz, on a grid) or "crepe" (33 to 1975 Hz, needs torchcrepe; its tiny
            network is 20 times as fast as the full one and differs a little in voicing).
        f_min_hz: Lowest pitch of the search, limited to the method's range.
        f_max_hz: Highest pitch, at least a semitone above, limited likewise.
        grid_semitones: Steps of pYIN's grid; a grid twice as coarse is four times as fast.

    Raises:
        ConfigError: The method is unknown, or torchcrepe is not installed.

    Source: pYIN, Mauch and Dixon 2014; CREPE, Kim 2018.
    """
    if method not in LIMITS_HZ:
        raise ConfigError(f"pitch method {method!r} is unknown; use {' or '.join(LIMITS_HZ)}")
    low, high = LIMITS_HZ[method]
    low, high = max(f_min_hz, low), min(f_max_hz, high)
    assert wav.dim() == 1 and len(wav) and low < high
    samples = wav.detach().cpu().float().numpy()
    if method == "crepe":
        return _crepe(samples, sample_rate, low, high)
    return _pyin(samples, sample_rate, low, high, grid_semitones)


def measure_pitch(
    clips: Sequence[tuple[Tensor, int]], wanted: Sequence[float | None], method: str = "pyin", workers: int = 2
) -> dict[str, float | int | str | None]:
    """Compare the pitch of clips, in their first second, with the requested pitch.

    A clip with a requested pitch is searched within 14 semitones each way of it, which makes octave errors rare and is
    several times faster; a clip further off counts as wrong all the same. Such a clip is voiced if a quarter of its
    sounding frames are, and otherwise counts as wrong. A clip without a requested pitch is searched from 30 to 4186 Hz,
    and counts for voiced share and drift only, if half of its frames are voiced. Clips that are silent, not finite or
    under 0.1 s are skipped, and so are pitches outside the method's range.

    Args:
        clips: Samples (T,) and sample rate in Hz of each.
        wanted: Requested MIDI pitch of each, or None.
        method: See `track`.
        workers: Threads.

    Returns:
        "accuracy": share of the clips with a requested pitch whose median f0 is within 50 cents of it;
        "accuracy_octave": the same, octave errors allowed; "error_cents": median of that deviation over voiced clips;
        "voiced": mean share of voiced frames among sounding ones; "drift_cents": median over voiced clips of the spread
        (10 to 90 %) of f0; "n": clips measured; "method". A figure without clips is None.

    Raises:
        ConfigError: See `track`.
    """

    def measure_one(job: tuple[tuple[Tensor, int], float | None]) -> "_Measured | None":
        (wav, sample_rate), pitch = job
        return _measured(wav, sample_rate, pitch, method)

    found = list(in_threads(measure_one, list(zip(clips, wanted, strict=True)), workers, "pitch"))
    return _figures([one for one in found if one is not None]) | {"method": method}


@dataclass(frozen=True)
class _Measured:
    """One clip: whether a pitch was requested, deviations (K,) from it in cents if voiced, and the voiced share."""

    requested: bool
    cents: np.ndarray
    voiced_share: float


def _figures(measured: Sequence[_Measured]) -> dict[str, float | int | str | None]:
    requested = [one for one in measured if one.requested]
    near = np.array([abs(np.median(one.cents)) for one in requested if len(one.cents)])
    folded = np.abs((near + CENTS / 2) % CENTS - CENTS / 2)
    spreads = [np.ptp(np.quantile(one.cents, [0.1, 0.9])) for one in measured if len(one.cents)]
    return {
        "accuracy": float((near <= NEAR_CENTS).sum() / len(requested)) if requested else None,
        "accuracy_octave": float((folded <= NEAR_CENTS).sum() / len(requested)) if requested else None,
        "error_cents": float(np.median(near)) if len(near) else None,
        "voiced": float(np.mean([one.voiced_share for one in measured])) if measured else None,
        "drift_cents": float(np.median(spreads)) if spreads else None,
        "n": len(measured),
    }


def _measured(wav: Tensor, sample_rate: int, pitch: float | None, method: str) -> _Measured | None:
    """Measure one clip; None if that is impossible."""
    wav = wav[: int(ANALYSED_SEC * sample_rate)]
    if len(wav) < MIN_SEC * sample_rate or not bool(torch.isfinite(wav).all()) or float(wav.abs().max()) < SILENT_PEAK:
        return None
    if pitch is None:
        return _unrequested(track(wav, sample_rate, method=method))
    requested_hz = 440.0 * 2 ** ((pitch - 69) / 12)
    low, high = LIMITS_HZ.get(method, (0.0, np.inf))
    if not low < requested_hz < high:
        return None
    found = track(
        wav, sample_rate, method=method, f_min_hz=requested_hz / RANGE_AROUND, f_max_hz=requested_hz * RANGE_AROUND
    )
    f0_hz, share = _voiced(found)
    cents = CENTS * np.log2(f0_hz / requested_hz) if share >= REQUESTED_VOICED_SHARE else f0_hz[:0]
    return _Measured(True, cents, share)


def _unrequested(found: Track) -> _Measured | None:
    f0_hz, share = _voiced(found)
    # pYIN puts noise at the lower end of its range.
    if share < VOICED_SHARE or np.median(f0_hz) < F_MIN * 2 ** (EDGE_SEMITONES / 12):
        return None
    return _Measured(False, CENTS * np.log2(f0_hz / np.median(f0_hz)), share)


def _voiced(found: Track) -> tuple[np.ndarray, float]:
    """Pitch of the frames that sound and are voiced, and their share of those that sound."""
    both = found.voiced & found.sounding & np.isfinite(found.f0_hz)
    return found.f0_hz[both].astype(np.float64), float(both.sum() / max(1, found.sounding.sum()))


def _resampled(wav: np.ndarray, sample_rate: int, rate: int) -> np.ndarray:
    import soxr

    return soxr.resample(wav, sample_rate, rate) if sample_rate != rate else wav


def _pyin(wav: np.ndarray, sample_rate: int, f_min_hz: float, f_max_hz: float, grid_semitones: float) -> Track:
    import librosa

    finer = 2 if f_min_hz >= HIGH_HZ else 1
    rate, frame, hop = finer * RATE, finer * FRAME, finer * HOP
    x = _resampled(wav, sample_rate, rate)
    steps = min(SEMITONES_A_FRAME, int(12 * np.log2(f_max_hz / f_min_hz)))
    f0_hz, voiced, _ = librosa.pyin(
        x, fmin=f_min_hz, fmax=f_max_hz, sr=rate, frame_length=frame, hop_length=hop,
        resolution=grid_semitones, max_transition_rate=steps * rate / (12 * hop),
    )  # fmt: skip
    return Track(f0_hz, voiced, _sounding(x, frame, hop))


def _crepe(wav: np.ndarray, sample_rate: int, f_min_hz: float, f_max_hz: float) -> Track:
    try:
        import torchcrepe
    except ImportError as e:
        raise ConfigError(f"pitch method 'crepe' needs torchcrepe ({e}); pip install \"audio-gen[eval]\"") from e
    x = _resampled(wav, sample_rate, CREPE_RATE)
    with _CREPE_LOADING:  # torchcrepe publishes its network to other threads before it loads the weights
        if getattr(torchcrepe.infer, "capacity", None) != CREPE_MODEL:
            torchcrepe.load.model("cpu", CREPE_MODEL)
    f0_hz, periodicity = torchcrepe.predict(
        torch.from_numpy(x)[None], CREPE_RATE, CREPE_HOP, f_min_hz, f_max_hz, CREPE_MODEL,
        decoder=torchcrepe.decode.weighted_argmax, return_periodicity=True, batch_size=64,
    )  # fmt: skip
    voiced = periodicity[0].numpy() > CREPE_VOICED
    return Track(f0_hz[0].numpy(), voiced, _sounding(x, CREPE_FRAME, CREPE_HOP))


def _sounding(x: np.ndarray, frame_length: int, hop_length: int) -> np.ndarray:
    import librosa

    level = librosa.feature.rms(y=x, frame_length=frame_length, hop_length=hop_length)[0]
    return level > SOUNDING * level.max()
