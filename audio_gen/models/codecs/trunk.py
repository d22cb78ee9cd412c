"""The linear path of codecs of whole clips: principal components of log-mels, with limits."""

import torch
from torch import Tensor, nn

from audio_gen.models.basis import Basis, principal_components
from audio_gen.models.contract import PITCH, Conditions
from audio_gen.models.pitch_axis import HarmonicAxis

CEILING = 6.0  # nats; no log-mel of a sound below full scale is higher
CEILING_MARGIN = 0.5


class Trunk(nn.Module):
    """z <-> log-mel by principal components, on the `HarmonicAxis` if the model has pitches.

    z is in units of the components' deviations over the training clips. The analysis from log-mels to z is part of the
    codec, since only some train it.
    """

    mean: Tensor
    scale: Tensor
    ceiling: Tensor

    def __init__(
        self, *, n_mels: int, frames: int, f_min: float, f_max: float, latent_dim: int, pitch_low: float | None,
        pitch_high: float | None, mel_floor: float, exact_rows: bool,
    ) -> None:  # fmt: skip
        """For log-mel (B, n_mels, frames).

        `f_min` and `f_max` are in Hz, pitches in MIDI, `mel_floor` in nats. With `exact_rows` the conversion to the
        harmonic axis and back is exact.
        """
        super().__init__()
        self.latent_dim, self.mel_floor, self.exact_rows = latent_dim, mel_floor, exact_rows
        self.axis = None
        if pitch_low is not None and pitch_high is not None:
            self.axis = HarmonicAxis(
                n_mels=n_mels, f_min=f_min, f_max=f_max, pitch_low=pitch_low, pitch_high=pitch_high
            )
        rows = self.axis.rows if self.axis else n_mels
        self.size = rows * frames
        self.register_buffer("mean", torch.zeros(rows, frames))
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("ceiling", torch.full((n_mels, 1), CEILING))
        self.linear = nn.Linear(latent_dim, self.size)

    def pitch(self, conditions: Conditions) -> Tensor:
        """Pitches (B,) for the networks: NaN for a model without pitch."""
        return conditions.subset((PITCH,) if self.axis else ()).get(PITCH, self.mean.device)

    def rows(self, mel: Tensor, pitch: Tensor) -> Tensor:
        """Log-mel (B, M, L) -> normalised rows (B, size), which an analysis reads."""
        return ((self._laid_out(mel, pitch) - self.mean) / self.scale).flatten(1)

    def mel(self, z: Tensor, pitch: Tensor) -> Tensor:
        """z (B, D) -> the linear path's log-mel (B, M, L)."""
        rows = self.linear(z).unflatten(1, self.mean.shape) * self.scale + self.mean  # (B, rows, L)
        return self.axis.to_mel(rows, pitch) if self.axis else rows

    def features(self, pitch: Tensor) -> Tensor | None:
        """Features (B, F, M) of bands relative to the pitch (B,); None for a model without pitch."""
        return self.axis.features(pitch) if self.axis else None

    def carry(self, image: Tensor, pitch_from: Tensor, pitch_to: Tensor) -> Tensor:
        """An image (B, M, L) of sounds at pitches (B,), with their partials moved to other pitches (B,)."""
        if self.axis is None or bool((self.axis.known(pitch_from) == self.axis.known(pitch_to)).all()):
            return image
        moved = self.axis.to_mel(self.axis.to_rows(image, pitch_from), pitch_to)
        same = self.axis.known(pitch_from) == self.axis.known(pitch_to)
        return torch.where(same[:, None, None], image, moved)

    def limited(self, mel: Tensor) -> Tensor:
        """Log-mel (B, M, L) clamped to `mel_floor` and to the ceiling of each band in training."""
        return torch.minimum(mel, self.ceiling).clamp(min=self.mel_floor)

    @torch.no_grad()
    def fit(self, mel: Tensor, pitch: Tensor) -> Basis:
        """Set normalisation, ceiling and linear path to the principal components of mel (N, M, L) at pitch (N,)."""
        # With pitches a partial may be in any band, so all bands share one ceiling.
        highest = mel.amax() if self.axis else mel.amax(dim=(0, 2))[:, None]
        self.ceiling.copy_(highest + CEILING_MARGIN)
        laid_out = self._laid_out(mel.clamp(min=self.mel_floor), pitch)
        basis = principal_components(laid_out.flatten(1), self.latent_dim)
        self.mean.copy_(basis.mean.unflatten(0, self.mean.shape))
        self.scale.copy_(basis.scale)
        self.linear.weight.zero_()
        self.linear.bias.zero_()
        self.linear.weight[:, : len(basis.analysis)] = basis.synthesis
        return basis

    @torch.no_grad()
    def drop_components(self, which: Tensor) -> None:
        """Remove components (D,) bool from the mapping of z to the mel."""
        self.linear.weight[:, which] = 0

    def _laid_out(self, mel: Tensor, pitch: Tensor) -> Tensor:
        if self.axis is None:
            return mel
        return self.axis.fit_rows(mel, pitch) if self.exact_rows else self.axis.to_rows(mel, pitch)
