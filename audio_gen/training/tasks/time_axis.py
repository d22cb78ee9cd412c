"""Choose the time axis of a model by how the sounds of its folder decay."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from audio_gen.artefacts.bundle import Bundle, bundle_named, load_bundle
from audio_gen.audio.mel import DB_PER_NAT, MelFrontEnd, MelSpec
from audio_gen.config import DataSettings
from audio_gen.data.dataset import ClipDataset
from audio_gen.data.store import Cache
from audio_gen.errors import ConfigError
from audio_gen.models.decay_axis import ATTACK_SEC, decay_end, frame_levels
from audio_gen.models.registry import parts_of
from audio_gen.training.tasks.settings import MelNet, RunConfig, TimeAxis, clip_samples

MEASURED_CLIPS = 256
HALF_WAY_DB = 6.0  # below the peak at half its length: a sound decays; an even decay has fallen by 25 dB there
LEAST_SHARE = 0.75  # of the clips that must decay


def falls_half_way(mel: Tensor, onset: float, floor: float) -> Tensor:
    """The fall in dB (B,) of log-mels (B, M, L) from their peak to half-way between frame `onset` and their end.

    Values at or below `floor`, in nats, are silence.
    """
    level = frame_levels(mel, floor).clamp(min=floor)
    half = (onset + (decay_end(mel, floor) - onset) / 2).round().long().clamp(0, mel.shape[2] - 1)
    return DB_PER_NAT * (level.amax(1) - level.gather(1, half[:, None])[:, 0])


def measured_axis(
    cache: Cache, spec: MelSpec, data: DataSettings, *, floor: float, seed: int
) -> tuple[TimeAxis, float | None]:
    """The time axis for a cache, and the share of its training clips that decay, of up to MEASURED_CLIPS.

    Args:
        cache: The clips.
        spec: Their mel.
        data: The settings of the data. Without aligned onsets the axis is seconds, and nothing is measured.
        floor: Nats at and below which a log-mel is silence.
        seed: Of the choice of clips.
    """
    samples, preroll = clip_samples(data, spec)
    if not preroll:
        return "seconds", None
    train = ClipDataset(
        cache, split="train", segment_samples=samples, seed=seed, crop=data.crop, preroll=preroll, channels=1
    )
    mel = MelFrontEnd(spec.mono)(train.batch(0, min(MEASURED_CLIPS, len(train))).wav)
    share = float((falls_half_way(mel, preroll / spec.hop_length, floor) >= HALF_WAY_DB).float().mean())
    return "decay" if share >= LEAST_SHARE else "seconds", share


def decay_args(onset: int, spec: MelSpec) -> dict[str, float]:
    """Arguments of a codec with a decay axis, for clips that begin at sample `onset`."""
    return {"decay_onset": onset / spec.hop_length, "decay_attack": ATTACK_SEC * spec.frame_rate}


def time_axis_in(args: Mapping[str, Any]) -> TimeAxis:
    """The time axis of a codec with these arguments."""
    return "seconds" if args.get("decay_onset") is None else "decay"


def time_axis_of(bundle: Bundle) -> TimeAxis:
    """The time axis of a bundle's model."""
    codec = parts_of(bundle).get("codec")
    return "seconds" if codec is None else time_axis_in(codec.args)


def choose(settings: RunConfig, cache: Cache, init: Path | str | None) -> tuple[RunConfig, str | None]:
    """Settings with a time axis in place of "auto", and a note on the choice.

    A run that starts from a bundle, at `init`, takes the bundle's.

    Raises:
        ConfigError: The decay axis is asked for, but clips have no common onset.
        CheckpointError: The bundle is missing or damaged.
    """
    net, data, spec = getattr(settings, "net", None), settings.data, settings.spec
    if not isinstance(net, MelNet) or net.time_axis == "seconds":
        return settings, None
    if net.time_axis == "decay":
        if not clip_samples(data, spec)[1]:
            what = "it aligns no onsets" if data.onset == "keep" else "its clips are too short"
            raise ConfigError(f"net.time_axis=decay: {what}; add --set net.time_axis=auto, or --set data.onset=align")
        return settings, None
    share = None
    if init is not None:
        axis = time_axis_of(load_bundle(bundle_named(init)))
    else:
        axis, share = measured_axis(cache, spec, data, floor=net.mel_floor, seed=settings.train.seed)
    why = "blends have lengths in between" if axis == "decay" else "blends are mixed over time"
    note = None if share is None else f"{share:.0%} of the clips decay, so net.time_axis is {axis}: {why}"
    return settings.model_copy(update={"net": net.model_copy(update={"time_axis": axis})}), note
