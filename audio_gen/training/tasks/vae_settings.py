"""Settings of a VAE's run."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from audio_gen.config import (
    Depth,
    NotNegative,
    RateFactor,
    Settings,
    Share,
    TrainSettings,
    Width,
)
from audio_gen.models.blocks import GROUPS
from audio_gen.training.tasks.settings import MelNet, ReconstructionSettings, RunConfig, clip_frames

Channels = Annotated[Width, Field(multiple_of=GROUPS)]


class VAENet(MelNet):
    """The network."""

    latent_dim: Width = 512
    """Dimensions of z; one for each clip keeps samples sharp."""
    channels: Annotated[tuple[Channels, ...], Field(min_length=1)] = (32, 64, 96, 128)
    """Channels of each stage; each stage halves the resolution."""
    blocks: Depth = 1
    """Residual blocks per stage."""


class VAELoss(Settings):
    """Weights and parameters of the losses."""

    mel: NotNegative = 1.0
    """Log-mel L1."""
    delta_time: NotNegative = 0.2
    """L1 of differences from frame to frame: onsets."""
    delta_frequency: NotNegative = 0.2
    """L1 of differences from band to band: partials."""
    kl: NotNegative = 1e-4
    """KL divergence to N(0, I), in nats summed over z."""
    kl_warmup: Share = 0.2
    """Share of the run over which the KL weight rises."""
    free_nats: NotNegative = 0.02
    """KL in nats of each dimension that is free."""
    padding: Annotated[float, Field(gt=0, le=1)] = 0.25
    """Weight of a frame of padding, relative to a frame of sound."""
    linear_lr: Annotated[float, Field(gt=0, le=1)] = 0.03
    """Learning rate of the linear path, relative to the networks'."""
    encoder_lr: RateFactor = 1.0
    """Learning rate of the encoder, relative to the decoder's."""


class VAEAdversarial(ReconstructionSettings):
    """Adversarial training of the decoder."""

    start: Annotated[float, Field(ge=0, le=1)] = 0.12
    """Share of the run after which a discriminator also trains the decoder; 1 is never."""
    mel: NotNegative = 1.0
    """Factor on the weights of the log-mel losses from `start` on."""
    reconstruction: NotNegative = 3.0
    """L1 of pooled log-mels between clips and their reconstructions, from `start` on."""
    reconstruction_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of a batch that is reconstructed; the other images are decoded between two clips."""
    noise: NotNegative = 0.1
    """Noise added to latents between two clips, and to those of samples, in deviations of the latents."""


class VAEConfig(RunConfig):
    """A VAE run."""

    model: Literal["vae"] = "vae"
    train: TrainSettings = TrainSettings(
        steps=3000, lr=1e-4, betas=(0.0, 0.99), weight_decay=0.0, clip_norm=2.0, ema_images=10_000
    )
    net: VAENet = VAENet()
    loss: VAELoss = VAELoss()
    adversarial: VAEAdversarial = VAEAdversarial()
    augment: Literal["auto"] | Annotated[float, Field(ge=0, le=1)] = 0.0
    """Strength of random gain, tilt, speed (and band shifts, without pitches); auto: stronger for fewer clips."""

    @model_validator(mode="after")
    def _fits_the_clip(self) -> Self:
        pool, frames = self.adversarial.reconstruction_pool, clip_frames(self.data.segment_sec, self.mel)
        if self.adversarial.start < 1 and pool > min(frames, self.mel.n_mels):
            raise ValueError(
                f"adversarial.reconstruction_pool ({pool}): a clip of data.segment_sec ({self.data.segment_sec:g}) has "
                f"only {frames} frames and {self.mel.n_mels} bands; lower the first or raise the second"
            )
        return self
