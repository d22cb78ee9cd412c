"""Latents between neighbouring training clips, as a prior of blends draws them, for adversarial training of a codec."""

import torch
from torch import Tensor

from audio_gen.models.contract import PITCH, Codec
from audio_gen.models.priors.neighbours import FARTHEST, NEIGHBOURS, PITCH_SCALE, nearest_share
from audio_gen.training.tasks.mels import ENCODE_BATCH, MelData

TABLE_CLIPS = 8192


class Blends:
    """Points on the lines from clips to their neighbours of the same class, up to half-way.

    Neighbours and deviations are computed once, in the principal components with which the codec starts.
    """

    @torch.no_grad()
    def __init__(self, mels: MelData, codec: Codec, noise: float) -> None:
        """Find the neighbours of each training clip; `noise` is a share of the deviations of latents."""
        self.mels = mels
        parts: list[tuple[Tensor, Tensor, Tensor]] = []
        for batch in mels.train.fixed_batches(ENCODE_BATCH, TABLE_CLIPS):
            conditions = mels.conditions(batch)
            z = codec.encode(mels.front_end(batch.wav), conditions).mean[:, 0]
            pitch = conditions.get(PITCH).nan_to_num(0)[:, None] / PITCH_SCALE
            parts.append((torch.cat([z, pitch], dim=1), conditions.class_id, batch.index))
        points, classes, self.numbers = (torch.cat(column) for column in zip(*parts, strict=True))
        self.nearest, self.noise = nearest_share(len(points)), noise * points[:, :-1].std(0, unbiased=False)
        distances = torch.cdist(points, points)
        distances.masked_fill_(classes[:, None] != classes, torch.inf).fill_diagonal_(torch.inf)
        found, rows = distances.topk(min(NEIGHBOURS, len(points)), largest=False)
        alone = torch.arange(len(points))[:, None].expand_as(rows)
        rows = torch.where(found.isfinite(), rows, torch.where(found[:, :1].isfinite(), rows[:, :1], alone))
        self.neighbours = self.numbers[rows]  # (N, K)

    @torch.no_grad()
    def latents(self, codec: Codec, z: Tensor, index: Tensor, generator: torch.Generator) -> Tensor:
        """Latents z (B, 1, D) of clips with numbers `index` (B,), moved towards neighbours, with noise."""
        count, device, index = len(z), z.device, index.cpu()
        draw = torch.rand(2, count, generator=generator, device=device)
        row = torch.searchsorted(self.numbers, index).clamp(max=len(self.numbers) - 1)
        known = self.numbers[row] == index  # clips beyond the first TABLE_CLIPS stay
        chosen = self.neighbours[row, (draw[0].cpu() * self.neighbours.shape[1]).long()]
        other = self.mels.train.starts(torch.where(known, chosen, index)).to(device)
        mel, conditions = self.mels.front_end(other.wav), self.mels.conditions(other)
        share = self.nearest + (FARTHEST - self.nearest) * draw[1]
        noise = self.noise.to(device) * torch.randn(z.shape, generator=generator, device=device)
        return torch.lerp(z, codec.encode(mel, conditions).mean, share[:, None, None]) + noise
