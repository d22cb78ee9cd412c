"""The channels of a run: mono or stereo."""

from pathlib import Path

from audio_gen.artefacts.bundle import bundle_named, load_bundle
from audio_gen.data.store import Cache
from audio_gen.errors import ConfigError
from audio_gen.models.registry import bundle_mel
from audio_gen.text import one_line
from audio_gen.training.tasks.settings import ImageNet, RunConfig


def channels_of_init(settings: RunConfig, init: Path | str | None) -> RunConfig:
    """Settings of data for a model: `data.channels` "auto" is 1 for a vocoder, and that of a bundle to start from.

    Raises:
        CheckpointError: The bundle is missing or damaged.
    """
    if settings.data.channels != "auto":
        return settings
    if not isinstance(getattr(settings, "net", None), ImageNet):
        return _with(settings, 1)
    return settings if init is None else _with(settings, bundle_mel(load_bundle(bundle_named(init))).channels)


def with_channels(settings: RunConfig, cache: Cache, source: Path) -> RunConfig:
    """Settings with the channels of a cache in place of "auto".

    Raises:
        ConfigError: The settings ask for 2 channels of a mono cache.
    """
    asked = settings.data.channels
    if asked == 2 and cache.channels < 2:
        raise ConfigError(
            f"data.channels (2): {one_line(source)} is a cache of 1 channel; preprocess its sounds with --channels 2, "
            "or add --set data.channels=1"
        )
    return _with(settings, cache.channels) if asked == "auto" else settings


def _with(settings: RunConfig, channels: int) -> RunConfig:
    return settings.model_copy(update={"data": settings.data.model_copy(update={"channels": channels})})
