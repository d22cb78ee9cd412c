"""The discriminator side of a GAN: inputs, losses, penalties and augmentation."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from audio_gen.losses import adversarial
from audio_gen.losses.spectral import pooled_l1
from audio_gen.models.codecs.gan import GANCodec
from audio_gen.models.contract import VELOCITY, Conditions
from audio_gen.models.discriminators.mel import MelDiscriminator
from audio_gen.models.pitch_axis import FEATURES
from audio_gen.training.task import Loss
from audio_gen.training.tasks.gan.adaptive_augmentation import AdaptiveAugment
from audio_gen.training.tasks.gan.settings import GANLoss, Size

LEVEL = 5.0  # nats that the discriminator sees as 1

Logits = tuple[Tensor, Tensor, Tensor, Tensor]


class Drawn(NamedTuple):
    """What a step's phases share.

    Attributes:
        real: Mel images of clips (B, M, L) in nats.
        fake: Made ones.
        rebuilt: How many of these, the first, are of the latents of the real ones.
        conditions: Of both.
        features: Of bands (B, F, M), for a model with pitch.
        moves: How far the mapping has moved w of made images (B, D), in deviations.
    """

    real: Tensor
    fake: Tensor
    rebuilt: int
    conditions: Conditions
    features: Tensor | None
    moves: Tensor


class Averages(nn.Module):
    """The number of steps; a buffer, so that checkpoints hold it."""

    steps: Tensor

    def __init__(self) -> None:
        """At zero."""
        super().__init__()
        self.register_buffer("steps", torch.zeros(()))


class AdversarialLosses:
    """A discriminator of mel images.

    Attributes:
        modules: What checkpoints hold of them, by name.
    """

    def __init__(self, loss: GANLoss, codec: GANCodec, size: Size, *, n_classes: int, images: int) -> None:
        """For the images that a codec decodes, of which a step sees so many."""
        self.loss, self.floor, self.images = loss, codec.mel_floor, images
        self.d = MelDiscriminator(
            n_mels=codec.n_mels, frames=codec.frames, channels=size.d_channels, blocks=size.d_blocks,
            n_classes=n_classes, features=FEATURES if codec.trunk.axis else 0, velocity=VELOCITY in codec.conditions,
        )  # fmt: skip
        self.adaptive = AdaptiveAugment(
            floor=codec.mel_floor, shift_bands=codec.trunk.axis is None, target=loss.overfitting_target,
            images=loss.overfitting_images,
        )  # fmt: skip
        self.averages = Averages()
        self.modules: dict[str, nn.Module] = {
            "d": self.d, "adaptive": self.adaptive, "averages": self.averages,
        }  # fmt: skip

    def d_loss(self, drawn: Drawn, generator: torch.Generator, *, penalty: float) -> Loss:
        """The discriminator's loss on what a step has drawn, with this weight of the gradient penalty."""
        real, fake = self._seen(drawn.real, generator), self._seen(drawn.fake.detach(), generator)
        logits_real, logits_fake, local_real, local_fake = self._judged(real, fake, drawn.conditions, drawn.features)
        terms = {
            "adv_d": (adversarial.relativistic_d(logits_real, logits_fake), 1.0),
            "adv_d_local": (adversarial.relativistic_d(local_real, local_fake), self.loss.local),
            "penalty": (self._penalty(drawn, real, fake), penalty),
        }
        return Loss(terms, {"real": logits_real.detach().mean(), "fake": logits_fake.detach().mean()})

    def g_loss(self, drawn: Drawn, generator: torch.Generator, *, reconstruction: float) -> Loss:
        """The generator's loss, with this weight of the reconstruction; the discriminator learns nothing from it."""
        self.d.requires_grad_(False)
        real, fake = self._seen(drawn.real, generator), self._seen(drawn.fake, generator)
        logits_real, logits_fake, local_real, local_fake = self._judged(real, fake, drawn.conditions, drawn.features)
        self.d.requires_grad_(True)
        own = slice(0, drawn.rebuilt)
        error = pooled_l1(drawn.fake[own], drawn.real[own], self.loss.reconstruction_pool)
        return Loss(
            {
                "adv_g": (adversarial.relativistic_g(logits_real, logits_fake), 1.0),
                "adv_g_local": (adversarial.relativistic_g(local_real, local_fake), self.loss.local),
                "reconstruction": (error, reconstruction),
                "stay": (drawn.moves.square().mean(), self.loss.stay),
            }
        )

    @torch.no_grad()
    def gap(self, real: Tensor, fake: Tensor, conditions: Conditions, features: Tensor | None) -> Tensor:
        """Logits of real mel images (B, M, L) in nats less those of made ones (B,), neither of them changed."""
        logits_real, logits_fake, *_ = self._judged(self._scaled(real), self._scaled(fake), conditions, features)
        return logits_real - logits_fake

    def _penalty(self, drawn: Drawn, real: Tensor, fake: Tensor) -> Tensor:
        """R1 and R2 on a subset of images and steps, because double backward costs most."""
        every, stride = self.loss.penalty_steps, self.loss.penalty_stride
        if self.averages.steps % every:
            return real.new_zeros(())
        real, fake = (x[::stride].detach().requires_grad_() for x in (real, fake))
        conditions = drawn.conditions[::stride]
        features = None if drawn.features is None else drawn.features[::stride]
        logits_real, logits_fake, local_real, local_fake = self._judged(real, fake, conditions, features)
        score = logits_real + logits_fake
        if self.loss.local:
            score = score + (local_real + local_fake).mean(1)
        return every * adversarial.gradient_penalty(score, real, fake)

    def _judged(self, real: Tensor, fake: Tensor, conditions: Conditions, features: Tensor | None) -> Logits:
        """Logits of scaled real and made images, (B,) each, and of their places, (B, P) each, in one pass."""
        twice = None if features is None else features.repeat(2, 1, 1)
        logits, local = self.d(torch.cat([real, fake]), twice, conditions.repeat(2))
        logits, local, count = logits.float(), local.float(), len(real)
        return logits[:count], logits[count:], local[:count], local[count:]

    def _seen(self, mel: Tensor, generator: torch.Generator) -> Tensor:
        """Images (B, M, L) in nats as the discriminator sees them in training."""
        return self._scaled(self.adaptive(mel, generator))

    def _scaled(self, mel: Tensor) -> Tensor:
        """Nats to about -1 to 1."""
        return (mel - self.floor) / LEVEL - 1

    def after_step(self, statistics: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Adapt the augmentation to the last measure of overfitting; returns what to log."""
        self.adaptive.update(self.images)
        self.averages.steps += 1
        return {
            "gap/logits": statistics["real"] - statistics["fake"], "adaptive/p": self.adaptive.p.clone(),
            "adaptive/overfitting": self.adaptive.overfitting.clone(),
        }  # fmt: skip
