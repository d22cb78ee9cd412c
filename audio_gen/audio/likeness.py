"""How alike two clips sound, in dB, whatever their level and however much silence comes before them."""

import math
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from audio_gen.audio.onset import onset

BANDS, LOW_HZ, HIGH_HZ = 64, 40.0, 16_000.0
HOP_SEC, WINDOW_SEC, VIEW_SEC = 0.01, 0.046, 1.5  # the nearest power of two is 2048 samples at 44.1 kHz
FLOOR_DB = -60.0  # below the loudest cell; what is softer counts as silence
SHIFTS = 2  # frames by which onsets may have been found apart
LEAD = 2 * SHIFTS  # frames before the onset, so that no shift cuts into it
COMPARED = round(VIEW_SEC / HOP_SEC)
FRAMES = COMPARED + 2 * SHIFTS
ROWS_AT_ONCE = 64


def view(wav: Tensor, sample_rate: int) -> Tensor:
    """Draw a clip as it sounds, with its level and its place in time taken away.

    Args:
        wav: Samples (T,).
        sample_rate: In Hz; clips of different rates can be compared.

    Returns:
        A mel spectrogram (M, L) of fixed size in dB, float32: from 4 frames before the onset, 0 at the loudest cell
        and never below -60. Silence is -60 everywhere. Bands that do not fit below half the sample rate are NaN.
    """
    assert wav.dim() == 1
    x = wav.detach().cpu().float()
    n_fft, hop_length = _window(sample_rate), HOP_SEC * sample_rate
    begin = onset(x.numpy(), sample_rate) - n_fft // 2
    starts = begin + torch.round((torch.arange(FRAMES) - LEAD) * hop_length).long()
    first, last = int(starts[0]), int(starts[-1]) + n_fft
    part = F.pad(x[max(0, first) : last], (max(0, -first), max(0, last - len(x))))  # begins at `first`
    frames = part.unfold(0, n_fft, 1)[starts - first] * torch.hann_window(n_fft)  # (L, n_fft)
    spectrum = torch.view_as_real(torch.fft.rfft(frames)).square().sum(-1)  # (L, F)
    filters, whole = _filters(sample_rate)
    power = filters @ spectrum.T  # (M, L)
    level = 10 * torch.log10((power / power[whole].max().clamp(min=1e-20)).clamp(min=1e-20))
    return torch.where(whole[:, None], level.clamp(min=FLOOR_DB), math.nan)


def distances(views_a: Tensor, views_b: Tensor) -> Tensor:
    """Compare each view with each other one.

    The distance is the mean absolute difference over the cells in which at least one of the two sounds, so that the
    silence after a short hit does not dilute it: 0 for one sound at two levels; below 1 dB is inaudible. Onsets may
    have been found 2 frames apart: the best of these shifts counts. Only bands that all views have are compared.

    Args:
        views_a: Views (N, M, L).
        views_b: Views (K, M, L).

    Returns:
        Distances (N, K) in dB, 0 to 60.
    """
    bands = ~(views_a.isnan().any(2).any(0) | views_b.isnan().any(2).any(0))
    a, b = (views[:, bands] - FLOOR_DB for views in (views_a, views_b))
    found = a.new_full((len(a), len(b)), -FLOOR_DB)
    middle = a[..., SHIFTS : SHIFTS + COMPARED].flatten(1)
    for shift in range(2 * SHIFTS + 1):
        moved = b[..., shift : shift + COMPARED].flatten(1)
        heard = (moved > 0).to(a.dtype)
        for row in range(0, len(a), ROWS_AT_ONCE):
            some = middle[row : row + ROWS_AT_ONCE]
            own = (some > 0).to(a.dtype)
            either = own.sum(1)[:, None] + heard.sum(1) - own @ heard.T
            apart = torch.cdist(some, moved, p=1) / either.clamp(min=1)
            torch.minimum(found[row : row + ROWS_AT_ONCE], apart, out=found[row : row + ROWS_AT_ONCE])
    return found


def _window(sample_rate: int) -> int:
    return int(2 ** max(4, round(math.log2(WINDOW_SEC * sample_rate))))


@cache
def _filters(sample_rate: int) -> tuple[Tensor, Tensor]:
    """Triangles (M, F) evenly spaced in mel, the same for every rate, and which of them (M,) lie below Nyquist."""
    low, high = (2595 * math.log10(1 + hz / 700) for hz in (LOW_HZ, HIGH_HZ))
    edges = 700 * (10 ** (torch.linspace(low, high, BANDS + 2, dtype=torch.float64) / 2595) - 1)
    n_fft = _window(sample_rate)
    bins = torch.arange(n_fft // 2 + 1, dtype=torch.float64) * sample_rate / n_fft
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    return torch.minimum(rising, falling).clamp(min=0).float(), edges[2:] <= sample_rate / 2
