"""What turns a log-mel into sound: the classical inversion, which takes any mel, or a trained network."""

import difflib
import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from audio_gen.artefacts.bundle import PATH_PREFIX, SHIPPED, bundle_named, load_bundle, shipped, shipped_mel
from audio_gen.artefacts.folders import BundleFolder
from audio_gen.audio.clips import each_clip
from audio_gen.audio.inversion import GriffinLimVocoder
from audio_gen.audio.mel import DEFAULT_PRESET, LOG_FLOOR, MelFrontEnd, MelSpec
from audio_gen.audio.onset import silent_until
from audio_gen.audio.support import Opening, between_silence, silent_frames
from audio_gen.errors import CheckpointError, ConfigError, DataError, MelMismatchError
from audio_gen.generation.lower_rate import LowerRateVocoder, rate_factor
from audio_gen.generation.peers import PEERS, load_peer
from audio_gen.models import build_model
from audio_gen.models.fitting import bundle_mel
from audio_gen.models.vocoder import Vocoder as Refined
from audio_gen.text import clipped, one_line, shortened

CLASSICAL, NETWORK = "griffinlim", "small"
NETWORKS = ("vocoder", "vocos")
MAX_ITERATIONS = 10_000
NETWORK_ITERATIONS = 8
BLOCK_FRAMES, OVERLAP_FRAMES = 2048, 32  # long sounds go through in blocks, so that hours need less than 1 GB
# In nats. Full-scale white noise dips far below the first in some band; amplitudes do not, even if interpolated.
LINEAR_ABOVE, LOUDEST, QUIETEST = -0.1, 15.0, -40.0


class Vocoder(Protocol):
    """Anything that turns log-mels of its `spec` into sound."""

    @property
    def name(self) -> str:
        """What sidecars and reports call it."""

    @property
    def spec(self) -> MelSpec:
        """The mel that it understands."""

    def __call__(self, mel: Tensor, onset: float | None = None) -> Tensor:
        """Turn log-mel (B, M, L) into wav (B, 1, L * hop_length); on a CPU a clip is the same in every batch.

        Beyond both ends there is silence. `onset` is the sample before which all clips are silent, where that is
        known: attacks come out sharper.
        """


class LongMel(Protocol):
    """A log-mel (M, L) of which parts are asked for: a tensor, or what gives tensors (M, l) without holding it all."""

    @property
    def shape(self) -> Sequence[int]:
        """M and L."""

    def __getitem__(self, part: tuple[slice, slice], /) -> Tensor:
        """Return the bands and frames that two slices name."""


class NetworkVocoder:
    """A trained vocoder from a bundle."""

    def __init__(self, network: nn.Module, spec: MelSpec, name: str, iterations: int | None = None) -> None:
        """Wrap `network`, which was trained on mels of `spec`.

        Args:
            network: Log-mel to wave.
            spec: Its mel.
            name: What sidecars and reports call it.
            iterations: Of Griffin-Lim on what it makes (see `stages_of`); None for those that it was trained with,
                which is what `stream` gives.
        """
        self.network, self.spec, self.name, self.iterations = network, spec, name, iterations

    @torch.no_grad()
    def __call__(self, mel: Tensor, onset: float | None = None) -> Tensor:
        """Turn log-mel (B, M, L) into wav (B, 1, L * hop_length); see `Vocoder`."""
        return between_silence(self._speak, mel, self.spec, onset)

    def _speak(self, mel: Tensor, opening: Opening | None) -> Tensor:
        if not isinstance(self.network, Refined):
            return each_clip(self.network, mel)
        return each_clip(partial(self.network, iterations=self.iterations, opening=opening), mel)


