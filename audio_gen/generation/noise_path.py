"""Between sounds of any length: through the noises that a sequence model makes them of."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from audio_gen.errors import ConfigError
from audio_gen.generation.pipeline import Pipeline
from audio_gen.generation.sequence import draw_latents, encode_sound, filled
from audio_gen.models.contract import Conditions

LEAST_ALIKE = -0.9  # correlation; opposite noises have nothing between them
Noise = Callable[[int, int], Tensor]  # of the latents between two numbers, (n, D)


def require_invertible(pipeline: Pipeline, operation: str) -> None:
    """Refuse a model whose prior cannot find the noise of a sound.

    Raises:
        ConfigError: It is autoregressive.
    """
    if not pipeline.sequence.invertible:
        raise ConfigError(
            f"{operation}: {pipeline.vocabulary.model} draws one latent after the other, and has no space to move in; "
            "train with --set prior.kind=flow, or use continue"
        )


@dataclass
class NoiseOf:
    """The noise of a known sequence of latents, found window by window.

    Attributes:
        pipeline: A sequence model.
        z: Latents (N, D).
        conditions: Of the sound.
    """

    pipeline: Pipeline
    z: Tensor
    conditions: Conditions
    _found: dict[tuple[int, int], Tensor] = field(default_factory=dict, init=False)

    def __call__(self, start: int, stop: int) -> Tensor:
        """The noise (n, D) of latents `start` to `stop`."""
        if (start, stop) not in self._found:
            prior = self.pipeline.sequence
            before = self.z[None, max(0, start - prior.context) : start] if start else None
            self._found[start, stop] = prior.noise_of(self.z[None, start:stop], self.conditions, before=before)[0]
        return self._found[start, stop]


@dataclass
class NewNoise:
    """The noise of a new sound, drawn in order.

    Attributes:
        generator: Source of it.
        dim: Size of a latent.
        temperature: Its deviation.
    """

    generator: torch.Generator
    dim: int
    temperature: float = 1.0

    def __call__(self, start: int, stop: int) -> Tensor:
        """The next noise (stop - start, D)."""
        return self.temperature * torch.randn(stop - start, self.dim, generator=self.generator)


def between(
    pipeline: Pipeline, conditions: Conditions, first: Noise, second: Noise, weights: Tensor
) -> Iterator[Tensor]:  # fmt: skip
    """Yield latents in parts (n, D): of `first` where the weight is 0, of `second` where it is 1.

    Noises are mixed on an arc, and a mixture has the deviation of its ends, also if these are alike.

    Args:
        pipeline: An invertible sequence model.
        conditions: Those that both noises were found with.
        first: The noise of the one end.
        second: That of the other.
        weights: One for each latent (N,).
    """
    angle = (math.pi / 2 * weights)[:, None]

    def noise(start: int, stop: int) -> Tensor:
        one, other = first(start, stop), second(start, stop)
        share, rest = angle[start:stop].cos(), angle[start:stop].sin()
        alike = torch.cosine_similarity(one.flatten(), other.flatten(), dim=0).clamp(min=LEAST_ALIKE)
        return (share * one + rest * other) / (1 + 2 * share * rest * alike).sqrt()

    return draw_latents(pipeline, conditions, torch.Generator(), len(weights), noise=noise)


@dataclass(frozen=True)
class End:
    """One end of a way between sounds.

    Attributes:
        text: What the request calls it.
        wav: A file's sound (C, T); None for a new one.
        seed: Of a new one.
        class_name: Its class; None if it is not known.
    """

    text: str
    wav: Tensor | None
    seed: int
    class_name: str | None

    def latents(self, pipeline: Pipeline, count: int, temperature: float) -> Tensor:
        """Its first `count` latents (count, D); a shorter sound is continued."""
        z = torch.empty(0, pipeline.codec.latent.dim)
        if self.wav is not None:
            z = encode_sound(pipeline, self.wav)
            z = z[:count] if len(z) >= count else z[: self.wav.shape[-1] // pipeline.latent_samples]  # whole ones
        conditions, generator = filled(pipeline, self.class_name, self.seed), torch.Generator().manual_seed(self.seed)
        before = z if len(z) else None
        more = draw_latents(
            pipeline, conditions, generator, count - len(z), temperature=temperature, before=before
        )  # fmt: skip
        return torch.cat([z, *more])
