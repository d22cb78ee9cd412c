"""BigVGAN v2 (Lee 2022), which defines this project's mel."""

import contextlib
import hashlib
import io
import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from audio_gen.artefacts.tensors import load_plain
from audio_gen.audio.mel import MelSpec
from audio_gen.audio.parallel import joined
from audio_gen.errors import CheckpointError, ConfigError, MelMismatchError
from audio_gen.files import MalformedError, at_home, read_json
from audio_gen.models.registry import check_size
from audio_gen.text import clipped, one_line, shortened
from audio_gen.vocoding.silence import between_silence
from audio_gen.vocoding.vocoder import Streaming

BIGVGAN = "bigvgan"
BIGVGAN_CONFIG, BIGVGAN_WEIGHTS = "config.json", "bigvgan_generator.pt"
MEL_KEYS = ("sampling_rate", "n_fft", "hop_size", "num_mels", "fmin", "fmax", "win_size")
INSTALL_BIGVGAN = 'pip install "audio-gen[peers]"'
# Reach of an anti-aliased activation in samples: 3 in upsampling, 3 in downsampling, 1 for rounding.
ACTIVATION_REACH = 7


class BigVGANVocoder:
    """A BigVGAN v2 generator."""

    def __init__(self, network: nn.Module, spec: MelSpec, name: str, context_frames: int) -> None:
        """Wrap `network`; no sample depends on frames more than `context_frames` away."""
        self.network, self.spec, self.name = network, spec, name
        self.streaming = Streaming(context_frames, lambda: self._decode_part)

    @torch.no_grad()
    def __call__(self, mel: Tensor, onset: float | None = None) -> Tensor:
        """Turn log-mel (B, M, L) into wav (B, 1, L * hop_length); the onset is ignored."""
        return between_silence(lambda padded, _: self._speak(padded), mel, self.spec, onset)

    @torch.no_grad()
    def _decode_part(self, mel: Tensor, first: int) -> Tensor:
        return self.network(mel[None])[0]

    def _speak(self, mel: Tensor) -> Tensor:
        # One by one: a clip does not depend on its batch, and one clip occupies all cores.
        return self.network(mel) if mel.device.type != "cpu" else joined([self.network(clip) for clip in mel.split(1)])


def load_bigvgan(choice: str, spec: MelSpec | None, device: torch.device | str = "cpu") -> BigVGANVocoder:
    """Load a BigVGAN v2 generator.

    Args:
        choice: "bigvgan:PATH"; PATH is the folder of config.json and bigvgan_generator.pt, or that file.
        spec: Mel definition of its input; None for its own.
        device: Device of the network.

    Raises:
        ConfigError: The package is missing, or the path does not exist.
        CheckpointError: There is no BigVGAN, or it is damaged.
        MelMismatchError: It was trained on another mel.
    """
    name = choice.partition(":")[2]
    path = at_home(name)
    if not name or not path.exists():
        raise ConfigError(f"vocoder {shortened(choice)}: there is no such path; give {BIGVGAN}: and its folder")
    folder, weights = (path, path / BIGVGAN_WEIGHTS) if path.is_dir() else (path.parent, path)
    label = f"{BIGVGAN}:{one_line(path)}"
    config = _config(folder / BIGVGAN_CONFIG)
    context = _checked_context(config, label)
    mel_spec = _spec(config, label)
    if spec is not None:
        spec.check_same(mel_spec, "the model", f"the vocoder {label}")
    network = _network(config, weights, label).eval().to(device)
    with weights.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:12]
    return BigVGANVocoder(network, mel_spec, f"{label} ({digest})", context)


def context_of(config: Mapping[str, Any]) -> int:
    """Return the frames of context on each side of a sample, from BigVGAN's kernel sizes.

    Args:
        config: Its config.json.
    """
    # In frames: the first convolution, then each stage's upsampling and its longest residual block.
    reach, samples_per_frame = 3.0, 1
    for rate, kernel in zip(config["upsample_rates"], config["upsample_kernel_sizes"], strict=True):
        reach += kernel / rate / samples_per_frame
        samples_per_frame *= rate
        sizes = zip(config["resblock_kernel_sizes"], config["resblock_dilation_sizes"], strict=True)
        reach += max(_block_reach(size, dilations, config["resblock"]) for size, dilations in sizes) / samples_per_frame
    return math.ceil(reach + (ACTIVATION_REACH + 3) / samples_per_frame)


