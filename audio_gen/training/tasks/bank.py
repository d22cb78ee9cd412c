"""Latents of training clips: what a mapping starts from and what latents are compared with."""

from dataclasses import fields

import torch
from torch import Tensor, nn

from audio_gen.data.dataset import Batch
from audio_gen.models.density import components, own_directions
from audio_gen.models.mapping import Mapping
from audio_gen.training.tasks.mels import ENCODE_BATCH, Conditions, MelData

BANK_CLIPS, DRAWS_A_CLIP = 8192, 16
CHANGES = 12  # of each clip


@torch.no_grad()
def start_mapping(mapping: Mapping, mels: MelData, model: nn.Module) -> None:
    """Let a mapping network begin as the density of the clips' latents, as they are and around them."""
    device = next(model.parameters()).device
    parts: list[tuple[Tensor, ...]] = []
    for batch in mels.train.fixed_batches(ENCODE_BATCH, BANK_CLIPS):
        batch = batch.to(device)
        conditions = mels.conditions(batch)
        w = model.encode(mels.front_end(batch.wav), *conditions)[0]  # type: ignore[operator]
        parts.append((w, *conditions, batch.index))
    w, class_id, pitch, index = (torch.cat(part).cpu() for part in zip(*parts, strict=True))
    own = None if mapping.own is None else _own(mels, model, index[components(len(index))])
    mapping.initialise(w, class_id, pitch, index, own)


def _own(mels: MelData, model: nn.Module, numbers: Tensor) -> Tensor:
    """How the latents of the clips with these numbers (K,) vary as their tilt and bands do (K, D, R)."""
    device = next(model.parameters()).device
    generator = torch.Generator(device).manual_seed(mels.seed)
    factors: list[Tensor] = []
    for batch in mels.train.fixed_batches(ENCODE_BATCH, BANK_CLIPS):
        rows = torch.isin(batch.index, numbers)
        if not rows.any():
            continue
        batch = Batch(**{field.name: getattr(batch, field.name)[rows] for field in fields(batch)}).to(device)
        conditions, mel, frames = mels.conditions(batch), mels.front_end(batch.wav), mels.used_frames(batch)
        forms = [mels.around(mel, frames, generator) for _ in range(CHANGES)]
        w = torch.stack([model.encode(form, *conditions)[0] for form in forms], dim=1).cpu()  # type: ignore[operator]
        factors += [own_directions(points) for points in w]  # (CHANGES, D) -> (D, R)
    return torch.stack(factors)


class LatentBank:
    """Posteriors of augmented training clips with their conditions, to draw from.

    It follows from the model as it is when a run starts, and the seed, so that a run that goes on has the same.
    """

    @torch.no_grad()
    def __init__(self, mels: MelData, model: nn.Module) -> None:
        """Encode up to 8,192 draws of the training clips with `model.encode`."""
        device = next(model.parameters()).device
        count = min(BANK_CLIPS, mels.draw_count(BANK_CLIPS) * (DRAWS_A_CLIP if mels.strength else 1))
        parts: list[tuple[Tensor, ...]] = []
        for mel, batch in mels.draws(count, device):
            conditions = mels.conditions(batch)
            parts.append((*model.encode(mel, *conditions), *conditions))  # type: ignore[operator]
        self.mu, self.logvar, self.class_id, self.pitch = (
            torch.cat(part)[:count].cpu() for part in zip(*parts, strict=True)
        )  # (N, D), (N, D), (N,), (N,)

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Conditions]:
        """Latents (count, D) drawn from the posteriors of random clips, with their class numbers and pitches."""
        device = generator.device
        rows = torch.randint(len(self.mu), (count,), generator=generator, device=device).cpu()
        mu, logvar, class_id, pitch = (
            part[rows].to(device) for part in (self.mu, self.logvar, self.class_id, self.pitch)
        )
        noise = torch.randn(mu.shape, generator=generator, device=device)
        return mu + (logvar / 2).exp() * noise, (class_id, pitch)
