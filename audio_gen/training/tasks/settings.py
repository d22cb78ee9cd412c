"""Settings of a run, whatever its model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, InstanceOf, PlainSerializer

from audio_gen.artefacts.folders import RunFolder
from audio_gen.audio.mel import PRESETS, MelSpec
from audio_gen.config import DEFAULT_MEL, DEFAULT_MODEL, DataSettings, Settings, TrainSettings, read_yaml
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


class RunConfig(Settings):
    """A whole run; each task adds its `net` and `loss` sections."""

    model: str
    """Model: a name in the table of tasks."""
    mel: Annotated[MelSpec, InstanceOf(), BeforeValidator(as_spec), PlainSerializer(as_setting)] = PRESETS[DEFAULT_MEL]
    """A mel preset's name, or the fields of a MelSpec."""
    data: DataSettings = DataSettings()
    train: TrainSettings


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
