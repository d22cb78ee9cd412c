"""A GAN in the latent space of a trained VAE, which decodes what it makes."""

from typing import Any

import torch
from torch import Tensor, nn

from audio_gen.models.mapping import Mapping
from audio_gen.models.vae import VAE


class LatentGAN(nn.Module):
    """A mapping network from noise to a VAE's latents; encoder and decoder are the VAE's, and stay as they are."""

    def __init__(
        self, *, vae: dict[str, Any], noise_dim: int = 128, anchors: int = 1, width: int = 384, blocks: int = 3,
        own_directions: int = 0,
    ) -> None:  # fmt: skip
        """`vae` holds the arguments of the VAE."""
        super().__init__()
        self.vae = VAE(**vae).requires_grad_(False)
        self.n_mels, self.frames, self.mel_floor = self.vae.n_mels, self.vae.frames, self.vae.mel_floor
        self.noise_dim, self.latent_dim, self.layers = noise_dim, self.vae.latent_dim, 1
        self.mapping = Mapping(
            noise_dim=noise_dim,
            latent_dim=self.latent_dim,
            anchors=anchors,
            n_classes=vae["n_classes"],
            width=width,
            blocks=blocks,
            own_directions=own_directions,
        )

    def map(self, z: Tensor, class_id: Tensor, pitch: Tensor) -> Tensor:
        """Noise z (B, Z), class numbers (B,), MIDI pitches (B,) -> w (B, D), a latent of the VAE."""
        return self.mapping(z, class_id, pitch if self.vae.axis else torch.full_like(pitch, torch.nan))

    def encode(self, mel: Tensor, class_id: Tensor, pitch: Tensor) -> tuple[Tensor, Tensor]:
        """The posterior of the VAE, see `VAE.encode`."""
        return self.vae.encode(mel, class_id, pitch)

    def decode(self, w: Tensor, class_id: Tensor, pitch: Tensor) -> Tensor:
        """As `VAE.decode`; w (B, D) or (B, 1, D)."""
        return self.vae.decode(w.flatten(1), class_id, pitch)

    def decode_raw(self, w: Tensor, class_id: Tensor, pitch: Tensor) -> Tensor:
        """As `VAE.decode_raw`; w (B, D) or (B, 1, D)."""
        return self.vae.decode_raw(w.flatten(1), class_id, pitch)
