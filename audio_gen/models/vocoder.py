"""Mel to wave by one network at frame rate and one inverse STFT, with an amplitude prior; and a plain Vocos head to compare."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from audio_gen.audio.mel import LOG_FLOOR, MelFrontEnd, MelSpec

PRIOR_FLOOR = 1e-5
MAX_LOG_AMPLITUDE = 9.0


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution over time, then a pointwise network (ConvNeXt, Liu 2022; Vocos, Siuzdak 2023)."""

    def __init__(self, *, dim: int, hidden_dim: int, layer_scale: float) -> None:
        """A block for x (B, dim, L)."""
        super().__init__()
        self.depthwise = nn.Conv1d(dim, dim, 7, padding=3, groups=dim)
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.expand = nn.Linear(dim, hidden_dim)
        self.contract = nn.Linear(hidden_dim, dim)
        self.gamma = nn.Parameter(layer_scale * torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """x (B, D, L) -> (B, D, L)."""
        h = self.norm(self.depthwise(x).transpose(1, 2))  # (B, D, L) -> (B, L, D)
        h = self.contract(F.gelu(self.expand(h), approximate="tanh")) * self.gamma
        return x + h.transpose(1, 2)


class Backbone(nn.Module):
    """ConvNeXt blocks at frame rate: log-mel (B, M, L) -> features (B, L, D)."""

    def __init__(self, *, n_mels: int, dim: int, blocks: int, expansion: int) -> None:
        """`expansion` is the width of a block's pointwise network over `dim`."""
        super().__init__()
        self.stem = nn.Conv1d(n_mels, dim, 7, padding=3)
        self.stem_norm = nn.LayerNorm(dim, eps=1e-6)
        self.blocks = nn.ModuleList(
            ConvNeXtBlock(dim=dim, hidden_dim=expansion * dim, layer_scale=1 / blocks) for _ in range(blocks)
        )
        self.norm = nn.LayerNorm(dim, eps=1e-6)

    def forward(self, mel: Tensor) -> Tensor:
        """mel (B, M, L) -> (B, L, D)."""
        x = self.stem(mel / 4 + 1)  # log-mel lies between -11.5 and about 3
        x = self.stem_norm(x.transpose(1, 2)).transpose(1, 2)
        for block in self.blocks:
            x = block(x)
        return self.norm(x.transpose(1, 2))


class Vocoder(nn.Module):
    """The network corrects what the mel filters' pseudo-inverse already knows of the amplitudes, and finds the phases.

    Amplitude = pinv(mel) * exp(gain), with the gain zero at the start; phase from a normalised (cos, sin) pair, which,
    unlike a wrapped angle, has a gradient everywhere.
    """

    def __init__(
        self, *, sample_rate: int, n_fft: int, hop_length: int, n_mels: int, f_min: float, f_max: float, dim: int = 256,
        blocks: int = 8, expansion: int = 3,
    ) -> None:  # fmt: skip
        """A vocoder for one mel definition (the first six arguments are MelSpec's)."""
        super().__init__()
        self.spec = MelSpec(sample_rate, n_fft, hop_length, n_mels, f_min, f_max)
        self.front_end = MelFrontEnd(self.spec)
        self.backbone = Backbone(n_mels=n_mels, dim=dim, blocks=blocks, expansion=expansion)
        self.gain = nn.Linear(dim, self.spec.n_bins)
        self.phase = nn.Linear(dim, 2 * self.spec.n_bins)
        nn.init.zeros_(self.gain.weight)
        nn.init.zeros_(self.gain.bias)
        inverse = torch.linalg.pinv(self.front_end.filters.double()).float()
        self.register_buffer("inverse", inverse, persistent=False)

    def prior(self, mel: Tensor) -> Tensor:
        """Amplitudes (B, F, L) from log-mel (B, M, L) by the pseudo-inverse; silence gives the floor."""
        linear = mel.exp() - torch.tensor(LOG_FLOOR).exp()
        return (self.inverse @ linear.clamp(min=0)).clamp(min=PRIOR_FLOOR)

    def spectrum(self, mel: Tensor) -> Tensor:
        """Log-mel (B, M, L) -> complex STFT (B, F, L)."""
        h = self.backbone(mel)
        with torch.autocast(mel.device.type, enabled=False):
            log_gain = self.gain(h.float()).transpose(1, 2)
            cos, sin = self.phase(h.float()).transpose(1, 2).chunk(2, dim=1)  # (B, F, L) each
            log_amplitude = (self.prior(mel.float()).log() + log_gain).clamp(max=MAX_LOG_AMPLITUDE)
            scale = log_amplitude.exp() * torch.rsqrt(cos.square() + sin.square() + 1e-8)
            return torch.complex(cos * scale, sin * scale)

    def forward(self, mel: Tensor) -> Tensor:
        """Log-mel (B, M, L) -> wav (B, 1, L * hop_length)."""
        return self.front_end.istft(self.spectrum(mel))


class VocosHead(nn.Module):
    """The same backbone with Vocos's head: log-amplitude and phase angle, both from nothing (Siuzdak 2023)."""

    def __init__(
        self, *, sample_rate: int, n_fft: int, hop_length: int, n_mels: int, f_min: float, f_max: float, dim: int = 256,
        blocks: int = 8, expansion: int = 3,
    ) -> None:  # fmt: skip
        """As `Vocoder`."""
        super().__init__()
        self.spec = MelSpec(sample_rate, n_fft, hop_length, n_mels, f_min, f_max)
        self.front_end = MelFrontEnd(self.spec)
        self.backbone = Backbone(n_mels=n_mels, dim=dim, blocks=blocks, expansion=expansion)
        self.head = nn.Linear(dim, 2 * self.spec.n_bins)

    def forward(self, mel: Tensor) -> Tensor:
        """Log-mel (B, M, L) -> wav (B, 1, L * hop_length)."""
        h = self.backbone(mel)
        with torch.autocast(mel.device.type, enabled=False):
            log_amplitude, angle = self.head(h.float()).transpose(1, 2).chunk(2, dim=1)  # (B, F, L) each
            amplitude = log_amplitude.exp().clamp(max=1e2)
            return self.front_end.istft(torch.polar(amplitude, angle))
