"""What turns a log-mel into sound: the classical inversion, always there, or a trained network."""

import difflib
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from audio_gen.audio.inversion import GriffinLimVocoder
from audio_gen.audio.io import one_line
from audio_gen.audio.mel import DEFAULT_PRESET, MelSpec
from audio_gen.checkpoint import load_bundle
from audio_gen.errors import CheckpointError, ConfigError
from audio_gen.models import build_model

CLASSICAL = "griffinlim"
PLANNED = ("small", "base")
NETWORKS = ("vocoder", "vocos")
BLOCK_FRAMES, OVERLAP_FRAMES = 4096, 32  # long sounds go through in blocks, so that hours need little memory


class Vocoder(Protocol):
    """Anything that turns log-mels of its `spec` into sound."""

    @property
    def name(self) -> str:
        """What sidecars and reports call it."""

    @property
    def spec(self) -> MelSpec:
        """The mel that it understands."""

    def __call__(self, mel: Tensor) -> Tensor:
        """Turn log-mel (B, M, L) into wav (B, 1, L * hop_length)."""


class NetworkVocoder:
    """A trained vocoder from a bundle."""

    def __init__(self, network: nn.Module, spec: MelSpec, name: str) -> None:
        """Wrap `network`, which was trained on mels of `spec`."""
        self._network, self.spec, self.name = network, spec, name

    @torch.no_grad()
    def __call__(self, mel: Tensor) -> Tensor:
        """Turn log-mel (B, M, L) into wav (B, 1, L * hop_length)."""
        return self._network(mel)


def load_vocoder(choice: str | None, spec: MelSpec | None, device: torch.device | str = "cpu") -> Vocoder:
    """Make the vocoder that a user names.

    Args:
        choice: "griffinlim" (also None), "griffinlim:N" for N iterations, or the path of a vocoder's run or bundle.
        spec: The mel that it must understand; None takes a network's own, or the default preset.
        device: Where a network is put.

    Raises:
        ConfigError: The choice is unknown.
        CheckpointError: The path holds no vocoder.
        MelMismatchError: The network was trained for another mel.
    """
    name, _, iterations = (choice or CLASSICAL).partition(":")
    if name == CLASSICAL:
        return _classical(choice or CLASSICAL, iterations, spec or MelSpec.preset(DEFAULT_PRESET))
    assert choice is not None
    path = Path(choice)
    if not path.exists():
        raise ConfigError(_unknown(choice))
    bundle = load_bundle(path)
    if bundle.config["model"] not in NETWORKS:
        raise CheckpointError(
            f"vocoder {one_line(path)}: holds a {bundle.config['model']}; give a run made with --model vocoder"
        )
    own = MelSpec.from_dict(bundle.config["mel"])
    if spec is not None:
        spec.check_same(own, "the model", f"the vocoder {one_line(path)}")
    network = build_model(bundle.config, bundle.tensors).to(device)
    return NetworkVocoder(network, own, f"{one_line(path)} ({bundle.digest})")


def _classical(choice: str, iterations: str, spec: MelSpec) -> Vocoder:
    if choice == CLASSICAL:
        return GriffinLimVocoder(spec)
    if not iterations.isdecimal() or not 1 <= int(iterations) <= 10_000:
        raise ConfigError(f"vocoder ({choice}) must have 1 to 10000 iterations after the colon; try {CLASSICAL}:32")
    return GriffinLimVocoder(spec, iterations=int(iterations))


def _unknown(choice: str) -> str:
    use = f"use {CLASSICAL}, {CLASSICAL}:N, or the path of a run made with --model vocoder"
    if choice in PLANNED:
        return f"vocoder {choice!r}: no trained vocoder is shipped yet; {use}"
    near = difflib.get_close_matches(choice, [CLASSICAL], n=1)
    return f"vocoder {one_line(choice)!r}: there is no such path; " + (f"did you mean {near[0]!r}?" if near else use)


def vocode_long(vocoder: Vocoder, mel: Tensor, block_frames: int = BLOCK_FRAMES) -> Tensor:
    """Turn a log-mel of any length into sound, in blocks that fade into each other.

    Args:
        vocoder: The vocoder.
        mel: (M, L).
        block_frames: Frames that go through at once.

    Returns:
        wav (1, L * hop_length) on the CPU.
    """
    total, hop_length = mel.shape[-1], vocoder.spec.hop_length
    if total <= block_frames + OVERLAP_FRAMES:
        return vocoder(mel[None])[0].cpu()
    wav = vocoder(mel[None, :, : block_frames + OVERLAP_FRAMES])[0].cpu()
    for start in range(block_frames, total, block_frames):
        block = vocoder(mel[None, :, start : start + block_frames + OVERLAP_FRAMES])[0].cpu()
        wav = _joined(wav, block, wav.shape[-1] - start * hop_length)
    return wav


def _joined(wav: Tensor, block: Tensor, overlap: int) -> Tensor:
    """Fade from wav (1, T) into a block (1, N) whose first samples are wav's last `overlap`, at constant power."""
    old, new = wav[:, -overlap:], block[:, :overlap]
    old = old[:, : new.shape[-1]]
    # Blocks may disagree in phase: the polarity that fits is taken, and what still cancels is made up for.
    alike = float((old * new).sum() / (old.norm() * new.norm()).clamp(min=1e-8))
    sign = -1.0 if alike < 0 else 1.0
    fade = torch.linspace(0, 1, new.shape[-1])
    power = fade**2 + (1 - fade) ** 2 + 2 * abs(alike) * fade * (1 - fade)
    mixed = ((1 - fade) * old + sign * fade * new) * power.rsqrt()
    return torch.cat([wav[:, :-overlap], mixed, sign * block[:, overlap:]], dim=1)
