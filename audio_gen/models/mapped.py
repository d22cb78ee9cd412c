"""What is sampled through the mapping network of a GAN."""

from collections.abc import Mapping as Table
from typing import Protocol

import torch
from torch import Tensor, nn

from audio_gen.models.density import draw_condition

CENTRE_DRAWS = 2048


class Mapped(Protocol):
    """A network with a mapping: a GAN of any domain."""

    noise_dim: int

    def map(self, z: Tensor, class_id: Tensor, pitch: Tensor) -> Tensor:
        """z (B, Z) -> w (B, D)."""


class MappedPrior:
    """What latents w of a GAN are drawn from: its mapping network, pulled towards the centre of the class.

    It has the methods of `LatentDensity`. Source: truncation, Karras 2019.
    """

    def __init__(self, model: Mapped, tensors: Table[str, Tensor]) -> None:
        """With what `fit` gave: classes (N,) and pitches (N,) of training clips, centres (C + 1, D), reach (D,)."""
        self.model, self.values = model, dict(tensors)

    @classmethod
    @torch.no_grad()
    def fit(cls, model: Mapped, classes: Tensor, pitches: Tensor, n_classes: int) -> "MappedPrior":
        """Measure the centre of each class, and how far draws reach along each component.

        Args:
            model: The network.
            classes: Class numbers of training clips (N,), -1 for none.
            pitches: Their MIDI pitches (N,), NaN for none.
            n_classes: How many classes the model knows.
        """
        generator = torch.Generator().manual_seed(0)
        centres: list[Tensor] = []
        reach: list[Tensor] = []
        for number in [*range(n_classes), -1]:
            own = torch.nonzero(classes == number)[:, 0] if number >= 0 else torch.arange(len(classes))
            own = own if len(own) else torch.arange(len(classes))
            rows = own[torch.randint(len(own), (CENTRE_DRAWS,), generator=generator)]
            asked = torch.full((CENTRE_DRAWS,), number) if number >= 0 else classes[rows]
            z = torch.randn(CENTRE_DRAWS, model.noise_dim, generator=generator)
            w = _map(model, z, asked, pitches[rows])
            centres.append(w.mean(0))
            reach.append(w.abs().amax(0))
        return cls(
            model,
            {
                "classes": classes,
                "pitches": pitches.float(),
                "centres": torch.stack(centres),
                "reach": torch.stack(reach).amax(0),
            },
        )

    def tensors(self) -> dict[str, Tensor]:
        """What to save."""
        return dict(self.values)

    def draw_condition(self, generator: torch.Generator, class_id: int, pitch: float) -> tuple[int, float]:
        """Fill in what is not given (-1, NaN) from the training clips, see `draw_condition`."""
        return draw_condition(self.values["classes"], self.values["pitches"], generator, class_id, pitch)

    def sample(self, generator: torch.Generator, class_id: int, pitch: float, temperature: float = 1.0) -> Tensor:
        """Draw one w (D,) given a class (-1: none) and a pitch in MIDI (NaN: none).

        Args:
            generator: Source of all randomness.
            class_id: Class number.
            pitch: MIDI pitch.
            temperature: 0 gives the centre of the class, 1 the mapping's own draw.
        """
        z = torch.randn(1, self.model.noise_dim, generator=generator)
        w = _map(self.model, z, torch.tensor([class_id]), torch.tensor([pitch], dtype=torch.float32))[0]
        centre = self.values["centres"][class_id]  # -1 is the last row: of all
        return torch.lerp(centre, w, temperature)


@torch.no_grad()
def _map(model: Mapped, z: Tensor, class_id: Tensor, pitch: Tensor) -> Tensor:
    """`model.map` with inputs and result on the CPU."""
    assert isinstance(model, nn.Module)
    device = next(model.parameters()).device
    return model.map(z.to(device), class_id.to(device), pitch.to(device)).float().cpu()
