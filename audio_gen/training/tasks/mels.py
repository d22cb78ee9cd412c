"""Shared by tasks on log-mels of whole clips: conditions, augmented batches, draws from a prior, a quick vocoder."""

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from audio_gen.audio.mel import MelFrontEnd, MelSpec
from audio_gen.audio.onset import lead_samples
from audio_gen.config import DataSettings
from audio_gen.data.augment import augment_mel, auto_strength
from audio_gen.data.dataset import Batch, ClipDataset
from audio_gen.data.store import Cache, first_of_each
from audio_gen.models.contract import CLASS, PITCH, VELOCITY, Codec, Conditions, Prior
from audio_gen.models.priors.neighbours import MAX_COMPONENTS
from audio_gen.models.registry import Part, packed
from audio_gen.training.task import Preview
from audio_gen.training.tasks.settings import clip_frames
from audio_gen.vocoding.griffinlim import GriffinLimVocoder
from audio_gen.vocoding.silence import silent_frames, subtract_floor

MIN_KNOWN_SHARE = 0.5  # of clips with a pitch, or a velocity, for a model that takes it
BASIS_CLIPS, ENCODE_BATCH = 1024, 64
START_STRENGTH = 0.5
MIN_BASIS_CLIPS = 512  # fewer are drawn again, changed
QUICK_BATCH, QUICK_ITERATIONS, PREVIEW_ITERATIONS = 32, 1, 4


