"""Start a mapping network from the latents of training clips."""

from dataclasses import fields

import torch
from torch import Tensor

from audio_gen.data.dataset import Batch
from audio_gen.models.contract import Codec, Conditions
from audio_gen.models.priors.mapped import Mapping
from audio_gen.models.priors.neighbours import components, own_directions
from audio_gen.training.tasks.mels import ENCODE_BATCH, MelData

BANK_CLIPS = 8192
CHANGES = 12  # of each clip


@torch.no_grad()
def start_mapping(mapping: Mapping, mels: MelData, codec: Codec) -> None:
    """Let a mapping network begin as the density of the clips' latents, as they are and around them."""
    device = mapping.spread.device
    parts: list[tuple[Tensor, Conditions, Tensor]] = []
    for batch in mels.train.fixed_batches(ENCODE_BATCH, BANK_CLIPS):
        batch = batch.to(device)
        conditions = mels.conditions(batch)
        w = codec.encode(mels.front_end(batch.wav), conditions).mean
        parts.append((w, conditions, batch.index))
    w, index = torch.cat([part[0] for part in parts]).cpu(), torch.cat([part[2] for part in parts]).cpu()
    conditions = Conditions.join([part[1] for part in parts]).to("cpu")
    own = None if mapping.own is None else _own(mels, codec, index[components(len(index))], device)
    mapping.initialise(w, conditions, index, own)


def _own(mels: MelData, codec: Codec, numbers: Tensor, device: torch.device) -> Tensor:
    """How the latents of the clips with these numbers (K,) vary as their tilt and bands do (K, D, R)."""
    generator = torch.Generator(device).manual_seed(mels.seed)
    factors: list[Tensor] = []
    for batch in mels.train.fixed_batches(ENCODE_BATCH, BANK_CLIPS):
        rows = torch.isin(batch.index, numbers)
        if not rows.any():
            continue
        batch = Batch(**{field.name: getattr(batch, field.name)[rows] for field in fields(batch)}).to(device)
        conditions, mel, frames = mels.conditions(batch), mels.front_end(batch.wav), mels.used_frames(batch)
        forms = [mels.around(mel, frames, generator) for _ in range(CHANGES)]
        w = torch.cat([codec.encode(form, conditions).mean for form in forms], dim=1).cpu()
        factors += [own_directions(points) for points in w]  # (CHANGES, D) -> (D, R)
    return torch.stack(factors)
