"""Find the latent of a sound for a codec without a trained encoder: start from a first estimate and optimise it."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from audio_gen.audio.stereo import row_floors
from audio_gen.generation.latents import Latents
from audio_gen.generation.level import limited
from audio_gen.generation.pipeline import Pipeline
from audio_gen.models.contract import Conditions

STEPS = 200
LEARNING_RATE = 0.1  # in deviations of w
RAMP_STEPS = 20
PULL = 0.005  # nats that a latent one deviation from the start must gain
COARSE_CELL = 4  # bands and frames that are averaged: position matters before detail
SPREAD_DRAWS, MIN_SPREAD = 64, 1e-3
PATIENCE, LEAST_GAIN = 40, 0.005  # steps, and the share of the loss that they must gain


@dataclass(frozen=True)
class Inversion:
    """The result of the search.

    Attributes:
        latents: A set of one, with a latent per layer if the model has several and the first estimate is not best.
        mel_l1_start: Log-mel L1 in nats of the first estimate.
        mel_l1: Log-mel L1 in nats of `latents`.
        steps: Number of steps taken.
    """

    latents: Latents
    mel_l1_start: float
    mel_l1: float
    steps: int


def invert(
    pipeline: Pipeline, mel: Tensor, conditions: Conditions, steps: int = STEPS, frames: int | None = None
) -> Inversion:
    """Find the latent whose clip is closest to a log-mel.

    Adam moves the latent (one per layer) in units of the model's spread, towards a lower log-mel L1, both fine and
    averaged over cells. A penalty keeps it close to the start, in the model's distribution. The search is
    deterministic.
    Source: Abdal 2019 (Image2StyleGAN, a latent for each layer); Zhu 2020 (in-domain inversion, an encoder's start).

    Args:
        pipeline: A model with a gradient from its latent to its log-mel.
        mel: Log-mel (M, L) as `Pipeline.mel` gives it.
        conditions: Of this one clip.
        steps: The most steps; the search ends early without progress. 0 keeps the first estimate.
        frames: Number of frames of `mel` that errors are measured over; None for all.
    """
    start = pipeline.encode(mel, conditions)
    best, taken = _search(pipeline, mel, start, steps) if steps else (start, 0)
    n_mels, frames = pipeline.spec.n_mels, frames or mel.shape[1]
    start_l1, best_l1 = (
        log_mel_l1(mel[:n_mels], pipeline.decode(point)[0, :n_mels], frames) for point in (start, best)
    )
    if best_l1 > start_l1:  # the search minimises over other frames, and cells
        best, best_l1 = start, start_l1
    return Inversion(best, start_l1, best_l1, taken)


@torch.enable_grad()
def _search(pipeline: Pipeline, mel: Tensor, start: Latents, steps: int) -> tuple[Latents, int]:
    """The best latent of up to `steps` steps from a start, and the number of steps taken."""
    codec = pipeline.codec
    origin = codec.latent.per_layer(start.z).to(pipeline.device)
    target = limited(mel[None], pipeline.spec, codec.mel_floor).to(pipeline.device)
    floor: float | Tensor = codec.mel_floor
    if bands := pipeline.spec.stereo_bands:
        floor = row_floors(pipeline.spec.n_mels, bands, codec.mel_floor).to(pipeline.device)
    conditions = start.conditions.to(pipeline.device)
    spread = _spread(pipeline, start).to(pipeline.device)
    offset = torch.zeros_like(origin, requires_grad=True)
    adam = Adam(offset.detach())
    best, best_loss, last_gain = origin, math.inf, (0, math.inf)
    for step in range(steps + 1):
        w = origin + spread * offset
        loss = _distance(codec.decode_raw(w, conditions), target, floor)
        if (value := float(loss.detach())) < best_loss:
            best, best_loss = w.detach(), value
        if value < (1 - LEAST_GAIN) * last_gain[1]:
            last_gain = step, value
        if step == steps or step - last_gain[0] >= PATIENCE:
            break
        (gradient,) = torch.autograd.grad(loss + PULL * offset.square().mean(), offset)
        # Adam's first step moves every number by the full rate, which would lose a good start.
        rate = min(1, (step + 1) / RAMP_STEPS) * (0.5 + 0.5 * math.cos(math.pi * step / steps))
        adam.step(gradient, LEARNING_RATE * rate)
    return start.with_z(best.cpu()), step


class Adam:
    """Adam on one tensor, in place: torch.optim imports torch.compile, which takes a second. Source: Kingma 2014."""

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
    """Standard deviation (1, D) of the model's latents under a point's conditions."""
    generators = [torch.Generator().manual_seed(seed) for seed in range(SPREAD_DRAWS)]
    draws = pipeline.prior.sample(point.conditions.repeat(SPREAD_DRAWS), generators)
    return draws.std(0).clamp(min=MIN_SPREAD)


def _distance(generated: Tensor, target: Tensor, floor: float | Tensor) -> Tensor:
    """L1 of log-mels (1, M, L), and of their means over cells; rows of stereo count like bands."""
    # Values below the floor equal it if the target is at the floor, and otherwise keep their gradient.
    generated = torch.where(target > floor, generated, generated.clamp(min=floor))
    coarse = F.avg_pool2d(generated - target, COARSE_CELL, ceil_mode=True)
    return (generated - target).abs().mean() + coarse.abs().mean()


def log_mel_l1(real: Tensor, generated: Tensor, frames: int) -> float:
    """Mean absolute difference in nats of log-mels (M, L) over their first `frames` frames."""
    return float((real - generated)[:, :frames].abs().mean())
