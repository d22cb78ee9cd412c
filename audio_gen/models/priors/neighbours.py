"""The prior of a VAE: blends of each training clip and its neighbours."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from audio_gen.models.contract import VELOCITY, Conditions
from audio_gen.models.priors.examples import Examples

PITCH_SCALE = 12.0  # semitones per unit, relative to whitened latents
NEIGHBOURS = 4
CORNERS = 1 + NEIGHBOURS  # a clip and its neighbours
PEAKEDNESS = 2.0  # power of the exponential draws that weight corners: 1 is uniform, more prefers one corner
OWN_DIRECTIONS = 4
OWN_SPREAD = 0.5  # share of the spread of training augmentation
MAX_COMPONENTS = 512
PITCH_BANDWIDTH = 1.0 / PITCH_SCALE
VELOCITY_BANDWIDTH = 16.0  # MIDI
FARTHEST = 0.5  # half-way: the other half of the line belongs to the neighbour
NEAREST, FEW = 0.15, 60  # start of the lines for up to FEW clips; with more clips it is inversely proportional


class NeighbourPrior(nn.Module):
    """p(z | class, pitch, velocity), fitted after training: blends of a clip and its neighbours, plus augmentation.

    N(0, I) does not fit the latents of a trained VAE. Gaussians fitted to a small folder extend outside its sounds,
    where the decoder is loud and blurred; blends with positive weights do not. Each component is a clip with its
    neighbours. Pitch conditions by regression within a component, velocity by the choice of components.
    Source: ex-post density estimation, Ghosh 2020; manifold Parzen windows, Vincent and Bengio 2003; blends of
    neighbours, Chawla 2002 (SMOTE).
    """

    corners: Tensor
    factors: Tensor
    class_id: Tensor

    def __init__(
        self, *, latent_dim: int, components: int, clips: int, corners: int = CORNERS, rank: int = OWN_DIRECTIONS,
        velocity: bool = False, lines: bool = False,
    ) -> None:  # fmt: skip
        """`components` of `corners` clips each, spread in `rank` directions, for `clips` training clips.

        With `lines` blends are of a clip and one neighbour, with Gaussian noise, otherwise of all corners.
        """
        super().__init__()
        self.lines, self.clips = lines, clips
        self.args = {
            "latent_dim": latent_dim, "components": components, "clips": clips, "corners": corners, "rank": rank,
            "velocity": velocity,
        }  # fmt: skip
        if lines:  # otherwise missing, as in bundles of earlier versions
            self.args["lines"] = True
        self.register_buffer("corners", torch.zeros(components, corners, latent_dim + 1))  # z and pitch / 12
        self.register_buffer("factors", torch.zeros(components, latent_dim + 1, rank))  # spread around blends
        self.register_buffer("class_id", torch.full((components,), -1))
        if lines:
            self.register_buffer("noise", torch.zeros(latent_dim))  # deviations
        if velocity:
            self.register_buffer("velocity", torch.full((components,), torch.nan))
        self.examples = Examples(clips=clips, velocity=velocity)

    @classmethod
    def fit(
        cls, z: Tensor, conditions: Conditions, clip: Tensor, own: Tensor | None = None,
        weights: Tensor | None = None, line_noise: float | None = None,
    ) -> "NeighbourPrior":  # fmt: skip
        """Fit to encoded clips.

        Args:
            z: Latents (N, 1, D), N >= 1.
            conditions: Their conditions, N.
            clip: Number of the clip of each (N,); a clip may appear several times, augmented.
            own: Factors (K, D, R) of the variation of each component's clip; None for that of its augmented latents.
            weights: (D,) of z in the distances that choose neighbours; None for 1.
            line_noise: Blend a clip with one neighbour at a time, and add noise of this share of the deviations of
                the latents; None for blends of all corners.
        """
        joint = torch.cat([z[:, 0], conditions.pitch.nan_to_num(0)[:, None] / PITCH_SCALE], dim=1)  # (N, D + 1)
        numbers, first = _unique(clip)
        centres = torch.stack([joint[clip == number].mean(0) for number in numbers])
        chosen, distinct = components(len(numbers)), conditions[first]
        if own is None:
            factors = torch.stack([own_directions(joint[clip == numbers[i]], OWN_SPREAD) for i in chosen])
        else:
            factors = torch.cat([own, own.new_zeros(len(own), 1, own.shape[2])], dim=1)  # the pitch does not vary
        velocity = VELOCITY in conditions.values
        prior = cls(
            latent_dim=z.shape[2], components=len(chosen), clips=len(numbers), rank=factors.shape[2],
            velocity=velocity, lines=line_noise is not None,
        )  # fmt: skip
        if line_noise is not None:
            prior.get_buffer("noise").copy_(line_noise * z[:, 0].std(0, unbiased=False))
        prior.corners.copy_(torch.stack([_corners(i, centres, distinct.class_id, weights) for i in chosen]))
        prior.factors.copy_(factors)
        prior.class_id.copy_(distinct.class_id[chosen])
        if velocity:
            prior.get_buffer("velocity").copy_(distinct.velocity[chosen])
        prior.examples.take(distinct)
        return prior

    @property
    def conditions(self) -> tuple[str, ...]:
        """Names of the conditions that training clips have."""
        return self.examples.names

    def fill(self, asked: Conditions, generators: Sequence[torch.Generator]) -> Conditions:
        """See `Prior.fill`."""
        return self.examples.fill(asked, generators)

    def sample(
        self, conditions: Conditions, generators: Sequence[torch.Generator], *, length: int = 1,
        temperature: float = 1.0,
    ) -> Tensor:  # fmt: skip
        """Draw z (B, 1, D), see `Prior.sample`; temperature 0 gives a component's centre."""
        assert length == 1, f"length ({length}) of a prior of whole clips must be 1"
        known = conditions.subset(self.conditions)
        return torch.stack([self._draw(known[i], generators[i], temperature) for i in range(len(known))])[:, None]

    def _simplex(self, generator: torch.Generator) -> Tensor:
        """Positive weights of the corners (J,)."""
        return torch.rand(self.corners.shape[1], generator=generator).clamp(min=1e-6).log().neg() ** PEAKEDNESS

    def _line(self, generator: torch.Generator) -> Tensor:
        """Weights of the corners (J,): of the clip and one neighbour, up to half-way."""
        neighbour = 1 + int(torch.randint(self.corners.shape[1] - 1, (), generator=generator))
        share = torch.lerp(
            torch.tensor(nearest_share(self.clips)), torch.tensor(FARTHEST), torch.rand((), generator=generator)
        )
        weights = torch.zeros(self.corners.shape[1])
        weights[0], weights[neighbour] = 1 - share, share
        return weights

    def _draw(self, condition: Conditions, generator: torch.Generator, temperature: float) -> Tensor:
        """One latent (D,) for the condition of one clip."""
        class_id, pitch = int(condition.class_id), float(condition.pitch)
        means = self.corners.mean(1)
        spread, pitch_variance = spread_of(self.corners, self.factors)
        weights = torch.ones(len(means))
        if class_id >= 0 and bool((self.class_id == class_id).any()):
            weights = (self.class_id == class_id).float()
        if not math.isnan(pitch):
            log_likelihood = -0.5 * (
                (pitch / PITCH_SCALE - means[:, -1]).square() / pitch_variance + pitch_variance.log()
            )
            weights = weights * (log_likelihood - log_likelihood[weights > 0].max()).exp()
        weights = self._near_velocity(weights, float(condition.velocity))
        component = int(torch.multinomial(weights, 1, generator=generator))
        blend = self._line(generator) if self.lines else self._simplex(generator)
        noise = self.factors[component] @ torch.randn(self.factors.shape[2], generator=generator)
        drawn = (blend / blend.sum()) @ self.corners[component] + noise
        if self.lines:
            deviations = self.get_buffer("noise")
            drawn[:-1] += deviations * torch.randn(deviations.shape, generator=generator)
        point = torch.lerp(means[component], drawn, temperature)
        if not math.isnan(pitch):
            slope = (spread[component] @ spread[component, -1]) / pitch_variance[component]
            point = point + slope * (pitch / PITCH_SCALE - point[-1])
        return point[:-1]

    def _near_velocity(self, weights: Tensor, velocity: float) -> Tensor:
        """Weights (K,) of components, higher for clips with similar velocity."""
        if math.isnan(velocity):
            return weights
        away = ((self.get_buffer("velocity") - velocity) / VELOCITY_BANDWIDTH).square().nan_to_num(1.0)
        return weights * (0.5 * (away[weights > 0].min() - away)).clamp(max=0.0).exp()


