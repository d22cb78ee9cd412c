"""Embeddings of other papers, under fadtk's names; weights come from a local path or from the Hub."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from audio_gen.artefacts.tensors import load_plain
from audio_gen.errors import DataError
from audio_gen.evaluation.embeddings.base import digest_of, mean_over_windows
from audio_gen.evaluation.embeddings.patches import SAMPLE_RATE, cut_patches
from audio_gen.text import one_line

INSTALL = 'pip install "transformers>=4.40"'
HUB = {
    "clap-laion-audio": "laion/clap-htsat-unfused",
    "clap-laion-music": "laion/larger_clap_music",
    "encodec-emb": "facebook/encodec_24khz",
}
CLAP_SEC = 10
ENCODEC_BLOCK_SEC = 30
VGGISH_LOG_OFFSET = 0.01
VGGISH_WIDTHS = (64, "pool", 128, "pool", 256, 256, "pool", 512, 512, "pool")


class Clap:
    """LAION's CLAP: the joint audio vector, mean over windows of 10 s (the last one repeated to fill it).

    Source: Wu 2023.
    """

    def __init__(self, name: str, path: Path | None = None, device: torch.device | str = "cpu") -> None:
        """Read a model and its feature extractor.

        Args:
            name: "clap-laion-audio" or "clap-laion-music".
            path: Folder with the model; None loads it from the Hub.
            device: Where to compute.

        Raises:
            DataError: The package or the model is missing.
        """
        self.name = name
        self._device = torch.device(device)
        self._network = _pretrained("ClapModel", name, path).to(self._device)
        self._extract = _pretrained("ClapFeatureExtractor", name, path)
        self.sample_rate = int(self._extract.sampling_rate)
        self.dimensions = int(self._network.config.projection_dim)
        self.digest = digest_of(self._network.state_dict().values(), f"windows of {CLAP_SEC} s, 1")

    def __call__(self, wavs: Sequence[Tensor]) -> Tensor:
        """Embed clips (T,) as (N, D)."""
        return mean_over_windows(wavs, self._cut, self._embed, self.dimensions)

    def _cut(self, wav: Tensor) -> Tensor:
        windows = [w.numpy() for w in wav.float().cpu().split(CLAP_SEC * self.sample_rate)]
        return self._extract(windows, sampling_rate=self.sample_rate, return_tensors="pt")["input_features"]

    def _embed(self, features: Tensor) -> Tensor:
        # No window is from a longer sound; only models with fusion use this.
        is_longer = torch.zeros(len(features), 1, dtype=torch.bool, device=self._device)
        out = self._network.get_audio_features(input_features=features.to(self._device), is_longer=is_longer)
        return out if isinstance(out, Tensor) else out.pooler_output


class Encodec:
    """EnCodec's continuous latent before quantisation, mean over frames.

    Source: Défossez 2022; taken as an embedding as in Gui 2024 (fadtk).
    """

    name = "encodec-emb"

    def __init__(self, path: Path | None = None, device: torch.device | str = "cpu") -> None:
        """Read the model for 24 kHz.

        Args:
            path: Folder with the model; None takes it from the Hub.
            device: Where to compute.

        Raises:
            DataError: The package or the model is missing.
        """
        self._device = torch.device(device)
        model = _pretrained("EncodecModel", self.name, path)
        self._encoder = model.encoder.to(self._device)
        self.sample_rate = int(model.config.sampling_rate)
        self.dimensions = int(model.config.hidden_size)
        self.digest = digest_of(model.encoder.state_dict().values(), f"blocks of {ENCODEC_BLOCK_SEC} s, 1")

    def __call__(self, wavs: Sequence[Tensor]) -> Tensor:
        """Embed clips (T,) as (N, D)."""
        return torch.stack([self._clip(wav) for wav in wavs]) if wavs else torch.zeros(0, self.dimensions)

    @torch.no_grad()
    def _clip(self, wav: Tensor) -> Tensor:
        blocks = wav.float().to(self._device)[None, None].split(ENCODEC_BLOCK_SEC * self.sample_rate, dim=-1)
        frames = torch.cat([self._encoder(block) for block in blocks], dim=-1)  # (1, D, L)
        return frames.mean(-1)[0].cpu()


class Vggish:
    """VGGish, mean over patches of 0.96 s; before the last ReLU and without the PCA, as in fadtk.

    Source: Hershey 2017; Kilgour 2019 for its use in distances.
    """

    name = "vggish"
    sample_rate = SAMPLE_RATE
    dimensions = 128

    def __init__(self, path: Path | None = None, device: torch.device | str = "cpu") -> None:
        """Read the weights.

        Args:
            path: A state dict of PyTorch with VGGish's 6 convolutions and 3 linear layers, in this order; no package
                contains them.
            device: Where to compute.

        Raises:
            DataError: No path is given, or its file does not fit.
        """
        if path is None:
            raise DataError("embedding 'vggish': no package contains its weights; give the path of a state dict (.pth)")
        self._device = torch.device(device)
        network = _vggish()
        try:
            weights = list(load_plain(path).values())
            # Published copies name the layers differently, in the same order.
            network.load_state_dict(dict(zip(network.state_dict(), weights, strict=True)))
        # Damaged bytes raise many kinds of errors in torch.load.
        except Exception as e:
            raise DataError(
                f"embedding 'vggish': {one_line(path)} contains no weights of VGGish ({type(e).__name__}); "
                "give the path of a state dict (.pth)"
            ) from e
        self.digest = digest_of(weights, "mean over sounding patches before the last ReLU, 1")
        self._network = network.to(self._device)

    def __call__(self, wavs: Sequence[Tensor]) -> Tensor:
        """Embed clips (T,) at 16 kHz as (N, 128)."""
        return mean_over_windows(wavs, self._cut, self._embed, self.dimensions)

    @staticmethod
    def _cut(wav: Tensor) -> Tensor:
        return cut_patches(wav, VGGISH_LOG_OFFSET, 96)

    def _embed(self, patches: Tensor) -> Tensor:
        return self._network(patches[:, None].to(self._device))


class _ChannelsLast(nn.Module):
    """Flatten in TensorFlow's order, which the weights expect."""

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, H, W) -> (B, H * W * C)."""
        return x.permute(0, 2, 3, 1).flatten(1)


def _vggish() -> nn.Sequential:
    layers: list[nn.Module] = []
    channels = 1
    for width in VGGISH_WIDTHS:
        if isinstance(width, int):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        else:
            layers.append(nn.MaxPool2d(2))
    dense = [nn.Linear(512 * 6 * 4, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 128)]
    return nn.Sequential(*layers, _ChannelsLast(), *dense).eval()


def _pretrained(kind: str, name: str, path: Path | None) -> Any:
    """One of transformers' classes, from a folder or from the Hub."""
    try:
        import transformers
    except ImportError as e:
        raise DataError(f"embedding {name!r}: the package transformers is not installed; {INSTALL}") from e
    if path is not None and not path.is_dir():
        raise DataError(f"embedding {name!r}: {one_line(path)} is not a folder with a model; give the path of one")
    source = str(path) if path is not None else HUB[name]
    try:
        loaded = getattr(transformers, kind).from_pretrained(source)
    # The Hub, the network and the file formats raise many kinds of errors.
    except Exception as e:
        raise DataError(
            f"embedding {name!r}: {one_line(source)} cannot be loaded ({type(e).__name__}); "
            "download it where the Hub is reachable and give its folder as the path"
        ) from e
    return loaded.eval() if isinstance(loaded, nn.Module) else loaded
