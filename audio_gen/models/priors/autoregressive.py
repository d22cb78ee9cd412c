"""Autoregressive priors of latents over time: an LSTM or a transformer draws the next latents, given all before."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from audio_gen.errors import ConfigError
from audio_gen.models.contract import CLASS, Conditions
from audio_gen.models.priors.causal import LSTM, CausalNetwork, CausalTransformer, Memory
from audio_gen.models.priors.changes import Changes
from audio_gen.models.priors.classes import drawn_classes
from audio_gen.models.priors.energy import SampleHead, energy_score

DRAWS = 2  # samples of the head per token in training
GROUP = 8  # numbers per small group of the energy score
MOST_NOISE = 0.5  # deviation of the noise on inputs in training, at most; latents have 1
SAMPLE_NOISE = 0.2  # in sampling; 0.1 drifts over a minute, 0.3 gives a higher KAD
UNKNOWN_SHARE = 0.1  # of windows in training, whose class is hidden
WARM_UP = 64  # latents drawn and dropped before a clip without a prompt
ROWS = 4  # clips drawn at once
WINDOW = 256  # latents
NO_NOISE = "an autoregressive prior cannot find the noise of a sound; train with prior.kind=flow"


class AutoregressivePrior(nn.Module):
    """p(z | class) as a product over tokens of `block` latents each, every one drawn given all before it.

    Noise of a random level is added to the inputs in training, and the level is an input too, so that errors of drawn
    latents do not add up (CAM, Shao et al. 2024, 2411.18447). A head turns features and noise into a sample of the
    next token, trained by the energy score (CALM, Shao et al. 2025, 2510.27688).
    """

    mean: Tensor
    deviation: Tensor
    class_share: Tensor
    network: CausalNetwork

    def __init__(
        self, network: nn.Module, *, latent_dim: int, n_classes: int, width: int, block: int, head_width: int,
        head_blocks: int, window: int, context: int,
    ) -> None:  # fmt: skip
        """Around a causal network of `width`, see `LSTMPrior`.

        Raises:
            ConfigError: A block has no latents, or `block` or `context` is not shorter than `window`.
        """
        super().__init__()
        context = max(block, context)
        if not 1 <= block <= context < window:
            raise ConfigError(
                f"block ({block}) must be 1 or more, and block and context ({context}) less than window ({window})"
            )
        self.latent_dim, self.block, self.window, self.context = latent_dim, block, window, context
        size = block * latent_dim
        self.network = network
        self.start = nn.Parameter(torch.zeros(width))
        self.token = nn.Linear(size, width)
        self.level = nn.Sequential(nn.Linear(1, width), nn.SiLU(), nn.Linear(width, width))
        self.classes = nn.Embedding(n_classes + 1, width)  # row 0 is unknown
        nn.init.normal_(self.classes.weight, std=0.02)
        self.changes = Changes(width)
        self.norm = nn.LayerNorm(width)
        self.head = SampleHead(context_dim=width, out_dim=size, width=head_width, noise_dim=size, blocks=head_blocks)
        self.register_buffer("mean", torch.zeros(latent_dim))
        self.register_buffer("deviation", torch.ones(latent_dim))
        self.register_buffer("class_share", torch.ones(n_classes))

    @property
    def conditions(self) -> tuple[str, ...]:
        """The class, if there are any."""
        return (CLASS,) if len(self.class_share) else ()

    @property
    def loops(self) -> bool:
        """It cannot close a circle: each latent depends on those before it only."""
        return False

    @property
    def invertible(self) -> bool:
        """Many noises give the same latent: the head has more of them than it uses."""
        return False

    def fill(self, asked: Conditions, generators: Sequence[torch.Generator]) -> Conditions:
        """See `Prior.fill`: unknown classes are drawn by their shares of the training latents."""
        return drawn_classes(asked, self.class_share, generators) if len(self.class_share) else asked

    @torch.no_grad()
    def initialise(
        self, z: Tensor, class_shares: Tensor | None = None, importance: Tensor | None = None
    ) -> None:  # fmt: skip
        """Set the normalisation from latents (N, D), and the frequencies of classes (C,).

        `importance` is how much each number of a latent matters to the sound (D,), 1 on average; the loss weighs it.
        """
        self.mean.copy_(z.mean(0))
        self.deviation.copy_(z.std(0, unbiased=False).clamp(min=1e-3))
        if importance is not None:
            self.deviation.div_(importance.clamp(min=1e-3).sqrt())
        if class_shares is not None and len(self.class_share):
            self.class_share.copy_(class_shares)

    def loss(self, z: Tensor, sound: Tensor, conditions: Conditions, generator: torch.Generator) -> Tensor:
        """Energy score of the next token, given the true ones before it (teacher forcing).

        Args:
            z: Latents (B, N, D).
            sound: Where they are of the file (B, N); False past its end.
            conditions: Of B windows.
            generator: Of the noise. In evaluation mode the level of noise is that of sampling.

        Returns:
            A scalar: the mean over tokens that are all sound.
        """
        device, count = z.device, z.shape[1] // self.block * self.block
        truth = self._tokens((z[:, :count] - self.mean) / self.deviation)  # (B, N, D) -> (B, N / P, P * D)
        whole = sound[:, :count].unflatten(1, (-1, self.block)).all(2)
        level = torch.full((len(z),), SAMPLE_NOISE)
        class_id = conditions.get(CLASS, device)
        if self.training:
            level = MOST_NOISE * torch.rand(len(z), generator=generator, device=generator.device)
            hidden = torch.rand(len(z), generator=generator, device=generator.device) < UNKNOWN_SHARE
            class_id = class_id.masked_fill(hidden.to(device), -1)
        noise = torch.randn(truth.shape, generator=generator, device=generator.device).to(device)
        inputs = truth + level.to(device)[:, None, None] * noise
        condition = self._condition(level.to(device), class_id) + self.changes(conditions, device)[:, None]
        features, _ = self._features(inputs[:, :-1], condition, Memory())
        noise = torch.randn(DRAWS, *truth.shape, generator=generator, device=generator.device).to(device)
        score = energy_score(truth, self.head(features, noise), self._groups())
        return (score * whole).sum() / whole.sum().clamp(min=1)

    @torch.no_grad()
    def sample(
        self, conditions: Conditions, generators: Sequence[torch.Generator], *, length: int = 1,
        temperature: float = 1.0, before: Tensor | None = None, circular: bool = False, noise: Tensor | None = None,
        guidance: float = 1.0,
    ) -> Tensor:  # fmt: skip
        """Draw latents, see `SequencePrior.sample`; the temperature scales the noise of the head.

        Raises:
            ConfigError: `circular` or `noise` is given.
        """
        if noise is not None:
            raise ConfigError(NO_NOISE)
        if circular:
            raise ConfigError(
                "an autoregressive prior cannot close a loop: its latents depend only on those before; "
                "train with prior.kind=flow"
            )
        known = conditions.subset(self.conditions).get(CLASS).cpu()
        if before is None or before.shape[1] < self.block:  # the first latents after the start token are the worst
            nothing = self.mean.new_zeros(len(known), 0, self.latent_dim)
            return self._sample(known, generators, WARM_UP + length, temperature, nothing)[:, WARM_UP:]
        return self._sample(known, generators, length, temperature, before)

    def noise_of(self, z: Tensor, conditions: Conditions, *, before: Tensor | None = None) -> Tensor:
        """See `SequencePrior.noise_of`.

        Raises:
            ConfigError: Always.
        """
        raise ConfigError(NO_NOISE)

    def _sample(
        self, class_id: Tensor, generators: Sequence[torch.Generator], length: int, temperature: float, before: Tensor
    ) -> Tensor:
        """Draw clips (B, length, D) after `before` (B, P, D), ROWS at a time.

        Results depend on the batch size in the last bit, so fewer clips are padded to ROWS.
        """
        steps, size = -(-length // self.block), self.token.in_features
        prompt = self._prompt(before).cpu()
        noise = torch.stack([torch.randn(prompt.shape[1] + steps, 2, size, generator=one) for one in generators])
        drawn: list[Tensor] = []
        for rows in torch.arange(len(prompt)).split(ROWS):
            padded = torch.cat([rows, rows[-1:].expand(ROWS - len(rows))])
            drawn.append(self._draw(prompt[padded], class_id[padded], noise[padded], temperature)[: len(rows)])
        z = torch.cat(drawn).unflatten(2, (self.block, -1)).flatten(1, 2)  # (B, N / P, P * D) -> (B, N, D)
        return (z * self.deviation.cpu() + self.mean.cpu())[:, :length]

    def _draw(self, prompt: Tensor, class_id: Tensor, noise: Tensor, temperature: float) -> Tensor:
        """Tokens (B, N, P * D) on the CPU that follow a prompt (B, M, P * D), with noise (B, M + N, 2, P * D)."""
        device, past = self.mean.device, prompt.shape[1]
        noise, class_id = noise.to(device), class_id.to(device)
        condition = self._condition(torch.full((len(prompt),), SAMPLE_NOISE, device=device), class_id)
        inputs = prompt.to(device) + SAMPLE_NOISE * noise[:, :past, 0]
        seen, drawn, memory = list(inputs.split(1, dim=1)), [], Memory()
        for i in range(past, noise.shape[1]):
            if memory.length >= self.window // self.block:  # longer than in training: again from the last latents
                inputs, memory = torch.cat(seen[-(self.context // self.block) :], dim=1), Memory()
            features, memory = self._features(inputs, condition, memory)
            drawn.append(self.head(features[:, -1:], temperature * noise[:, i : i + 1, 1]))
            inputs = drawn[-1] + SAMPLE_NOISE * noise[:, i : i + 1, 0]
            seen.append(inputs)
        return torch.cat(drawn, dim=1).float().cpu()

    def _prompt(self, before: Tensor) -> Tensor:
        """The tokens (B, N, P * D) of a prompt (B, P, D): the last `context` latents, in whole blocks."""
        kept = min(before.shape[1], self.context) // self.block * self.block
        return self._tokens((before[:, before.shape[1] - kept :].to(self.mean.device) - self.mean) / self.deviation)

    def _tokens(self, z: Tensor) -> Tensor:
        """Latents (B, N, D), N in whole blocks -> tokens (B, N / P, P * D)."""
        return z.unflatten(1, (-1, self.block)).flatten(2)

    def _groups(self) -> tuple[int, ...]:
        """Sizes of groups in the energy score: small ones and the whole."""
        return (math.gcd(self.latent_dim, GROUP), self.block * self.latent_dim)

    def _condition(self, level: Tensor, class_id: Tensor) -> Tensor:
        """Levels of noise (B,) and class numbers (B,), -1 if unknown -> (B, 1, H)."""
        return (self.level(level[:, None]) + self.classes(class_id + 1))[:, None]

    def _features(self, tokens: Tensor, condition: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """Features (B, N, H) that predict what follows each token (B, N, P * D); a start token comes first of all."""
        x = self.token(tokens)
        if memory.length == 0:
            x = torch.cat([self.start.to(x.dtype).expand(len(x), 1, -1), x], dim=1)
        y, memory = self.network(x + condition, memory)
        return self.norm(y), memory


class LSTMPrior(AutoregressivePrior):
    """An `AutoregressivePrior` with a stack of LSTM layers; it can continue for ever."""

    def __init__(
        self, *, latent_dim: int, n_classes: int = 0, width: int = 384, layers: int = 2, block: int = 2,
        head_width: int = 384, head_blocks: int = 3, window: int = WINDOW, context: int = WINDOW // 2,
    ) -> None:  # fmt: skip
        """`block` latents are drawn at once; `window` latents in training; a prompt of `context` latents at most."""
        super().__init__(
            LSTM(width=width, layers=layers), latent_dim=latent_dim, n_classes=n_classes, width=width, block=block,
            head_width=head_width, head_blocks=head_blocks, window=window, context=context,
        )  # fmt: skip


class AttentionPrior(AutoregressivePrior):
    """An `AutoregressivePrior` with a causal transformer, which sees one window of latents."""

    def __init__(
        self, *, latent_dim: int, n_classes: int = 0, width: int = 256, layers: int = 6, heads: int = 4,
        block: int = 2, head_width: int = 384, head_blocks: int = 3, window: int = WINDOW, context: int = WINDOW // 2,
    ) -> None:  # fmt: skip
        """`heads` heads of attention; the rest as in `LSTMPrior`.

        Raises:
            ConfigError: `width` is not a multiple of twice the heads, or see `AutoregressivePrior`.
        """
        if not heads or width % (2 * heads):
            raise ConfigError(f"width ({width}) must be a multiple of 2 x heads ({heads})")
        super().__init__(
            CausalTransformer(width=width, layers=layers, heads=heads, reach=-(-window // max(1, block))),
            latent_dim=latent_dim, n_classes=n_classes, width=width, block=block, head_width=head_width,
            head_blocks=head_blocks, window=window, context=context,
        )  # fmt: skip
