"""Networks: plain modules with flat keyword arguments and no I/O."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from audio_gen.errors import CheckpointError
from audio_gen.models.gan import GAN
from audio_gen.models.latent_gan import LatentGAN
from audio_gen.models.vae import VAE
from audio_gen.models.vocoder import Vocoder, VocosHead

MODELS: dict[str, type[nn.Module]] = {
    "vae": VAE, "gan": GAN, "latent_gan": LatentGAN, "vocoder": Vocoder, "vocos": VocosHead,
}  # fmt: skip


def build_model(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> nn.Module:
    """The module that a bundle describes, in eval mode on the CPU.

    Args:
        config: A bundle's config, with `model` and `args`.
        tensors: A bundle's tensors; those that begin with `model.` are the weights.

    Raises:
        CheckpointError: The kind is unknown, or arguments or weights do not fit it.
    """
    kind = config["model"]
    if kind not in MODELS:
        raise CheckpointError(f"the bundle's model ({kind}) is unknown; this version knows {', '.join(MODELS)}")
    try:
        model = MODELS[kind](**config["args"])
        model.load_state_dict({k[len("model.") :]: v for k, v in tensors.items() if k.startswith("model.")})
    except (TypeError, RuntimeError) as e:
        raise CheckpointError(
            f"the bundle's weights do not fit its {kind} ({str(e).splitlines()[-1].strip()}); it is damaged, or of "
            "another version of audio_gen: train it again, or use that version"
        ) from e
    return model.eval()
