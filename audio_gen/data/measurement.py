"""What is measured of one file, and its form in a cache."""

from dataclasses import dataclass, replace
from typing import Any

from audio_gen.data.table import sound_key
from audio_gen.files import MalformedError

HASH_DIGITS = 16  # of a stereo hash


@dataclass(frozen=True)
class StereoMeasurement:
    """The measurement of left and right, where they differ, before any repair.

    Attributes:
        width_db: Energy of the side relative to that of the mid, see `audio_gen.audio.channels.width_db`.
        peak: Largest deviation from `dc` in either channel.
        dc: Constant offset of left and right; 0 for none.
        start: First frame of sound in either channel (above -60 dB of the peak).
        stop: Frame after the last one of sound in either channel.
        hash: Of the rate and both channels, 16 hex digits.
        mono_channel: The channel to use in mono if left and right cancel each other; None for their mean.
    """

    width_db: float
    peak: float
    dc: tuple[float, float]
    start: int
    stop: int
    hash: str
    mono_channel: int | None


@dataclass(frozen=True)
class Measurement:
    """The measurement of a file's mono mix, before any repair.

    Attributes:
        sample_rate: In Hz.
        channels: Number of channels.
        frames: Decoded samples per channel.
        format: Container, as libsndfile names it.
        subtype: Encoding, as libsndfile names it.
        peak: Largest deviation from `dc`.
        dc: Constant offset of the whole file, or 0.
        start: First frame of sound (above -60 dB of the peak).
        stop: Frame after the last one of sound.
        clip_runs: Number of clipped places.
        non_finite: Samples that were NaN or infinite.
        channel: The channel to use if channels cancel each other; None for their mean.
        silent_channels: Number of silent channels, if others are not silent.
        content_hash: Hash of the rate and the mono samples; the same in any lossless container.
        header_note: A fault of the file, if any.
        loss_db: Loss of the mean of the channels; for this and the next three see `Mix`.
        loss_begin: Its first frame.
        loss_end: Frame after its last one.
        loss_excess: The mean is used although it loses more than that of uncorrelated channels.
        stereo: The measurement of left and right (5.1 is folded); None if they are equal or there are none.
        rules: Version of the rules that it was measured by.
    """

    sample_rate: int
    channels: int
    frames: int
    format: str
    subtype: str
    peak: float
    dc: float
    start: int
    stop: int
    clip_runs: int
    non_finite: int
    channel: int | None
    silent_channels: int
    content_hash: str
    header_note: str | None
    loss_db: float = 0.0
    loss_begin: int = 0
    loss_end: int = 0
    loss_excess: bool = False
    stereo: StereoMeasurement | None = None
    rules: int = 1  # old caches have no number

    @property
    def duration_sec(self) -> float:
        """Length in seconds."""
        return self.frames / self.sample_rate

    def stored_channels(self, channels: int) -> int:
        """The channels of this sound in a cache of 1 or 2 channels."""
        return 1 if self.stereo is None else channels

    def stereo_hash(self, channels: int) -> int:
        """The hash of both channels in a stereo cache; 0 for a sound of one channel."""
        return int(self.stereo.hash, 16) if channels == 2 and self.stereo else 0

    def mono_channel(self, channels: int) -> int | None:
        """The channel that is the mono of this sound in a cache of 2 channels; None for the mean."""
        return self.stereo.mono_channel if channels == 2 and self.stereo else None

    def sound(self, channels: int) -> str:
        """A key that is equal for equal sounds in a cache of 1 or 2 channels."""
        return sound_key(self.content_hash, self.stereo_hash(channels))

    def of_channels(self, channels: int) -> "Measurement":
        """The same measurement with peak, start and stop of both channels, if a cache of 2 channels stores both."""
        both = self.stereo if channels == 2 else None
        if both is None:
            return self
        return replace(
            self, peak=both.peak, start=both.start, stop=both.stop, channel=None, silent_channels=0, loss_db=0.0,
            loss_begin=0, loss_end=0, loss_excess=False,
        )  # fmt: skip

    def as_json(self) -> dict[str, Any]:
        """The form that `measurement_from` reads."""
        return {**vars(self), "stereo": self.stereo and vars(self.stereo)}


SIGNED, MOST, MOST_CHANNELS = {"dc", "loss_db", "width_db"}, 1 << 62, 1 << 16


def _kinds_of(kind: type) -> dict[str, Any]:
    return {name: kind | int if kind is float else kind for name, kind in kind.__annotations__.items()}


KINDS, STEREO_KINDS = _kinds_of(Measurement), _kinds_of(StereoMeasurement) | {"dc": tuple}


def measurement_from(values: dict[str, Any]) -> Measurement:
    """A measurement from an untrusted file.

    Args:
        values: The result of `Measurement.as_json`.

    Raises:
        MalformedError: A value is invalid.
        TypeError: It has other fields.
    """
    found = Measurement(**values)
    if found.stereo is not None:
        found = replace(found, stereo=_stereo_from(values["stereo"]))
    _check_kinds(found, KINDS)
    if not found.sample_rate or found.channels > MOST_CHANNELS or (found.channel or 0) >= max(found.channels, 1):
        raise MalformedError("sample_rate or channels")
    return found


def _stereo_from(values: dict[str, Any]) -> StereoMeasurement:
    found = StereoMeasurement(**{**values, "dc": tuple(values["dc"])})
    _check_kinds(found, STEREO_KINDS)
    if len(found.dc) != 2 or not all(isinstance(dc, float | int) for dc in found.dc):
        raise MalformedError("dc")
    if (found.mono_channel or 0) > 1:
        raise MalformedError("mono_channel")
    if len(found.hash) != HASH_DIGITS or not set(found.hash) <= set("0123456789abcdef"):
        raise MalformedError("hash")
    return found


def _check_kinds(found: Measurement | StereoMeasurement, kinds: dict[str, Any]) -> None:
    for name, kind in kinds.items():
        value = getattr(found, name)
        fits = isinstance(value, kind) and (type(value) is not bool or kind is bool)
        if not fits or (isinstance(value, int | float) and not (0 <= value <= MOST or name in SIGNED)):
            raise MalformedError(name)
