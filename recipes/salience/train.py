"""Train the network of pitch salience on what render.py made: train.py SOUNDS OUT.safetensors --minutes 20."""

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch
from measure import RATE, examples
from torch import Tensor, nn
from torch.nn import functional as F

from audio_gen.artefacts.tensors import write_tensors
from audio_gen.audio.log_frequency import BINS
from audio_gen.models.salience import SalienceNetwork, relative

CLIPS, FRAMES = 8, 128  # of a step
LR, WARMUP, PITCH_WEIGHT = 2e-3, 50, 1.5
TILT_DB, RIPPLE_DB = 15.0, 3.0


def loaded(folder: Path) -> tuple[Tensor, Tensor]:
    """Levels (n, 300, L) in dB and labels (n, 253, L) of the training files."""
    levels, labels = zip(*((level.half(), label) for _, level, label in examples(folder, "train")), strict=True)
    count = min(level.shape[1] for level in levels)
    return torch.stack([one[:, :count] for one in levels]), torch.stack([one[:, :count] for one in labels])


def batch(levels: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Random passages as the network sees them: some mixed, with noise, tilted."""

    def drawn() -> tuple[Tensor, Tensor]:
        rows = torch.randint(len(levels), (CLIPS,)).tolist()
        starts = torch.randint(levels.shape[2] - FRAMES, (CLIPS,)).tolist()
        cuts = [(row, slice(start, start + FRAMES)) for row, start in zip(rows, starts, strict=True)]
        found = [torch.stack([side[row][:, cut].float() for row, cut in cuts]) for side in (levels, labels)]
        return 10 ** (found[0] / 10), found[1]

    (power, label), (other, more) = drawn(), drawn()
    mixed = (torch.rand(CLIPS, 1, 1) < 0.25).float()
    power = power + mixed * other * 10 ** ((12 * torch.rand(CLIPS, 1, 1) - 9) / 10)
    label = torch.maximum(label, mixed * more)
    slope = torch.linspace(-1, 1, BINS)[None, :, None]
    floor = power.amax((1, 2), keepdim=True) * 10 ** (-(20 + 45 * torch.rand(CLIPS, 1, 1)) / 10)
    hiss = -torch.rand_like(power).clamp(min=1e-4).log() * (slope * (4 * torch.rand(CLIPS, 1, 1) - 2)).exp()
    power = power + (torch.rand(CLIPS, 1, 1) < 0.4).float() * floor * hiss * 10 ** (0.3 * torch.randn(CLIPS, 1, FRAMES))
    level = 10 * (power + 1e-12).log10() + slope * TILT_DB * (2 * torch.rand(CLIPS, 1, 1) - 1)
    ripple = F.interpolate(RIPPLE_DB * torch.randn(CLIPS, 1, 8), BINS, mode="linear")[:, 0, :, None]
    return relative(level + ripple), label


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sounds", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=20)
    given = parser.parse_args()
    torch.manual_seed(0)
    levels, labels = loaded(given.sounds)
    network = SalienceNetwork()
    nn.init.constant_(network.head.bias, -4)
    optimiser = torch.optim.AdamW(network.parameters(), LR, weight_decay=0.01)
    started, step = time.monotonic(), 0
    while (progress := (time.monotonic() - started) / (60 * given.minutes)) < 1:
        for group in optimiser.param_groups:
            group["lr"] = LR * min(1, step / WARMUP) * (0.5 + 0.5 * math.cos(math.pi * progress))
        inputs, wanted = batch(levels, labels)
        loss = F.binary_cross_entropy_with_logits(network(inputs), wanted, weight=1 + PITCH_WEIGHT * wanted)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        step += 1
        if step % 100 == 0:
            print(f"step {step}  {progress:.0%}  loss {float(loss.detach()):.4f}", flush=True)
    tensors = {
        name: value.half().contiguous() if value.is_floating_point() else value
        for name, value in network.state_dict().items()
    }
    write_tensors(given.out, tensors, {"of": "pitch salience", "steps": str(step)})
    print(
        f"{given.out}: {step} steps on {len(levels)} files of {levels.shape[2] * 1024 / 2 / RATE:.0f} s; now measure.py"
    )


if __name__ == "__main__":
    np.random.seed(0)
    main()
