"""Adaptive discriminator augmentation: change real and generated mel images with a probability that follows
overfitting."""

import torch
from torch import Tensor, nn

SHIFT_SHARE = 1 / 8  # of the frames
CUT_SHARE = 1 / 4  # of frames or bands
GAIN_NATS = 0.7  # 6 dB
SHIFT_BANDS = 2
LEAST_GAP = 0.05  # of logits, below which nothing has been learned that could be overfitting
MOST = 0.8  # above this, changes begin to show in what is made


class AdaptiveAugment(nn.Module):
    """Time shift, gain, cut-outs in time and frequency, and a shift by bands, each with probability p.

    p holds the discriminator's overfitting at `target`: how much of what sets training clips apart from made ones
    kept-out clips lack. That the discriminator tells training clips from made ones is no sign of it: on a hard set it
    rightly does so to the end. All state is in buffers, so that checkpoints hold it.
    Source: Karras 2020 (ADA; r_v), here of logits less those of a made image of the same class and pitch.
    """

    p: Tensor
    overfitting: Tensor

    def __init__(self, *, floor: float, shift_bands: bool, target: float, images: float) -> None:
        """`images`: how many it takes for p to go from 0 to 1; `shift_bands`: leave it out where pitch is a label."""
        super().__init__()
        self.floor, self.shift_bands, self.target, self.images = floor, shift_bands, target, images
        self.register_buffer("p", torch.zeros(()))
        self.register_buffer("overfitting", torch.zeros(()))

    @torch.no_grad()
    def measure(self, train_gap: float, kept_out_gap: float) -> None:
        """Take in by how much mean logits of training and of kept-out clips are above those of generated ones."""
        train, kept_out = torch.tensor([train_gap, kept_out_gap])
        share = 1 - kept_out / train if train > LEAST_GAP else torch.zeros(())
        self.overfitting.copy_(share.clamp(0.0, 1.0))

    @torch.no_grad()
    def update(self, images: int) -> None:
        """Let p go the way of so many images, up or down as the overfitting is (0: none, 1: complete)."""
        self.p.add_((self.overfitting - self.target).sign() * images / self.images).clamp_(0.0, MOST)

    def forward(self, mel: Tensor, generator: torch.Generator) -> Tensor:
        """Change some of the mel images (B, M, L) in nats; differentiable."""
        count, bands, frames = mel.shape
        draw = torch.rand(5, count, 1, 1, generator=generator, device=mel.device)
        place = torch.rand(6, count, 1, 1, generator=generator, device=mel.device)
        chosen = draw < self.p
        time = torch.arange(frames, device=mel.device)
        band = torch.arange(bands, device=mel.device)[:, None]
        shift = torch.where(chosen[0], ((2 * place[0] - 1) * SHIFT_SHARE * frames).round(), 0.0).long()
        source = (time - shift).clamp(max=frames - 1)  # (B, 1, L); what comes in at the start is silence
        x = mel.gather(2, source.clamp(min=0).expand(-1, bands, -1)).masked_fill(source < 0, self.floor)
        if self.shift_bands:
            move = torch.where(chosen[1], ((2 * place[1] - 1) * SHIFT_BANDS).round(), 0.0).long()
            x = x.gather(1, (band - move).clamp(0, bands - 1).expand(-1, -1, frames))
        gain = torch.where(chosen[2], (2 * place[2] - 1) * GAIN_NATS, 0.0)
        x = torch.where(x > self.floor, (x + gain).clamp(min=self.floor), x)
        for axis, at, size, which in ((time, place[3], frames, chosen[3]), (band, place[4], bands, chosen[4])):
            width = CUT_SHARE * size * place[5]
            start = at * (size - width)
            x = x.masked_fill(which & (axis >= start) & (axis < start + width), self.floor)
        return x