def nearest_share(clips: int) -> float:
    """The start of the lines as a share of the way to the neighbour: closer points would be copies of clips."""
    return NEAREST * min(1.0, FEW / clips)


def components(clips: int) -> list[int]:
    """Indices of the clips with a component: all, or MAX_COMPONENTS evenly spaced."""
    return torch.linspace(0, clips - 1, min(MAX_COMPONENTS, clips)).round().long().tolist()


def spread_of(corners: Tensor, factors: Tensor) -> tuple[Tensor, Tensor]:
    """The spread of components.

    Args:
        corners: (K, J, D + 1), see `NeighbourPrior`.
        factors: (K, D + 1, R).

    Returns:
        Factors (K, D + 1, J + R) whose squares are the covariances, and the variance of pitch / 12 (K,).
    """
    away = (corners - corners.mean(1, keepdim=True)).mT / math.sqrt(corners.shape[1])
    spread = torch.cat([away, factors], dim=2)
    return spread, spread[:, -1].square().sum(1) + PITCH_BANDWIDTH**2


def _unique(clip: Tensor) -> tuple[list[int], Tensor]:
    """The clips' numbers, and the first row of each."""
    where: dict[int, int] = {}
    for i, number in enumerate(clip.tolist()):
        where.setdefault(number, i)
    return list(where), torch.tensor(list(where.values()))


def own_directions(points: Tensor, spread: float = 1.0) -> Tensor:
    """Factors (D, OWN_DIRECTIONS) of the variation of one clip's augmented latents (n, D), times `spread`."""
    factor = points.new_zeros(points.shape[1], OWN_DIRECTIONS)
    if len(points) > 1:
        _, values, vectors = torch.linalg.svd(points - points.mean(0), full_matrices=False)
        count = min(OWN_DIRECTIONS, len(values))
        factor[:, :count] = spread * (vectors[:count] * (values[:count, None] / math.sqrt(len(points)))).T
    return factor


def _corners(i: int, centres: Tensor, classes: Tensor, weights: Tensor | None) -> Tensor:
    """Clip i and its nearest neighbours of the same class (1 + NEIGHBOURS, D + 1), repeated if there are few."""
    same = torch.nonzero(classes == classes[i])[:, 0]
    same = same[same != i]
    away = centres[same] - centres[i]
    if weights is not None:
        away = torch.cat([away[:, :-1] * weights, away[:, -1:]], dim=1)
    nearest = same[away.norm(dim=1).argsort()[:NEIGHBOURS]].tolist()
    others = nearest or [i]
    return centres[[i, *(others[j % len(others)] for j in range(NEIGHBOURS))]]
