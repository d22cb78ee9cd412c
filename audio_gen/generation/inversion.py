"""From a sound to the latent of a codec without a trained encoder: its first guess, made better step by step."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from audio_gen.generation.latents import Latents
from audio_gen.generation.pipeline import Pipeline
from audio_gen.models.contract import Conditions

STEPS = 200
LEARNING_RATE = 0.1  # in deviations of w
RAMP_STEPS = 20
PULL = 0.005  # nats that a latent one deviation away from the start has to win
COARSE_CELL = 4  # bands and frames that are averaged: where a sound lies counts before its detail does
SPREAD_DRAWS, MIN_SPREAD = 64, 1e-3
PATIENCE, LEAST_GAIN = 40, 0.005  # steps, and the share of the loss that they must win


@dataclass(frozen=True)
class Inversion:
    """What the search found.

    Attributes:
        latents: A set of one, with a latent for each layer where the model has several and its own guess is not best.
        mel_l1_start: Log-mel L1 in nats of the network's own guess.
        mel_l1: Log-mel L1 in nats of `latents`.
        steps: How many steps were taken.
    """

    latents: Latents
    mel_l1_start: float
    mel_l1: float
    steps: int


def invert(
    pipeline: Pipeline, mel: Tensor, conditions: Conditions, steps: int = STEPS, frames: int | None = None
) -> Inversion:
    """Find the latent whose clip is nearest to a log-mel.

    Adam moves the latent (one for each layer) in units of the model's own spread, towards a lower log-mel L1, both fine
    and averaged over cells, and is held near the start, where the model's clips are. Nothing in it is random.
    Source: Abdal 2019 (Image2StyleGAN, a latent for each layer); Zhu 2020 (in-domain inversion, an encoder's start).

    Args:
        pipeline: A model with a gradient from its latent to its log-mel.
        mel: Log-mel (M, L) as `Pipeline.mel` gives it.
        conditions: Of this one clip.
        steps: At most; fewer are taken where the search stands still. With 0 the network's guess is kept.
        frames: How many frames of `mel` errors are told of; None for all.
    """
    start = pipeline.encode(mel, conditions)
    best, taken = _search(pipeline, mel, start, steps) if steps else (start, 0)
    start_l1, best_l1 = (log_mel_l1(mel, pipeline.decode(point)[0], frames or mel.shape[1]) for point in (start, best))
    if best_l1 > start_l1:  # the search counts other frames, and cells
        best, best_l1 = start, start_l1
    return Inversion(best, start_l1, best_l1, taken)


@torch.enable_grad()
def _search(pipeline: Pipeline, mel: Tensor, start: Latents, steps: int) -> tuple[Latents, int]:
    """The best latent of up to so many steps from a start, and how many were taken."""
    codec = pipeline.codec
    origin = codec.latent.per_layer(start.z).to(pipeline.device)
    target = mel[None].to(pipeline.device).clamp(min=codec.mel_floor)
    conditions = start.conditions.to(pipeline.device)
    spread = _spread(pipeline, start).to(pipeline.device)
    offset = torch.zeros_like(origin, requires_grad=True)
    adam = Adam(offset.detach())
    best, best_loss, last_gain = origin, math.inf, (0, math.inf)
    for step in range(steps + 1):
        w = origin + spread * offset
        loss = _distance(codec.decode_raw(w, conditions), target, codec.mel_floor)
        if (value := float(loss.detach())) < best_loss:
            best, best_loss = w.detach(), value
        if value < (1 - LEAST_GAIN) * last_gain[1]:
            last_gain = step, value
        if step == steps or step - last_gain[0] >= PATIENCE:
            break
        (gradient,) = torch.autograd.grad(loss + PULL * offset.square().mean(), offset)
        # A first step of full size would throw a good start far off: it moves each number as much as the others.
        rate = min(1, (step + 1) / RAMP_STEPS) * (0.5 + 0.5 * math.cos(math.pi * step / steps))
        adam.step(gradient, LEARNING_RATE * rate)
    return start.with_z(best.cpu()), step


class Adam:
    """Kingma & Ba 2014 on one tensor, which it changes: torch.optim's imports torch.compile, which takes a second."""

    def __init__(self, x: Tensor, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8) -> None:
        """Start at `x` without momentum."""
        self._x, self._betas, self._eps, self._steps = x, betas, eps, 0
        self._mean, self._square = torch.zeros_like(x), torch.zeros_like(x)

    def step(self, gradient: Tensor, lr: float) -> None:
        """Move `x` against a gradient of its shape."""
        self._steps += 1
        first, second = self._betas
        self._mean.lerp_(gradient, 1 - first)
        self._square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
        root = (self._square.sqrt() / math.sqrt(1 - second**self._steps)).add_(self._eps)
        self._x.addcdiv_(self._mean, root, value=-lr / (1 - first**self._steps))


def _spread(pipeline: Pipeline, point: Latents) -> Tensor:
    """How far the model's latents of a point's conditions lie from their mean, (1, D)."""
    generators = [torch.Generator().manual_seed(seed) for seed in range(SPREAD_DRAWS)]
    draws = pipeline.prior.sample(point.conditions.repeat(SPREAD_DRAWS), generators)
    return draws.std(0).clamp(min=MIN_SPREAD)


def _distance(made: Tensor, target: Tensor, mel_floor: float) -> Tensor:
    """L1 of log-mels (1, M, L), and of their means over cells."""
    # What lies below the floor is as good as the floor where that is wanted, and has a gradient where it is not.
    made = torch.where(target > mel_floor, made, made.clamp(min=mel_floor))
    coarse = F.avg_pool2d(made - target, COARSE_CELL, ceil_mode=True)
    return (made - target).abs().mean() + coarse.abs().mean()


def log_mel_l1(real: Tensor, made: Tensor, frames: int) -> float:
    """Mean absolute difference in nats of log-mels (M, L) over their first `frames` frames."""
    return float((real - made)[:, :frames].abs().mean())
