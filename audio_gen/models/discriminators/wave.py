"""Wave discriminators: multi-resolution spectra, bands, and periods."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

SLOPE = 0.1
FFT_SIZES = (2048, 1024, 512)
PERIODS = (2, 3, 5, 7, 11)
BAND_EDGES = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)  # shares of the Nyquist frequency
PERIOD_WIDTHS = (1, 4, 16, 32, 32)  # channels of the layers, relative to the first

Outputs = tuple[list[Tensor], list[Tensor]]


class SpectrumDiscriminator(nn.Module):
    """Convolutions over one complex STFT, split into bands that are scored separately.

    Source: multi-resolution discriminators, Jang 2021 (UnivNet); complex and in bands, Kumar 2023 (DAC).
    """

    def __init__(self, *, n_fft: int, channels: int, bands: int) -> None:
        """`bands` is 1, or the number of bands between BAND_EDGES."""
        super().__init__()
        self.n_fft = n_fft
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        edges = BAND_EDGES if bands > 1 else (0.0, 1.0)
        bins = [round(edge * (n_fft // 2)) for edge in edges]
        bins[-1] += 1
        self.ranges = list(pairwise(bins))
        self.stacks = nn.ModuleList(_stack(channels) for _ in self.ranges)
        self.last = weight_norm(nn.Conv2d(channels, 1, 3, padding=1))

    def forward(self, wav: Tensor) -> Outputs:
        """wav (B, T) -> logits (B, 1, L, K) of each band, and the activations before them."""
        spectrum = torch.stft(
            wav, self.n_fft, self.n_fft // 4, window=self.get_buffer("window"), normalized=True, return_complex=True
        )
        x = torch.stack([spectrum.real, spectrum.imag], dim=1).mT  # (B, 2, L, F)
        logits, activations = [], []
        for (low, high), stack in zip(self.ranges, self.stacks, strict=True):
            h = x[..., low:high]
            for layer in stack:  # type: ignore[attr-defined]
                h = F.leaky_relu(layer(h), SLOPE)
                activations.append(h)
            logits.append(self.last(h))
        return logits, activations


def _stack(channels: int) -> nn.ModuleList:
    """Layers with few frames and many bins per kernel, which halve the bins three times."""
    first = nn.Conv2d(2, channels, (3, 9), padding=(1, 4))
    halving = [nn.Conv2d(channels, channels, (3, 9), stride=(1, 2), padding=(1, 4)) for _ in range(3)]
    last = nn.Conv2d(channels, channels, 3, padding=1)
    return nn.ModuleList(weight_norm(layer) for layer in (first, *halving, last))


class PeriodDiscriminator(nn.Module):
    """Convolutions over every `period`-th sample of a wave (Kong 2020, HiFi-GAN)."""

    def __init__(self, *, period: int, channels: int) -> None:
        """`channels` is that of the first layer; the others have up to 32 times as many."""
        super().__init__()
        self.period = period
        widths = [1, *(channels * width for width in PERIOD_WIDTHS)]
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(a, b, (5, 1), stride=(3 if i < 4 else 1, 1), padding=(2, 0)))
            for i, (a, b) in enumerate(pairwise(widths))
        )
        self.last = weight_norm(nn.Conv2d(widths[-1], 1, (3, 1), padding=(1, 0)))

    def forward(self, wav: Tensor) -> Outputs:
        """wav (B, T) -> logits (B, 1, N, period), and the activations before them."""
        x = F.pad(wav[:, None], (0, -wav.shape[-1] % self.period), mode="reflect").unflatten(-1, (-1, self.period))
        activations = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), SLOPE)
            activations.append(x)
        return [self.last(x)], activations


class WaveDiscriminator(nn.Module):
    """All wave discriminators together."""

    def __init__(self, *, channels: int = 8, bands: int = 1, period_channels: int = 0) -> None:
        """Three STFT sizes; with `period_channels` also five periods."""
        super().__init__()
        discriminators: list[nn.Module] = [
            SpectrumDiscriminator(n_fft=size, channels=channels, bands=bands) for size in FFT_SIZES
        ]
        if period_channels:
            discriminators += [PeriodDiscriminator(period=period, channels=period_channels) for period in PERIODS]
        self.judges = nn.ModuleList(discriminators)  # the name in state dicts

    def forward(self, wav: Tensor) -> Outputs:
        """wav (B, 1, T), T >= 2048 -> logits of all, and activations of all."""
        logits, activations = [], []
        for discriminator in self.judges:
            one_logits, one_activations = discriminator(wav[:, 0])
            logits += one_logits
            activations += one_activations
        return logits, activations
