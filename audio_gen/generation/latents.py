"""Points of a model's latent space, each with the class and the pitch that it is decoded with."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

UNKNOWN_CLASS, UNKNOWN_PITCH = -1, float("nan")


@dataclass(frozen=True)
class Latents:
    """All that it takes to decode some clips.

    Attributes:
        z: (B, D) float32, on the CPU; or (B, K, D), one latent for each of the K layers of a GAN.
        class_id: (B,) int64 class numbers, -1 where there is none.
        pitch: (B,) float32 MIDI pitches, NaN where there is none.
    """

    z: Tensor
    class_id: Tensor
    pitch: Tensor

    @classmethod
    def one(cls, z: Tensor, class_id: int = UNKNOWN_CLASS, pitch: float = UNKNOWN_PITCH) -> "Latents":
        """A single point from z (D,) or (K, D)."""
        return cls(z[None], torch.tensor([class_id]), torch.tensor([pitch], dtype=torch.float32))

    @classmethod
    def join(cls, parts: Sequence["Latents"]) -> "Latents":
        """Several sets as one, in order."""
        return cls(*(torch.cat([getattr(part, name) for part in parts]) for name in ("z", "class_id", "pitch")))

    def __len__(self) -> int:
        """Number of points, B."""
        return len(self.z)

    def __getitem__(self, key: int | slice) -> "Latents":
        """Some of the points; an integer gives a set of one."""
        rows = slice(key, key + 1 or None) if isinstance(key, int) else key
        return Latents(self.z[rows], self.class_id[rows], self.pitch[rows])

    def per_layer(self, count: int) -> "Latents":
        """The same points with a latent for each of `count` layers: z (B, D) -> (B, K, D)."""
        z = self.z if self.z.ndim == 3 else self.z[:, None].expand(-1, count, -1)
        return Latents(z, self.class_id, self.pitch)

    def with_pitch(self, pitch: float | None) -> "Latents":
        """The same points at one pitch (MIDI); None leaves theirs."""
        return self if pitch is None else Latents(self.z, self.class_id, torch.full_like(self.pitch, pitch))
