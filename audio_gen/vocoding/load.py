"""Vocoders by name or path: the classical inversion, shipped networks, runs, and BigVGAN."""

import difflib
from pathlib import Path

import torch

from audio_gen.artefacts.bundle import PATH_PREFIX, SHIPPED, bundle_named, load_bundle, shipped, shipped_mel
from audio_gen.artefacts.folders import BundleFolder
from audio_gen.audio.mel import DEFAULT_PRESET, MelSpec
from audio_gen.errors import CheckpointError, ConfigError
from audio_gen.models.registry import VOCODER, build_part, bundle_mel, kind_of
from audio_gen.text import clipped, one_line, shortened
from audio_gen.vocoding.bigvgan import BIGVGAN, load_bigvgan
from audio_gen.vocoding.griffinlim import GriffinLimVocoder
from audio_gen.vocoding.lower_rate import LowerRateVocoder, rate_factor
from audio_gen.vocoding.network import VocoderNetwork
from audio_gen.vocoding.renderer import NetworkVocoder
from audio_gen.vocoding.stereo import StereoVocoder
from audio_gen.vocoding.vocoder import Vocoder

CLASSICAL, NETWORK = "griffinlim", "small"
NETWORKS = {"vocoder": VocoderNetwork}  # by the kind in a bundle
MAX_ITERATIONS = 10_000
NETWORK_ITERATIONS = 8


def load_vocoder(choice: str | Path | None, spec: MelSpec | None, device: torch.device | str = "cpu") -> Vocoder:
    """Load the vocoder that a user names.

    Args:
        choice: "griffinlim", a shipped network ("small"), or the path of a vocoder's run or bundle, each optionally
            with ":N" for N iterations ("small:0" uses those of training); or "bigvgan:PATH". None is
            `default_vocoder`. These names have priority over folders; write "./small" or "path:small" for a folder, or
            give a Path.
        spec: Mel definition of its input; None for the network's own, or the default preset. Of a stereo mel, the
            vocoder makes the mid, see `StereoVocoder`.
        device: Device of a network.

    Raises:
        ConfigError: The choice is unknown, or the package that it needs is missing.
        CheckpointError: The path is not a vocoder.
        MelMismatchError: The network was trained on another mel.
    """
    if spec is not None and spec.stereo_bands:
        return StereoVocoder(load_vocoder(choice, spec.mono, device), spec)
    if choice is None:
        choice = default_vocoder(spec)
    if isinstance(choice, Path):
        choice = f"{PATH_PREFIX}{choice}"
    if choice.partition(":")[0] == BIGVGAN:
        return load_bigvgan(choice, spec, device)
    name, count = _parsed(choice)
    if name == CLASSICAL:
        spec = spec or MelSpec.preset(DEFAULT_PRESET)
        return GriffinLimVocoder(spec) if count is None else GriffinLimVocoder(spec, iterations=count)
    path = bundle_named(name)
    if not path.exists():
        raise ConfigError(_unknown(choice))
    known = name if shipped(name) else one_line(path)
    bundle = load_bundle(path)
    if (kind := kind_of(bundle)) not in NETWORKS:
        raise CheckpointError(
            f"vocoder {known}: is a {clipped(one_line(kind), 60)}; give a run made with --model vocoder"
        )
    network_spec, label = bundle_mel(bundle), f"{known} ({bundle.digest})"
    network = build_part(bundle, VOCODER, NETWORKS, f"vocoder {known}").to(device)
    assert isinstance(network, VocoderNetwork)
    iterations = NETWORK_ITERATIONS if count is None else count or None
    if spec is not None and rate_factor(spec, network_spec):
        return LowerRateVocoder(network, spec, label, iterations)
    if spec is not None:
        spec.check_same(network_spec, "the model", f"the vocoder {known}")
    return NetworkVocoder(network, label, iterations)


def _parsed(choice: str) -> tuple[str, int | None]:
    """A vocoder's name or path, and the iterations after its last colon."""
    name, colon, count = choice.rpartition(":")
    is_name = name == CLASSICAL or shipped(name) is not None
    if not colon or f"{name}:" == PATH_PREFIX or (not is_name and bundle_named(choice).exists()):
        return choice, None
    least = 1 if name == CLASSICAL else 0
    if not (count.isascii() and count.isdecimal() and len(count) < 9 and least <= int(count) <= MAX_ITERATIONS):
        if not is_name and not bundle_named(name).exists():
            return choice, None  # a missing path, which may have colons
        raise ConfigError(
            f"vocoder ({shortened(choice)}) must have {least} to {MAX_ITERATIONS} iterations after the colon; try "
            f"{name}:8"
        )
    return name, int(count)


def default_vocoder(spec: MelSpec | None) -> str:
    """The default vocoder: the shipped network if it accepts mels of `spec`, otherwise griffinlim."""
    return NETWORK if spec is None or speaks(NETWORK, spec) else CLASSICAL


def speaks(name: str, spec: MelSpec) -> MelSpec | None:
    """The mel of the shipped vocoder of that name if it accepts mels of `spec`, otherwise None."""
    folder = shipped(name)
    network_spec, spec = MelSpec.from_dict(shipped_mel(folder)) if folder else None, spec.mono
    return network_spec if network_spec and (network_spec == spec or rate_factor(spec, network_spec)) else None


def _unknown(choice: str) -> str:
    named = [
        CLASSICAL,
        *sorted(folder.name for folder in SHIPPED.glob("*") if BundleFolder(folder).exists()),
    ]
    use = f"use {', '.join(named)}, {CLASSICAL}:N, {BIGVGAN}:PATH, or the path of a run made with --model vocoder"
    near = difflib.get_close_matches(choice, named, n=1)
    return f"vocoder {shortened(choice)}: there is no such path; " + (f"did you mean {near[0]!r}?" if near else use)
