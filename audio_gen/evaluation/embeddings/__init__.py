"""Embeddings behind one interface; vectors of different embeddings are never compared."""

import difflib
from pathlib import Path

import torch

from audio_gen.errors import ConfigError
from audio_gen.evaluation.embeddings.base import Embedding

DEFAULT = "yamnet"
NAMES: tuple[str, ...] = (DEFAULT, "crepe", "clap-laion-audio", "clap-laion-music", "vggish", "encodec-emb")


def load_embedding(name: str = DEFAULT, device: torch.device | str = "cpu", path: Path | None = None) -> Embedding:
    """Load an embedding.

    Args:
        name: One of `NAMES`.
        device: Where to compute.
        path: Its weights (yamnet: zipped ONNX; crepe, vggish: .pth; the others: a folder); None uses those of the
            installed package, or of the Hub.

    Raises:
        ConfigError: The name is unknown.
        DataError: The weights, or the package that reads them, are missing.
    """
    if name not in NAMES:
        near = difflib.get_close_matches(name, NAMES, n=1)
        raise ConfigError(
            f"embedding {name!r} is unknown; " + (f"did you mean {near[0]!r}?" if near else f"use {', '.join(NAMES)}")
        )
    if name == "yamnet":
        from audio_gen.evaluation.embeddings.yamnet import YamNet

        return YamNet(path, device)
    if name == "crepe":
        from audio_gen.evaluation.embeddings.crepe import Crepe

        return Crepe(path, device)
    from audio_gen.evaluation.embeddings.external import Clap, Encodec, Vggish

    if name == "vggish":
        return Vggish(path, device)
    return Encodec(path, device) if name == "encodec-emb" else Clap(name, path, device)
