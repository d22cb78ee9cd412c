"""Shared by tasks on log-mels of whole clips: conditions, augmented batches, samples, a fast vocoder."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from audio_gen.audio.mel import MelFrontEnd, MelSpec
from audio_gen.audio.onset import lead_samples
from audio_gen.audio.stereo import on_mel
from audio_gen.config import DataSettings
from audio_gen.data.augment import augment_mel, auto_strength
from audio_gen.data.dataset import Batch, ClipDataset
from audio_gen.data.store import Cache, first_of_each
from audio_gen.models.contract import CLASS, PITCH, VELOCITY, Codec, Conditions, Prior
from audio_gen.models.priors.neighbours import MAX_COMPONENTS
from audio_gen.models.registry import Part, packed
from audio_gen.training.task import Preview
from audio_gen.training.tasks.settings import TimeAxis, clip_frames, clip_samples
from audio_gen.training.tasks.time_axis import decay_args, measured_axis
from audio_gen.vocoding.load import CLASSICAL, load_vocoder
from audio_gen.vocoding.silence import subtract_floor

MIN_KNOWN_SHARE = 0.5  # of clips with a pitch (velocity) for a model conditioned on it
BASIS_CLIPS, ENCODE_BATCH = 1024, 64
START_STRENGTH = 0.5
MIN_BASIS_CLIPS = 512  # fewer are drawn repeatedly, augmented
QUICK_BATCH, QUICK_ITERATIONS, PREVIEW_ITERATIONS = 32, 1, 4


class MelData:
    """The log-mels of a cache's clips, and the conditions of a model of them."""

    def __init__(
        self, spec: MelSpec, cache: Cache, data: DataSettings, *, floor: float, use_class: bool, use_pitch: bool,
        use_velocity: bool, augment: Literal["auto"] | float, seed: int, time_axis: TimeAxis = "seconds",
    ) -> None:  # fmt: skip
        """`floor`: nats below which a log-mel is silence; `augment`: strength, see `augment_mel`."""
        self.spec, self.floor, self.augment, self.seed = spec, floor, augment, seed
        self.front_end = MelFrontEnd(spec)
        self.frames = clip_frames(data.segment_sec, spec)
        samples, self.preroll = clip_samples(data, spec)
        self.segments = (samples, samples)
        self.onset = self.preroll + lead_samples(spec.sample_rate) if self.preroll else None
        pitched = 1 - np.isnan(cache.clips.column("pitch")).mean() >= MIN_KNOWN_SHARE
        self.pitch_range = cache.pitch_range if use_pitch and pitched else None
        struck = (cache.clips.column("velocity") >= 0).mean() >= MIN_KNOWN_SHARE
        self.velocity_range = cache.velocity_range if use_velocity and struck else None
        self.classes = cache.classes if use_class and len(cache.classes) > 1 else []
        self.anchors = min(MAX_COMPONENTS, max(1, len(cache.split("train"))))  # clips that a mapping starts from
        self.strength = 0.0
        if time_axis == "auto":
            time_axis = measured_axis(cache, spec, data, floor=floor, seed=seed)[0]
        onset = self.onset if time_axis == "decay" else None
        self.axis_args: dict[str, Any] = {} if onset is None else decay_args(onset, spec)
        if spec.stereo_bands:  # otherwise missing, as in runs of earlier versions
            self.axis_args["stereo_bands"] = spec.stereo_bands

    def prepare(self, train: ClipDataset) -> None:
        """Set the training clips; fewer clips are augmented more strongly."""
        self.train = train
        numbers = train.cache.numbers("train")
        self.sounds = torch.from_numpy(numbers[first_of_each(train.clips, ["offset"])])  # one clip per sound
        self.strength = auto_strength(len(train)) if self.augment == "auto" else self.augment

    def conditions(self, batch: Batch) -> Conditions:
        """The conditions of a batch that the model uses."""
        return self._used(Conditions(
            len(batch.wav), {CLASS: batch.class_id, PITCH: batch.pitch, VELOCITY: batch.velocity}
        ))  # fmt: skip

    def _used(self, conditions: Conditions) -> Conditions:
        taken = {CLASS: self.classes, PITCH: self.pitch_range, VELOCITY: self.velocity_range}
        return conditions.subset([name for name, known in taken.items() if known])

    def augmented(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The clips' augmented log-mels (B, M, L), and their frames before the padding (B,)."""
        mel, frames = self.front_end(batch.wav), self.used_frames(batch)
        if not self.strength:
            return mel, frames
        return self._augment(mel, frames, generator, self.strength, change_speed=True)

    def variants(self, mel: Tensor, frames: Tensor, generator: torch.Generator) -> Tensor:
        """Variants (B, M, L) of clips with random tilt, and shifted bands if pitch is no condition.

        They are stronger for fewer clips. The speed stays: on a line in log-mel, a tail that grows on one side of a
        clip is a burst on the other.
        """
        strength = START_STRENGTH * auto_strength(len(self.train))
        return self._augment(mel, frames, generator, strength, change_speed=False)[0]

    def _augment(
        self, mel: Tensor, frames: Tensor, generator: torch.Generator, strength: float, *, change_speed: bool
    ) -> tuple[Tensor, Tensor]:
        changed, frames = augment_mel(
            mel[:, : self.spec.n_mels], frames, generator, strength=strength, floor=self.floor,
            shift_bands=self.pitch_range is None, onset=(self.onset or 0) / self.spec.hop_length,
            change_speed=change_speed,
        )  # fmt: skip
        return on_mel(mel, self.spec.n_mels, lambda _: changed), frames

    def draws(self, count: int, device: torch.device) -> Iterator[tuple[Tensor, Batch]]:
        """Augmented log-mels (b, M, L) of the first `count` clips that training sees, with their batches."""
        generator = torch.Generator(device).manual_seed(self.seed)
        for i in range(-(-count // ENCODE_BATCH)):
            batch = self.train.batch(i, min(ENCODE_BATCH, count)).to(device)
            yield self.augmented(batch, generator)[0], batch

    def draw_count(self, most: int) -> int:
        """Number of clips for `draws`: all, up to `most`; at least MIN_BASIS_CLIPS with augmentation."""
        return min(most, max(MIN_BASIS_CLIPS if self.strength else 1, len(self.train)))

    def basis(self) -> tuple[Tensor, Conditions]:
        """Log-mels (N, M, L) of distinct sounds for the initial PCA, and their conditions."""
        count = self.draw_count(BASIS_CLIPS)
        mels, conditions = [], []
        for mel, batch in self.draws(count, torch.device("cpu")):
            distinct = torch.isin(batch.index, self.sounds)
            mels.append(mel[distinct])
            conditions.append(self.conditions(batch)[distinct])
        return torch.cat(mels)[:count], Conditions.join(conditions)[:count]

    def known_conditions(self) -> Conditions:
        """The conditions of the training clips that the model uses."""
        clips = self.train.clips
        velocity = clips.column("velocity").astype(np.float32)
        velocity[velocity < 0] = np.nan
        return self._used(Conditions(len(clips), {
            CLASS: torch.from_numpy(clips.column("class_id").astype(np.int64)),
            PITCH: torch.from_numpy(clips.column("pitch").astype(np.float32)), VELOCITY: torch.from_numpy(velocity),
        }))  # fmt: skip

    def bundle(self, **parts: Part) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Config and tensors of the bundle of a model with these parts."""
        config, tensors = packed(parts)
        config |= {
            "mel": self.spec.to_dict(), "classes": self.classes,
            "pitch_range": list(self.pitch_range) if self.pitch_range else None, "preroll": self.preroll,
        }  # fmt: skip
        if self.velocity_range:
            config["velocity_range"] = list(self.velocity_range)
        return config, tensors

    def used_frames(self, batch: Batch) -> Tensor:
        """Frames of each clip before its padding (B,)."""
        return ((batch.length + self.spec.hop_length - 1) // self.spec.hop_length).clamp(min=1)

    def frame_weights(self, used: Tensor, padding: float) -> Tensor:
        """(B, L): 1 where a frame has sound, `padding` after the clip's end; used is (B,)."""
        inside = torch.arange(self.frames, device=used.device) < used[:, None]
        return torch.where(inside, 1.0, padding)

    def drawn(self, codec: Codec, prior: Prior, asked: Conditions, seed: int) -> Iterator[Tensor]:
        """Sampled log-mels (b, M, L) in batches, one for each of B conditions; unknown conditions are drawn."""
        assert isinstance(codec, nn.Module)
        device, asked = next(codec.parameters()).device, asked.to("cpu")
        for rows in torch.arange(len(asked)).split(QUICK_BATCH):
            generators = [torch.Generator().manual_seed(seed + i) for i in rows.tolist()]
            conditions = prior.fill(asked[rows], generators)
            z = prior.sample(conditions, generators)
            yield codec.decode(z.to(device), conditions.to(device))

    @torch.no_grad()
    def generate(self, codec: Codec, prior: Prior, count: int, seed: int) -> Tensor:
        """New clips (count, C, T) of any class and pitch, with the fast vocoder."""
        return torch.cat([self.render(mel) for mel in self.drawn(codec, prior, Conditions(count), seed)])

    @torch.no_grad()
    def copy(self, wav: Tensor) -> Tensor:
        """Copy-synthesis of wav (B, C, T) through the mel and a few iterations of Griffin-Lim."""
        return torch.cat([self.render(self.front_end(part)) for part in wav.split(QUICK_BATCH)])

    def render(self, mel: Tensor, iterations: int = QUICK_ITERATIONS) -> Tensor:
        """Log-mel (B, M, L) -> wav (B, C, T) on the CPU; the mel floor is silent."""
        return quick_sound(mel, self.spec, self.floor, iterations, self.onset)

    def mel_l1(self, decoded: Tensor, mel: Tensor, batch: Batch) -> Tensor:
        """Mean absolute difference in nats over the frames of sound (B,) of log-mels (B, M, L)."""
        frames = self.frame_weights(self.used_frames(batch), 0.0)
        decoded, mel = (x[:, : self.spec.n_mels] for x in (decoded, mel))
        return ((decoded - mel.clamp(min=self.floor)).abs().mean(1) * frames).sum(1) / frames.sum(1)

    def preview(self, batch: Batch, columns: dict[str, Tensor]) -> Preview:
        """Pictures and sounds of named log-mels (B, M, L); those named `real` sound as recorded."""
        return preview_of(batch, columns, self.spec, lambda mel: self.render(mel, PREVIEW_ITERATIONS))


def quick_sound(image: Tensor, spec: MelSpec, floor: float, iterations: int, onset: int | None = None) -> Tensor:
    """Images of log-mel (B, R, L) -> wav (B, C, T) on the CPU by Griffin-Lim; the mel floor is silent."""
    vocoder = load_vocoder(f"{CLASSICAL}:{iterations}", spec)
    return vocoder(on_mel(image, spec.n_mels, lambda mel: subtract_floor(mel, floor)), onset).cpu()


def preview_of(
    batch: Batch, columns: Mapping[str, Tensor], spec: MelSpec, render: Callable[[Tensor], Tensor]
) -> Preview:
    """Pictures and sounds of named images (B, R, L), which `render` turns into sound; `real` sounds as recorded."""
    sounds: dict[str, Tensor] = {}
    pictures: list[tuple[str, Tensor]] = []
    for i in range(len(batch.wav)):
        for name, mels in columns.items():
            real = name == "real"
            sounds[f"{i}-{name}"] = batch.wav[i] if real else render(mels[i : i + 1])[0]
            pictures.append((f"{i} {name}", mels[i]))
    return Preview(spec.sample_rate, sounds, {"clips": pictures}, spec if spec.channels == 2 else None)
