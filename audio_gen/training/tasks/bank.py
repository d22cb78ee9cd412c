"""Latents of training clips, which a mapping network starts from."""

from dataclasses import fields

import torch
from torch import Tensor, nn

from audio_gen.data.dataset import Batch
from audio_gen.models.density import components, own_directions
from audio_gen.models.mapping import Mapping
from audio_gen.training.tasks.mels import ENCODE_BATCH, MelData

BANK_CLIPS = 8192
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
