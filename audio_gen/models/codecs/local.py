"""A codec along time: one latent for every few frames of a log-mel of any length."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from audio_gen.models.codecs.patches import GRAIN, KERNEL, LEAST_SCALE, STRIDE, PatchDecoder, reach_of, time_blocks
from audio_gen.models.contract import Conditions, LatentShape, Posterior

LEAST_SHARE = 1e-7  # of the largest eigenvalue of the patches
NEIGHBOURS = 3  # latents that a patch is a linear function of: its own and those beside it
RIDGE = 1e-3  # of the variance of the latents, which is 1


class LocalCodec(PatchDecoder):
    """Patches of all rows and four frames <-> latents, by principal components that networks refine.

    The decoder has two outputs: the mean of the patches that a latent stands for, and grain, which it draws from noise,
    because means sound blurred. The noise of a latent follows from its position, so a sound decodes the same in parts.
    The mean starts as the patch that is most likely given three latents: what single patches leave out of the sound
    is a step at each border of two, 21 times a second.
    """

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
        super().__init__(n_mels=n_mels, noise_dim=noise_dim, mel_floor=mel_floor, stereo_bands=stereo_bands)
        self.latent_dim, self.latent = latent_dim, LatentShape(latent_dim, STRIDE)
        side = 1 if causal else 2
        self.before = (NEIGHBOURS - 1) // side
        # Latents on each side that a decoded, and an encoded, latent depends on.
        self.reach = max(reach_of(decoder_depth, grain_depth, causal=causal), self.before)
        self.ahead = 0 if causal else self.reach
        self.encoder_reach = encoder_depth * ((KERNEL - 1) // side)
        size = self.rows * STRIDE
        self.analysis = nn.Linear(size, latent_dim, bias=False)
        self.synthesis = nn.Linear(NEIGHBOURS * latent_dim, size, bias=False)
        self.encoder_stem, self.encoder = nn.Linear(size, width), time_blocks(width, encoder_depth, causal=causal)
        self.encoder_head = nn.Linear(width, latent_dim)
        self.decoder_stem = nn.Linear(latent_dim, width)
        self.add_decoder(latent_dim, width=width, depth=decoder_depth, grain_depth=grain_depth, causal=causal)
        nn.init.zeros_(self.encoder_head.weight)
        nn.init.zeros_(self.encoder_head.bias)

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

    @torch.no_grad()
    def initialise(self, image: Tensor) -> None:
        """Set normalisation, ceiling and linear path by images (B, R, L).

        Latents are the principal components of patches; a patch is their regression on three latents.
        """
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
        self.normalise(image)
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