class MelData:
    """The log-mels of a cache's clips, with the conditions that a model of them takes."""

    def __init__(
        self, spec: MelSpec, cache: Cache, data: DataSettings, *, floor: float, use_class: bool, use_pitch: bool,
        use_velocity: bool, augment: Literal["auto"] | float, seed: int,
    ) -> None:  # fmt: skip
        """`floor`: nats below which a log-mel is silence; `augment`: strength, see `augment_mel`."""
        self.spec, self.floor, self.augment, self.seed = spec, floor, augment, seed
        self.front_end = MelFrontEnd(spec)
        self.frames = clip_frames(data.segment_sec, spec)
        self.segments = (spec.samples(self.frames),) * 2
        aligned = data.onset == "align" and self.frames > silent_frames(spec)
        self.preroll = spec.samples(silent_frames(spec)) if aligned else 0
        self.onset = self.preroll + lead_samples(spec.sample_rate) if aligned else None
        pitched = 1 - np.isnan(cache.clips.column("pitch")).mean() >= MIN_KNOWN_SHARE
        self.pitch_range = cache.pitch_range if use_pitch and pitched else None
        struck = (cache.clips.column("velocity") >= 0).mean() >= MIN_KNOWN_SHARE
        self.velocity_range = cache.velocity_range if use_velocity and struck else None
        self.classes = cache.classes if use_class and len(cache.classes) > 1 else []
        self.anchors = min(MAX_COMPONENTS, max(1, len(cache.split("train"))))  # clips that a mapping may start from
        self.strength = 0.0

    def learn_from(self, train: ClipDataset) -> None:
        """Take the training clips; few of them are changed more."""
        self.train = train
        numbers = train.cache.numbers("train")
        self.sounds = torch.from_numpy(numbers[first_of_each(train.clips, ["offset"])])  # one clip for each
        self.strength = auto_strength(len(train)) if self.augment == "auto" else self.augment

    def conditions(self, batch: Batch) -> Conditions:
        """Those of a batch's conditions that the model takes."""
        return self._taken(Conditions(
            len(batch.wav), {CLASS: batch.class_id, PITCH: batch.pitch, VELOCITY: batch.velocity}
        ))  # fmt: skip

    def _taken(self, conditions: Conditions) -> Conditions:
        taken = {CLASS: self.classes, PITCH: self.pitch_range, VELOCITY: self.velocity_range}
        return conditions.subset([name for name, known in taken.items() if known])

    def augmented(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The clips' log-mels (B, M, L), changed as training has them, and their frames before the padding (B,)."""
        mel, frames = self.front_end(batch.wav), self.used_frames(batch)
        if not self.strength:
            return mel, frames
        return self._changed(mel, frames, generator, self.strength, change_speed=True)

    def around(self, mel: Tensor, frames: Tensor, generator: torch.Generator) -> Tensor:
        """Log-mels (B, M, L) of sounds around clips: of another tilt, and of shifted bands where pitch is no label.

        Few sounds need more around them than many. Their speed stays, since on a line in log-mel a tail that grows
        longer on one side of a clip grows a burst at its end on the other.
        """
        strength = START_STRENGTH * auto_strength(len(self.train))
        return self._changed(mel, frames, generator, strength, change_speed=False)[0]

    def _changed(
        self, mel: Tensor, frames: Tensor, generator: torch.Generator, strength: float, *, change_speed: bool
    ) -> tuple[Tensor, Tensor]:
        return augment_mel(
            mel, frames, generator, strength=strength, floor=self.floor, shift_bands=self.pitch_range is None,
            onset=(self.onset or 0) / self.spec.hop_length, change_speed=change_speed,
        )  # fmt: skip

    def draws(self, count: int, device: torch.device) -> Iterator[tuple[Tensor, Batch]]:
        """Augmented log-mels (b, M, L) of the first `count` clips that training sees, with their batches."""
        generator = torch.Generator(device).manual_seed(self.seed)
        for i in range(-(-count // ENCODE_BATCH)):
            batch = self.train.batch(i, min(ENCODE_BATCH, count)).to(device)
            yield self.augmented(batch, generator)[0], batch

    def draw_count(self, most: int) -> int:
        """How many clips `draws` should give: all, up to `most`; more than there are where they come out changed."""
        return min(most, max(MIN_BASIS_CLIPS if self.strength else 1, len(self.train)))

    def basis(self) -> tuple[Tensor, Conditions]:
        """Log-mels (N, M, L) of distinct sounds to start a model from, and their conditions."""
        count = self.draw_count(BASIS_CLIPS)
        mels, conditions = [], []
        for mel, batch in self.draws(count, torch.device("cpu")):
            distinct = torch.isin(batch.index, self.sounds)
            mels.append(mel[distinct])
            conditions.append(self.conditions(batch)[distinct])
        return torch.cat(mels)[:count], Conditions.join(conditions)[:count]

    def known_conditions(self) -> Conditions:
        """The conditions of the training clips that the model takes."""
        clips = self.train.clips
        velocity = clips.column("velocity").astype(np.float32)
        velocity[velocity < 0] = np.nan
        return self._taken(Conditions(len(clips), {
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
        """Log-mels (b, M, L), a few at a time, of one draw for each of B conditions; what is unknown is drawn too."""
        assert isinstance(codec, nn.Module)
        device, asked = next(codec.parameters()).device, asked.to("cpu")
        for rows in torch.arange(len(asked)).split(QUICK_BATCH):
            generators = [torch.Generator().manual_seed(seed + i) for i in rows.tolist()]
            conditions = prior.fill(asked[rows], generators)
            z = prior.sample(conditions, generators)
            yield codec.decode(z.to(device), conditions.to(device))

    @torch.no_grad()
    def generate(self, codec: Codec, prior: Prior, count: int, seed: int) -> Tensor:
        """New clips (count, 1, T) of any class and pitch, the quick way."""
        return torch.cat([self.quickly(mel) for mel in self.drawn(codec, prior, Conditions(count), seed)])

    @torch.no_grad()
    def copy(self, wav: Tensor) -> Tensor:
        """Copy-synthesis of wav (B, 1, T) through the mel and a few iterations of Griffin-Lim."""
        return torch.cat([self.quickly(self.front_end(part)) for part in wav.split(QUICK_BATCH)])

    def quickly(self, mel: Tensor, iterations: int = QUICK_ITERATIONS) -> Tensor:
        """Log-mel (B, M, L) -> wav (B, 1, T) on the CPU; the mel floor is silent."""
        speak = GriffinLimVocoder(self.spec, iterations=iterations)
        return speak(subtract_floor(mel, self.floor), self.onset).cpu()

    def mel_l1(self, made: Tensor, mel: Tensor, batch: Batch) -> Tensor:
        """Mean absolute difference in nats over the frames of sound (B,) of log-mels (B, M, L)."""
        frames = self.frame_weights(self.used_frames(batch), 0.0)
        return ((made - mel.clamp(min=self.floor)).abs().mean(1) * frames).sum(1) / frames.sum(1)

    def preview(self, batch: Batch, columns: dict[str, Tensor]) -> Preview:
        """Pictures of named log-mels (B, M, L), and sounds of them; `real` among them speaks for itself."""
        sounds: dict[str, Tensor] = {}
        pictures: list[tuple[str, Tensor]] = []
        for i in range(len(batch.wav)):
            for name, mels in columns.items():
                own = name == "real"
                sounds[f"{i}-{name}"] = batch.wav[i] if own else self.quickly(mels[i : i + 1], PREVIEW_ITERATIONS)[0]
                pictures.append((f"{i} {name}", mels[i]))
        return Preview(self.spec.sample_rate, sounds, {"clips": pictures})
