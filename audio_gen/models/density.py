"""The density that latents are sampled from: between each training clip and its neighbours."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

PITCH_SCALE = 12.0  # semitones that count as one unit beside whitened latents
NEIGHBOURS = 4
CORNERS = 1 + NEIGHBOURS  # a clip and its neighbours
PEAKEDNESS = (
    2.0  # power of exponential draws that weigh a component's corners: 1 is even, more is nearer to one of them
)
OWN_DIRECTIONS = 4
OWN_SPREAD = 0.5  # of the spread of augmentation, which serves training
MAX_COMPONENTS = 512
PITCH_BANDWIDTH = 1.0 / PITCH_SCALE


class LatentDensity:
    """p(z | class, pitch), fitted after training: blends of a clip and its neighbours, and some augmentation.

    N(0, I) is the wrong density to sample a trained VAE from. Gaussians fitted to a small folder reach beyond its
    sounds, where the decoder is loud and blurred; blends with positive weights do not. Pitch is conditioned on by
    regression within each component.
    Source: ex-post density estimation, Ghosh 2020; manifold Parzen windows, Vincent and Bengio 2003; blends of
    neighbours, Chawla 2002 (SMOTE).
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        """From what `tensors` gave.

        Shapes: corners (K, J, D + 1) of z and pitch / 12, factors (K, D + 1, R) of the spread around a blend of them,
        class_id (K,); classes (N,) and pitches (N,) of the training clips.
        """
        self.values = dict(tensors)

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> "LatentDensity":
        """The density that was saved as `tensors`."""
        return cls(tensors)

    def tensors(self) -> dict[str, Tensor]:
        """What to save."""
        return dict(self.values)

    @classmethod
    def fit(
        cls, z: Tensor, class_id: Tensor, pitch: Tensor, clip: Tensor, own: Tensor | None = None
    ) -> "LatentDensity":
        """Fit to encoded clips.

        Args:
            z: Latents (N, D), N >= 1.
            class_id: Class numbers (N,), -1 for none.
            pitch: MIDI pitches (N,), NaN for none.
            clip: Which clip each was made from (N,); a clip may come several times, augmented.
            own: Factors (K, D, R) of how each of the `components` clips varies; None: as its augmented points do.
        """
        joint = torch.cat([z, pitch.nan_to_num(0)[:, None] / PITCH_SCALE], dim=1)  # (N, D + 1)
        numbers, first = _unique(clip)
        centres = torch.stack([joint[clip == number].mean(0) for number in numbers])
        chosen = components(len(numbers))
        if own is None:
            factors = torch.stack([own_directions(joint[clip == numbers[i]], OWN_SPREAD) for i in chosen])
        else:
            factors = torch.cat([own, own.new_zeros(len(own), 1, own.shape[2])], dim=1)  # the pitch stays
        classes = class_id[first]
        parts = [_corners(i, centres, classes) for i in chosen]
        return cls(
            {
                "corners": torch.stack(parts),
                "factors": factors,
                "class_id": classes[chosen],
                "classes": classes,
                "pitches": pitch[first].float(),
            }
        )

    def draw_condition(self, generator: torch.Generator, class_id: int, pitch: float) -> tuple[int, float]:
        """Fill in what is not given (-1, NaN) from the training clips, see `draw_condition`."""
        return draw_condition(self.values["classes"], self.values["pitches"], generator, class_id, pitch)

    def sample(self, generator: torch.Generator, class_id: int, pitch: float, temperature: float = 1.0) -> Tensor:
        """Draw one latent z (D,) given a class (-1: any) and a pitch in MIDI (NaN: any).

        Args:
            generator: Source of all randomness.
            class_id: Class number.
            pitch: MIDI pitch.
            temperature: 0 gives a component's centre, 1 the fitted density, more than 1 wider ones.
        """
        corners, factors = self.values["corners"], self.values["factors"]
        means = corners.mean(1)
        spread, pitch_variance = spread_of(corners, factors)
        weights = torch.ones(len(means))
        if class_id >= 0 and bool((self.values["class_id"] == class_id).any()):
            weights = (self.values["class_id"] == class_id).float()
        if not math.isnan(pitch):
            log_likelihood = -0.5 * (
                (pitch / PITCH_SCALE - means[:, -1]).square() / pitch_variance + pitch_variance.log()
            )
            weights = weights * (log_likelihood - log_likelihood[weights > 0].max()).exp()
        component = int(torch.multinomial(weights, 1, generator=generator))
        blend = torch.rand(corners.shape[1], generator=generator).clamp(min=1e-6).log().neg() ** PEAKEDNESS
        noise = factors[component] @ torch.randn(factors.shape[2], generator=generator)
        drawn = (blend / blend.sum()) @ corners[component] + noise
        point = torch.lerp(means[component], drawn, temperature)
        if not math.isnan(pitch):
            slope = (spread[component] @ spread[component, -1]) / pitch_variance[component]
            point = point + slope * (pitch / PITCH_SCALE - point[-1])
        return point[:-1]


