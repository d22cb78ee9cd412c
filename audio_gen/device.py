"""Select the device to compute on."""

import torch

from audio_gen.errors import ConfigError

BF16_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")


def resolve_device(name: str) -> torch.device:
    """The device of a name, if it is available.

    Args:
        name: "auto" (a CUDA GPU if available, otherwise the CPU), "cpu", "cuda", "cuda:1" or "mps".

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
        raise ConfigError(f"device {name!r} is not available; use --device auto or cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"device {name!r} is not available, torch sees {torch.cuda.device_count()} CUDA devices; use auto"
        )
    return device


def emulates_bf16(device: torch.device) -> bool:
    """Whether a device is a CPU without bf16 instructions, on which fp32 is faster."""
    known = getattr(torch.cpu, "get_capabilities", None)  # missing in older torch
    return device.type == "cpu" and known is not None and not any(known().get(name) for name in BF16_INSTRUCTIONS)
