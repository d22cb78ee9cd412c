"""The contract of a model: conditions and latents of a batch, and the protocols of codecs, priors and transforms.

Generation, training and export use models only through it.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from audio_gen.models.transforms.sound import Smoothing, SoundFrames

UNKNOWN_CLASS, UNKNOWN = -1, math.nan
CLASS, PITCH, VELOCITY = "class", "pitch", "velocity"
BEAT, BAR = "beat", "bar"  # phases in cycles along a sequence of latents
SPEED, GAIN = "speed", "gain"  # changes of training sounds, in semitones and dB; a sound that is asked for has none
SCALARS = (PITCH, VELOCITY)  # conditions that can be interpolated; classes cannot


def unknown_of(name: str) -> float:
    """The value that stands for "unknown": -1 for a class, NaN for the rest."""
    return UNKNOWN_CLASS if name == CLASS else UNKNOWN


def dtype_of(name: str) -> torch.dtype:
    """int64 for classes, float32 for the rest."""
    return torch.int64 if name == CLASS else torch.float32


@dataclass(frozen=True)
class Conditions:
    """Named values of a batch.

    "class" (B,) holds class numbers, -1 if unknown. "pitch" (B,) holds MIDI notes and "velocity" (B,) MIDI
    velocities from 0 to 127, both NaN if unknown. A name that is absent is unknown for every clip. "beat" and "bar"
    (B, N) are phases in cycles, one for each latent of a sequence, NaN if unknown.

    Attributes:
        count: Number of clips, B.
        values: A tensor (B,) by name; (B, N) for phases.
    """

    count: int
    values: Mapping[str, Tensor] = field(default_factory=dict)

    @classmethod
    def one(cls, values: Mapping[str, float | None] | None = None) -> "Conditions":
        """The conditions of one clip, on the CPU; None is unknown."""
        known = {name: value for name, value in (values or {}).items() if value is not None}
        return cls(1, {name: torch.tensor([value], dtype=dtype_of(name)) for name, value in known.items()})

    @classmethod
    def join(cls, parts: Sequence["Conditions"]) -> "Conditions":
        """Several batches as one, in order."""
        names = dict.fromkeys(name for part in parts for name in part.values)
        return cls(
            sum(part.count for part in parts), {name: torch.cat([part.get(name) for part in parts]) for name in names}
        )

    def __len__(self) -> int:
        """The number of clips, B."""
        return self.count

    def __getitem__(self, key: "int | slice | Tensor") -> "Conditions":
        """A selection of clips, by an integer (a batch of one), a slice or a tensor of rows."""
        rows = slice(key, key + 1 or None) if isinstance(key, int) else key
        count = len(torch.arange(self.count)[rows.cpu() if isinstance(rows, Tensor) else rows])
        return Conditions(count, {name: value[rows] for name, value in self.values.items()})

    def get(self, name: str, device: torch.device | None = None) -> Tensor:
        """One condition (B,) on a device (default: that of the others); unknown for every clip if it is absent."""
        if name in self.values:
            value = self.values[name]
            return value if device is None else value.to(device)
        device = device or next((value.device for value in self.values.values()), torch.device("cpu"))
        return torch.full((self.count,), unknown_of(name), dtype=dtype_of(name), device=device)

    @property
    def class_id(self) -> Tensor:
        """Class numbers (B,)."""
        return self.get(CLASS)

    @property
    def pitch(self) -> Tensor:
        """MIDI pitches (B,)."""
        return self.get(PITCH)

    @property
    def velocity(self) -> Tensor:
        """MIDI velocities (B,)."""
        return self.get(VELOCITY)

    def to(self, device: torch.device | str) -> "Conditions":
        """The same values on another device."""
        return Conditions(self.count, {name: value.to(device) for name, value in self.values.items()})

    def repeat(self, times: int) -> "Conditions":
        """The batch `times` times, one after the other."""
        return Conditions(self.count * times, {name: value.repeat(times) for name, value in self.values.items()})

    def subset(self, names: Sequence[str]) -> "Conditions":
        """Only the conditions with these names; the others become unknown."""
        return Conditions(self.count, {name: value for name, value in self.values.items() if name in names})

    def replaced(self, name: str, value: Tensor) -> "Conditions":
        """The same batch with one condition (B,) set."""
        return Conditions(self.count, {**self.values, name: value})

    def same(self, other: "Conditions") -> bool:
        """Whether both hold the same values; unknown equals unknown."""
        return all(
            torch.allclose(self.get(name), other.get(name), rtol=0, atol=0, equal_nan=True)
            for name in {*self.values, *other.values}
        )


@dataclass(frozen=True)
class LatentShape:
    """The latents z (B, N, D) of a codec.

    Attributes:
        dim: Size of a latent, D.
        stride: Mel frames per latent; None for one latent of the whole clip, N = 1.
        style_layers: Layers of the decoder, K, that each take a latent: z has N = 1, shared by all layers, or N = K.
    """

    dim: int
    stride: int | None = None
    style_layers: int = 1

    def per_layer(self, z: Tensor) -> Tensor:
        """z (B, 1 or K, D) as one latent per style layer (B, K, D)."""
        return z.expand(-1, self.style_layers, -1)

    def counts(self) -> tuple[int, ...]:
        """The valid numbers of latents, N, of a decoder of whole clips."""
        return (1,) if self.style_layers == 1 else (1, self.style_layers)


@dataclass(frozen=True)
class Posterior:
    """The distribution of a clip's latents from an encoder: a Gaussian, or a point.

    Attributes:
        mean: (B, N, D).
        logvar: (B, N, D); None for a point.
    """

    mean: Tensor
    logvar: Tensor | None = None

    def sample(self, noise: Tensor) -> Tensor:
        """A sample z (B, N, D), given noise from N(0, I) of its shape."""
        return self.mean if self.logvar is None else self.mean + noise * (self.logvar / 2).exp()


class Codec(Protocol):
    """Log-mel <-> latents, given conditions."""

    @property
    def latent(self) -> LatentShape:
        """The shape of its latents."""

    @property
    def frames(self) -> int | None:
        """Mel frames of a clip, L; None for any length."""

    @property
    def mel_floor(self) -> float:
        """The level of silence in nats, which clamps decoded mels."""

    @property
    def conditions(self) -> tuple[str, ...]:
        """Names of the conditions that it uses; it ignores others."""

    @property
    def has_encoder(self) -> bool:
        """Whether `encode` is trained. If not, it gives a first estimate for a search."""

    def encode(self, mel: Tensor, conditions: Conditions) -> Posterior:
        """The latents of log-mel (B, M, L) in nats."""

    def decode(self, z: Tensor, conditions: Conditions) -> Tensor:
        """z (B, N, D) -> log-mel (B, M, L) in nats, clamped to `mel_floor` and to the levels of the training clips."""

    def decode_raw(self, z: Tensor, conditions: Conditions) -> Tensor:
        """As `decode`, but not clamped, so that losses and searches have a gradient everywhere."""

    def length_frames(self, z: Tensor) -> Tensor | None:
        """Frames (B,) from the onset to the decay's end that z (B, N, D) asks for; None if the length is no latent.

        If it is one, it is the first component of z, and z is linear in the log of the length.
        """

    def carry(
        self, image: Tensor, start: Tensor, start_conditions: Conditions, end: Tensor, end_conditions: Conditions
    ) -> Tensor:
        """Move an image from the axes of one sound to those of another.

        The decay is scaled by the ratio of the lengths, and partials move by that of the pitches; with equal lengths
        and pitches the image stays as it is.

        Args:
            image: (B, M, L), for example what the codec leaves out of a log-mel.
            start: Latents (B, N, D) of its sounds.
            start_conditions: Their conditions.
            end: Latents of the other sounds.
            end_conditions: Their conditions.
        """


class SequenceCodec(Codec, Protocol):
    """A codec along time: z (B, N, D) has one latent for every `latent.stride` frames of a log-mel of any length."""

    @property
    def reach(self) -> int:
        """Latents on each side that a decoded latent depends on."""

    @property
    def ahead(self) -> int:
        """Later latents that a decoded latent depends on; 0 for a causal codec."""

    @property
    def encoder_reach(self) -> int:
        """Latents on each side that an encoded latent depends on."""

    def decode_part(
        self, z: Tensor, first: int, stop: int, *, grain: float | None = None, circular: bool = False, offset: int = 0
    ) -> Tensor:
        """Decode the latents from `first` to `stop` of z (B, N, D) as in the whole: (B, M, stride (stop - first)).

        Args:
            z: Latents of a sound.
            first: The first latent of the part.
            stop: The latent after the last one.
            grain: Factor on the texture that the codec draws; None is its default.
            circular: Whether the end leads to the start.
            offset: Number of the first latent of z within the sound.
        """


class Prior(Protocol):
    """The distribution of latents.

    Each clip has its random generator, on the CPU, so that its result does not depend on the batch.
    """

    @property
    def conditions(self) -> tuple[str, ...]:
        """Names of the conditions that it uses and fills in; it ignores others."""

    def fill(self, asked: Conditions, generators: Sequence[torch.Generator]) -> Conditions:
        """Conditions like those of training clips, with the known values of `asked` unchanged; on the CPU."""

    def sample(
        self, conditions: Conditions, generators: Sequence[torch.Generator], *, length: int = 1,
        temperature: float = 1.0,
    ) -> Tensor:  # fmt: skip
        """Draw latents.

        Args:
            conditions: Conditions of B clips, on the CPU.
            generators: B random generators.
            length: Latents per clip, N; 1 for a codec of whole clips.
            temperature: 0 for the most typical clips, 1 for the full variety of the model.

        Returns:
            z (B, N, D) on the CPU.
        """


class SequencePrior(Protocol):
    """The distribution of sequences of latents of any length; see `Prior`."""

    @property
    def conditions(self) -> tuple[str, ...]:
        """Names of the conditions that it uses; it ignores others."""

    @property
    def window(self) -> int:
        """Latents that it draws at once, a prompt included."""

    @property
    def context(self) -> int:
        """Latents of a prompt that it uses at most."""

    @property
    def loops(self) -> bool:
        """Whether it can draw a circle, whose end leads to its start."""

    @property
    def invertible(self) -> bool:
        """Whether each sequence is made of one noise, which `noise_of` finds."""

    def fill(self, asked: Conditions, generators: Sequence[torch.Generator]) -> Conditions:
        """See `Prior.fill`."""

    def sample(
        self, conditions: Conditions, generators: Sequence[torch.Generator], *, length: int = 1,
        temperature: float = 1.0, before: Tensor | None = None, circular: bool = False, noise: Tensor | None = None,
        guidance: float = 1.0,
    ) -> Tensor:  # fmt: skip
        """Draw latents.

        Args:
            conditions: Conditions of B clips, on the CPU.
            generators: B random generators, on the CPU.
            length: Latents to draw, N.
            temperature: 0 for the most typical sequences, 1 for the full variety of the model.
            before: The latents (B, P, D) that they continue.
            circular: Whether the end leads to the start.
            noise: What they are made of (B, N, D), in place of random draws; of an invertible prior.
            guidance: Above 1, `before` and the conditions count for more than they make likely; a prior may ignore it.

        Returns:
            z (B, N, D) on the CPU.

        Raises:
            ConfigError: It cannot draw a circle, or make latents of a given noise.
        """

    def noise_of(self, z: Tensor, conditions: Conditions, *, before: Tensor | None = None) -> Tensor:
        """The noise (B, N, D) on the CPU that `sample` makes latents z (B, N, D) of, nearly.

        Args:
            z: Latents of B clips.
            conditions: Of the clips.
            before: The latents (B, P, D) before them.

        Raises:
            ConfigError: The prior is not invertible.
        """


@dataclass(frozen=True)
class Kept:
    """What a transform keeps of a sound, besides its time.

    Attributes:
        pitch: Its pitches.
        loudness: Its level along time.
        attack: Its onsets.
        brightness: Where its frames are brighter or darker than its others.
        octaves: By how many octaves its pitches move; None for as many as bring them to those of the target.
        levels: Whether its range of levels is taken for the target's.
    """

    pitch: bool = True
    loudness: bool = True
    attack: bool = True
    brightness: bool = True
    octaves: int | None = None
    levels: bool = True


class Rendition(Protocol):
    """A sound of any length that is being transformed; parts of it equal the whole."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done to the sound, for the user."""

    @property
    def smoothing(self) -> Smoothing:
        """Frames over which levels are averaged where the sound's level is kept."""

    @property
    def louder_db(self) -> float:
        """The most that a frame is turned up where the sound's level is kept."""

    def mel(self, first: int, stop: int) -> Tensor:
        """Frames from `first` to `stop` of the transformed log-mel, (M, stop - first)."""


class Transform(Protocol):
    """Transform sounds of any length into other domains."""

    @property
    def usual_target(self) -> int | None:
        """Number of the domain that is meant if none is named; None if there is a choice."""

    def begin(
        self, sound: SoundFrames, target: int, kept: Kept, advance: Callable[[float], object] = lambda share: None
    ) -> Rendition:
        """Read a sound, and prepare to transform it.

        Args:
            sound: The sound.
            target: Number of the domain.
            kept: What is kept of the sound.
            advance: Gets shares of the preparation, 1 in all.
        """
