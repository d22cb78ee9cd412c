"""A tiny model with random weights, as a bundle."""

from pathlib import Path

import torch

from audio_gen.audio.mel import MelSpec
from audio_gen.checkpoint import save_bundle
from audio_gen.models.density import LatentDensity
from audio_gen.models.vae import VAE

SPEC = MelSpec(sample_rate=22050, n_fft=512, hop_length=256, n_mels=40)
FRAMES, LATENT_DIM = 24, 8
CLASSES = ["bell", "drum", "flute"]
PITCH_RANGE = (48.0, 72.0)


def write_bundle(folder: Path, *, classes: bool = True, pitch: bool = True, seed: int = 0) -> Path:
    """Write a VAE that was fitted to random mels; equal seeds give equal bundles."""
    torch.manual_seed(seed)
    names = CLASSES if classes else []
    args = {
        "n_mels": SPEC.n_mels, "frames": FRAMES, "f_min": SPEC.f_min, "f_max": SPEC.f_max, "latent_dim": LATENT_DIM,
        "channels": [8, 8], "blocks": 1, "n_classes": len(names), "mel_floor": -9.0, "condition_dim": 8,
        "pitch_low": PITCH_RANGE[0] if pitch else None, "pitch_high": PITCH_RANGE[1] if pitch else None,
    }  # fmt: skip
    model = VAE(**args).eval()
    mel = 2 * torch.randn(32, SPEC.n_mels, 1) + torch.linspace(0, -4, FRAMES) - 2
    class_id = torch.arange(32) % len(names) if classes else torch.full((32,), -1)
    pitches = torch.linspace(*PITCH_RANGE, 32).round() if pitch else torch.full((32,), float("nan"))
    model.initialise(mel, pitches)
    for parameter in model.parameters():  # nothing stays at zero, so that class and networks count
        parameter.data.add_(0.02 * torch.randn_like(parameter))
    with torch.no_grad():
        z = model.encode(mel, class_id, pitches)[0]
    density = LatentDensity.fit(z, class_id, pitches, torch.arange(len(z)))
    tensors = {f"model.{key}": value for key, value in model.state_dict().items()}
    tensors |= {f"density.{key}": value for key, value in density.tensors().items()}
    config = {
        "model": "vae", "args": args, "mel": SPEC.to_dict(), "classes": names,
        "pitch_range": list(PITCH_RANGE) if pitch else None,
    }  # fmt: skip
    save_bundle(folder, config, tensors)
    return folder
