"""A codec along time: one latent for every few frames of a log-mel of any length."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from audio_gen.audio.stereo import row_floors, strip_limits, strip_rows
from audio_gen.models.contract import Conditions, LatentShape, Posterior
from audio_gen.models.time_blocks import TimeBlock

STRIDE = 4  # frames of a latent; rows of stereo hold four frames together
CEILING, CEILING_MARGIN = 6.0, 0.5  # nats; no log-mel of a sound below full scale is higher
LEAST_SHARE = 1e-7  # of the largest eigenvalue of the patches
LEAST_SCALE = 1e-3
NEIGHBOURS = 3  # latents that a patch is a linear function of: its own and those beside it
RIDGE = 1e-3  # of the variance of the latents, which is 1
NOISE_LATENTS = 1021  # after which the noise of the grain repeats: 47 s at 44.1 kHz
STEADY = (8, 32)  # latents over which a quarter each of the noise is averaged, for grain that stays
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


class LocalCodec(nn.Module):
    """Patches of all rows and four frames <-> latents, by principal components that networks refine.

    The decoder has two outputs: the mean of the patches that a latent stands for, and grain, which it draws from noise,
    because means sound blurred. The noise of a latent follows from its position, so a sound decodes the same in parts.
    The mean starts as the patch that is most likely given three latents: what single patches leave out of the sound
    is a step at each border of two, 21 times a second.
    """

    mean: Tensor
    scale: Tensor
    ceiling: Tensor
    noise: Tensor
    least: Tensor
    has_encoder = True
    frames = None
    conditions: tuple[str, ...] = ()

    def __init__(
        self, *, n_mels: int, latent_dim: int, width: int = 256, encoder_depth: int = 2, decoder_depth: int = 4,
        grain_depth: int = 3, noise_dim: int = 64, mel_floor: float = -9.0, stereo_bands: int = 0,
        causal: bool = False,
    ) -> None:  # fmt: skip
        """For log-mel (B, n_mels, L), or images of stereo with these bands.

        With `causal` a frame depends on earlier frames, and on those of its own latent.
        """
        super().__init__()
        self.n_mels, self.mel_floor, self.latent_dim, self.noise_dim = n_mels, mel_floor, latent_dim, noise_dim
        self.strip = strip_rows(stereo_bands)
        self.rows = n_mels + self.strip
        self.latent = LatentShape(latent_dim, STRIDE)
        # Latents on each side that a decoded, and an encoded, latent depends on.
        side = 1 if causal else 2
        self.reach = decoder_depth * ((KERNEL - 1) // side) + grain_depth * ((GRAIN_KERNEL - 1) // side)
        self.before = (NEIGHBOURS - 1) // side
        self.reach = max(self.reach, self.before)
        self.ahead = 0 if causal else self.reach
        self.encoder_reach = encoder_depth * ((KERNEL - 1) // side)
        size = self.rows * STRIDE
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("scale", torch.ones(()))
        ceiling = torch.full((n_mels, 1), CEILING)
        if self.strip:
            ceiling = torch.cat([ceiling, strip_limits(stereo_bands)[1]])
        self.register_buffer("ceiling", ceiling)
        floors = row_floors(n_mels, stereo_bands, mel_floor) if self.strip else torch.full((n_mels, 1), mel_floor)
        self.register_buffer("least", floors, persistent=False)
        draws = torch.randn(NOISE_LATENTS, noise_dim, generator=torch.Generator().manual_seed(0))
        self.register_buffer("noise", draws)

        def blocks(depth: int, kernel: int = KERNEL) -> nn.ModuleList:
            return nn.ModuleList(TimeBlock(channels=width, kernel=kernel, causal=causal) for _ in range(depth))

        self.analysis = nn.Linear(size, latent_dim, bias=False)
        self.synthesis = nn.Linear(NEIGHBOURS * latent_dim, size, bias=False)
        self.encoder_stem, self.encoder = nn.Linear(size, width), blocks(encoder_depth)
        self.encoder_head = nn.Linear(width, latent_dim)
        self.decoder_stem, self.decoder = nn.Linear(latent_dim, width), blocks(decoder_depth)
        self.decoder_head = nn.Linear(width, size)
        self.grain_stem = nn.Linear(noise_dim + width + latent_dim, width)
        self.grain = blocks(grain_depth, GRAIN_KERNEL)
        self.grain_noise = nn.ModuleList(nn.Linear(noise_dim, width) for _ in range(grain_depth))
        self.grain_head = nn.Linear(width, size)
        for head in (self.encoder_head, self.decoder_head):
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)

    def patches(self, image: Tensor) -> Tensor:
        """Log-mel (B, R, L), L a multiple of 4, as normalised patches (B, N, 4 R)."""
        image = torch.maximum(image, self.least)
        x = image.unflatten(2, (-1, STRIDE)).permute(0, 2, 1, 3).flatten(2)
        return (x - self.mean) / self.scale

    def image(self, patches: Tensor) -> Tensor:
        """The inverse of `patches`."""
        x = patches * self.scale + self.mean
        return x.unflatten(2, (self.rows, STRIDE)).permute(0, 2, 1, 3).flatten(2)

    def encode(self, mel: Tensor, conditions: Conditions | None = None) -> Posterior:
        """Log-mel (B, R, L) -> (B, ceil(L / 4), D); the last frame fills the last patch."""
        missing = -mel.shape[2] % STRIDE
        if missing:
            mel = F.pad(mel, (0, missing), mode="replicate")
        x = self.patches(mel)
        h = self.encoder_stem(x)
        for block in self.encoder:
            h = block(h)
        return Posterior(self.analysis(x) + self.encoder_head(h))

    def decode(self, z: Tensor, conditions: Conditions | None = None) -> Tensor:
        """See `Codec.decode`; z (B, N, D) -> (B, R, 4 N), with grain."""
        return self.limited(self.decode_raw(z, conditions))

    def decode_raw(self, z: Tensor, conditions: Conditions | None = None) -> Tensor:
        """See `Codec.decode_raw`."""
        mean, grain = self.decoded(z, self.noise_of(0, z.shape[1]))
        return self.image(mean + GRAIN * grain)

    def decode_part(
        self, z: Tensor, first: int, stop: int, *, grain: float | None = None, circular: bool = False, offset: int = 0
    ) -> Tensor:
        """Decode the latents from `first` to `stop` of z (B, N, D) as in the whole: (B, R, 4 (stop - first)).

        Args:
            z: All latents of a sound.
            first: The first latent of the part.
            stop: The latent after the last one; it may exceed N in a circle.
            grain: Factor on the drawn grain; 0 gives the blurred mean. None is `GRAIN`.
            circular: Whether the end leads to the start.
            offset: Number of the first latent of z within the sound, whose noise it has.
        """
        count, reach = z.shape[1], self.reach
        if circular:
            start, end = first - reach, stop + reach
            known = z[:, (torch.arange(start, end) % count).to(z.device)]
            noise = self.noise_of(start, end, circle=count)
        else:
            start, end = max(0, first - reach), min(count, stop + reach)
            known, noise = z[:, start:end], self.noise_of(start + offset, end + offset)
        mean, drawn = self.decoded(known, noise)
        patches = (mean + (GRAIN if grain is None else grain) * drawn)[:, first - start : stop - start]
        return self.limited(self.image(patches))

    def decoded(self, z: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """The mean and the grain of normalised patches (B, N, 4 R), from z (B, N, D) and noise (1 or B, N, K)."""
        h = self.features(z)
        return self.mean_of(z, h), self.drawn(z, h, noise)

    def features(self, z: Tensor) -> Tensor:
        """Features (B, N, C) that mean and grain are made of."""
        h = self.decoder_stem(z)
        for block in self.decoder:
            h = block(h)
        return h

    def mean_of(self, z: Tensor, h: Tensor) -> Tensor:
        """The mean of normalised patches (B, N, 4 R), from latents and features."""
        mean: Tensor = self.synthesis(self.beside(z)) + self.decoder_head(h)
        return mean

    def beside(self, z: Tensor) -> Tensor:
        """Each latent of (B, N, D) with its neighbours (B, N, 3 D); those beyond the ends are as the last ones."""
        padded = F.pad(z.transpose(1, 2), (self.before, NEIGHBOURS - 1 - self.before), mode="replicate").transpose(1, 2)
        return torch.cat([padded[:, i : i + z.shape[1]] for i in range(NEIGHBOURS)], dim=2)

    def drawn(self, z: Tensor, h: Tensor, noise: Tensor) -> Tensor:
        """Grain (B, N, 4 R) from latents, features of the decoder (B, N, C) and noise."""
        noise = noise.expand(len(z), -1, -1).to(z.dtype)
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
    def initialise(self, image: Tensor) -> None:
        """Set normalisation, ceiling and linear path by images (B, R, L).

        Latents are the principal components of patches; a patch is their regression on three latents.
        """
        self.ceiling[: self.n_mels] = image[:, : self.n_mels].amax(dim=(0, 2))[:, None] + CEILING_MARGIN
        self.mean.zero_()
        self.scale.fill_(1)
        patches = self.patches(image).double()
        mean = patches.mean((0, 1))
        rows = (patches - mean).flatten(0, 1)
        scale = rows.square().mean().sqrt().clamp(min=LEAST_SCALE)
        values, vectors = torch.linalg.eigh(rows.T @ rows / len(rows))
        values, vectors = values.flip(0)[: self.latent_dim], vectors.flip(1)[:, : self.latent_dim]
        used = values > max(LEAST_SHARE * float(values[0]), LEAST_SHARE)
        deviation = values.clamp(min=1e-12).sqrt()
        self.mean.copy_(mean)
        self.scale.copy_(scale)
        self.analysis.weight.copy_((vectors / deviation * scale * used).T)
        known = self.beside((patches - mean) @ (vectors / deviation * used)).flatten(0, 1)
        ridge = RIDGE * len(known) * torch.eye(known.shape[1], dtype=known.dtype, device=known.device)
        self.synthesis.weight.copy_(torch.linalg.solve(known.T @ known + ridge, known.T @ (rows / scale)).T)

    @property
    def importance(self) -> Tensor:
        """How much each number of a latent changes the decoded mel (D,), 1 on average."""
        norms = self.synthesis.weight.detach().unflatten(1, (NEIGHBOURS, -1)).norm(dim=(0, 1))
        return norms / norms.mean().clamp(min=LEAST_SCALE)

    def length_frames(self, z: Tensor) -> Tensor | None:
        """None: the length of a sound is the number of its latents."""
        return None

    def carry(self, image: Tensor, *around: Any) -> Tensor:
        """The image itself: the codec has no axes of decay or pitch."""
        return image
