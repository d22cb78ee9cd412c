"""Settings of a cycle-consistent GAN's run."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from audio_gen.config import Count, DataSettings, Depth, MelFloor, NotNegative, RateFactor, TrainSettings, Width
from audio_gen.training.tasks.settings import DiscriminatorSettings, RunConfig, Settings


class CycleNet(Settings):
    """The network between the domains, and the discriminator."""

    width: Width = 256
    """Channels."""
    depth: Depth = 6
    """Blocks."""
    d_width: Width = 256
    """Channels of the discriminator."""
    d_depth: Depth = 3
    """Blocks of the discriminator."""
    mel_floor: MelFloor = -9.0
    """Nats below which a log-mel counts as silence."""


class CycleLoss(DiscriminatorSettings):
    """Weights of the losses."""

    local: NotNegative = 1.0
    """Weight of the adversarial losses, which judge each moment."""
    penalty: NotNegative = 0.3
    """R1 and R2, gradient penalties of the discriminator, at the end of the ramp."""
    penalty_start: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 1.0
    """Factor on the penalty when the discriminator starts."""
    d_lr: RateFactor = 1.0
    """Learning rate of the discriminator, relative to that of the network that it judges."""
    penalty_stride: Count = 1
    """Penalties use every n-th image; 1 uses all."""
    penalty_steps: Count = 4
    """Steps between two penalties, whose weight is multiplied by this."""
    cycle: NotNegative = 1.0
    """L1 between sounds and what they are after both directions, in nats."""
    identity: NotNegative = 0.25
    """L1 between sounds and what the network makes of them in their own domain, in nats."""
    masked: Annotated[float, Field(ge=0, lt=1)] = 0.3
    """Largest share of the frames of a clip that are masked, for the network to fill in."""


class CycleConfig(RunConfig):
    """A run of a cycle-consistent GAN."""

    model: Literal["cycle"] = "cycle"
    data: DataSettings = DataSettings(segment_sec=0.75, crop="random", onset="keep", channels=1)
    train: TrainSettings = TrainSettings(
        minutes=40, batch_size=8, lr=5e-4, betas=(0.0, 0.99), weight_decay=0.0, clip_norm=2.0, ema_images=10_000,
        precision="auto", decay=0.0,
    )  # fmt: skip
    net: CycleNet = CycleNet()
    loss: CycleLoss = CycleLoss()

    @model_validator(mode="after")
    def _pairs(self) -> Self:
        if self.train.batch_size % 2:
            raise ValueError(f"train.batch_size ({self.train.batch_size}): half of it is of each domain; make it even")
        return self
