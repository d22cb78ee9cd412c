"""The linear path of codecs of whole clips: principal components of log-mels, with limits."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from audio_gen.audio.stereo import row_floors, strip_limits, strip_rows
from audio_gen.models.basis import Basis, principal_components
from audio_gen.models.contract import PITCH, Conditions
from audio_gen.models.decay_axis import DecayAxis
from audio_gen.models.pitch_axis import HarmonicAxis

CEILING = 6.0  # nats; no log-mel of a sound below full scale is higher
CEILING_MARGIN = 0.5
LEAST_SPREAD = 0.1  # of log lengths
LENGTH = 0  # the component of z that is the length, on a decay axis
LENGTH_WEIGHT = 16.0  # of the length, relative to one of the other components, in distances of sounds


class Trunk(nn.Module):
    """z <-> log-mel by principal components, on the `HarmonicAxis` and the `DecayAxis` if the model has them.

    z is in units of the components' deviations over the training clips. On a decay axis, its first component is the
    clip's log length, in deviations as well, and the principal components follow. The analysis from log-mels to z is
    part of the codec, since only some train it. The rows of stereo below a mel take part in the components; they keep
    time and band on both axes.
    """

    mean: Tensor
    scale: Tensor
    ceiling: Tensor

    def __init__(
        self, *, n_mels: int, frames: int, f_min: float, f_max: float, latent_dim: int, pitch_low: float | None,
        pitch_high: float | None, mel_floor: float, exact_rows: bool, decay_onset: float | None = None,
        decay_attack: float = 0.0, stereo_bands: int = 0,
    ) -> None:  # fmt: skip
        """For log-mel (B, n_mels, frames), or images of stereo with these bands (B, n_mels + strip rows, frames).

        `f_min` and `f_max` are in Hz, pitches in MIDI, `mel_floor` in nats. With `exact_rows` the conversion to the
        harmonic axis and back is exact. `decay_onset` and `decay_attack`, in frames, are those of a decay axis; None
        for none.
        """
        super().__init__()
        self.latent_dim, self.mel_floor, self.exact_rows, self.n_mels = latent_dim, mel_floor, exact_rows, n_mels
        self.strip = strip_rows(stereo_bands)
        self.axis = None
        if pitch_low is not None and pitch_high is not None:
            self.axis = HarmonicAxis(
                n_mels=n_mels, f_min=f_min, f_max=f_max, pitch_low=pitch_low, pitch_high=pitch_high
            )
        rows = self.axis.rows if self.axis else n_mels
        self.time = None
        if decay_onset is not None:
            self.time = DecayAxis(frames=frames, onset=decay_onset, attack=decay_attack, floor=mel_floor)
            self.register_buffer("length_mean", torch.zeros(()))
            self.register_buffer("length_spread", torch.ones(()))
        columns = self.time.columns if self.time else frames
        self.size = rows * columns + self.strip * frames
        self.register_buffer("mean", torch.zeros(rows, columns))
        self.register_buffer("scale", torch.ones(()))
        ceiling = torch.full((n_mels, 1), CEILING)
        if self.strip:
            ceiling = torch.cat([ceiling, strip_limits(stereo_bands)[1]])
            self.register_buffer("strip_mean", torch.zeros(self.strip, frames))
            self.register_buffer("least", row_floors(n_mels, stereo_bands, mel_floor), persistent=False)
        self.register_buffer("ceiling", ceiling)
        self.linear = nn.Linear(latent_dim, self.size)

    @property
    def floor(self) -> float | Tensor:
        """The least value of an image: `mel_floor`, or that of each row (rows, 1) of a stereo image."""
        return self.get_buffer("least") if self.strip else self.mel_floor

    @property
    def rows(self) -> int:
        """Rows of an image."""
        return self.n_mels + self.strip

    def pitch(self, conditions: Conditions) -> Tensor:
        """Pitches (B,) for the networks: NaN for a model without pitch."""
        return conditions.subset((PITCH,) if self.axis else ()).get(PITCH, self.mean.device)

    def encode(self, mel: Tensor, pitch: Tensor, analysis: Callable[[Tensor], Tensor]) -> Tensor:
        """Log-mel (B, M, L) -> z (B, D).

        `analysis` maps normalised rows (B, size) to z; on a decay axis the length takes the place of the first
        component.
        """
        lengths = self._lengths(mel)
        rows = (self._laid_out(mel, pitch, lengths) - self.mean) / self.scale
        z = analysis(self._with_strip(rows, mel, lambda strip: (strip - self.get_buffer("strip_mean")) / self.scale))
        if lengths is None:
            return z
        length = (lengths - self.get_buffer("length_mean")) / self.get_buffer("length_spread")
        return torch.cat([length[:, None], z[:, self.first :]], dim=1)

    def length(self, z: Tensor) -> Tensor | None:
        """The log of the frames (B,) from onset to the end of the decay, by z (B, D); None without a decay axis."""
        if self.time is None:
            return None
        return self.get_buffer("length_mean") + self.get_buffer("length_spread") * z[:, LENGTH]

    def mel(self, z: Tensor, pitch: Tensor) -> Tensor:
        """z (B, D) -> the linear path's log-mel (B, M, L)."""
        flat, strip = self.linear(z).split([self.mean.numel(), self.size - self.mean.numel()], dim=1)
        rows = flat.unflatten(1, self.mean.shape) * self.scale + self.mean  # (B, rows, columns)
        length = self.length(z)
        if self.time is not None and length is not None:
            rows = self.time.to_time(rows, length)
        mel = self.axis.to_mel(rows, pitch) if self.axis else rows
        if not self.strip:
            return mel
        mean = self.get_buffer("strip_mean")
        return torch.cat([mel, strip.unflatten(1, mean.shape) * self.scale + mean], dim=1)

    def features(self, pitch: Tensor) -> Tensor | None:
        """Features (B, F, M) of bands relative to the pitch (B,); None for a model without pitch, 0 for stereo rows."""
        if self.axis is None:
            return None
        features = self.axis.features(pitch)
        return F.pad(features, (0, self.strip)) if self.strip else features

    def limited(self, mel: Tensor) -> Tensor:
        """Log-mel (B, M, L) clamped to `floor` and to the ceiling of each band in training."""
        return torch.minimum(mel, self.ceiling).clamp(min=self.floor)

    @torch.no_grad()
    def fit(self, mel: Tensor, pitch: Tensor) -> Basis:
        """Set normalisation, ceiling and linear path to the principal components of mel (N, M, L) at pitch (N,)."""
        # With pitches a partial may be in any band, so all bands share one ceiling.
        heard = mel[:, : self.n_mels]
        highest = heard.amax() if self.axis else heard.amax(dim=(0, 2))[:, None]
        self.ceiling[: self.n_mels] = highest + CEILING_MARGIN
        mel = mel.clamp(min=self.floor)
        lengths = self._lengths(mel)
        if lengths is not None:
            self.get_buffer("length_mean").copy_(lengths.mean())
            self.get_buffer("length_spread").copy_(lengths.std(unbiased=False).clamp(min=LEAST_SPREAD))
        rows = self._with_strip(self._laid_out(mel, pitch, lengths), mel, lambda strip: strip)
        basis = principal_components(rows, self.latent_dim - self.first)
        mean, strip_mean = basis.mean.split([self.mean.numel(), self.size - self.mean.numel()])
        self.mean.copy_(mean.unflatten(0, self.mean.shape))
        if self.strip:
            self.get_buffer("strip_mean").copy_(strip_mean.unflatten(0, (self.strip, -1)))
        self.scale.copy_(basis.scale)
        self.linear.weight.zero_()
        self.linear.bias.zero_()
        self.linear.weight[:, self.components(basis)] = basis.synthesis
        return basis

    @property
    def first(self) -> int:
        """The first component of z that is a principal component."""
        return 0 if self.time is None else LENGTH + 1

    def components(self, basis: Basis) -> slice:
        """The components of z that are those of a basis."""
        return slice(self.first, self.first + len(basis.analysis))

    def distance_weights(self) -> Tensor | None:
        """Weights (D,) of z in the distances that choose a sound's neighbours; None for 1.

        Blends of sounds of similar length sound more real.
        """
        if self.time is None:
            return None
        weights = torch.ones(self.latent_dim)
        weights[LENGTH] = LENGTH_WEIGHT
        return weights

    def carry(self, image: Tensor, start: tuple[Tensor, Tensor], end: tuple[Tensor, Tensor]) -> Tensor:
        """An image (B, M, L) on the axes of one sound, on those of another.

        Args:
            image: For example what the codec leaves out of a log-mel.
            start: z (B, D) and pitch (B,) of its sound.
            end: Those of the other sound.
        """
        if self.strip:
            mel, strip = image.split([self.n_mels, self.strip], dim=1)
            return torch.cat([self._carry_mel(mel, start, end), strip], dim=1)
        return self._carry_mel(image, start, end)

    def _carry_mel(self, image: Tensor, start: tuple[Tensor, Tensor], end: tuple[Tensor, Tensor]) -> Tensor:
        before, after = self.length(start[0]), self.length(end[0])
        if self.time is not None and before is not None and after is not None and not torch.equal(before, after):
            image = self.time.carry(image, before, after)
        if self.axis is not None and not torch.equal(self.axis.known(start[1]), self.axis.known(end[1])):
            image = self.axis.to_mel(self.axis.fit_rows(image, start[1]), end[1])
        return image

    @torch.no_grad()
    def drop_components(self, which: Tensor) -> None:
        """Remove components (D,) bool from the mapping of z to the mel."""
        self.linear.weight[:, which] = 0  # a length stays, since the decay axis reads it

    def _lengths(self, mel: Tensor) -> Tensor | None:
        """The log lengths (B,) of log-mels; None without a decay axis."""
        return None if self.time is None else self.time.lengths(mel[:, : self.n_mels])

    def _with_strip(self, rows: Tensor, image: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
        """Rows (B, rows, columns) of the mel, and the changed strip of an image, as flat rows (B, size)."""
        if not self.strip:
            return rows.flatten(1)
        return torch.cat([rows.flatten(1), change(image[:, self.n_mels :]).flatten(1)], dim=1)

    def _laid_out(self, mel: Tensor, pitch: Tensor, lengths: Tensor | None) -> Tensor:
        mel = mel[:, : self.n_mels]
        if self.time is not None and lengths is not None:
            mel = self.time.to_columns(mel, lengths)
        if self.axis is None:
            return mel
        return self.axis.fit_rows(mel, pitch) if self.exact_rows else self.axis.to_rows(mel, pitch)


class TrunkCodec(nn.Module):
    """What codecs with a trunk share: the axes of their sounds."""

    trunk: Trunk

    def carry(
        self, image: Tensor, start: Tensor, start_conditions: Conditions, end: Tensor, end_conditions: Conditions
    ) -> Tensor:
        """See `Codec.carry`; of several style layers, the first has the length."""
        pitches = self.trunk.pitch(start_conditions), self.trunk.pitch(end_conditions)
        return self.trunk.carry(image, (start[:, 0], pitches[0]), (end[:, 0], pitches[1]))

    def length_frames(self, z: Tensor) -> Tensor | None:
        """See `Codec.length_frames`."""
        length = self.trunk.length(z[:, 0])
        return None if length is None else length.exp()