def load_vocoder(choice: str | None, spec: MelSpec | None, device: torch.device | str = "cpu") -> Vocoder:
    """Make the vocoder that a user names.

    Args:
        choice: "griffinlim", a shipped one's name ("small"), the path of a vocoder's run or bundle, each also with ":N"
            for N iterations, or one of another project (see `load_peer`). "small:0" is the network with no more than
            it was trained with. None is `default_vocoder`. These names go before folders that are called so, which
            are "./small" or "path:small".
        spec: The mel that it must understand; None takes a network's own, or the default preset.
        device: Where a network is put.

    Raises:
        ConfigError: The choice is unknown, or the package that it needs is missing.
        CheckpointError: The path holds no vocoder.
        MelMismatchError: The network was trained for another mel.
    """
    if choice is None:
        choice = default_vocoder(spec)
    if choice.partition(":")[0] in PEERS:
        return load_peer(choice, spec, device)
    name, count = _parsed(choice)
    if name == CLASSICAL:
        spec = spec or MelSpec.preset(DEFAULT_PRESET)
        return GriffinLimVocoder(spec) if count is None else GriffinLimVocoder(spec, iterations=count)
    path = bundle_named(name)
    if not path.exists():
        raise ConfigError(_unknown(choice))
    known = name if shipped(name) else one_line(path)
    bundle = load_bundle(path)
    if bundle.config["model"] not in NETWORKS:
        raise CheckpointError(
            f"vocoder {known}: holds a {clipped(one_line(bundle.config['model']), 60)}; give a run made with "
            "--model vocoder"
        )
    own, label = bundle_mel(bundle), f"{known} ({bundle.digest})"
    network = build_model(bundle.config, bundle.tensors, f"vocoder {known}").to(device)
    iterations = NETWORK_ITERATIONS if count is None else count or None
    if spec is not None and isinstance(network, Refined) and rate_factor(spec, own):
        return LowerRateVocoder(network, spec, label, iterations)
    if spec is not None:
        spec.check_same(own, "the model", f"the vocoder {known}")
    return NetworkVocoder(network, own, label, iterations)


def _parsed(choice: str) -> tuple[str, int | None]:
    """A vocoder's name or path, and the iterations after its last colon."""
    name, colon, count = choice.rpartition(":")
    is_name = name == CLASSICAL or shipped(name) is not None
    if not colon or f"{name}:" == PATH_PREFIX or (not is_name and bundle_named(choice).exists()):
        return choice, None
    least = 1 if name == CLASSICAL else 0
    if not (count.isascii() and count.isdecimal() and len(count) < 9 and least <= int(count) <= MAX_ITERATIONS):
        if not is_name and not bundle_named(name).exists():
            return choice, None  # a path that is not there, which may have colons
        raise ConfigError(
            f"vocoder ({shortened(choice)}) must have {least} to {MAX_ITERATIONS} iterations after the colon; try "
            f"{name}:8"
        )
    return name, int(count)


def default_vocoder(spec: MelSpec | None) -> str:
    """The vocoder where none is named: the shipped network if it takes mels of `spec`, else griffinlim."""
    return NETWORK if spec is None or speaks(NETWORK, spec) else CLASSICAL


def speaks(name: str, spec: MelSpec) -> MelSpec | None:
    """The own mel of the shipped vocoder of that name, if it takes mels of `spec`; else None."""
    folder = shipped(name)
    own = MelSpec.from_dict(shipped_mel(folder)) if folder else None
    return own if own and (own == spec or rate_factor(spec, own)) else None


def _unknown(choice: str) -> str:
    named = [
        CLASSICAL,
        *sorted(folder.name for folder in SHIPPED.glob("*") if BundleFolder(folder).exists()),
    ]
    use = f"use {', '.join(named)}, {CLASSICAL}:N, {PEERS[0]}:PATH, or the path of a run made with --model vocoder"
    near = difflib.get_close_matches(choice, named, n=1)
    return f"vocoder {shortened(choice)}: there is no such path; " + (f"did you mean {near[0]!r}?" if near else use)


def check_mel(mel: LongMel, spec: MelSpec, name: str = "the mel") -> None:
    """Refuse what cannot be a log-mel, before it becomes noise; a long one is looked at block by block.

    Args:
        mel: (M, L), natural logarithm.
        spec: The mel that the vocoder takes.
        name: What the user knows the mel as.

    Raises:
        MelMismatchError: It has another number of bands.
        DataError: It holds NaN or infinity, or is linear or in dB.
    """
    shape = tuple(mel.shape)
    if len(shape) != 2 or not shape[1] or shape[0] != spec.n_mels:
        raise MelMismatchError(
            f"{name}: has the shape {'x'.join(map(str, shape))}, and the vocoder takes {spec.n_mels} bands x frames; "
            "make it with the vocoder's mel, or transpose it if frames come first"
        )
    low, high = math.inf, -math.inf
    for start in range(0, shape[1], BLOCK_FRAMES):
        block = mel[:, start : start + BLOCK_FRAMES]
        _check_finite(block, start, spec, name)
        low, high = min(low, float(block.min())), max(high, float(block.max()))
    if low >= LINEAR_ABOVE:
        raise DataError(
            f"{name}: lies between {low:.3g} and {high:.3g}, as amplitudes do and logarithms do not; give "
            "log(max(mel, 1e-5))"
        )
    if low < QUIETEST or high > LOUDEST:
        raise DataError(
            f"{name}: lies between {low:.3g} and {high:.3g}, which no natural-log mel of a sound does; if it "
            "is in dB, divide it by 8.686"
        )


