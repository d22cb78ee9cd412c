"""The discriminator side of a GAN: inputs, losses, penalties and augmentation."""

from collections.abc import Mapping
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

from audio_gen.losses import adversarial
from audio_gen.losses.spectral import pooled_l1
from audio_gen.models.codecs.gan import GANCodec
from audio_gen.models.codecs.vae import VAE
from audio_gen.models.contract import VELOCITY, Conditions
from audio_gen.models.discriminators.along_time import TimeDiscriminator
from audio_gen.models.discriminators.mel import MelDiscriminator
from audio_gen.models.pitch_axis import FEATURES
from audio_gen.training.task import Loss
from audio_gen.training.tasks.gan.adaptive_augmentation import AdaptiveAugment
from audio_gen.training.tasks.gan.settings import Size
from audio_gen.training.tasks.settings import DiscriminatorSettings, ReconstructionSettings

LEVEL = 5.0  # nats per unit of the discriminator's input

Logits = tuple[Tensor, Tensor, Tensor, Tensor]


class Drawn(NamedTuple):
    """Data that the phases of a step share.

    Attributes:
        real: Mel images of clips (B, M, L) in nats.
        fake: Generated ones.
        rebuilt: Number of fake images, the first ones, decoded from the latents of the real ones.
        conditions: Of both.
        features: Of bands (B, F, M), for a model with pitch.
        moves: Offsets (B, D) of the mapping network to w of fake images, in standard deviations.
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
        """Start at zero."""
        super().__init__()
        self.register_buffer("steps", torch.zeros(()))


class AdversarialLosses:
    """A discriminator of mel images, and the losses of both networks.

    Attributes:
        modules: Modules in checkpoints, by name.
    """

    def __init__(
        self, loss: DiscriminatorSettings, d: MelDiscriminator | TimeDiscriminator, *, floor: float, images: int,
        shift_bands: bool = True, strip: int = 0, whole: float = 1.0,
    ) -> None:  # fmt: skip
        """For images (B, M, L).

        Args:
            loss: Weights.
            d: The discriminator.
            floor: Nats of silence.
            images: Number of a step's images.
            shift_bands: Whether augmentation shifts them by bands.
            strip: Rows of stereo.
            whole: Weight of the losses on whole images.
        """
        self.loss, self.d, self.floor, self.images, self.whole = loss, d, floor, images, whole
        self.adaptive = AdaptiveAugment(
            floor=floor, shift_bands=shift_bands, target=loss.overfitting_target, images=loss.overfitting_images,
            strip=strip,
        )  # fmt: skip
        self.averages = Averages()
        self.modules: dict[str, nn.Module] = {
            "d": self.d, "adaptive": self.adaptive, "averages": self.averages,
        }  # fmt: skip

    @classmethod
    def of_codec(
        cls, loss: DiscriminatorSettings, codec: GANCodec | VAE, size: Size, *, n_classes: int, images: int
    ) -> Self:
        """For what a codec decodes: `images` of them in a step."""
        d = MelDiscriminator(
            n_mels=codec.trunk.rows, frames=codec.frames, channels=size.d_channels, blocks=size.d_blocks,
            n_classes=n_classes, features=FEATURES if codec.trunk.axis else 0, velocity=VELOCITY in codec.conditions,
        )  # fmt: skip
        return cls(
            loss, d, floor=codec.mel_floor, images=images, shift_bands=codec.trunk.axis is None, strip=codec.trunk.strip
        )

    def d_loss(self, drawn: Drawn, generator: torch.Generator, *, penalty: float) -> Loss:
        """The discriminator's loss; `penalty` is the weight of the gradient penalty."""
        real, fake = self._augmented(drawn.real, generator), self._augmented(drawn.fake.detach(), generator)
        logits_real, logits_fake, local_real, local_fake = self._logits(real, fake, drawn.conditions, drawn.features)
        terms = {
            "adv_d": (adversarial.relativistic_d(logits_real, logits_fake), self.whole),
            "adv_d_local": (adversarial.relativistic_d(local_real, local_fake), self.loss.local),
            "penalty": (self._penalty(drawn, real, fake), penalty),
        }
        return Loss(terms, {"real": logits_real.detach().mean(), "fake": logits_fake.detach().mean()})

    def g_loss(self, drawn: Drawn, generator: torch.Generator, *, reconstruction: float, stay: float) -> Loss:
        """The generator's loss, without gradients of the discriminator; `reconstruction` and `stay` are weights.

        Only with settings of a reconstruction.
        """
        assert isinstance(self.loss, ReconstructionSettings)
        rebuilt = slice(0, drawn.rebuilt)
        error = pooled_l1(drawn.fake[rebuilt], drawn.real[rebuilt], self.loss.reconstruction_pool)
        return Loss(
            {
                **self.g_terms(drawn, generator),
                "reconstruction": (error, reconstruction),
                "stay": (drawn.moves.square().mean(), stay),
            }
        )

    def g_terms(self, drawn: Drawn, generator: torch.Generator) -> dict[str, tuple[Tensor, float]]:
        """The adversarial terms of the generator with their weights, without gradients of the discriminator."""
        self.d.requires_grad_(False)
        real, fake = self._augmented(drawn.real, generator), self._augmented(drawn.fake, generator)
        logits_real, logits_fake, local_real, local_fake = self._logits(real, fake, drawn.conditions, drawn.features)
        self.d.requires_grad_(True)
        return {
            "adv_g": (adversarial.relativistic_g(logits_real, logits_fake), self.whole),
            "adv_g_local": (adversarial.relativistic_g(local_real, local_fake), self.loss.local),
        }

    @torch.no_grad()
    def gap(self, real: Tensor, fake: Tensor, conditions: Conditions, features: Tensor | None) -> Tensor:
        """Logits of real mel images (B, M, L) in nats minus those of fake ones (B,), without augmentation."""
        logits_real, logits_fake, *_ = self._logits(self._scaled(real), self._scaled(fake), conditions, features)
        return logits_real - logits_fake

    def _penalty(self, drawn: Drawn, real: Tensor, fake: Tensor) -> Tensor:
        """R1 and R2 on a subset of images and steps, because double backward costs most."""
        every, stride = self.loss.penalty_steps, self.loss.penalty_stride
        if self.averages.steps % every:
            return real.new_zeros(())
        real, fake = (x[::stride].detach().requires_grad_() for x in (real, fake))
        conditions = drawn.conditions[::stride]
        features = None if drawn.features is None else drawn.features[::stride]
        logits_real, logits_fake, local_real, local_fake = self._logits(real, fake, conditions, features)
        score = self.whole * (logits_real + logits_fake)
        if self.loss.local:
            score = score + (local_real + local_fake).mean(1)
        return every * adversarial.gradient_penalty(score, real, fake)

    def _logits(self, real: Tensor, fake: Tensor, conditions: Conditions, features: Tensor | None) -> Logits:
        """Logits of scaled real and fake images, (B,) each, and of their patches, (B, P) each, in one pass."""
        twice = None if features is None else features.repeat(2, 1, 1)
        logits, local = self.d(torch.cat([real, fake]), twice, conditions.repeat(2))
        logits, local, count = logits.float(), local.float(), len(real)
        return logits[:count], logits[count:], local[:count], local[count:]

    def _augmented(self, mel: Tensor, generator: torch.Generator) -> Tensor:
        """Augmented and scaled images (B, M, L), from nats."""
        return self._scaled(self.adaptive(mel, generator))

    def _scaled(self, mel: Tensor) -> Tensor:
        """Nats to about -1 to 1."""
        return (mel - self.floor) / LEVEL - 1

    def after_step(self, statistics: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Adapt the augmentation to the last measured overfitting; returns values to log."""
        self.adaptive.update(self.images)
        self.averages.steps += 1
        return {
            "gap/logits": statistics["real"] - statistics["fake"], "adaptive/p": self.adaptive.p.clone(),
            "adaptive/overfitting": self.adaptive.overfitting.clone(),
        }  # fmt: skip
