"""Mel to wave by one network at frame rate and one inverse STFT; and a plain Vocos head to compare with."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from audio_gen.audio.clips import cores, on_cores
from audio_gen.audio.inversion import advanced_cycles, initial_phasors, nnls_amplitude, partial_bins
from audio_gen.audio.mel import MelFrontEnd, MelSpec
from audio_gen.audio.refine import (
    MOMENTUM,
    SILENT_POWER,
    Stages,
    low_decimation,
    low_part,
    refine,
    scaled,
    stages_of,
)
from audio_gen.audio.stft import reach
from audio_gen.audio.support import Opening

MAX_LOG_GAIN = 4.0
HEAD_FRAMES = 64

PhaseStart = Callable[[Tensor], Tensor]  # amplitudes (B, F, L) -> unit phasors (B, F, L)


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
        self.reach = sum(module.kernel_size[0] // 2 for module in convolutions)  # frames that it sees to either side

    def forward(self, mel: Tensor) -> Tensor:
        """mel (B, M, L) -> (B, L, D)."""
        x = self.stem(mel / 4 + 1)  # log-mel lies between -11.5 and about 3
        x = self.stem_norm(x.transpose(1, 2)).transpose(1, 2)
        for block in self.blocks:
            x = block(x)
        return self.norm(x.transpose(1, 2))


class Vocoder(nn.Module):
    """A network that corrects what can be computed from the mel, and iterations that make its output fit the mel.

    Amplitudes from the filters' pseudo-inverse and phases of a noise are the start. Above the low part, where a band
    holds many bins, the network scales the amplitudes and turns the phases, by nothing at first; the low part is left
    to iterations, which find it. Then each iteration makes the whole spectrum that of a wave and refits it to the mel.
    The gradient goes through these, so the network learns what they leave over.
    Source: ConvNeXt and inverse STFT as in Vocos (Siuzdak 2023); iterations as in fast Griffin-Lim (Perraudin 2013).
    """

    def __init__(
        self, *, sample_rate: int, n_fft: int, hop_length: int, n_mels: int, f_min: float, f_max: float, dim: int = 192,
        blocks: int = 6, expansion: int = 3, low_projections: int = 16, projections: int = 2,
    ) -> None:  # fmt: skip
        """A vocoder for one mel definition (the first six arguments are MelSpec's).

        `projections` are the iterations that it is trained with, `low_projections` those of the low part before them.
        """
        super().__init__()
        self.spec = MelSpec(sample_rate, n_fft, hop_length, n_mels, f_min, f_max)
        self.front_end = MelFrontEnd(self.spec)
        self.low_projections, self.projections = low_projections, projections
        low = low_part(self.spec, low_decimation(self.spec), torch.device("cpu"))
        self.first_bin = low.kept if low else 0  # that the network has a say in
        self.backbone = Backbone(n_mels=n_mels, dim=dim, blocks=blocks, expansion=expansion)
        # Log-gain, weight of the start's phase, real and imaginary part.
        self.head = nn.Linear(dim, 4 * (self.spec.n_bins - self.first_bin))
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def spectrum(self, mel: Tensor, start: PhaseStart | None = None) -> Tensor:
        """Log-mel (B, M, L) -> complex STFT (B, F, L), before iterations; `start` as in `forward`."""
        amplitude = nnls_amplitude(mel, self.spec, iterations=0)
        phasors = initial_phasors(amplitude, self.spec) if start is None else start(amplitude)
        # Bins lie side by side in memory, as the FFT has them: (B, F, L) -> (B, L, F).
        parts = self.backbone(mel), amplitude.mT.contiguous(), phasors.mT.contiguous()
        return (self._fused(*parts) if _fuses(mel) else self._corrected(*parts)).mT

    def _corrected(self, h: Tensor, amplitude: Tensor, phasors: Tensor) -> Tensor:
        """Features (B, L, D), amplitudes and phasors of the start (B, L, F) -> spectrum (B, L, F)."""
        sizes = [self.first_bin, self.spec.n_bins - self.first_bin]
        (low, amplitude), (low_phasors, phasors) = (x.split(sizes, dim=2) for x in (amplitude, phasors))
        log_gain, weight, real, imag = self.head(h).float().chunk(4, dim=2)  # (B, L, F) each, of the bins above
        real = torch.addcmul(real, 1 + weight, phasors.real)
        imag = torch.addcmul(imag, 1 + weight, phasors.imag)
        gain = log_gain.clamp(-MAX_LOG_GAIN, MAX_LOG_GAIN).exp()
        scale = amplitude * gain * torch.rsqrt(torch.addcmul(real * real, imag, imag) + SILENT_POWER)
        return torch.cat([scaled(low_phasors, low), torch.complex(real * scale, imag * scale)], dim=2)

    def _fused(self, h: Tensor, amplitude: Tensor, phasors: Tensor) -> Tensor:
        """As `_corrected`, without gradients; the phasors' memory takes the spectrum."""
        from audio_gen.audio.loops import corrected  # numba takes half a second to import

        h, amplitude, spectrum = (x.flatten(0, 1) for x in (h, amplitude, torch.view_as_real(phasors).flatten(2)))
        # Some frames at a time, which stay in the processor's cache.
        for features, level, part in zip(*(x.split(HEAD_FRAMES) for x in (h, amplitude, spectrum)), strict=True):
            made = self.head(features).float()
            # Gains in place of their logarithms; numba alone has no fast exponential.
            made[:, : made.shape[1] // 4].clamp_(-MAX_LOG_GAIN, MAX_LOG_GAIN).exp_()
            corrected(made.numpy(), level.numpy(), self.first_bin, part.numpy())
        return phasors

    def forward(
        self, mel: Tensor, start: PhaseStart | None = None, iterations: int | None = None,
        opening: Opening | None = None,
    ) -> Tensor:  # fmt: skip
        """Log-mel (B, M, L) -> wav (B, 1, L * hop_length).

        Args:
            mel: A clip, or a part of one.
            start: What makes the phasors that a part begins with of its amplitudes; None is for whole clips.
            iterations: As many, with momentum, in place of those that it was trained with; see `stages_of`.
            opening: Where all sounds begin, if that is known.
        """
        if iterations is None and start is None and _fuses(mel):
            parts = min(cores(), mel.shape[-1] // (2 * self.context_frames))
            if parts > 1:
                return self._in_parts(mel, parts, opening)
        return refine(self.spectrum(mel, start), mel, self.spec, *self.stages(iterations, self.spec), opening)

    def _in_parts(self, mel: Tensor, parts: int, opening: Opening | None) -> Tensor:
        """Clips on several cores: each takes a part, and around it all that it depends on."""
        count, hop, context = mel.shape[-1], self.spec.hop_length, self.context_frames
        lowest = nnls_amplitude(mel, self.spec, iterations=0, bins=partial_bins(self.spec))
        cycles = advanced_cycles(lowest, self.spec)
        wav = mel.new_empty(len(mel), 1, count * hop)

        def go(first: int, last: int) -> None:
            begin, end = max(0, first - context), min(count, last + context)
            start = partial(initial_phasors, spec=self.spec, first=begin, cycles=cycles[..., begin:end])
            made = self(mel[..., begin:end], start, opening=opening and opening.later(begin * hop))
            wav[..., first * hop : last * hop] = made[..., (first - begin) * hop : (last - begin) * hop]

        edges = [count * i // parts for i in range(parts + 1)]
        on_cores(lambda own: go(*own), list(pairwise(edges)))
        return wav

    @property
    def context_frames(self) -> int:
        """How many frames to either side the sound of a frame depends on, with the iterations of training."""
        spec, around = self.spec, overlapping_frames(self.spec)
        # A projection takes a frame to samples and back: to all frames whose windows overlap with its own.
        projection = reach(spec.n_fft, spec.hop_length)
        low = self.low_projections if low_part(spec, low_decimation(spec), torch.device("cpu")) else 0
        return max(self.backbone.reach, around) + (low + self.projections) * projection + around

    def stages(self, iterations: int | None, spec: MelSpec) -> tuple[Stages, float]:
        """Stages and momentum of `refine` for mels of a spec; `iterations` as in `forward`."""
        if iterations is None:
            return ((low_decimation(spec), self.low_projections), (1, self.projections)), 0.0
        return stages_of(iterations, spec), MOMENTUM


def _fuses(mel: Tensor) -> bool:
    """Whether there is a faster way: on a CPU, without gradients."""
    return mel.device.type == "cpu" and not torch.is_grad_enabled()


def overlapping_frames(spec: MelSpec) -> int:
    """How many frames before and after a frame have windows that reach into its samples."""
    return -(-spec.pad // spec.hop_length)


class VocosHead(nn.Module):
    """The same backbone with Vocos's head: log-amplitude and phase angle, both from nothing (Siuzdak 2023)."""

    def __init__(
        self, *, sample_rate: int, n_fft: int, hop_length: int, n_mels: int, f_min: float, f_max: float, dim: int = 192,
        blocks: int = 6, expansion: int = 3,
    ) -> None:  # fmt: skip
        """As `Vocoder`."""
        super().__init__()
        self.spec = MelSpec(sample_rate, n_fft, hop_length, n_mels, f_min, f_max)
        self.front_end = MelFrontEnd(self.spec)
        self.backbone = Backbone(n_mels=n_mels, dim=dim, blocks=blocks, expansion=expansion)
        self.head = nn.Linear(dim, 2 * self.spec.n_bins)

    @property
    def context_frames(self) -> int:
        """How many frames to either side the sound of a frame depends on."""
        return self.backbone.reach + overlapping_frames(self.spec)

    def forward(self, mel: Tensor) -> Tensor:
        """Log-mel (B, M, L) -> wav (B, 1, L * hop_length)."""
        h = self.backbone(mel)
        with torch.autocast(mel.device.type, enabled=False):
            log_amplitude, angle = self.head(h.float()).transpose(1, 2).chunk(2, dim=1)  # (B, F, L) each
            amplitude = log_amplitude.exp().clamp(max=1e2)
            return self.front_end.istft(torch.polar(amplitude, angle))
