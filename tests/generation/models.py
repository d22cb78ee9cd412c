"""Tiny models with random weights, as bundles."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from audio_gen.artefacts.bundle import save_bundle
from audio_gen.audio.mel import MelSpec
from audio_gen.models.density import LatentDensity
from audio_gen.models.gan import GAN
from audio_gen.models.latent_gan import LatentGAN
from audio_gen.models.mapped import MappedPrior
from audio_gen.models.mapping import MIN_NOISE
from audio_gen.models.vae import VAE

SPEC = MelSpec(sample_rate=22050, n_fft=512, hop_length=256, n_mels=40)
FRAMES, LATENT_DIM, NOISE_DIM = 24, 8, MIN_NOISE
GAN_LAYERS = 3
CLASSES = ["bell", "drum", "flute"]
PITCH_RANGE = (48.0, 72.0)


def write_bundle(folder: Path, *, classes: bool = True, pitch: bool = True, seed: int = 0) -> Path:
    """Write a VAE that was fitted to random mels; equal seeds give equal bundles."""
    torch.manual_seed(seed)
    args = {**_args(classes, pitch), "condition_dim": 8}
    mel, class_id, pitches = _clips(classes, pitch)
    model = VAE(**args).eval()
    model.initialise(mel, pitches)
    _disturb(model)
    with torch.no_grad():
        z = model.encode(mel, class_id, pitches)[0]
    density = LatentDensity.fit(z, class_id, pitches, torch.arange(len(z)))
    return _save(folder, "vae", args, model, {f"density.{key}": value for key, value in density.tensors().items()})


def write_gan_bundle(
    folder: Path, *, kind: str = "gan", classes: bool = True, pitch: bool = True, seed: int = 0
) -> Path:
    """Write a GAN (or a "latent_gan") that was set to random mels; equal seeds give equal bundles."""
    torch.manual_seed(seed)
    mel, class_id, pitches = _clips(classes, pitch)
    mapping = {"noise_dim": NOISE_DIM, "anchors": len(mel)}
    args: dict[str, Any]
    model: GAN | LatentGAN
    if kind == "gan":
        args = {**_args(classes, pitch), **mapping, "mapping_width": 16, "condition_dim": 8}
        model = GAN(**args).eval()
        model.initialise(mel, pitches)
    else:
        args = {"vae": {**_args(classes, pitch), "condition_dim": 8}, **mapping, "width": 16}
        model = LatentGAN(**args).eval()
        model.vae.initialise(mel, pitches)
    w = model.encode(mel, class_id, pitches)[0].detach()
    model.mapping.initialise(w, class_id, pitches, torch.arange(len(w)))
    _disturb(model)
    prior = MappedPrior.fit(model, class_id, pitches, len(CLASSES) if classes else 0)
    return _save(folder, kind, args, model, {f"prior.{key}": value for key, value in prior.tensors().items()})


def _args(classes: bool, pitch: bool) -> dict[str, Any]:
    return {
        "n_mels": SPEC.n_mels, "frames": FRAMES, "f_min": SPEC.f_min, "f_max": SPEC.f_max, "latent_dim": LATENT_DIM,
        "channels": [8, 8], "blocks": 1, "n_classes": len(CLASSES) if classes else 0, "mel_floor": -9.0,
        "pitch_low": PITCH_RANGE[0] if pitch else None, "pitch_high": PITCH_RANGE[1] if pitch else None,
    }  # fmt: skip


def _clips(classes: bool, pitch: bool) -> tuple[Tensor, Tensor, Tensor]:
    """32 random mels, their classes and pitches."""
    mel = 2 * torch.randn(32, SPEC.n_mels, 1) + torch.linspace(0, -4, FRAMES) - 2
    class_id = torch.arange(32) % len(CLASSES) if classes else torch.full((32,), -1)
    return mel, class_id, torch.linspace(*PITCH_RANGE, 32).round() if pitch else torch.full((32,), float("nan"))


def _disturb(model: nn.Module) -> None:
    """Nothing stays at zero, so that class and networks count."""
    for parameter in model.parameters():
        parameter.data.add_(0.02 * torch.randn_like(parameter))


def _save(folder: Path, kind: str, args: dict[str, Any], model: nn.Module, more: dict[str, Tensor]) -> Path:
    names = CLASSES if _has_classes(args) else []
    low, high = (args.get("vae", args)[key] for key in ("pitch_low", "pitch_high"))
    config = {
        "model": kind, "args": args, "mel": SPEC.to_dict(), "classes": names,
        "pitch_range": None if low is None else [low, high],
    }  # fmt: skip
    save_bundle(folder, config, {f"model.{key}": value for key, value in model.state_dict().items()} | more)
    return folder


def _has_classes(args: dict[str, Any]) -> bool:
    return args.get("vae", args)["n_classes"] > 0
