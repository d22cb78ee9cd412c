"""Networks: plain modules with flat keyword arguments and no I/O."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from audio_gen.audio.mel import MelSpec
from audio_gen.errors import CheckpointError
from audio_gen.models.fitting import UnfitError, check_arguments, check_size
from audio_gen.models.gan import GAN
from audio_gen.models.latent_gan import LatentGAN
from audio_gen.models.vae import VAE
from audio_gen.text import clipped, one_line, shortened

MODELS: dict[str, type[nn.Module]] = {"vae": VAE, "gan": GAN, "latent_gan": LatentGAN}
MOST_TOLD = 300  # characters of a reason


def build_model(
    config: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    name: str = "the bundle",
    kinds: Mapping[str, type[nn.Module]] = MODELS,
) -> nn.Module:
    """The module that a bundle describes, in eval mode on the CPU; the bundle may be a stranger's.

    Args:
        config: A bundle's config, with `model`, `args` and `mel`.
        tensors: A bundle's tensors; those that begin with `model.` are the weights.
        name: What messages call the bundle.
        kinds: Classes of networks by the names of their kinds.

    Raises:
        CheckpointError: The kind is unknown, or arguments or weights do not fit it.
    """
    kind, args = config["model"], config["args"]
    if not isinstance(kind, str) or kind not in kinds:
        raise CheckpointError(
            f"{name}: its model ({shortened(kind)}) is unknown; this version knows {', '.join(kinds)}"
        )
    weights = {key[len("model.") :]: value for key, value in tensors.items() if key.startswith("model.")}
    try:
        check_arguments(kinds[kind], args, weights)
        if kind == "latent_gan":
            check_arguments(VAE, args.get("vae"), weights)
        if "mel" in config:
            _check_mel(config["mel"], args.get("vae", args))
        check_size(lambda: kinds[kind](**args), weights)
        if any(not bool(value.isfinite().all()) for value in weights.values()):
            raise UnfitError("they hold NaN or infinite numbers")
        model = kinds[kind](**args)
        model.load_state_dict(weights)
    except Exception as e:  # whatever a stranger's arguments lead to in a constructor
        reason = clipped(one_line((str(e).strip() or type(e).__name__).splitlines()[-1].strip()), MOST_TOLD)
        raise CheckpointError(
            f"{name}: its weights do not fit its {kind} ({reason}); it is damaged, or of another version of audio_gen: "
            "train it again, or use that version"
        ) from e
    return model.eval()


def _check_mel(mel: Mapping[str, Any], args: Mapping[str, Any]) -> None:
    """Refuse a model of another mel than its bundle says."""
    for key, value in MelSpec.from_dict(mel).to_dict().items():
        if key in args and args[key] != value:
            raise UnfitError(f"{key} is {shortened(args[key])} in args and {value} in mel")