def _check_finite(block: Tensor, start: int, spec: MelSpec, name: str) -> None:
    """Refuse NaN and infinity in the part (M, l) of a mel that begins with its frame `start`."""
    if not bool(block.isfinite().all()):
        frame, band = (int(i) for i in (~block.isfinite()).T.nonzero()[0])  # the earliest frame's lowest band
        seconds, value = (start + frame) / spec.frame_rate, float(block[band, frame])
        raise DataError(
            f"{name}: holds {value} in band {band} of frame {start + frame} ({seconds:.2f} s), counted from 0; look at "
            f"what made it, a silent band is {LOG_FLOOR:.2f}"
        )


def vocode_long(vocoder: Vocoder, mel: LongMel, block_frames: int = BLOCK_FRAMES, onset: float | None = None) -> Tensor:
    """Turn a log-mel of any length into sound, in blocks that fade into each other.

    Args:
        vocoder: The vocoder.
        mel: (M, L).
        block_frames: Frames that go through at once.
        onset: The sample before which there is silence, if that is known.

    Returns:
        wav (1, L * hop_length) on the CPU.
    """
    wav, done = torch.empty(1, mel.shape[-1] * vocoder.spec.hop_length), 0
    for block in vocode_blocks(vocoder, mel, block_frames, onset):
        wav[:, done : done + block.shape[-1]] = block
        done += block.shape[-1]
    return wav


def vocode_blocks(
    vocoder: Vocoder, mel: LongMel, block_frames: int = BLOCK_FRAMES, onset: float | None = None
) -> Iterator[Tensor]:
    """Yield what `vocode_long` returns, piece by piece (1, T): neither mel nor sound need fit into memory."""
    samples, held = vocoder.spec.samples(block_frames), None
    for start in range(0, mel.shape[-1], block_frames):
        end = start + block_frames + OVERLAP_FRAMES
        begin = None if onset is None else onset - vocoder.spec.samples(start)
        block = vocoder(mel[:, start:end][None], begin)[0].cpu()
        block = block if held is None else _joined(held, block)
        if end >= mel.shape[-1]:
            yield block
            return
        yield block[:, :samples]
        held = block[:, samples:]


def _joined(old: Tensor, block: Tensor) -> Tensor:
    """Fade from `old` (1, T) into a block (1, N) that begins at the same time, at constant power."""
    new = block[:, : old.shape[-1]]
    # Blocks may disagree in phase: the polarity that fits is taken, and what still cancels is made up for.
    alike = float((old * new).sum() / (old.norm() * new.norm()).clamp(min=1e-8))
    sign = -1.0 if alike < 0 else 1.0
    fade = torch.linspace(0, 1, new.shape[-1])
    power = fade**2 + (1 - fade) ** 2 + 2 * abs(alike) * fade * (1 - fade)
    mixed = ((1 - fade) * old + sign * fade * new) * power.rsqrt()
    return torch.cat([mixed, sign * block[:, old.shape[-1] :]], dim=1)


def copy_synthesis(vocoder: Vocoder, wav: Tensor) -> Tensor:
    """Send a sound through its mel and a vocoder, at its own time and length: wav (1, T) -> (1, T)."""
    spec, device = vocoder.spec, wav.device
    lead = spec.samples(silent_frames(spec))
    mel = MelFrontEnd(spec).to(device)(F.pad(wav, (lead, lead))[None])[0]
    made = vocode_long(vocoder, mel, onset=lead + silent_until(wav[0].cpu().numpy(), spec.sample_rate))
    return made[:, lead : lead + wav.shape[-1]]
