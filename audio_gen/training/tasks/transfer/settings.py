"""Settings of a transfer model's run."""

from typing import Annotated, Literal

from pydantic import Field

from audio_gen.config import DataSettings, Depth, NotNegative, Share, TrainSettings, Width
from audio_gen.training.tasks.settings import RunConfig, Settings


class TransferNet(Settings):
    """The decoder of controls."""

    width: Width = 256
    """Channels."""
    depth: Depth = 4
    """Blocks that decode the controls."""
    grain_depth: Depth = 3
    """Blocks that draw the grain."""
    noise_dim: Width = 64
    """Random numbers per four frames that the grain is drawn from."""
    use_class: bool = True
    """A target for each class, if the folder has classes."""


class TransferLoss(Settings):
    """Weights of the losses."""

    mel: NotNegative = 1.0
    """Log-mel L1 of the mean."""
    grain: NotNegative = 1.0
    """Energy score of the drawn grain."""


class ControlSettings(Settings):
    """How often the decoder learns to do without some of the controls."""

    no_pitch: Share = 0.15
    """Share of the clips without pitches."""
    no_loudness: Share = 0.1
    """Share of the clips without levels."""
    no_attack: Share = 0.2
    """Share of the clips without onsets."""
    no_brightness: Share = 0.5
    """Share of the clips without brightness, which sounds with pitches do not give."""


class TransferConfig(RunConfig):
    """A run of a transfer model."""

    model: Literal["transfer"] = "transfer"
    data: DataSettings = DataSettings(segment_sec=3.0, crop="random", onset="keep")
    train: TrainSettings = TrainSettings(
        minutes=40, batch_size=8, lr=1e-3, betas=(0.9, 0.99), weight_decay=0.01, clip_norm=1.0, ema_images=5_000,
        precision="auto", validations=12, val_clips=16,
    )  # fmt: skip
    net: TransferNet = TransferNet()
    loss: TransferLoss = TransferLoss()
    controls: ControlSettings = ControlSettings()
    measured_minutes: Annotated[float, Field(gt=0, le=600)] = 20.0
    """Minutes of each target that the range of its levels and pitches is measured on."""
