"""Rectified flow over windows of latents: sequences of any length, continuations and loops."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from audio_gen.errors import ConfigError
from audio_gen.models.contract import BAR, BEAT, CLASS, Conditions
from audio_gen.models.priors.changes import SCALES, Changes
from audio_gen.models.priors.classes import drawn_classes
from audio_gen.models.time_blocks import Edges, TimeAttention, TimeBlock

DILATIONS = (1, 2, 4, 8)
ATTENTION_EVERY = 3  # blocks
TIME_FEATURES = 64
PHASES = (BEAT, BAR)
PHASE_FEATURES = 3  # cosine, sine, and whether it is known
UNKNOWN_SHARE = 0.2  # of training windows whose conditions are hidden
PROMPTED_SHARE, ENCLOSED_SHARE = 0.5, 0.15  # of training windows with a known start; with known start and end
STEPS = 24
# Of the logit-normal times in training, 0 at the noise. The level of a window shows in all its latents, so it is
# decided within the first hundredths; a prior that seldom sees these draws too even levels.
TIME_MEAN, TIME_DEVIATION = -0.8, 1.5
TIME_POWER = 1.5  # sampling takes shorter steps near the noise
LEAST_DEVIATION = 1e-3
PROMPT_NOISE = 0.1  # largest deviation of the noise on known latents in training
GUIDED_UNTIL = 0.7  # of the way from noise to data
MEAN_SCALE = 4.0  # of the means of unknown latents, which are small next to the noise
EDGE_NOISE = 0.4  # largest further one on the last latent of a known start: an encoder guesses what follows it (0.3)


class FlowPrior(nn.Module):
    """The distribution of windows of latents, as a flow from noise along straight lines.

    The network has convolutions and attention without positions, so that it draws windows of any length, and circles.
    The means of a window are inputs of all blocks. Known latents, such as a prompt, are inputs.
    Source: Liu 2022 (rectified flow); circles as in LoopGen (2504.04466).
    """

    mean: Tensor
    deviation: Tensor
    class_shares: Tensor
    loops = True
    invertible = True

    def __init__(
        self, *, latent_dim: int, n_classes: int = 0, width: int = 256, depth: int = 8, window: int = 258,
        context: int = 86, beats: bool = False,
    ) -> None:  # fmt: skip
        """For latents (B, N, latent_dim); windows of `window` latents, the first `context` of which may be known.

        With `beats` the phases of beat and bar are conditions.

        Raises:
            ConfigError: `context` is not shorter than `window`, so that a prompt leaves nothing to draw.
        """
        super().__init__()
        if context >= window:
            raise ConfigError(f"context ({context}) must be less than window ({window}), in latents")
        self.latent_dim, self.window, self.context, self.beats = latent_dim, window, context, beats
        self.conditions = (*([CLASS] if n_classes else []), *(PHASES if beats else ()))
        self.register_buffer("mean", torch.zeros(latent_dim))
        self.register_buffer("deviation", torch.ones(latent_dim))
        self.register_buffer("class_shares", torch.full((max(1, n_classes),), 1 / max(1, n_classes)))
        inputs = latent_dim + 1 + (PHASE_FEATURES * len(PHASES) if beats else 0)
        self.stem = nn.Linear(inputs, width)
        self.time = nn.Sequential(nn.Linear(TIME_FEATURES, width), nn.SiLU(), nn.Linear(width, width))
        self.summary = nn.Sequential(
            nn.Linear(TIME_FEATURES + 2 * latent_dim + 1, width), nn.SiLU(), nn.Linear(width, width)
        )
        self.changes = Changes(width)
        self.classes = nn.Embedding(n_classes + 1, width) if n_classes else None
        self.blocks = nn.ModuleList(
            TimeBlock(channels=width, condition_dim=width, dilation=DILATIONS[i % len(DILATIONS)]) for i in range(depth)
        )
        self.attention = nn.ModuleList(
            TimeAttention(channels=width, condition_dim=width) for _ in range(depth // ATTENTION_EVERY)
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, latent_dim)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    @torch.no_grad()
    def initialise(
        self, z: Tensor, class_shares: Tensor | None = None, importance: Tensor | None = None
    ) -> None:  # fmt: skip
        """Set the normalisation from latents (N, D).

        Args:
            z: Latents of training sounds.
            class_shares: Frequencies of the classes (C,).
            importance: How much each number of a latent matters to the sound (D,), 1 on average. Noise hides the less
                important ones for longer, so the flow draws from coarse to fine; on music this gave a lower KAD.
        """
        self.mean.copy_(z.mean(0))
        self.deviation.copy_(z.std(0, unbiased=False).clamp(min=LEAST_DEVIATION))
        if importance is not None:
            self.deviation.div_(importance.clamp(min=LEAST_DEVIATION).sqrt())
        if class_shares is not None:
            self.class_shares.copy_(class_shares)

    def velocity(
        self, x: Tensor, time: Tensor, known: Tensor, conditions: Conditions, edges: Edges = "zeros",
        sound: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """The direction from noise to latents.

        Args:
            x: Normalised latents (B, N, D): the given ones where `known`, the others between noise and data.
            time: 0 at the noise, 1 at the data (B,).
            known: Whether a latent is given (B, N) bool.
            conditions: Of the windows.
            edges: "circular" if the end leads to the start.
            sound: False past the end of a sound (B, N) bool.
        """
        parts = [x, known[..., None].to(x.dtype)]
        if self.beats:
            parts += [phase_features(conditions, name, x) for name in PHASES]
        h = self.stem(torch.cat(parts, dim=2))
        times = time_features(time, TIME_FEATURES)
        condition = self.time(times) + self.changes(conditions, x.device)
        condition = condition + self.summary(torch.cat([times, averages(x, known, sound)], dim=1))
        if self.classes is not None:
            condition = condition + self.classes(conditions.get(CLASS, x.device) + 1)
        condition = nn.functional.silu(condition)[:, None]
        for i, block in enumerate(self.blocks, 1):
            h = block(h, condition, edges)
            if i % ATTENTION_EVERY == 0:
                h = self.attention[i // ATTENTION_EVERY - 1](h, condition, sound)
        return self.head(self.norm(h))

    def loss(self, z: Tensor, sound: Tensor, conditions: Conditions, generator: torch.Generator) -> Tensor:
        """The mean squared error of the velocity over unknown latents with sound.

        Args:
            z: Windows of latents (B, N, D).
            sound: False where a window is past its file's end (B, N) bool.
            conditions: Of the windows.
            generator: Source of times, noise and masks.
        """
        x = (z - self.mean) / self.deviation
        count, length = x.shape[:2]

        def uniform(*shape: int) -> Tensor:
            return torch.rand(shape, generator=generator, device=x.device)

        time = torch.sigmoid(TIME_MEAN + TIME_DEVIATION * torch.randn(count, generator=generator, device=x.device))
        noise = torch.randn(x.shape, generator=generator, device=x.device)
        known = self._masks(count, length, uniform(3, count))
        level = PROMPT_NOISE * uniform(count, 1) + EDGE_NOISE * uniform(count, 1) * _last_of_start(known)
        given = x + level[..., None] * torch.randn(x.shape, generator=generator, device=x.device)
        hidden = uniform(count) < UNKNOWN_SHARE
        between = torch.where(known[..., None], given, torch.lerp(noise, x, time[:, None, None]))
        found = self.velocity(between, time, known, some_hidden(conditions, hidden), sound=sound)
        weights = (sound & ~known).float()
        error = (found.float() - (x - noise)).square().mean(2)
        return (error * weights).sum() / weights.sum().clamp(min=1)

    def _masks(self, count: int, length: int, draws: Tensor) -> Tensor:
        """Known latents (count, length) of training windows: none, the start, or start and end."""
        place = torch.arange(length, device=draws.device)
        most = min(self.context, length // 2)
        first = (draws[1] * most).ceil()[:, None]
        last = (draws[2] * most).ceil()[:, None]
        start, end = place < first, place >= length - last
        kind = draws[0][:, None]
        enclosed = kind < ENCLOSED_SHARE
        return (start & (kind < PROMPTED_SHARE)) | (end & enclosed)

    def fill(self, asked: Conditions, generators: Sequence[torch.Generator]) -> Conditions:
        """See `Prior.fill`: an unknown class is drawn by its frequency in training."""
        return drawn_classes(asked, self.class_shares, generators) if self.classes is not None else asked

    @torch.no_grad()
    def sample(
        self, conditions: Conditions, generators: Sequence[torch.Generator], *, length: int = 1,
        temperature: float = 1.0, before: Tensor | None = None, circular: bool = False, noise: Tensor | None = None,
        guidance: float = 1.0, steps: int = STEPS,
    ) -> Tensor:  # fmt: skip
        """See `SequencePrior.sample`; `steps` evaluations of the network in steps of Heun's kind."""
        if self.mean.device.type == "cpu" and len(generators) > 1:  # kernels may differ in the last bit with the batch
            rows = range(len(generators))
            return torch.cat([
                self.sample(
                    conditions[i], generators[i : i + 1], length=length, temperature=temperature,
                    before=None if before is None else before[i : i + 1], circular=circular,
                    noise=None if noise is None else noise[i : i + 1], guidance=guidance, steps=steps,
                )
                for i in rows
            ])  # fmt: skip
        if noise is None:
            noise = torch.stack([torch.randn(length, self.latent_dim, generator=one) for one in generators])
        path = _Path(self, conditions, before, length, circular, guidance)
        x = path.followed(temperature * noise.to(self.mean.device), 0.0, 1.0, steps)
        return (x * self.deviation + self.mean).float().cpu()

    @torch.no_grad()
    def noise_of(
        self, z: Tensor, conditions: Conditions, *, before: Tensor | None = None, steps: int = STEPS
    ) -> Tensor:  # fmt: skip
        """See `SequencePrior.noise_of`: the flow, followed back."""
        path = _Path(self, conditions, before, z.shape[1], circular=False)
        x = (z.to(self.mean.device) - self.mean) / self.deviation
        return path.followed(x, 1.0, 0.0, steps).cpu()


