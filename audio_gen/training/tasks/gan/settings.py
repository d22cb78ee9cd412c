"""Settings of a GAN's run."""

from typing import Annotated, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from audio_gen.config import (
    Depth,
    NotNegative,
    RateFactor,
    TrainSettings,
    Width,
)
from audio_gen.models.priors.mapped import MIN_NOISE
from audio_gen.models.priors.neighbours import OWN_DIRECTIONS
from audio_gen.training.tasks.settings import MelNet, ReconstructionSettings, RunConfig, clip_frames


class Size(NamedTuple):
    """Channels of each stage and blocks in it, of generator and discriminator, and the mapping network's width."""

    channels: tuple[int, ...]
    blocks: int
    d_channels: tuple[int, ...]
    d_blocks: int
    mapping_width: int


SIZES = {
    "tiny": Size((24, 48, 64, 96), 1, (24, 48, 64, 96), 1, 192),
    "small": Size((32, 64, 96, 128), 1, (32, 64, 96, 128), 1, 256),
    "base": Size((64, 128, 192, 256), 2, (64, 128, 192, 256), 2, 512),
    "large": Size((128, 256, 384, 512), 2, (128, 256, 384, 512), 3, 512),
}


class GANNet(MelNet):
    """The networks."""

    size: Literal["tiny", "small", "base", "large"] = "small"
    """tiny: minutes on a CPU; small: an hour on a CPU; base: one GPU; large: a big GPU."""
    channels: Annotated[tuple[Width, ...], Field(min_length=1)] | None = None
    """Channels of each stage, generator and discriminator; null: those of the size."""
    d_channels: Annotated[tuple[Width, ...], Field(min_length=1)] | None = None
    """Channels of each stage of the discriminator alone; null: as for the generator."""
    blocks: Depth | None = None
    """Residual blocks per stage; null: those of the size."""
    noise_dim: Annotated[int, Field(ge=MIN_NOISE, le=16_384)] = 128
    """Dimensions of z."""
    latent_dim: Width = 256
    """Dimensions of w, principal components at the start."""
    freeze: tuple[Literal["mapping", "linear", "synthesis"], ...] = ()
    """Parts that are not trained in a run with --init."""

    @property
    def own_directions(self) -> int:
        """Directions of variation per clip, limited by the dimensions of the noise."""
        return min(OWN_DIRECTIONS, self.noise_dim - MIN_NOISE)

    def sized(self) -> Size:
        """The size with the settings that override it."""
        size = SIZES[self.size]
        if self.channels is not None:
            size = size._replace(channels=self.channels, d_channels=self.channels)
        if self.d_channels is not None:
            size = size._replace(d_channels=self.d_channels)
        return size if self.blocks is None else size._replace(blocks=self.blocks, d_blocks=self.blocks)


class GANLoss(ReconstructionSettings):
    """Weights and parameters of the losses."""

    reconstruction: NotNegative = 1.0
    """L1 of pooled log-mels between real clips and their reconstructions, at the start."""
    reconstruction_end: NotNegative = 1.0
    """The same after the ramp."""
    stay: NotNegative = 2.0
    """Mean square of the mapping network's offsets to w, in standard deviations."""
    reconstruction_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of a batch that is decoded from the latents of real clips instead of noise."""
    mapping_lr: RateFactor = 1.0
    """Learning rate of the mapping network, relative to the other parts'."""
    linear_lr: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Learning rate of the linear path, relative to the networks'."""


class GANConfig(RunConfig):
    """A GAN run."""

    model: Literal["gan"] = "gan"
    train: TrainSettings = TrainSettings(
        minutes=60, lr=1e-4, betas=(0.0, 0.99), weight_decay=0.0, clip_norm=2.0, ema_images=10_000
    )
    net: GANNet = GANNet()
    loss: GANLoss = GANLoss()
    augment: Literal["auto"] | Annotated[float, Field(ge=0, le=1)] = 0.0
    """Strength of random gain, tilt, speed (and band shifts, without pitches); auto: stronger for fewer clips.

    Samples vary in the same way; adaptive augmentation does not affect samples and is usually enough."""

    @model_validator(mode="after")
    def _fits_the_clip(self) -> Self:
        pool, frames = self.loss.reconstruction_pool, clip_frames(self.data.segment_sec, self.mel)
        if pool > min(frames, self.mel.n_mels):
            raise ValueError(
                f"loss.reconstruction_pool ({pool}): a clip of data.segment_sec ({self.data.segment_sec:g}) has only "
                f"{frames} frames and {self.mel.n_mels} bands; lower the first or raise the second"
            )
        return self
