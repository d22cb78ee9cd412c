"""Log-mel patches of 0.96 s, the input of YAMNet and VGGish."""

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

SAMPLE_RATE = 16000
WIN_LENGTH, HOP_LENGTH, N_FFT = 400, 160, 512
N_MELS, F_MIN, F_MAX = 64, 125.0, 7500.0
PATCH_FRAMES = 96
# Of the loudest band; a sine reaches it at about -56 dB. Below, YAMNet's vectors grow to 7 times their length, and a
# mean over them would depend mostly on the length of the silence.
SOUNDING_MAGNITUDE = 0.15
BLOCK_FRAMES = 4096  # a sound of an hour needs little memory


def cut_patches(wav: Tensor, log_offset: float, hop_frames: int) -> Tensor:
    """Cut a clip into patches of its log-mel, without the silent ones.

    A clip is lengthened with silence to one patch, and to whole hops if at least half a hop would remain. A patch is
    silent if no band of it reaches `SOUNDING_MAGNITUDE`; a clip that is silent throughout keeps all of them.

    Args:
        wav: (T,) at 16 kHz.
        log_offset: Added to the mel magnitudes before the logarithm.
        hop_frames: Frames from one patch to the next.

    Returns:
        (K, 96, 64), K at least 1.

    Source: Hershey 2017; the front end of the public YAMNet and VGGish models.
    """
    frames = 1 + max(0, len(wav) - N_FFT) // HOP_LENGTH
    patches = 1 + max(0, round((frames - PATCH_FRAMES) / hop_frames))
    frames = PATCH_FRAMES + (patches - 1) * hop_frames
    samples = N_FFT + (frames - 1) * HOP_LENGTH
    wav = F.pad(wav.float(), (0, max(0, samples - len(wav))))
    log_mel = _log_mel(wav, frames, log_offset)
    cut = log_mel.unfold(0, PATCH_FRAMES, hop_frames).transpose(1, 2)  # (L, 64) -> (K, 64, 96) -> (K, 96, 64)
    sounding = cut.amax((1, 2)) > math.log(SOUNDING_MAGNITUDE + log_offset)
    return cut[sounding] if sounding.any() else cut


def _log_mel(wav: Tensor, frames: int, log_offset: float) -> Tensor:
    """Log-mel (L, 64) of the first `frames` frames."""
    window, filters = _window_and_filters()
    cut = wav.unfold(0, N_FFT, HOP_LENGTH)[:frames]
    blocks = [torch.fft.rfft(block * window).abs() @ filters for block in cut.split(BLOCK_FRAMES)]
    return torch.log(torch.cat(blocks) + log_offset)


@lru_cache(maxsize=1)
def _window_and_filters() -> tuple[Tensor, Tensor]:
    """The Hann window of 400 samples (512,), and the mel filters (257, 64): triangles in HTK mel, not in Hz."""
    # A cached tensor of inference mode cannot be used outside of it.
    with torch.inference_mode(False):
        window = F.pad(torch.hann_window(WIN_LENGTH), (0, N_FFT - WIN_LENGTH))
        bins = _mel(torch.linspace(0, SAMPLE_RATE / 2, N_FFT // 2 + 1, dtype=torch.float64))
        low, high = _mel(torch.tensor([F_MIN, F_MAX], dtype=torch.float64)).tolist()
        edges = torch.linspace(low, high, N_MELS + 2, dtype=torch.float64)
        rising = (bins[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
        falling = (edges[2:] - bins[:, None]) / (edges[2:] - edges[1:-1])
        return window, torch.minimum(rising, falling).clamp(min=0).float()


def _mel(hz: Tensor) -> Tensor:
    return 1127 * torch.log1p(hz / 700)