class _Path:
    """The way between noise and the latents that follow a prompt (B, P, D)."""

    def __init__(
        self, prior: FlowPrior, conditions: Conditions, before: Tensor | None, length: int, circular: bool,
        guidance: float = 1.0,
    ) -> None:  # fmt: skip
        """With a guidance above 1, what prompt and conditions make likely is more likely still (Ho & Salimans 2022)."""
        device = prior.mean.device
        self._prior, self._conditions = prior, conditions.to(device)
        self._edges: Edges = "circular" if circular else "zeros"
        self._prompt = 0 if before is None else min(prior.context, before.shape[1])
        self._given = torch.zeros(len(conditions), self._prompt + length, prior.latent_dim, device=device)
        if before is not None and self._prompt:
            known = before[:, before.shape[1] - self._prompt :].to(device)
            self._given[:, : self._prompt] = (known - prior.mean) / prior.deviation
        self._known = torch.zeros(self._given.shape[:2], dtype=torch.bool, device=device)
        self._known[:, : self._prompt] = True
        self._unknown = conditions_hidden(self._conditions)
        self._guidance = guidance

    def followed(self, x: Tensor, start: float, end: float, steps: int) -> Tensor:
        """Normalised latents (B, N, D) at time `start`, moved to time `end`."""
        x = torch.cat([self._given[:, : self._prompt], x], dim=1)
        times = (torch.linspace(start, end, max(1, steps // 2) + 1) ** TIME_POWER).tolist()
        last = max((time for time in times if time < 1), default=0.0)  # the network hardly learns time 1 itself
        for now, then in pairwise(times):
            step = then - now
            slope = self._slope(x, min(now, last))
            if then < 1:
                end_slope = self._slope(x + step * slope, then)
                slope = end_slope if now == 1 else (slope + end_slope) / 2
            x = x + step * slope
        return x[:, self._prompt :]

    def _slope(self, x: Tensor, time: float) -> Tensor:
        """The velocity at latents (B, N, D), in which the known ones are given, as in training."""
        x = torch.where(self._known[..., None], self._given, x)
        slope = self._velocity(x, time, 0, self._conditions)
        if self._guidance != 1 and time <= GUIDED_UNTIL:
            without = self._velocity(x[:, self._prompt :], time, self._prompt, self._unknown)
            slope[:, self._prompt :] += (self._guidance - 1) * (slope[:, self._prompt :] - without)
        return slope

    def _velocity(self, x: Tensor, time: float, first: int, conditions: Conditions) -> Tensor:
        """The velocity of latents (B, N, D) from number `first` on; without the prompt none is known."""
        times = x.new_full((len(x),), time)
        return self._prior.velocity(x, times, self._known[:, first:], conditions, self._edges).float()


def _last_of_start(known: Tensor) -> Tensor:
    """1 for the last latent of each known start (B, N), 0 elsewhere."""
    starts = known.cumprod(1)
    return starts - nn.functional.pad(starts[:, 1:], (0, 1))


def averages(x: Tensor, known: Tensor, sound: Tensor | None) -> Tensor:
    """What a whole window tells at once (B, 2 D + 1): the means of its unknown and of its known latents x (B, N, D).

    Level and colour of a window show in all its latents, so they rise from the noise in the mean first.
    """
    heard = torch.ones_like(known) if sound is None else sound
    parts, shares = [], []
    for some in (heard & ~known, heard & known):
        weights = some.to(x.dtype)[..., None]
        parts.append((x * weights).sum(1) / weights.sum(1).clamp(min=1))
        shares.append(weights.mean(1))
    return torch.cat([MEAN_SCALE * parts[0], parts[1], shares[1]], dim=1)


def time_features(time: Tensor, count: int) -> Tensor:
    """Sines and cosines (B, count) of times (B,) from 0 to 1."""
    rates = torch.exp(torch.arange(count // 2, device=time.device) * (math.log(1000) / (count // 2 - 1)))
    angles = time[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def phase_features(conditions: Conditions, name: str, like: Tensor) -> Tensor:
    """Features (B, N, 3) of a phase in cycles; zero where it is unknown."""
    count, length = like.shape[:2]
    if name not in conditions.values:
        return like.new_zeros(count, length, PHASE_FEATURES)
    phase = conditions.values[name].to(like.device)
    known = phase.isfinite()
    angle = 2 * math.pi * torch.where(known, phase, 0.0)
    marks = known.to(like.dtype)
    return torch.stack([angle.cos() * marks, angle.sin() * marks, marks], dim=2)


def some_hidden(conditions: Conditions, rows: Tensor) -> Conditions:
    """The same conditions, unknown in some rows (B,) bool; the changes of a sound are always known."""
    values = dict(conditions.values)
    for name, value in conditions.subset([name for name in values if name not in SCALES]).values.items():
        where = rows.view(-1, *[1] * (value.dim() - 1))
        values[name] = torch.where(where, torch.full_like(value, -1 if name == CLASS else math.nan), value)
    return Conditions(len(conditions), values)


def conditions_hidden(conditions: Conditions) -> Conditions:
    """The changes of a sound alone."""
    return conditions.subset([name for name in conditions.values if name in SCALES])
