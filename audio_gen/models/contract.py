"""What a model is: the conditions and latents of a batch, and what codecs, priors and transforms do with them.

Generation, training and export know a model through this module alone.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

UNKNOWN_CLASS, UNKNOWN = -1, math.nan
CLASS, PITCH, VELOCITY = "class", "pitch", "velocity"
SCALARS = (PITCH, VELOCITY)  # conditions that have a middle; classes have none


def unknown_of(name: str) -> float:
    """The value that stands for "unknown": -1 for a class, NaN for the rest."""
    return UNKNOWN_CLASS if name == CLASS else UNKNOWN


def dtype_of(name: str) -> torch.dtype:
    """int64 for classes, float32 for the rest."""
    return torch.int64 if name == CLASS else torch.float32


@dataclass(frozen=True)
class Conditions:
    """Named values of a batch.

    "class" (B,) holds class numbers, -1 where a clip's is unknown. "pitch" (B,) holds MIDI notes and "velocity" (B,)
    MIDI velocities from 0 to 127, both NaN where unknown. A name that is absent is unknown for every clip.

    Attributes:
        count: Clips, B.
        values: A tensor (B,) for each name.
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
        """Clips, B."""
        return self.count

    def __getitem__(self, key: "int | slice | Tensor") -> "Conditions":
        """Some of the clips, by an integer (a batch of one), a slice or a tensor of rows."""
        rows = slice(key, key + 1 or None) if isinstance(key, int) else key
        count = len(torch.arange(self.count)[rows.cpu() if isinstance(rows, Tensor) else rows])
        return Conditions(count, {name: value[rows] for name, value in self.values.items()})

    def get(self, name: str, device: torch.device | None = None) -> Tensor:
        """One condition (B,) on a device (by default where the others are); unknown for every clip if it is absent."""
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
        dim: Numbers of a latent, D.
        stride: Mel frames of a latent; None for one latent of the whole clip, N = 1.
        style_layers: Layers of the decoder, K, that each take a latent of their own. Such a decoder takes z with N = 1,
            which all layers share, or N = K.
    """

    dim: int
    stride: int | None = None
    style_layers: int = 1

    def per_layer(self, z: Tensor) -> Tensor:
        """z (B, 1 or K, D) with a latent for each style layer (B, K, D)."""
        return z.expand(-1, self.style_layers, -1)

    def counts(self) -> tuple[int, ...]:
        """Numbers of latents, N, that a decoder of whole clips takes."""
        return (1,) if self.style_layers == 1 else (1, self.style_layers)


@dataclass(frozen=True)
class Posterior:
    """What an encoder says of a clip's latents: a Gaussian, or a point.

    Attributes:
        mean: (B, N, D).
        logvar: (B, N, D); None for a point.
    """

    mean: Tensor
    logvar: Tensor | None = None

    def sample(self, noise: Tensor) -> Tensor:
        """A draw z (B, N, D), given noise from N(0, I) of its shape."""
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
        """Nats below which a log-mel is silence; no decoded mel lies below."""

    @property
    def conditions(self) -> tuple[str, ...]:
        """Names of the conditions that it takes; it ignores others."""

    @property
    def has_encoder(self) -> bool:
        """Whether `encode` is trained. If not, it gives a first guess, from which a search goes on."""

    def encode(self, mel: Tensor, conditions: Conditions) -> Posterior:
        """The latents of log-mel (B, M, L) in nats."""

    def decode(self, z: Tensor, conditions: Conditions) -> Tensor:
        """z (B, N, D) -> log-mel (B, M, L) in nats, between `mel_floor` and what the training clips had."""

    def decode_raw(self, z: Tensor, conditions: Conditions) -> Tensor:
        """As `decode`, but not clamped, so that losses and searches have a gradient everywhere."""


class Prior(Protocol):
    """What latents are drawn from.

    Every clip has a generator of its own, on the CPU, so that a seed gives the same clip whatever else is in the batch.
    """

    @property
    def conditions(self) -> tuple[str, ...]:
        """Names of the conditions that it takes and fills in; it ignores others."""

    def fill(self, asked: Conditions, generators: Sequence[torch.Generator]) -> Conditions:
        """Conditions like those of training clips, with the known ones of `asked` as they are; on the CPU."""

    def sample(
        self, conditions: Conditions, generators: Sequence[torch.Generator], *, length: int = 1,
        temperature: float = 1.0,
    ) -> Tensor:  # fmt: skip
        """Draw latents.

        Args:
            conditions: Of B clips, on the CPU.
            generators: B sources of all randomness.
            length: Latents of a clip, N; 1 for a codec of whole clips.
            temperature: 0 gives the most typical clips, 1 the model's whole variety.

        Returns:
            z (B, N, D) on the CPU.
        """


class Transform(Protocol):
    """Turns sounds of one domain into sounds of another."""

    @property
    def domains(self) -> tuple[str, ...]:
        """Names of the domains."""

    def transform(self, mel: Tensor, source: str, target: str) -> Tensor:
        """Log-mel (B, M, L) of a sound of `source` -> log-mel of the same length that sounds like `target`."""
