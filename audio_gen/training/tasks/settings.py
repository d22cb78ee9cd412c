"""Settings of a run, whatever its model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BeforeValidator, Field, InstanceOf, PlainSerializer

from audio_gen.artefacts.folders import RunFolder
from audio_gen.audio.mel import PRESETS, MelSpec
from audio_gen.audio.stereo import FRAMES, STEREO_BANDS
from audio_gen.config import (
    DEFAULT_MEL,
    DEFAULT_MODEL,
    Count,
    DataSettings,
    MelFloor,
    NotNegative,
    Positive,
    RateFactor,
    Settings,
    Share,
    TrainSettings,
    read_yaml,
)
from audio_gen.device import emulates_bf16
from audio_gen.errors import ConfigError
from audio_gen.text import shortened
from audio_gen.vocoding.silence import silent_frames


def as_spec(value: Any) -> MelSpec:
    """The mel of a setting.

    Args:
        value: A preset's name, the fields of a MelSpec, or one.

    Raises:
        ValueError: The preset is unknown, or the numbers do not fit each other.
    """
    if isinstance(value, MelSpec):
        return value
    try:
        if isinstance(value, str):
            return MelSpec.preset(value)
        if isinstance(value, Mapping):
            return MelSpec.from_dict(value)
    except ConfigError as e:
        raise ValueError(str(e)) from None
    raise ValueError(f"{shortened(value)} is not a mel; give a preset ({', '.join(PRESETS)}) or its numbers")


def as_setting(spec: MelSpec) -> str | dict[str, int | float]:
    """The setting of a mel: the preset's name, or the fields of a custom one."""
    return next((name for name, preset in PRESETS.items() if preset == spec), spec.to_dict())


def clip_frames(duration_sec: float, spec: MelSpec) -> int:
    """Frames of a clip, at least one."""
    return max(1, round(duration_sec * spec.frame_rate))


def clip_samples(data: DataSettings, spec: MelSpec) -> tuple[int, int]:
    """Samples of a clip, and of the silence at its start: 0 if onsets are not aligned."""
    frames = clip_frames(data.segment_sec, spec)
    aligned = data.onset == "align" and frames > silent_frames(spec)
    return spec.samples(frames), spec.samples(silent_frames(spec)) if aligned else 0


TimeAxis = Literal["auto", "decay", "seconds"]


class ImageNet(Settings):
    """What the networks of all models of log-mels share."""

    mel_floor: MelFloor = -9.0
    """Nats below which a log-mel counts as silence."""
    use_class: bool = True
    """Condition on the class if the folder has classes."""
    stereo_bands: Annotated[int, Field(ge=FRAMES, le=64, multiple_of=FRAMES)] = STEREO_BANDS
    """Bands of level difference and coherence of a stereo model; see data.channels."""


class MelNet(ImageNet):
    """What the networks of models of whole clips share."""

    use_pitch: bool = True
    """Condition on the pitch if most clips have one."""
    use_velocity: bool = False
    """Condition on the velocity if most clips have one."""
    time_axis: TimeAxis = "auto"
    """decay: a blend of a short and a long sound is one sound of a length in between; seconds: their mix, for
    sustained sounds; auto: decay if most sounds decay."""


class DiscriminatorSettings(Settings):
    """What models with a discriminator of mel images share."""

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
    """Share of the run over which the penalty (and in a GAN the reconstruction) falls."""
    d_lr: RateFactor = 4.0
    """Learning rate of the discriminator, relative to that of the network that it judges."""
    overfitting_target: Annotated[float, Field(gt=0, lt=1)] = 0.6
    """Overfitting that adaptive augmentation aims at: share of the training clips' logit gap that held-out
    clips lack."""
    overfitting_images: Positive = 50_000
    """Images in which its probability can go from 0 to 1."""


class ReconstructionSettings(DiscriminatorSettings):
    """What models with a discriminator and a reconstruction of images share."""

    reconstruction_pool: Count = 4
    """Bands and frames that are averaged for the reconstruction loss."""


class RunConfig(Settings):
    """A whole run; each task adds its `net` and `loss` sections."""

    model: str
    """Model: a name in the table of tasks."""
    mel: Annotated[MelSpec, InstanceOf(), BeforeValidator(as_spec), PlainSerializer(as_setting)] = PRESETS[DEFAULT_MEL]
    """A mel preset's name, or the fields of a MelSpec."""
    data: DataSettings = DataSettings()
    train: TrainSettings

    @property
    def spec(self) -> MelSpec:
        """The mel of the model, which is stereo if `data.channels` is 2."""
        net = getattr(self, "net", None)
        bands = net.stereo_bands if isinstance(net, ImageNet) else 0
        return self.mel.with_stereo(bands if self.data.channels == 2 else 0)


def model_for(run: Path, config_file: Path | None = None) -> str:
    """The default model of a training: that of the run, otherwise of the settings file, otherwise DEFAULT_MODEL.

    Raises:
        ConfigError: One of these files cannot be read.
    """
    for file in (RunFolder(run).settings, config_file):
        if file is not None and (file == config_file or file.is_file()):
            model = read_yaml(file).get("model")
            if isinstance(model, str):
                return model
    return DEFAULT_MODEL


def with_precision(settings: RunConfig, device: torch.device) -> RunConfig:
    """Settings with a precision in place of "auto": bf16 where the device computes in it."""
    if settings.train.precision != "auto":
        return settings
    native = device.type != "mps" and not emulates_bf16(device)
    train = settings.train.model_copy(update={"precision": "bf16" if native else "fp32"})
    return settings.model_copy(update={"train": train})
