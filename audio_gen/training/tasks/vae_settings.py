"""Settings of a VAE's run."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from audio_gen.config import (
    Count,
    Depth,
    MelFloor,
    NotNegative,
    Positive,
    RateFactor,
    Settings,
    Share,
    TrainSettings,
    Width,
)
from audio_gen.models.blocks import GROUPS
from audio_gen.training.tasks.settings import RunConfig, clip_frames
from audio_gen.training.tasks.time_axis import TimeAxis

Channels = Annotated[Width, Field(multiple_of=GROUPS)]


class VAENet(Settings):
    """The network."""

    latent_dim: Width = 512
    """Dimensions of z; one for each clip keeps samples sharp."""
    channels: Annotated[tuple[Channels, ...], Field(min_length=1)] = (32, 64, 96, 128)
    """Channels of each stage; each stage halves the resolution."""
    blocks: Depth = 1
    """Residual blocks per stage."""
    mel_floor: MelFloor = -9.0
    """Nats below which a log-mel counts as silence."""
    use_class: bool = True
    """Condition on the class if the folder has classes."""
    use_pitch: bool = True
    """Condition on the pitch if most clips have one."""
    use_velocity: bool = False
    """Condition on the velocity if most clips have one."""
    time_axis: TimeAxis = "auto"
    """decay: a blend of a short and a long sound is one sound of a length in between; seconds: their mix, for
    sustained sounds; auto: decay if most sounds decay."""


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


class VAEAdversarial(Settings):
    """Adversarial training of the decoder."""

    start: Annotated[float, Field(ge=0, le=1)] = 0.12
    """Share of the run after which a discriminator also trains the decoder; 1 is never."""
    local: NotNegative = 1.0
    """Weight of adversarial losses on image patches, relative to those on whole images."""
    penalty: NotNegative = 0.1
    """R1 and R2, gradient penalties of the discriminator, at the end of the ramp."""
    penalty_start: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 3.0
    """Factor on the penalty when the discriminator starts."""
    penalty_stride: Count = 4
    """Penalties use every n-th image; 1 uses all and is slow."""
    penalty_steps: Count = 1
    """Steps between two penalties, whose weight is multiplied by this."""
    ramp: Share = 0.2
    """Share of the run over which the penalty falls."""
    mel: NotNegative = 1.0
    """Factor on the weights of the log-mel losses from `start` on."""
    reconstruction: NotNegative = 3.0
    """L1 of pooled log-mels between clips and their reconstructions, from `start` on."""
    reconstruction_pool: Count = 4
    """Bands and frames that are averaged for it."""
    reconstruction_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of a batch that is reconstructed; the other images are decoded between two clips."""
    noise: NotNegative = 0.1
    """Noise added to latents between two clips, and to those of samples, in deviations of the latents."""
    d_lr: RateFactor = 4.0
    """Learning rate of the discriminator, relative to the decoder's."""
    overfitting_target: Annotated[float, Field(gt=0, lt=1)] = 0.6
    """Overfitting that adaptive augmentation aims at, as in a GAN."""
    overfitting_images: Positive = 50_000
    """Images in which its probability can go from 0 to 1."""


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