def _block_reach(kernel: int, dilations: list[int], kind: str) -> int:
    """The reach of a residual block in samples; kind "1" has a second, undilated convolution per step."""
    half, second = kernel // 2, kind == "1"
    return sum(half * dilation + ACTIVATION_REACH + second * (half + ACTIVATION_REACH) for dilation in dilations)


def _config(path: Path) -> dict[str, Any]:
    try:
        config = read_json(path)
    except (OSError, MalformedError) as e:
        raise CheckpointError(
            f"{one_line(path)}: missing or damaged ({type(e).__name__}); put the config.json of BigVGAN next to its "
            f"weights"
        ) from e
    wanted = (*MEL_KEYS, "upsample_rates", "upsample_kernel_sizes", "resblock_kernel_sizes", "resblock_dilation_sizes")
    missing = (
        [key for key in (*wanted, "resblock") if key not in config] if isinstance(config, dict) else ["everything"]
    )
    if missing:
        raise CheckpointError(f"{one_line(path)}: lacks {', '.join(missing)}; take the one that came with the weights")
    return config


def _checked_context(config: dict[str, Any], label: str) -> int:
    """Frames of context; raises if the layers do not give hop_size samples per frame."""
    try:
        context, samples = context_of(config), math.prod(config["upsample_rates"])
    except (TypeError, ValueError, ArithmeticError):
        context, samples = 0, 0
    if not context or samples != config["hop_size"]:
        raise CheckpointError(
            f"{label}: upsample_rates {shortened(config['upsample_rates'])} do not give a hop of "
            f"{shortened(config['hop_size'])} samples; take the {BIGVGAN_CONFIG} that came with the weights"
        )
    return context


def _spec(config: dict[str, Any], label: str) -> MelSpec:
    values = {key: config[key] for key in MEL_KEYS}
    if values["win_size"] != values["n_fft"]:
        raise MelMismatchError(
            f"the vocoder {label}: its window ({shortened(values['win_size'])} samples) is not its n_fft "
            f"({shortened(values['n_fft'])}), as "
            "in every mel of this project; take another BigVGAN"
        )
    return MelSpec(
        values["sampling_rate"], values["n_fft"], values["hop_size"], values["num_mels"], values["fmin"], values["fmax"]
    )


def _network(config: dict[str, Any], weights: Path, label: str) -> nn.Module:
    try:
        from bigvgan.bigvgan import BigVGAN
        from bigvgan.env import AttrDict
    except ImportError as e:
        raise ConfigError(f"vocoder {label} needs the package bigvgan ({e}); {INSTALL_BIGVGAN}") from e
    tensors = _tensors(weights)
    # Loading prints, and its weight norm is deprecated.
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            check_size(lambda: BigVGAN(AttrDict(config)), tensors)
            network = BigVGAN(AttrDict(config))
            normed = any(key.endswith("weight_g") for key in tensors)
            if not normed:
                network.remove_weight_norm()
            network.load_state_dict(tensors)
            if normed:
                network.remove_weight_norm()  # otherwise computed in every call
        except Exception as e:  # wrong settings can raise anything in its constructor
            reason = clipped(one_line(str(e).strip().partition("\n")[0]), 200)
            raise CheckpointError(
                f"{label}: its config.json and its weights do not fit a BigVGAN ({reason}); take both from one release"
            ) from e
    return network


def _tensors(weights: Path) -> dict[str, Tensor]:
    try:
        state = load_plain(weights)
    except Exception as e:  # torch raises many kinds for a damaged file
        raise CheckpointError(
            f"{one_line(weights)}: missing, damaged or more than plain tensors ({type(e).__name__}); download it again"
        ) from e
    if not isinstance(state, dict) or not isinstance(state.get("generator"), dict):
        raise CheckpointError(f"{one_line(weights)}: has no generator; give BigVGAN's {BIGVGAN_WEIGHTS}")
    return state["generator"]
