"""Similarity of two clips in dB, independent of level and leading silence."""

import math
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from audio_gen.audio.mel import DB_PER_NAT
from audio_gen.audio.onset import onset

BANDS, LOW_HZ, HIGH_HZ = 64, 40.0, 16_000.0
HOP_SEC, WINDOW_SEC, VIEW_SEC = 0.01, 0.046, 1.5  # the nearest power of two is 2048 samples at 44.1 kHz
FLOOR_DB = -45.0  # below the loudest cell; a vocoder's noise between partials is at -45 to -60
SHIFTS = 2  # maximum error of detected onsets, in frames
LEAD = 2 * SHIFTS  # frames before the onset, so that no shift cuts into it
COMPARED = round(VIEW_SEC / HOP_SEC)
FRAMES = COMPARED + 2 * SHIFTS
ROWS_AT_ONCE = 64
POOLED = (2, 4)  # bands and frames per cell in comparisons of many mels
COARSE = (4, 8)  # bands and frames per cell in the search for the nearest
SHORTLIST = 32


def view(wav: Tensor, sample_rate: int, compared_sec: float = VIEW_SEC) -> Tensor:
    """A picture of a clip that does not depend on its level or its place in time.

    Args:
        wav: Samples (T,).
        sample_rate: In Hz; clips of different rates can be compared.
        compared_sec: Later sound, counted from the onset, counts as silence. For a truncated clip use 0.9 of its
            length.

    Returns:
        A mel spectrogram (M, L) of fixed size in dB, float32: from 4 frames before the onset, 0 at the loudest cell
        and never below -45. Silence is -45 everywhere. Bands that do not fit below half the sample rate are NaN.
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
    return shortened(torch.where(whole[:, None], level.clamp(min=FLOOR_DB), math.nan), compared_sec)


def shortened(views: Tensor, compared_sec: float) -> Tensor:
    """Views (.., M, L) with silence later than `compared_sec` after the onset."""
    later = torch.arange(views.shape[-1]) >= LEAD + max(1, round(compared_sec / HOP_SEC))
    return torch.where(later, views.clamp(max=FLOOR_DB), views)  # a clamp keeps NaN


def distances(views_a: Tensor, views_b: Tensor) -> Tensor:
    """Compare each view of one set with each of another.

    The distance is the mean absolute difference over the cells in which at least one of the two is above the floor, so
    that silence after a short hit does not dilute it. It is 0 for one sound at two levels; below 1 dB is inaudible. It
    is the minimum over shifts of up to 2 frames, since detected onsets may differ. Only bands that all views have are
    compared.

    Args:
        views_a: Views (N, M, L).
        views_b: Views (K, M, L).

    Returns:
        Distances (N, K) in dB, 0 to 45.
    """
    a, b = _levels(views_a, views_b)
    middle, found = _compared(a, SHIFTS), a.new_full((len(a), len(b)), -FLOOR_DB)
    for shift in range(2 * SHIFTS + 1):
        shifted = _compared(b, shift)
        audible = (shifted > 0).to(a.dtype)
        for row in range(0, len(a), ROWS_AT_ONCE):
            part = found[row : row + ROWS_AT_ONCE]
            torch.minimum(part, _mean_difference(middle[row : row + ROWS_AT_ONCE], shifted, audible), out=part)
    return found


def nearest(views_a: Tensor, views_b: Tensor) -> tuple[Tensor, Tensor]:
    """Find the nearest views of a bank, much faster than by all distances.

    Only the 32 nearest at a coarse resolution are compared as by `distances`.

    Args:
        views_a: Views (N, M, L).
        views_b: Views (K, M, L), the bank.

    Returns:
        Distances (N, min(K, 32)) in dB, ascending, and rows of the bank (N, min(K, 32)).
    """
    a, b = _levels(views_a, views_b)
    size = min(SHORTLIST, len(b))
    coarse = _coarse(b)
    rough = _mean_difference(_coarse(a), coarse, (coarse > 0).to(b.dtype))
    found, rows = a.new_empty(len(a), size), torch.empty(len(a), size, dtype=torch.long)
    for i in range(len(a)):
        candidates = torch.topk(rough[i], size, largest=False).indices
        distance = distances(views_a[i : i + 1], views_b[candidates])[0]
        found[i], order = distance.sort(stable=True)
        rows[i] = candidates[order]
    return found, rows


def between_mels(mels: Tensor) -> Tensor:
    """Compare log-mels (N, M, L) with onsets at one frame, similar to `distances`.

    Cells are averaged over 2 bands and 4 frames, which takes an eighth of the time and makes distances smaller.

    Returns:
        Distances (N, N) in dB.
    """
    levels = DB_PER_NAT * mels[..., : round(VIEW_SEC / HOP_SEC)].float()
    levels = (levels - levels.amax(dim=(1, 2), keepdim=True) - FLOOR_DB).clamp(min=0)
    levels = F.avg_pool2d(levels[:, None], POOLED, ceil_mode=True).flatten(1)
    audible = (levels > 0).to(levels.dtype)
    return torch.cat([_mean_difference(part, levels, audible) for part in levels.split(ROWS_AT_ONCE)])


def _levels(views_a: Tensor, views_b: Tensor) -> tuple[Tensor, Tensor]:
    """Both in dB above the floor, float32, with the common bands."""
    bands = ~(views_a[:, :, 0].isnan().any(0) | views_b[:, :, 0].isnan().any(0))
    return views_a[:, bands].float() - FLOOR_DB, views_b[:, bands].float() - FLOOR_DB


def _mean_difference(a: Tensor, b: Tensor, audible_b: Tensor) -> Tensor:
    """Mean absolute differences (N, K) of rows a (N, D) and b (K, D) over the cells where either is above 0."""
    audible = (a > 0).to(a.dtype)
    either = audible.sum(1)[:, None] + audible_b.sum(1) - audible @ audible_b.T
    return torch.cdist(a, b, p=1) / either.clamp(min=1)


def _compared(levels: Tensor, first: int) -> Tensor:
    return levels[..., first : first + COMPARED].flatten(1)


def _coarse(levels: Tensor) -> Tensor:
    return F.avg_pool2d(levels[:, None, :, SHIFTS:], COARSE, ceil_mode=True).flatten(1)


def _window(sample_rate: int) -> int:
    return int(2 ** max(4, round(math.log2(WINDOW_SEC * sample_rate))))


@cache
def _filters(sample_rate: int) -> tuple[Tensor, Tensor]:
    """Triangles (M, F) evenly spaced in mel, equal for all rates, and a mask (M,) of those below Nyquist."""
    low, high = (2595 * math.log10(1 + hz / 700) for hz in (LOW_HZ, HIGH_HZ))
    edges = 700 * (10 ** (torch.linspace(low, high, BANDS + 2, dtype=torch.float64) / 2595) - 1)
    n_fft = _window(sample_rate)
    bins = torch.arange(n_fft // 2 + 1, dtype=torch.float64) * sample_rate / n_fft
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    return torch.minimum(rising, falling).clamp(min=0).float(), edges[2:] <= sample_rate / 2
