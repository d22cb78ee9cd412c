"""Distances between two sounds: `mrmel` of a resynthesis, and `mel_distance_db` of log-mels."""

import torch
import torch.nn.functional as F
from torch import Tensor

from audio_gen.audio.mel import DB_PER_NAT, MEL_FLOOR, MelSpec, mel_filters

BANDS_BY_N_FFT = {256: 20, 512: 40, 1024: 80, 2048: 128, 4096: 160}
CONVERGENCE_WEIGHT = 0.5
HEARD_DB = 60.0  # below the loudest cell of two log-mels
PEAK, QUIET = 0.95, 1e-4  # below QUIET a sound is silence


def mrmel(original: Tensor, generated: Tensor, sample_rate: int) -> float:
    """Return the multi-resolution mel distance of two sounds: 0 for equal ones, 0.2 to 0.5 for a good vocoder.

    The mean over five window lengths of (mean absolute difference of the log-mels, in nats) + 0.5 * (norm of the
    difference of the magnitudes / norm of the original's). Windows are Hann, hops a quarter of them, frames centred.
    Sounds of unequal length are cut to the shorter, and lengthened with silence to the longest window.

    Args:
        original: Samples (T,) of the original.
        generated: Samples (T,) of its resynthesis.
        sample_rate: Of both, in Hz.

    Source: spectral convergence and log magnitude as in Yamamoto 2020 (Parallel WaveGAN), on mel bands.
    """
    assert original.dim() == generated.dim() == 1
    length = min(len(original), len(generated))
    padding = max(0, max(BANDS_BY_N_FFT) - length)
    pair = torch.stack([F.pad(wav[:length].float(), (0, padding)) for wav in (original, generated)])
    scores = [_distance_at(pair, n_fft, n_mels, sample_rate) for n_fft, n_mels in BANDS_BY_N_FFT.items()]
    return sum(scores) / len(scores)


def _distance_at(pair: Tensor, n_fft: int, n_mels: int, sample_rate: int) -> float:
    window = torch.hann_window(n_fft, device=pair.device)
    original, generated = torch.stft(pair, n_fft, n_fft // 4, window=window, return_complex=True).abs()
    filters = mel_filters(MelSpec(sample_rate, n_fft, n_fft // 4, n_mels)).to(pair.device)
    log_original, log_generated = (torch.log((filters @ x).clamp(min=MEL_FLOOR)) for x in (original, generated))
    convergence = (generated - original).norm() / original.norm().clamp(min=1e-8)
    return float((log_generated - log_original).abs().mean() + CONVERGENCE_WEIGHT * convergence)


def mel_distance_db(a: Tensor, b: Tensor) -> Tensor:
    """Return the distance of log-mels in dB: the mean absolute difference over the cells in which either sounds.

    Levels more than 60 dB below the loudest cell of the two count as that level, so neither a shared silence nor bands
    that a kick leaves empty dilute the distance. 3 dB is a variation; two sounds of a class are 9 to 17 dB apart.

    Args:
        a: Log-mels (B, M, L) in nats, with their onsets at one frame.
        b: As many, or one.

    Returns:
        (B,); 0 for equal ones.
    """
    pair = torch.stack(torch.broadcast_tensors(a.float(), b.float()))  # (2, B, M, L)
    floor = pair.amax(dim=(0, 2, 3), keepdim=True) - HEARD_DB / DB_PER_NAT
    pair = pair.clamp(min=floor)
    heard = (pair > floor).any(0).sum(dim=(1, 2))
    return DB_PER_NAT * (pair[0] - pair[1]).abs().sum(dim=(1, 2)) / heard.clamp(min=1)


def at_peak(wav: Tensor) -> Tensor:
    """wav (B, 1, T) scaled to a peak of 0.95, for comparisons of vocoders; silence is unchanged."""
    peak = wav.abs().amax(dim=(1, 2), keepdim=True)
    return torch.where(peak > QUIET, wav * (PEAK / peak.clamp(min=QUIET)), wav)
