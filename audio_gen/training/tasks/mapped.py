"""What both tasks of GANs, on mel images and on a VAE's latents, do alike: clips come out of the mapping network."""

from typing import Any

import torch
from torch import Tensor, nn

from audio_gen.data.dataset import Batch
from audio_gen.models.gan import GAN
from audio_gen.models.latent_gan import LatentGAN
from audio_gen.models.mapped import MappedPrior
from audio_gen.training.task import Preview
from audio_gen.training.tasks.gan_config import GANConfig
from audio_gen.training.tasks.mels import MelTask


class MappedTask(MelTask):
    """A task whose generator has a mapping network.

    Attributes:
        kind: The generator's name in `models.MODELS`.
        encoded: What previews call clips sent through the generator and back.
        config: The run's settings.
        gan: The generator.
        args: Its arguments.
    """

    kind: str
    encoded: str
    config: GANConfig
    gan: GAN | LatentGAN
    args: dict[str, Any]

    @property
    def model(self) -> nn.Module:
        """The generator."""
        return self.gan

    def preview(self, model: nn.Module, batch: Batch) -> Preview:
        """Real clips, these through the generator and back, and new clips of the same class and pitch."""
        assert isinstance(model, GAN | LatentGAN)
        mel, conditions = self.mels.front_end(batch.wav).clamp(min=model.mel_floor), self.mels.conditions(batch)
        back = model.decode(model.encode(mel, *conditions)[0], *conditions)
        sampled = torch.cat(list(self.mels.drawn(model, self._prior(model), *conditions, self.config.train.seed)))
        return self.mels.preview(batch, {"real": mel, self.encoded: back, "sampled": sampled})

    def make(self, model: nn.Module, count: int, seed: int) -> Tensor:
        """Clips from the mapping network as it is now."""
        assert isinstance(model, GAN | LatentGAN)
        return self.mels.make(model, self._prior(model), count, seed)

    def bundle(self, model: nn.Module) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Config and tensors: the averaged generator, and what its conditions and truncation are drawn from."""
        assert isinstance(model, GAN | LatentGAN)
        tensors = {f"model.{key}": value for key, value in model.state_dict().items()}
        prior = {f"prior.{key}": value for key, value in self._prior(model).tensors().items()}
        return self.mels.bundle_config(self.kind, self.args), tensors | prior

    def _prior(self, model: GAN | LatentGAN) -> MappedPrior:
        """What clips are drawn from, with the model's mapping as it is now."""
        return MappedPrior.fit(model, *self.mels.known_conditions(), len(self.mels.classes))
