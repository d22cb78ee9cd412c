"""The density that latents are sampled from: Gaussian mixtures fitted to the encoded training clips (ex-post)."""

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

PITCH_SCALE = 12.0  # semitones that count as one unit beside whitened latents
MAX_DIRECTIONS = 24
CLIPS_PER_COMPONENT = 8
ADDED_VARIANCE = 0.02  # of each direction's own variance
SMALLEST_STD = 1e-3


class LatentDensity:
    """p(z | class, pitch): for each class a Gaussian mixture over (leading directions of z, pitch).

    N(0, I) is the wrong density to sample a trained VAE from; a density fitted to its aggregate posterior is not.
    Pitch is conditioned on exactly, by Gaussian conditioning in each component. Directions beyond the leading ones are
    independent Gaussians. Source: Ghosh 2020, "From variational to deterministic autoencoders" (ex-post density).
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        """From what `tensors` gave.

        Shapes: mean (D,), basis (D, R), rest_std (D,), weights (K,), means (K, R + 1), cholesky (K, R + 1, R + 1),
        class_id (K,), pitches (N,) and classes (N,) of the training clips. The last row is pitch / 12.
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
    def fit(cls, z: Tensor, class_id: Tensor, pitch: Tensor, *, seed: int = 0) -> "LatentDensity":
        """Fit to latents z (N, D) with class_id (N,), -1 for none, and pitch (N,) in MIDI, NaN for none; N >= 1."""
        mean = z.mean(0)
        centred = (z - mean).double()
        directions = max(1, min(MAX_DIRECTIONS, len(z) // 2, z.shape[1]))
        basis = torch.linalg.svd(centred, full_matrices=False).Vh[:directions].T  # (D, R)
        reduced = centred @ basis
        rest_std = (centred - reduced @ basis.T).std(0, unbiased=False)
        joint = torch.cat([reduced, pitch.double().nan_to_num(0)[:, None] / PITCH_SCALE], dim=1).numpy()
        parts = [_fit_mixture(joint[(class_id == c).numpy()], seed) for c in sorted(set(class_id.tolist()))]
        sizes = [int((class_id == c).sum()) for c in sorted(set(class_id.tolist()))]
        ids = [c for c, part in zip(sorted(set(class_id.tolist())), parts, strict=True) for _ in part[0]]
        weights = np.concatenate([part[0] * size / len(z) for part, size in zip(parts, sizes, strict=True)])
        covariances = torch.from_numpy(np.concatenate([part[2] for part in parts]))
        values = {
            "mean": mean,
            "basis": basis,
            "rest_std": rest_std,
            "weights": torch.from_numpy(weights),
            "means": torch.from_numpy(np.concatenate([part[1] for part in parts])),
            "cholesky": torch.linalg.cholesky(covariances),
        }
        values = {key: value.float() for key, value in values.items()}
        return cls({**values, "class_id": torch.tensor(ids), "pitches": pitch.float(), "classes": class_id})

    def draw_condition(self, generator: torch.Generator, class_id: int, pitch: float) -> tuple[int, float]:
        """Fill in what is not given (-1, NaN) from the training clips that have what is given.

        Where no clip has the pitch, the class comes from those nearest to it.
        """
        classes, pitches = self.values["classes"], self.values["pitches"]
        allowed = torch.ones(len(classes), dtype=torch.bool) if class_id < 0 else classes == class_id
        if not math.isnan(pitch) and class_id < 0:
            distance = (pitches - pitch).abs().nan_to_num(math.inf)
            allowed &= distance <= distance.min()
        choice = torch.nonzero(allowed)[:, 0]
        draw = int(choice[torch.randint(len(choice), (1,), generator=generator)]) if len(choice) else 0
        return (int(classes[draw]) if class_id < 0 else class_id, float(pitches[draw]) if math.isnan(pitch) else pitch)

    def sample(self, generator: torch.Generator, class_id: int, pitch: float, temperature: float = 1.0) -> Tensor:
        """Draw one latent z (D,) given a class (-1: any) and a pitch in MIDI (NaN: any).

        Args:
            generator: Source of all randomness.
            class_id: Class number.
            pitch: MIDI pitch.
            temperature: 0 gives a component's centre, 1 the fitted density, more than 1 wider ones.
        """
        v = self.values
        at = (torch.tensor(0.0 if math.isnan(pitch) else pitch) / PITCH_SCALE).float()
        mean_pitch, std_pitch = v["means"][:, -1], v["cholesky"][:, -1].norm(dim=1)
        weights = v["weights"].clone()
        if class_id >= 0 and bool((v["class_id"] == class_id).any()):
            weights = weights * (v["class_id"] == class_id)
        if not math.isnan(pitch):
            log_likelihood = -0.5 * ((at - mean_pitch) / std_pitch) ** 2 - std_pitch.log()
            weights = weights * (log_likelihood - log_likelihood[weights > 0].max()).exp()
        component = int(torch.multinomial(weights, 1, generator=generator))
        lower = v["cholesky"][component]
        noise = torch.randn(len(lower), generator=generator) * temperature
        rest = torch.randn(len(v["mean"]), generator=generator) * v["rest_std"] * temperature
        point = v["means"][component] + lower @ noise
        if not math.isnan(pitch):
            covariance = lower @ lower.T
            point = point + covariance[:, -1] / covariance[-1, -1] * (at - point[-1])
        rest = rest - v["basis"] @ (v["basis"].T @ rest)
        return v["mean"] + v["basis"] @ point[:-1] + rest


def _fit_mixture(points: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights, means and covariances of the mixture with the best BIC for points (N, R + 1)."""
    scale = np.maximum(points.std(axis=0), SMALLEST_STD)  # so that what is added to variances fits each direction
    weights, means, covariances = _fit_scaled(points / scale, seed)
    return weights, means * scale, covariances * np.outer(scale, scale)


def _fit_scaled(points: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    from sklearn.mixture import GaussianMixture

    size = points.shape[1]
    if len(points) < 2 * CLIPS_PER_COMPONENT:
        # Too few for a full covariance: shrink it hard towards the diagonal.
        covariance = np.cov(points.T, bias=True) if len(points) > 1 else np.zeros((size, size))
        shrunk = 0.5 * covariance + 0.5 * np.diag(np.diag(covariance)) + ADDED_VARIANCE * np.eye(size)
        return np.ones(1), points.mean(axis=0)[None], shrunk[None]
    fits = []
    for components in (1, 2, 4, 8, 16, 32):
        if components * CLIPS_PER_COMPONENT > len(points):
            break
        for kind in ("full", "diag"):
            mixture = GaussianMixture(components, covariance_type=kind, reg_covar=ADDED_VARIANCE, random_state=seed)
            mixture.fit(points)
            fits.append((mixture.bic(points), mixture))
    best = min(fits, key=lambda fit: fit[0])[1]
    covariances = best.covariances_
    if best.covariance_type == "diag":
        covariances = np.stack([np.diag(row) for row in covariances])
    return best.weights_, best.means_, covariances