def components(clips: int) -> list[int]:
    """Which of so many clips have a component of their own: all, or MAX_COMPONENTS evenly among them."""
    return torch.linspace(0, clips - 1, min(MAX_COMPONENTS, clips)).round().long().tolist()


def spread_of(corners: Tensor, factors: Tensor) -> tuple[Tensor, Tensor]:
    """How components vary.

    Args:
        corners: (K, J, D + 1), see `LatentDensity`.
        factors: (K, D + 1, R).

    Returns:
        Factors (K, D + 1, J + R) whose squares are the covariances, and the variance of pitch / 12 (K,).
    """
    away = (corners - corners.mean(1, keepdim=True)).mT / math.sqrt(corners.shape[1])
    spread = torch.cat([away, factors], dim=2)
    return spread, spread[:, -1].square().sum(1) + PITCH_BANDWIDTH**2


def _unique(clip: Tensor) -> tuple[list[int], Tensor]:
    """The clips' numbers, and where each comes first."""
    where: dict[int, int] = {}
    for i, number in enumerate(clip.tolist()):
        where.setdefault(number, i)
    return list(where), torch.tensor(list(where.values()))


def own_directions(points: Tensor, spread: float = 1.0) -> Tensor:
    """Factors (D, OWN_DIRECTIONS) of how one clip's augmented points (n, D) vary, times `spread`."""
    factor = points.new_zeros(points.shape[1], OWN_DIRECTIONS)
    if len(points) > 1:
        _, values, vectors = torch.linalg.svd(points - points.mean(0), full_matrices=False)
        count = min(OWN_DIRECTIONS, len(values))
        factor[:, :count] = spread * (vectors[:count] * (values[:count, None] / math.sqrt(len(points)))).T
    return factor


def _corners(i: int, centres: Tensor, classes: Tensor) -> Tensor:
    """Clip i and its nearest neighbours of the same class (1 + NEIGHBOURS, D + 1), again where there are few."""
    same = torch.nonzero(classes == classes[i])[:, 0]
    same = same[same != i]
    nearest = same[(centres[same] - centres[i]).norm(dim=1).argsort()[:NEIGHBOURS]].tolist()
    others = nearest or [i]
    return centres[[i, *(others[j % len(others)] for j in range(NEIGHBOURS))]]


def draw_condition(
    classes: Tensor, pitches: Tensor, generator: torch.Generator, class_id: int, pitch: float
) -> tuple[int, float]:
    """Fill in what is not given (-1, NaN) from training clips (classes (N,), pitches (N,)) that have what is given.

    Where no clip has the pitch, the class comes from those nearest to it.
    """
    allowed = torch.ones(len(classes), dtype=torch.bool) if class_id < 0 else classes == class_id
    if not math.isnan(pitch) and class_id < 0:
        distance = (pitches - pitch).abs().nan_to_num(math.inf)
        allowed &= distance <= distance.min()
    choice = torch.nonzero(allowed)[:, 0]
    draw = int(choice[torch.randint(len(choice), (1,), generator=generator)]) if len(choice) else 0
    return (int(classes[draw]) if class_id < 0 else class_id, float(pitches[draw]) if math.isnan(pitch) else pitch)
