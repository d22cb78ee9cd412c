"""Which device to compute on."""

import torch

from audio_gen.errors import ConfigError


def resolve_device(name: str) -> torch.device:
    """Return the device that `name` stands for, once it is sure that it is there.

    Args:
        name: "auto" (a GPU with CUDA where there is one, else the CPU), "cpu", "cuda", "cuda:1" or "mps".

    Raises:
        ConfigError: The name is unknown or this machine has no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda", "mps"):
        raise ConfigError(f"device {name!r} is unknown; use auto, cpu, cuda, cuda:N or mps")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ConfigError(f"device {name!r} is not there; use --device auto or cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"device {name!r} is not there, torch sees {torch.cuda.device_count()} CUDA devices; use auto"
        )
    return device
