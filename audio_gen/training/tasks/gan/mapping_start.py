"""Initialise a mapping network from the latents of training clips."""

from dataclasses import fields

import torch
from torch import Tensor

from audio_gen.data.dataset import Batch
from audio_gen.models.codecs.gan import GANCodec
from audio_gen.models.contract import Conditions
from audio_gen.models.priors.mapped import Mapping
from audio_gen.models.priors.neighbours import components, own_directions
from audio_gen.training.tasks.mels import ENCODE_BATCH, MelData

START_CLIPS = 8192
VARIANTS = 12  # of each clip


@torch.no_grad()
def start_mapping(mapping: Mapping, mels: MelData, codec: GANCodec) -> None:
    """Initialise a mapping network as the density of the latents of clips and of their variants."""
    device = mapping.spread.device
    parts: list[tuple[Tensor, Conditions, Tensor]] = []
    for batch in mels.train.fixed_batches(ENCODE_BATCH, START_CLIPS):
        batch = batch.to(device)
        conditions = mels.conditions(batch)
        w = codec.encode(mels.front_end(batch.wav), conditions).mean
        parts.append((w, conditions, batch.index))
    w, index = torch.cat([part[0] for part in parts]).cpu(), torch.cat([part[2] for part in parts]).cpu()
    conditions = Conditions.join([part[1] for part in parts]).to("cpu")
    directions = None if mapping.own is None else _directions(mels, codec, index[components(len(index))], device)
    mapping.initialise(w, conditions, index, directions, codec.trunk.distance_weights())


def _directions(mels: MelData, codec: GANCodec, numbers: Tensor, device: torch.device) -> Tensor:
    """Directions (K, D, R) in which the latents of the clips with these numbers (K,) vary with tilt and band shifts."""
    generator = torch.Generator(device).manual_seed(mels.seed)
    factors: list[Tensor] = []
    for batch in mels.train.fixed_batches(ENCODE_BATCH, START_CLIPS):
        rows = torch.isin(batch.index, numbers)
        if not rows.any():
            continue
        batch = Batch(**{field.name: getattr(batch, field.name)[rows] for field in fields(batch)}).to(device)
        conditions, mel, frames = mels.conditions(batch), mels.front_end(batch.wav), mels.used_frames(batch)
        variants = [mels.variants(mel, frames, generator) for _ in range(VARIANTS)]
        w = torch.cat([codec.encode(variant, conditions).mean for variant in variants], dim=1).cpu()
        factors += [own_directions(points) for points in w]  # (VARIANTS, D) -> (D, R)
    return torch.stack(factors)
