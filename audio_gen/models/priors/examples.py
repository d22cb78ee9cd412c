"""The conditions of training clips, which fill in unknown conditions."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from audio_gen.models.contract import CLASS, PITCH, VELOCITY, Conditions


class Examples(nn.Module):
    """Class, pitch and velocity of every training clip, as buffers."""

    classes: Tensor
    pitches: Tensor

    def __init__(self, *, clips: int, velocity: bool = False) -> None:
        """For `clips` clips, unknown at first; with `velocity` including velocities."""
        super().__init__()
        self.register_buffer("classes", torch.full((clips,), -1))
        self.register_buffer("pitches", torch.full((clips,), torch.nan))
        if velocity:
            self.register_buffer("velocities", torch.full((clips,), torch.nan))

    @torch.no_grad()
    def take(self, conditions: Conditions) -> None:
        """Store the conditions of all clips."""
        self.classes.copy_(conditions.class_id)
        self.pitches.copy_(conditions.pitch)
        if "velocities" in self._buffers:
            self.get_buffer("velocities").copy_(conditions.velocity)

    @property
    def names(self) -> tuple[str, ...]:
        """The conditions that at least one clip has."""
        known = {CLASS: bool((self.classes >= 0).any()), PITCH: bool(self.pitches.isfinite().any())}
        velocities = self._buffers.get("velocities")
        known[VELOCITY] = velocities is not None and bool(velocities.isfinite().any())
        return tuple(name for name, some in known.items() if some)

    def fill(self, asked: Conditions, generators: Sequence[torch.Generator]) -> Conditions:
        """Fill unknown conditions of each clip from a training clip with the same known ones.

        If no clip has the pitch, the class is from those closest to it.
        """
        return Conditions.join([self._fill(asked[i], generator) for i, generator in enumerate(generators)])

    def _fill(self, asked: Conditions, generator: torch.Generator) -> Conditions:
        classes, pitches = self.classes.cpu(), self.pitches.cpu()
        class_id, pitch, velocity = int(asked.class_id), float(asked.pitch), float(asked.velocity)
        allowed = torch.ones(len(classes), dtype=torch.bool) if class_id < 0 else classes == class_id
        if not math.isnan(pitch) and class_id < 0:
            distance = (pitches - pitch).abs().nan_to_num(math.inf)
            allowed &= distance <= distance.min()
        choice = torch.nonzero(allowed)[:, 0]
        draw = int(choice[torch.randint(len(choice), (1,), generator=generator)]) if len(choice) else 0
        values = {
            CLASS: int(classes[draw]) if class_id < 0 else class_id,
            PITCH: float(pitches[draw]) if math.isnan(pitch) else pitch,
        }
        if "velocities" in self._buffers:
            values[VELOCITY] = float(self.get_buffer("velocities")[draw]) if math.isnan(velocity) else velocity
        return Conditions.one(values)
