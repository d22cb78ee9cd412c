"""A GAN's generator for training: mapping network and codec in one module."""

from typing import Any

from torch import Tensor, nn

from audio_gen.models.codecs.gan import GANCodec
from audio_gen.models.contract import Conditions
from audio_gen.models.priors.mapped import Mapping


class Generator(nn.Module):
    """Noise -> w -> log-mel. In a bundle the mapping network is part of the prior."""

    def __init__(self, *, codec: dict[str, Any], mapping: dict[str, Any]) -> None:
        """With the arguments of `GANCodec` and `Mapping`."""
        super().__init__()
        self.mapping = Mapping(**mapping)
        self.codec = GANCodec(**codec)
        self.register_load_state_dict_pre_hook(_codec_apart)

    def forward(self, z: Tensor, conditions: Conditions) -> Tensor:
        """Noise z (B, Z) -> log-mel (B, M, L) in nats."""
        return self.codec.decode(self.mapping(z, conditions), conditions)


def _codec_apart(module: nn.Module, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    """Load weights of versions without a separate codec."""
    for key in [key for key in state if key.startswith(prefix)]:
        name = key[len(prefix) :]
        if not name.startswith(("codec.", "mapping.")):
            state[f"{prefix}codec.{name}"] = state.pop(key)
