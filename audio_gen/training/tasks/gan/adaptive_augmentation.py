"""Adaptive discriminator augmentation (ADA) of real and generated mel images; its probability follows overfitting."""

import torch
from torch import Tensor, nn

from audio_gen.audio.stereo import FRAMES

SHIFT_SHARE = 1 / 8  # of the frames
CUT_SHARE = 1 / 4  # of frames or bands
GAIN_NATS = 0.7  # 6 dB
SHIFT_BANDS = 2
LEAST_GAP = 0.05  # of logits; below it the discriminator has not learned enough to overfit
MOST = 0.8  # above this, the augmentation leaks into samples


class AdaptiveAugment(nn.Module):
    """Time shift, gain, cut-outs in time and frequency, and a shift by bands, each with probability p.

    p keeps the discriminator's overfitting at `target`: the share of the logit gap between training and generated clips
    that held-out clips lack. The gap itself is no sign of overfitting: on a hard set it rightly stays to the end. All
    state is in buffers, so that checkpoints hold it.
    Source: Karras 2020 (ADA; r_v), with logits relative to those of a generated image of the same class and pitch.
    """

    p: Tensor
    overfitting: Tensor

    def __init__(self, *, floor: float, shift_bands: bool, target: float, images: float, strip: int = 0) -> None:
        """`images`: number for p to go from 0 to 1; `shift_bands`: false if pitch is a condition; `strip`: stereo rows.

        Rows of stereo are only shifted in time, by whole values.
        """
        super().__init__()
        self.floor, self.shift_bands, self.target, self.images, self.strip = floor, shift_bands, target, images, strip
        self.register_buffer("p", torch.zeros(()))
        self.register_buffer("overfitting", torch.zeros(()))

    @torch.no_grad()
    def measure(self, train_gap: float, held_out_gap: float) -> None:
        """Measure overfitting by the mean logits of training and held-out clips minus those of generated ones."""
        train, held_out = torch.tensor([train_gap, held_out_gap])
        share = 1 - held_out / train if train > LEAST_GAP else torch.zeros(())
        self.overfitting.copy_(share.clamp(0.0, 1.0))

    @torch.no_grad()
    def update(self, images: int) -> None:
        """Move p up or down by a number of images, as overfitting is above or below its target."""
        self.p.add_((self.overfitting - self.target).sign() * images / self.images).clamp_(0.0, MOST)

    def forward(self, mel: Tensor, generator: torch.Generator) -> Tensor:
        """Augment some of the mel images (B, M, L) in nats; differentiable."""
        mel, strip = mel.split([mel.shape[1] - self.strip, self.strip], dim=1)
        count, bands, frames = mel.shape
        draw = torch.rand(5, count, 1, 1, generator=generator, device=mel.device)
        place = torch.rand(6, count, 1, 1, generator=generator, device=mel.device)
        chosen = draw < self.p
        time = torch.arange(frames, device=mel.device)
        band = torch.arange(bands, device=mel.device)[:, None]
        shift = torch.where(chosen[0], ((2 * place[0] - 1) * SHIFT_SHARE * frames).round(), 0.0).long()
        if self.strip:
            shift = shift.div(FRAMES, rounding_mode="floor") * FRAMES
        source = (time - shift).clamp(max=frames - 1)  # (B, 1, L); the start is filled with silence
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
        if not self.strip:
            return x
        moved = strip.gather(2, source.clamp(min=0).expand(-1, self.strip, -1)).masked_fill(source < 0, 0.0)
        return torch.cat([x, moved], dim=1)
