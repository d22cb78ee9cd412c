"""The vocoder network: log-mel in, real corrections of a spectrum out, at frame rate.

`renderer` turns them into sound. The network has no complex numbers, no iterations and no I/O, so it can be exported.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from audio_gen.audio.mel import MelSpec
from audio_gen.vocoding.bands import low_decimation, low_part


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
        convolutions = [module for module in self.modules() if isinstance(module, nn.Conv1d)]
        self.reach = sum(module.kernel_size[0] // 2 for module in convolutions)  # frames of context on each side

    def forward(self, mel: Tensor) -> Tensor:
        """mel (B, M, L) -> (B, L, D)."""
        x = self.stem(mel / 4 + 1)  # log-mel lies between -11.5 and about 3
        x = self.stem_norm(x.transpose(1, 2)).transpose(1, 2)
        for block in self.blocks:
            x = block(x)
        return self.norm(x.transpose(1, 2))


class VocoderNetwork(nn.Module):
    """ConvNeXt blocks with a head that says how to correct a spectrum computed from the mel.

    Above the low part, where a band holds many bins, it scales amplitudes and turns phases; untrained it changes
    nothing. The low part is left to iterations of Griffin-Lim.
    Source: ConvNeXt and inverse STFT as in Vocos (Siuzdak 2023).
    """

    def __init__(
        self, *, sample_rate: int, n_fft: int, hop_length: int, n_mels: int, f_min: float, f_max: float, dim: int,
        blocks: int, expansion: int, low_projections: int, projections: int,
    ) -> None:  # fmt: skip
        """Size the network to one mel definition (the first six arguments are MelSpec's).

        `projections` and `low_projections` are the renderer's iterations during training, of the whole spectrum and of
        its low part.
        """
        super().__init__()
        self.spec = MelSpec(sample_rate, n_fft, hop_length, n_mels, f_min, f_max)
        self.low_projections, self.projections = low_projections, projections
        low = low_part(self.spec, low_decimation(self.spec), torch.device("cpu"))
        self.first_bin = low.kept if low else 0  # of those that the network corrects
        self.backbone = Backbone(n_mels=n_mels, dim=dim, blocks=blocks, expansion=expansion)
        self.head = nn.Linear(dim, 4 * (self.spec.n_bins - self.first_bin))
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, mel: Tensor) -> Tensor:
        """mel (B, M, L) -> (B, L, 4 K): log-gains, weights of the first phase, real and imaginary parts, K bins each.

        K are the bins from `first_bin` up.
        """
        return self.head(self.backbone(mel))
