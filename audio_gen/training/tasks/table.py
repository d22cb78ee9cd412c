"""The models that `train` knows, by name: their settings and their tasks."""

from collections.abc import Callable
from typing import Any

from audio_gen.audio.mel import MelSpec
from audio_gen.data.store import Cache
from audio_gen.training.task import Task
from audio_gen.training.tasks.cycle.settings import CycleConfig
from audio_gen.training.tasks.cycle.task import CycleTask
from audio_gen.training.tasks.gan.settings import GANConfig
from audio_gen.training.tasks.gan.task import GANTask
from audio_gen.training.tasks.sequence.settings import SequenceConfig
from audio_gen.training.tasks.sequence.task import SequenceTask
from audio_gen.training.tasks.settings import RunConfig
from audio_gen.training.tasks.transfer.settings import TransferConfig
from audio_gen.training.tasks.transfer.task import TransferTask
from audio_gen.training.tasks.vae import VAETask
from audio_gen.training.tasks.vae_settings import VAEConfig
from audio_gen.training.tasks.vocoder import VocoderConfig, VocoderTask

TASKS: dict[str, tuple[type[RunConfig], Callable[[Any, MelSpec, Cache], Task]]] = {
    "gan": (GANConfig, GANTask),
    "vae": (VAEConfig, VAETask),
    "vocoder": (VocoderConfig, VocoderTask),
    "sequence": (SequenceConfig, SequenceTask),
    "transfer": (TransferConfig, TransferTask),
    "cycle": (CycleConfig, CycleTask),
}
