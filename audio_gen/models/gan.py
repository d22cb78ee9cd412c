"""The GAN's generator: noise -> w -> log-mel, given class and pitch where they are known."""

import torch
from torch import Tensor, nn

from audio_gen.models.basis import principal_components
from audio_gen.models.mapping import Mapping, pitch_inputs
from audio_gen.models.pitch import FEATURES, HarmonicAxis
from audio_gen.models.synthesis import NOISE_CHANNELS, Synthesis
from audio_gen.models.vae import CEILING, CEILING_MARGIN

NOISE_SEED = 7
REFINEMENT = 0.3  # of the deviation of log-mels: what networks add in units of, so that their steps are small
EXACT = -60.0  # logvar of an encoding without spread
PITCH_INPUTS = 2  # numbers that the networks see of a pitch, see `pitch_inputs`


class GAN(nn.Module):
    """A mapping network, a linear path set to the data's principal components, and convolutions that refine it.

    w is in units of the principal components' deviations. The linear path makes the first samples blends of
    neighbouring clips, from where the adversarial losses start; with pitch labels it works on the harmonic axis
    (`HarmonicAxis`). Noise at full resolution gives the grain of noisy sounds; decoding uses one fixed draw of it, so
    that equal w give equal mels.
    Source: Huang 2024 (R3GAN); Karras 2019 (mapping, noise).
    """

    mean: Tensor
    scale: Tensor
    ceiling: Tensor
    analysis: Tensor
    noise: Tensor

    def __init__(
        self, *, n_mels: int, frames: int, f_min: float, f_max: float, noise_dim: int = 128, latent_dim: int = 128,
        channels: tuple[int, ...] = (32, 64, 96, 128), blocks: int = 1, mapping_width: int = 256, anchors: int = 1,
        n_classes: int = 0, pitch_low: float | None = None, pitch_high: float | None = None, mel_floor: float = -9.0,
        condition_dim: int = 32, own_directions: int = 0,
    ) -> None:  # fmt: skip
        """A model of log-mel (B, n_mels, frames); `f_min` and `f_max` in Hz, pitches in MIDI, `mel_floor` in nats."""
        super().__init__()
        self.n_mels, self.frames, self.mel_floor = n_mels, frames, mel_floor
        self.noise_dim, self.latent_dim, self.layers = noise_dim, latent_dim, 1 + len(channels)
        self.axis = None
        if pitch_low is not None and pitch_high is not None:
            self.axis = HarmonicAxis(
                n_mels=n_mels, f_min=f_min, f_max=f_max, pitch_low=pitch_low, pitch_high=pitch_high
            )
        rows = self.axis.rows if self.axis else n_mels
        self.register_buffer("mean", torch.zeros(rows, frames))
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("ceiling", torch.full((n_mels, 1), CEILING))
        self.register_buffer("analysis", torch.zeros(latent_dim, rows * frames))
        self.mapping = Mapping(
            noise_dim=noise_dim, latent_dim=latent_dim, anchors=anchors, n_classes=n_classes, width=mapping_width,
            condition_dim=condition_dim, own_directions=own_directions,
        )  # fmt: skip
        self.class_embedding = nn.Embedding(n_classes + 1, condition_dim)
        self.linear = nn.Linear(latent_dim, rows * frames)
        self.synthesis = Synthesis(
            n_mels=n_mels, frames=frames, channels=tuple(channels), blocks=blocks,
            w_dim=latent_dim + condition_dim + PITCH_INPUTS, features=FEATURES if self.axis else 0,
        )  # fmt: skip
        height, width = self.synthesis.sizes[0]
        fixed = torch.randn(1, NOISE_CHANNELS, height, width, generator=torch.Generator().manual_seed(NOISE_SEED))
        self.register_buffer("noise", fixed)

    def map(self, z: Tensor, class_id: Tensor, pitch: Tensor) -> Tensor:
        """Noise to a latent.

        Args:
            z: Draws from N(0, I), (B, Z).
            class_id: Class numbers (B,), -1 where there is none.
            pitch: MIDI pitches (B,), NaN where there is none.

        Returns:
            w (B, D).
        """
        return self.mapping(z, class_id, self.known_pitch(pitch))

    def encode(self, mel: Tensor, class_id: Tensor, pitch: Tensor) -> tuple[Tensor, Tensor]:
        """A first guess of w (B, D) for log-mel (B, M, L), its principal components; and a logvar (B, D)."""
        flat = self._to_rows(mel.clamp(min=self.mel_floor), pitch).flatten(1)
        w = (flat - self.mean.flatten()) / self.scale @ self.analysis.T
        return w, torch.full_like(w, EXACT)

    def decode(self, w: Tensor, class_id: Tensor, pitch: Tensor) -> Tensor:
        """w (B, D), or (B, K, D) with one for each layer, to log-mel (B, M, L) in nats.

        It is nowhere below `mel_floor`, and hardly above what its band had in training.
        """
        mel = self.decode_raw(w, class_id, pitch)
        return torch.minimum(mel, self.ceiling).clamp(min=self.mel_floor)

    def decode_raw(self, w: Tensor, class_id: Tensor, pitch: Tensor, noise: Tensor | None = None) -> Tensor:
        """As `decode`, but not clamped, so that losses have a gradient everywhere; `noise` as `draw_noise` gives it."""
        w = w[:, None].expand(-1, self.layers, -1) if w.ndim == 2 else w
        rows = self.linear(w[:, 0]).unflatten(1, self.mean.shape) * self.scale + self.mean  # (B, rows, L)
        mel = self.axis.to_mel(rows, pitch) if self.axis else rows
        known = torch.cat([self.class_embedding(class_id + 1), pitch_inputs(self.known_pitch(pitch))], dim=1)
        styles = torch.cat([w[:, 1:], known[:, None].expand(-1, self.layers - 1, -1)], dim=2)
        refined = self.synthesis(styles, self.features(pitch), self.noise if noise is None else noise)
        return mel + REFINEMENT * self.scale * refined

    def draw_noise(self, count: int, generator: torch.Generator) -> Tensor:
        """Noise for so many mels (B, 16, H, W)."""
        return torch.randn(count, *self.noise.shape[1:], generator=generator, device=self.noise.device)

    def features(self, pitch: Tensor) -> Tensor | None:
        """What each band is to the pitch (B,), (B, F, M); None for a model without pitch."""
        return self.axis.features(pitch) if self.axis else None

    @torch.no_grad()
    def initialise(self, mel: Tensor, pitch: Tensor) -> None:
        """Set the linear path to the principal components of mel (N, M, L) at pitch (N,), N >= 1."""
        highest = mel.amax() if self.axis else mel.amax(dim=(0, 2))[:, None]
        self.ceiling.copy_(highest + CEILING_MARGIN)
        rows = self._to_rows(mel.clamp(min=self.mel_floor), pitch)
        basis = principal_components(rows.flatten(1), self.latent_dim)
        self.mean.copy_(basis.mean.unflatten(0, self.mean.shape))
        self.scale.copy_(basis.scale)
        self.analysis.zero_()
        self.analysis[: len(basis.analysis)] = basis.analysis
        self.linear.weight.zero_()
        self.linear.bias.zero_()
        self.linear.weight[:, : len(basis.analysis)] = basis.synthesis

    @torch.no_grad()
    def drop_components(self, which: Tensor) -> None:
        """Take components (D,) bool out of the linear path; w is 0 there from now on."""
        self.analysis[which] = 0
        self.linear.weight[:, which] = 0

    def _to_rows(self, mel: Tensor, pitch: Tensor) -> Tensor:
        return self.axis.fit_rows(mel, pitch) if self.axis else mel

    def known_pitch(self, pitch: Tensor) -> Tensor:
        """Pitch (B,) as the networks see it: NaN for a model without."""
        return pitch if self.axis else torch.full_like(pitch, torch.nan)
