"""A toy codec and a toy prior: what adding a model takes on the side of models."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from audio_gen.models.contract import CLASS, Conditions, LatentShape, Posterior

DIM = 6


class ToyCodec(nn.Module):
    """z is the mean of DIM groups of bands; each class has a level of its own."""

    has_encoder = True

    def __init__(self, *, n_mels: int, frames: int, n_classes: int = 0, mel_floor: float = -9.0) -> None:
        super().__init__()
        self.latent, self.frames, self.mel_floor = LatentShape(DIM), frames, mel_floor
        self.conditions: tuple[str, ...] = (CLASS,) if n_classes else ()
        self.levels = nn.Embedding(n_classes + 1, 1)
        groups = (torch.arange(n_mels) * DIM // n_mels)[:, None] == torch.arange(DIM)
        self.register_buffer("groups", groups.float())  # (M, D)

    def _level(self, conditions: Conditions) -> Tensor:
        return self.levels(conditions.subset(self.conditions).get(CLASS, self.levels.weight.device) + 1)  # (B, 1)

    def encode(self, mel: Tensor, conditions: Conditions) -> Posterior:
        groups = self.get_buffer("groups")
        means = mel.mean(2) @ (groups / groups.sum(0))
        return Posterior((means - self._level(conditions))[:, None])

    def decode(self, z: Tensor, conditions: Conditions) -> Tensor:
        return self.decode_raw(z, conditions).clamp(min=self.mel_floor)

    def decode_raw(self, z: Tensor, conditions: Conditions) -> Tensor:
        bands = (z[:, 0] + self._level(conditions)) @ self.get_buffer("groups").T
        return bands[..., None].expand(-1, -1, self.frames)

    def carry(
        self, image: Tensor, start: Tensor, start_conditions: Conditions, end: Tensor, end_conditions: Conditions
    ) -> Tensor:
        return image

    def length_frames(self, z: Tensor) -> Tensor | None:
        return None


class ToyPrior(nn.Module):
    """A Gaussian, the same for every class."""

    def __init__(self, *, latent_dim: int = DIM, n_classes: int = 0) -> None:
        super().__init__()
        self.n_classes, self.conditions = n_classes, (CLASS,) if n_classes else ()
        self.register_buffer("mean", torch.zeros(latent_dim))
        self.register_buffer("deviation", torch.ones(latent_dim))

    def fill(self, asked: Conditions, generators: Sequence[torch.Generator]) -> Conditions:
        class_id = asked.class_id.clone()
        for i, generator in enumerate(generators):
            if class_id[i] < 0 and self.n_classes:
                class_id[i] = torch.randint(self.n_classes, (), generator=generator)
        return asked.replaced(CLASS, class_id)

    def sample(
        self, conditions: Conditions, generators: Sequence[torch.Generator], *, length: int = 1,
        temperature: float = 1.0,
    ) -> Tensor:  # fmt: skip
        mean, deviation = self.get_buffer("mean"), self.get_buffer("deviation")
        noise = torch.stack([torch.randn(length, len(mean), generator=generator) for generator in generators])
        return mean + temperature * deviation * noise
