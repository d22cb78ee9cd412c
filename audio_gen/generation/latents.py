"""Points of a model's latent space, each with the conditions that it is decoded with."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from audio_gen.models.contract import Conditions


@dataclass(frozen=True)
class Latents:
    """Everything needed to decode clips.

    Attributes:
        z: (B, N, D) float32, on the CPU; see `LatentShape` for N.
        conditions: Of B clips, on the CPU.
    """

    z: Tensor
    conditions: Conditions

    @classmethod
    def one(cls, z: Tensor, conditions: Conditions | None = None) -> "Latents":
        """A single point from z (N, D)."""
        return cls(z[None], conditions or Conditions(1))

    @classmethod
    def join(cls, parts: Sequence["Latents"]) -> "Latents":
        """Several sets as one, in order; a latent for all style layers is expanded to one per layer if needed."""
        count = max(part.z.shape[1] for part in parts)
        z = torch.cat([part.z if part.z.shape[1] == count else part.z.expand(-1, count, -1) for part in parts])
        return cls(z, Conditions.join([part.conditions for part in parts]))

    def __len__(self) -> int:
        """Number of points, B."""
        return len(self.z)

    def __getitem__(self, key: int | slice) -> "Latents":
        """Some of the points; an integer gives a set of one."""
        rows = slice(key, key + 1 or None) if isinstance(key, int) else key
        return Latents(self.z[rows], self.conditions[rows])

    def with_z(self, z: Tensor) -> "Latents":
        """Other points under the same conditions."""
        return Latents(z, self.conditions)

    def with_pitch(self, pitch: float | None) -> "Latents":
        """The same points at one pitch (MIDI); None keeps theirs."""
        if pitch is None:
            return self
        return Latents(self.z, self.conditions.replaced("pitch", torch.full((len(self),), pitch)))
