"""Settings of a sequence model's run."""

from typing import Annotated, Any, Literal

from pydantic import Field

from audio_gen.config import DataSettings, Depth, NotNegative, RateFactor, Share, TrainSettings, Width
from audio_gen.training.tasks.settings import ImageNet, RunConfig, Settings

PriorKind = Literal["flow", "lstm", "attention"]
# By kind and size: arguments of the prior's network.
SIZES: dict[str, dict[str, dict[str, Any]]] = {
    "flow": {
        "small": {"width": 256, "depth": 8},
        "base": {"width": 384, "depth": 12},
        "large": {"width": 768, "depth": 16},
    },
    "lstm": {
        "small": {"width": 384, "layers": 2},
        "base": {"width": 512, "layers": 3, "head_width": 512},
        "large": {"width": 1024, "layers": 4, "head_width": 1024},
    },
    "attention": {
        "small": {"width": 256, "layers": 6},
        "base": {"width": 384, "layers": 8, "heads": 6, "head_width": 512},
        "large": {"width": 768, "layers": 12, "heads": 12, "head_width": 1024},
    },
}


class SequenceNet(ImageNet):
    """The codec: latents along time."""

    latent_dim: Width = 64
    """Numbers of a latent, one of which stands for four frames."""
    width: Width = 256
    """Channels of the networks around the linear path."""
    encoder_depth: Depth = 2
    """Blocks of the encoder."""
    decoder_depth: Depth = 4
    """Blocks of the decoder."""
    grain_depth: Depth = 3
    """Blocks that draw the grain."""
    noise_dim: Width = 64
    """Random numbers per latent that the grain is drawn from."""
    causal: bool = False
    """A frame depends on earlier frames only, for streaming; a little less exact."""


class SequenceLoss(Settings):
    """Weights of the codec's losses."""

    mel: NotNegative = 1.0
    """Log-mel L1 of the mean."""
    grain: NotNegative = 1.0
    """Energy score of the drawn grain."""
    latent_size: NotNegative = 1e-3
    """Mean square of the latents, which keeps their size."""
    latent_noise: NotNegative = 0.1
    """Largest deviation of the noise on latents in training, so that the decoder forgives a prior."""
    linear_lr: RateFactor = 0.1
    """Learning rate of the linear path, relative to the networks'."""


class SequencePrior(Settings):
    """The prior: the distribution of sequences of latents."""

    kind: PriorKind = "flow"
    """flow: windows at once, also loops; lstm and attention: one latent after the other."""
    size: Literal["small", "base", "large"] = "small"
    """small: for minutes on a CPU; base: for hours on a CPU; large: for a GPU."""
    start: Share = 0.25
    """Share of the run after which the codec is fixed and the prior trains; 0 with --init of a trained codec."""
    window_sec: Annotated[float, Field(ge=1, le=120)] = 12.0
    """Length of the windows that it learns."""
    context_sec: Annotated[float, Field(gt=0, le=60)] = 6.0
    """Longest prompt: how much of what was played it goes on from."""
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 16
    """Windows per step, summed over all processes."""
    lr: RateFactor = 1.0
    """Learning rate of the prior, relative to train.lr."""
    beats: Literal["auto"] | bool = "auto"
    """Condition on the phases of beat and bar, so that loops have the tempo that is asked for; auto: if most of the
    sounds have a steady beat."""
    semitones: Annotated[float, Field(ge=0, le=12)] = 2.0
    """It also learns from versions of the sounds that are up to this much faster and higher, or slower and lower, and
    up to `gain_db` louder or quieter; the less sound and the longer the run, the more versions. 0 for none."""
    val_windows: Annotated[int, Field(ge=1, le=4096)] = 32
    """Largest number of held-out windows in a validation."""


class SequenceConfig(RunConfig):
    """A run of a sequence model."""

    model: Literal["sequence"] = "sequence"
    data: DataSettings = DataSettings(segment_sec=3.0, crop="random", onset="keep")
    train: TrainSettings = TrainSettings(
        minutes=40, batch_size=16, lr=1e-3, betas=(0.9, 0.99), weight_decay=0.01, clip_norm=1.0, ema_images=10_000,
        precision="auto", validations=12, val_clips=16,
    )  # fmt: skip
    net: SequenceNet = SequenceNet()
    loss: SequenceLoss = SequenceLoss()
    prior: SequencePrior = SequencePrior()
    gain_db: Annotated[float, Field(ge=0, le=24)] = 6.0
    """Training sounds of the codec change in level by up to this much."""
