"""Tiny models with random weights, as bundles."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from audio_gen.artefacts.bundle import load_bundle, save_bundle
from audio_gen.audio.mel import MelSpec
from audio_gen.audio.stereo import STEREO_BANDS, Strip
from audio_gen.audio.stereo import packed as packed_strip
from audio_gen.models.codecs.local import LocalCodec
from audio_gen.models.codecs.vae import VAE
from audio_gen.models.contract import CLASS, PITCH, VELOCITY, Conditions
from audio_gen.models.generator import Generator
from audio_gen.models.priors.mapped import MIN_NOISE, MappedPrior
from audio_gen.models.priors.neighbours import NeighbourPrior
from audio_gen.models.registry import KINDS, Part, packed

SPEC = MelSpec(sample_rate=22050, n_fft=512, hop_length=256, n_mels=40)
STEREO_SPEC = SPEC.with_stereo(STEREO_BANDS)
FRAMES, LATENT_DIM, NOISE_DIM = 24, 8, MIN_NOISE
GAN_LAYERS = 3
CLASSES = ["bell", "drum", "flute"]
PITCH_RANGE = (48.0, 72.0)
VELOCITY_RANGE = (20.0, 120.0)


def write_bundle(
    folder: Path, *, classes: bool = True, pitch: bool = True, velocity: bool = False, seed: int = 0,
    stereo: bool = False,
) -> Path:  # fmt: skip
    """Write a VAE that was fitted to random mels; equal seeds give equal bundles."""
    torch.manual_seed(seed)
    args = {**_args(classes, pitch, velocity), "condition_dim": 8}
    mel, known = _clips(classes, pitch, velocity)
    if stereo:
        args, mel = args | {"stereo_bands": STEREO_SPEC.stereo_bands}, _with_strip(mel)
    model = VAE(**args).eval()
    model.initialise(mel, known)
    _disturb(model)
    with torch.no_grad():
        z = model.encode(mel, known).mean
    prior = NeighbourPrior.fit(z, known, torch.arange(len(z)))
    return _save(folder, Part("vae", args, model.state_dict()), Part("neighbours", prior.args, prior.state_dict()))


def write_gan_bundle(
    folder: Path, *, classes: bool = True, pitch: bool = True, velocity: bool = False, seed: int = 0,
    decay: bool = False, stereo: bool = False,
) -> Path:  # fmt: skip
    """Write a GAN that was set to random mels; equal seeds give equal bundles."""
    torch.manual_seed(seed)
    mel, known = _clips(classes, pitch, velocity)
    args = {**_args(classes, pitch, velocity), "condition_dim": 8}
    if decay:
        args |= {"decay_onset": 1.0, "decay_attack": 2.0}
    if stereo:
        args, mel = args | {"stereo_bands": STEREO_SPEC.stereo_bands}, _with_strip(mel)
    mapping = {
        "noise_dim": NOISE_DIM, "latent_dim": LATENT_DIM, "anchors": len(mel), "n_classes": args["n_classes"],
        "width": 16, "condition_dim": 8, "velocity": velocity,
    }  # fmt: skip
    model = Generator(codec=args, mapping=mapping).eval()
    model.codec.initialise(mel, known)
    model.mapping.initialise(model.codec.encode(mel, known).mean.detach(), known, torch.arange(len(mel)))
    _disturb(model)
    prior = MappedPrior.fit(model.mapping, mapping, known)
    return _save(
        folder,
        Part("gan", args, model.codec.state_dict()),
        Part("mapped", {**mapping, "clips": len(known)}, prior.state_dict()),
    )


def write_sequence_bundle(
    folder: Path, *, classes: bool = True, stereo: bool = False, prior: str | None = "flow"
) -> Path:
    """Write a model of sequences that was set to random mels, with a prior of this kind or none."""
    torch.manual_seed(0)
    bands = STEREO_SPEC.stereo_bands if stereo else 0
    args: dict[str, Any] = {
        "n_mels": SPEC.n_mels, "latent_dim": LATENT_DIM, "width": 16, "encoder_depth": 1, "decoder_depth": 1,
        "grain_depth": 1, "noise_dim": 4, "mel_floor": -9.0, "stereo_bands": bands,
    }  # fmt: skip
    codec = LocalCodec(**args).eval()
    mel, _ = _clips(classes, False, False)
    mel = mel + 0.3 * torch.randn(mel.shape)
    if stereo:
        mel = _with_strip(mel)
    codec.initialise(mel)
    _disturb(codec)
    parts = {"codec": Part("local", args, codec.state_dict())}
    if prior is not None:
        count = len(CLASSES) if classes else 0
        own: dict[str, Any] = {"latent_dim": LATENT_DIM, "n_classes": count, "width": 16, "window": 24, "context": 8}
        own |= {"depth": 2} if prior == "flow" else {"layers": 1}
        network = KINDS["prior"][prior](**own)
        with torch.no_grad():
            network.initialise(codec.encode(mel).mean.flatten(0, 1))
        _disturb(network)
        parts["prior"] = Part(prior, own, network.state_dict())
    config, tensors = packed(parts)
    config |= {"mel": SPEC.with_stereo(bands).to_dict(), "classes": CLASSES if classes else []}
    save_bundle(folder, config, tensors)
    return folder


def _args(classes: bool, pitch: bool, velocity: bool) -> dict[str, Any]:
    return {
        "velocity": velocity,
        "n_mels": SPEC.n_mels, "frames": FRAMES, "f_min": SPEC.f_min, "f_max": SPEC.f_max, "latent_dim": LATENT_DIM,
        "channels": [8, 8], "blocks": 1, "n_classes": len(CLASSES) if classes else 0, "mel_floor": -9.0,
        "pitch_low": PITCH_RANGE[0] if pitch else None, "pitch_high": PITCH_RANGE[1] if pitch else None,
    }  # fmt: skip


def _clips(classes: bool, pitch: bool, velocity: bool) -> tuple[Tensor, Conditions]:
    """32 random mels and their conditions."""
    mel = 2 * torch.randn(32, SPEC.n_mels, 1) + torch.linspace(0, -4, FRAMES) - 2
    values = {}
    if classes:
        values[CLASS] = torch.arange(32) % len(CLASSES)
    if pitch:
        values[PITCH] = torch.linspace(*PITCH_RANGE, 32).round()
    if velocity:
        values[VELOCITY] = torch.linspace(*VELOCITY_RANGE, 32)
    return mel, Conditions(32, values)


def _with_strip(mel: Tensor) -> Tensor:
    """Log-mels (B, M, L) as images of sounds that are wider and further to one side the later they come."""
    count, groups = len(mel), -(-FRAMES // 4)
    amount = torch.linspace(0.1, 1, count)[:, None, None]
    shape = torch.rand(count, STEREO_BANDS, groups) * 0.2 + 0.9
    strip = packed_strip(Strip(amount * shape, 1.2 * amount * shape), FRAMES)
    return torch.cat([mel, strip], dim=1)


def _disturb(model: nn.Module) -> None:
    """Nothing stays at zero, so that class and networks count."""
    for parameter in model.parameters():
        parameter.data.add_(0.02 * torch.randn_like(parameter))


def _save(folder: Path, codec: Part, prior: Part) -> Path:
    config, tensors = packed({"codec": codec, "prior": prior})
    low, high = codec.args["pitch_low"], codec.args["pitch_high"]
    config |= {
        "mel": SPEC.with_stereo(codec.args.get("stereo_bands", 0)).to_dict(),
        "classes": CLASSES if codec.args["n_classes"] else [],
        "pitch_range": None if low is None else [low, high],
        "velocity_range": list(VELOCITY_RANGE) if codec.args["velocity"] else None,
    }  # fmt: skip
    save_bundle(folder, config, tensors)
    return folder


def write_format_1(folder: Path, bundle: Path) -> Path:
    """Write a bundle in format 1, which names one model, with the weights of one of today."""
    loaded = load_bundle(bundle)
    codec, prior = loaded.config["codec"], loaded.config["prior"]
    args = {key: value for key, value in codec["args"].items() if key != "velocity"}
    tensors, kind = {}, codec["kind"]
    linear = {"vae": {"analysis": "linear_in", "trunk.linear": "linear_out"}, "gan": {"trunk.linear": "linear"}}[kind]
    names = {**{f"codec.{new}.": f"model.{old}." for new, old in linear.items()}, "codec.trunk.": "model."}
    names |= {"codec.": "model.", "prior.mapping.": "model.mapping."}
    names["prior.examples."] = names["prior."] = "density." if kind == "vae" else "prior."
    for key, value in loaded.tensors.items():
        new = next(new for new in names if key.startswith(new))
        tensors[names[new] + key.removeprefix(new)] = value
    if kind == "gan":
        own = {key: prior["args"][key] for key in ("noise_dim", "anchors")}
        args |= {**own, "mapping_width": prior["args"]["width"]}
    kept = {key: loaded.config[key] for key in ("mel", "classes", "pitch_range")}
    save_bundle(folder, {"format": 1, "model": kind, "args": args, **kept}, tensors)
    return folder
