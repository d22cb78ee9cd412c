"""Which task trains a GAN: that of its domain."""

from audio_gen.audio.mel import MelSpec
from audio_gen.data.store import Cache
from audio_gen.training.task import Task
from audio_gen.training.tasks.gan import GANTask
from audio_gen.training.tasks.gan_config import GANConfig
from audio_gen.training.tasks.latent_gan import LatentGANTask


def gan_task(config: GANConfig, spec: MelSpec, cache: Cache) -> Task:
    """The task for a GAN on mel images or on latents."""
    kind = LatentGANTask if config.domain == "latent" else GANTask
    return kind(config, spec, cache)
