"""The discriminators of a GAN on mel images: what they see, the losses on both sides, and what keeps them steady."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from audio_gen.losses import adversarial
from audio_gen.losses.spectral import pooled_l1
from audio_gen.models.discriminators import LatentDiscriminator, MelDiscriminator
from audio_gen.models.gan import GAN
from audio_gen.models.pitch import FEATURES
from audio_gen.training.adaptive import AdaptiveAugment
from audio_gen.training.tasks.gan_config import GANLoss, Size
from audio_gen.training.tasks.mels import Conditions

AVERAGE = 0.99  # decay of the logits' running averages
LEVEL = 5.0  # nats that discriminators see as 1

Logits = tuple[Tensor, Tensor, Tensor, Tensor]


class Drawn(NamedTuple):
    """What a step's phases share.

    Attributes:
        real: Mel images of clips (B, M, L) in nats.
        fake: Made ones.
        rebuilt: How many of these, the first, are of the latents of the real ones.
        conditions: Class numbers and pitches of both.
        features: Of bands (B, F, M), for a model with pitch.
        w_real: More real latents (N, D).
        w_fake: Made ones.
        w_conditions: Class numbers and pitches of both.
        moves: How far the mapping has moved w of made images (B, D), in deviations.
    """

    real: Tensor
    fake: Tensor
    rebuilt: int
    conditions: Conditions
    features: Tensor | None
    w_real: Tensor
    w_fake: Tensor
    w_conditions: Conditions
    moves: Tensor


class Averages(nn.Module):
    """Running averages of logits, and the number of steps; buffers, so that checkpoints hold them."""

    real: Tensor
    fake: Tensor
    steps: Tensor

    def __init__(self) -> None:
        """All at zero."""
        super().__init__()
        for name in ("real", "fake", "steps"):
            self.register_buffer(name, torch.zeros(()))


class Critics:
    """A discriminator of mel images and one of latents.

    Attributes:
        modules: What checkpoints hold of them, by name.
        readings: What the last micro-batch of the discriminators said, for `learn`; nothing after the generator's.
    """

    def __init__(self, loss: GANLoss, gan: GAN, size: Size, *, n_classes: int, images: int) -> None:
        """For the images and latents of a generator, of which a step sees so many."""
        self.loss, self.floor, self.images = loss, gan.mel_floor, images
        self.d = MelDiscriminator(
            n_mels=gan.n_mels, frames=gan.frames, channels=size.d_channels, blocks=size.d_blocks, n_classes=n_classes,
            features=FEATURES if gan.axis else 0,
        )  # fmt: skip
        self.d_latent = LatentDiscriminator(latent_dim=gan.latent_dim, n_classes=n_classes, width=size.mapping_width)
        self.adaptive = AdaptiveAugment(
            floor=gan.mel_floor, shift_bands=gan.axis is None, target=loss.overfitting_target,
            images=loss.overfitting_images,
        )  # fmt: skip
        self.averages = Averages()
        self.modules: dict[str, nn.Module] = {
            "d": self.d, "d_latent": self.d_latent, "adaptive": self.adaptive, "averages": self.averages,
        }  # fmt: skip
        self.readings: dict[str, Tensor] = {}

    def d_losses(self, drawn: Drawn, generator: torch.Generator) -> dict[str, Tensor]:
        """The discriminators' losses on what a step has drawn."""
        real, fake = self._seen(drawn.real, generator), self._seen(drawn.fake.detach(), generator)
        logits_real, logits_fake, local_real, local_fake = self._judged(real, fake, drawn.conditions, drawn.features)
        self.readings = {
            "real": logits_real.detach().mean(), "fake": logits_fake.detach().mean(),
            "overfitting": self.adaptive.overfitting.clone(),
        }  # fmt: skip
        return {
            "adv_d": adversarial.relativistic_d(logits_real, logits_fake),
            "adv_d_local": adversarial.relativistic_d(local_real, local_fake),
            "penalty": self._penalty(drawn, real, fake),
            "lecam": self._lecam(logits_real, logits_fake),
            **self._latent_d_losses(drawn),
        }

    def _latent_d_losses(self, drawn: Drawn) -> dict[str, Tensor]:
        if not self.loss.latent:
            none = drawn.w_real.new_zeros(())
            return {"adv_d_latent": none, "penalty_latent": none}
        real, fake = (w.detach().requires_grad_() for w in (drawn.w_real, drawn.w_fake))
        logits_real, logits_fake = self._judged_latents(drawn, real, fake)
        return {
            "adv_d_latent": adversarial.relativistic_d(logits_real, logits_fake),
            "penalty_latent": adversarial.gradient_penalty(logits_real + logits_fake, real, fake),
        }

    def g_losses(self, drawn: Drawn, generator: torch.Generator) -> dict[str, Tensor]:
        """The generator's losses; the discriminators learn nothing from them."""
        self.readings = {}
        for module in (self.d, self.d_latent):
            module.requires_grad_(False)
        real, fake = self._seen(drawn.real, generator), self._seen(drawn.fake, generator)
        logits_real, logits_fake, local_real, local_fake = self._judged(real, fake, drawn.conditions, drawn.features)
        latent = drawn.fake.new_zeros(())
        if self.loss.latent:
            latent = adversarial.relativistic_g(*self._judged_latents(drawn, drawn.w_real, drawn.w_fake))
        for module in (self.d, self.d_latent):
            module.requires_grad_(True)
        own = slice(0, drawn.rebuilt)
        return {
            "adv_g": adversarial.relativistic_g(logits_real, logits_fake),
            "adv_g_local": adversarial.relativistic_g(local_real, local_fake),
            "adv_g_latent": latent,
            "reconstruction": pooled_l1(drawn.fake[own], drawn.real[own], self.loss.reconstruction_pool),
            "stay": drawn.moves.square().mean(),
        }

    @torch.no_grad()
    def gap(self, real: Tensor, fake: Tensor, conditions: Conditions, features: Tensor | None) -> Tensor:
        """Logits of real mel images (B, M, L) in nats less those of made ones (B,), neither of them changed."""
        logits_real, logits_fake, *_ = self._judged(self._scaled(real), self._scaled(fake), conditions, features)
        return logits_real - logits_fake

    def _penalty(self, drawn: Drawn, real: Tensor, fake: Tensor) -> Tensor:
        """R1 and R2 on every so many of the images, every so many steps: double backward is what costs most."""
        every, stride = self.loss.penalty_steps, self.loss.penalty_stride
        if self.averages.steps % every:
            return real.new_zeros(())
        real, fake = (x[::stride].detach().requires_grad_() for x in (real, fake))
        conditions = (drawn.conditions[0][::stride], drawn.conditions[1][::stride])
        features = None if drawn.features is None else drawn.features[::stride]
        logits_real, logits_fake, local_real, local_fake = self._judged(real, fake, conditions, features)
        score = logits_real + logits_fake
        if self.loss.local:
            score = score + (local_real + local_fake).mean(1)
        return every * adversarial.gradient_penalty(score, real, fake)

    def _judged(self, real: Tensor, fake: Tensor, conditions: Conditions, features: Tensor | None) -> Logits:
        """Logits of scaled real and made images, (B,) each, and of their places, (B, P) each, in one pass."""
        twice = None if features is None else features.repeat(2, 1, 1)
        logits, local = self.d(torch.cat([real, fake]), twice, *(condition.repeat(2) for condition in conditions))
        logits, local, count = logits.float(), local.float(), len(real)
        return logits[:count], logits[count:], local[:count], local[count:]

    def _judged_latents(self, drawn: Drawn, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.d_latent(torch.cat([real, fake]), *(c.repeat(2) for c in drawn.w_conditions)).float()
        return logits[: len(real)], logits[len(real) :]

    def _seen(self, mel: Tensor, generator: torch.Generator) -> Tensor:
        """Images (B, M, L) in nats as the discriminator sees them in training."""
        return self._scaled(self.adaptive(mel, generator))

    def _scaled(self, mel: Tensor) -> Tensor:
        """Nats to about -1 to 1."""
        return (mel - self.floor) / LEVEL - 1

    def learn(self, readings: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Follow how far the logits of a step's real and made images lie apart; returns what to log."""
        self.adaptive.update(readings["overfitting"], self.images)
        self.averages.real.lerp_(readings["real"], 1 - AVERAGE)
        self.averages.fake.lerp_(readings["fake"], 1 - AVERAGE)
        self.averages.steps += 1
        return {
            "gap/logits": readings["real"] - readings["fake"], "adaptive/p": self.adaptive.p.clone(),
            "adaptive/overfitting": readings["overfitting"],
        }  # fmt: skip

    def _lecam(self, logits_real: Tensor, logits_fake: Tensor) -> Tensor:
        if not self.loss.lecam:
            return logits_real.new_zeros(())
        return adversarial.lecam(logits_real, logits_fake, self.averages.real.clone(), self.averages.fake.clone())
