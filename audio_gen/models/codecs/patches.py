"""Patches of log-mel that are decoded with grain: what codecs along time and decoders of controls share."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from audio_gen.audio.stereo import row_floors, strip_limits, strip_rows
from audio_gen.models.time_blocks import TimeBlock

STRIDE = 4  # frames of a patch; rows of stereo hold four frames together
CEILING, CEILING_MARGIN = 6.0, 0.5  # nats; no log-mel of a sound below full scale is higher
LEAST_SCALE = 1e-3
NOISE_LATENTS = 1021  # after which the noise of the grain repeats: 47 s at 44.1 kHz
STEADY = (8, 32)  # patches over which a quarter each of the noise is averaged, for grain that stays
KERNEL, GRAIN_KERNEL, GRAIN_MIX = 7, 3, 0.3
GRAIN = 0.9  # factor on the drawn grain: copies of training sounds are nearest to these with it


def grain_noise(white: Tensor, widths: tuple[int, ...] = STEADY) -> Tensor:
    """White noise (B, N + max(widths) - 1, K) -> noise (B, N, K), of which parts change slowly.

    A quarter of the K numbers is averaged over each of `widths` latents. All have unit variance.
    """
    count, quarter = white.shape[1] - max(widths) + 1, white.shape[2] // 4
    fast = white.shape[2] - quarter * len(widths)
    parts = [white[:, :count, :fast]]
    for some, width in zip(white[:, :, fast:].split([quarter] * len(widths), dim=2), widths, strict=True):
        if quarter:
            mean = F.avg_pool1d(some.transpose(1, 2), width, 1).transpose(1, 2)
            parts.append(width**0.5 * mean[:, :count])
    return torch.cat(parts, dim=2)


def patched(x: Tensor) -> Tensor:
    """(B, R, L), L a multiple of 4 -> patches of four frames (B, L / 4, 4 R)."""
    return x.unflatten(2, (-1, STRIDE)).permute(0, 2, 1, 3).flatten(2)


def unpatched(patches: Tensor, rows: int) -> Tensor:
    """The inverse of `patched`."""
    return patches.unflatten(2, (rows, STRIDE)).permute(0, 2, 1, 3).flatten(2)


class PatchDecoder(nn.Module):
    """Features along time -> patches of all rows and four frames: their mean, and grain that is drawn from noise.

    Means sound blurred. The noise of a patch follows from its position, so a sound decodes the same in parts. Only
    subclasses are models: they make the features.
    """

    mean: Tensor
    scale: Tensor
    ceiling: Tensor
    noise: Tensor
    least: Tensor

    def __init__(self, *, n_mels: int, noise_dim: int, mel_floor: float, stereo_bands: int) -> None:
        """Register the normalisation and the noise, for log-mel (B, n_mels, L) or images of stereo with these bands."""
        super().__init__()
        self.n_mels, self.mel_floor, self.noise_dim = n_mels, mel_floor, noise_dim
        self.strip = strip_rows(stereo_bands)
        self.rows = n_mels + self.strip
        self.register_buffer("mean", torch.zeros(self.rows * STRIDE))
        self.register_buffer("scale", torch.ones(()))
        ceiling = torch.full((n_mels, 1), CEILING)
        if self.strip:
            ceiling = torch.cat([ceiling, strip_limits(stereo_bands)[1]])
        self.register_buffer("ceiling", ceiling)
        floors = row_floors(n_mels, stereo_bands, mel_floor) if self.strip else torch.full((n_mels, 1), mel_floor)
        self.register_buffer("least", floors, persistent=False)
        draws = torch.randn(NOISE_LATENTS, noise_dim, generator=torch.Generator().manual_seed(0))
        self.register_buffer("noise", draws)

    def add_decoder(self, inputs: int, *, width: int, depth: int, grain_depth: int, causal: bool = False) -> None:
        """Add the networks; of `inputs` numbers the grain depends on too, besides noise and features.

        They are added after those of a subclass, because checkpoints know parameters by their order.
        """
        size = self.rows * STRIDE
        self.decoder = time_blocks(width, depth, causal=causal)
        self.decoder_head = nn.Linear(width, size)
        self.grain_stem = nn.Linear(self.noise_dim + width + inputs, width)
        self.grain = time_blocks(width, grain_depth, GRAIN_KERNEL, causal=causal)
        self.grain_noise = nn.ModuleList(nn.Linear(self.noise_dim, width) for _ in range(grain_depth))
        self.grain_head = nn.Linear(width, size)
        nn.init.zeros_(self.decoder_head.weight)
        nn.init.zeros_(self.decoder_head.bias)

    def patches(self, image: Tensor) -> Tensor:
        """Log-mel (B, R, L), L a multiple of 4, as normalised patches (B, N, 4 R)."""
        image = torch.maximum(image, self.least)
        return (patched(image) - self.mean) / self.scale

    def image(self, patches: Tensor) -> Tensor:
        """The inverse of `patches`."""
        return unpatched(patches * self.scale + self.mean, self.rows)

    def drawn(self, z: Tensor, h: Tensor, noise: Tensor) -> Tensor:
        """Grain (B, N, 4 R) from latents, features of the decoder (B, N, C) and noise."""
        noise = noise.expand(len(z), -1, -1).to(h.dtype)
        g = self.grain_stem(torch.cat([noise, h, z], dim=2))
        for block, mix in zip(self.grain, self.grain_noise, strict=True):
            g = block(g) + GRAIN_MIX * mix(noise)
        return self.grain_head(g)

    def noise_of(self, first: int, stop: int, *, circle: int | None = None) -> Tensor:
        """The noise (1, stop - first, K) of latents of a sound by their numbers, or of a circle of so many latents."""
        widths = STEADY if circle is None else tuple(min(width, circle) for width in STEADY)
        place = torch.arange(first, stop + max(widths) - 1)
        place = (place if circle is None else place % circle) % NOISE_LATENTS
        return grain_noise(self.noise[place.to(self.noise.device)][None], widths)

    def limited(self, image: Tensor) -> Tensor:
        """Log-mel (B, R, L) clamped to the floor of silence and to the highest level of each band in training."""
        return torch.maximum(torch.minimum(image, self.ceiling), self.least)

    @torch.no_grad()
    def normalise(self, image: Tensor) -> None:
        """Set mean, scale and ceiling by images (B, R, L)."""
        self.ceiling[: self.n_mels] = image[:, : self.n_mels].amax(dim=(0, 2))[:, None] + CEILING_MARGIN
        self.mean.zero_()
        self.scale.fill_(1)
        patches = self.patches(image).double()
        mean = patches.mean((0, 1))
        self.scale.copy_((patches - mean).square().mean().sqrt().clamp(min=LEAST_SCALE))
        self.mean.copy_(mean)


def time_blocks(width: int, depth: int, kernel: int = KERNEL, *, causal: bool = False) -> nn.ModuleList:
    """Blocks along time."""
    return nn.ModuleList(TimeBlock(channels=width, kernel=kernel, causal=causal) for _ in range(depth))


def reach_of(depth: int, grain_depth: int, *, causal: bool = False) -> int:
    """Patches on each side that a decoded patch depends on."""
    side = 1 if causal else 2
    return depth * ((KERNEL - 1) // side) + grain_depth * ((GRAIN_KERNEL - 1) // side)
