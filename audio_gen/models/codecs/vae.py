"""The VAE: a clip's log-mel <-> one latent z of the whole clip."""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from audio_gen.models.blocks import (
    PATCH,
    SCALAR_INPUTS,
    AdaptiveNorm2d,
    ResBlock2d,
    pad_to,
    patched,
    pitch_inputs,
    stage_sizes,
    velocity_inputs,
)
from audio_gen.models.codecs.gan import REFINEMENT, Synthesis, noise_like
from audio_gen.models.codecs.trunk import Trunk, TrunkCodec
from audio_gen.models.contract import CLASS, PITCH, VELOCITY, Conditions, LatentShape, Posterior
from audio_gen.models.earlier import VAE_KEYS, rename_on_load
from audio_gen.models.pitch_axis import FEATURES


class VAE(TrunkCodec):
    """A linear autoencoder of the data's principal components, refined by convolutional networks.

    The linear path makes training start as good as PCA, which suits small folders and short budgets; the networks start
    at zero. With grain, the decoder is the GAN's: noise at full resolution gives the texture of noisy sounds.
    Source: Kingma and Welling 2014; AdaLN conditioning from Peebles and Xie 2023.
    """

    noise: Tensor
    has_encoder = True

    def __init__(
        self,
        *,
        n_mels: int,
        frames: int,
        f_min: float,
        f_max: float,
        latent_dim: int,
        channels: tuple[int, ...],
        blocks: int,
        mel_floor: float,
        n_classes: int = 0,
        pitch_low: float | None = None,
        pitch_high: float | None = None,
        velocity: bool = False,
        condition_dim: int = 64,
        grain: bool = False,
        decay_onset: float | None = None,
        decay_attack: float = 0.0,
        stereo_bands: int = 0,
    ) -> None:
        """A codec of log-mel (B, n_mels, frames).

        `f_min` and `f_max` are in Hz, pitches in MIDI, `mel_floor` in nats; with `velocity` it also takes velocities.
        With `grain` the decoder takes noise; earlier bundles lack it.
        `decay_onset` and `decay_attack`, in frames, are those of a `DecayAxis`; None for none.
        `stereo_bands` are those of the mel.
        """
        super().__init__()
        self.frames, self.mel_floor, self.grain = frames, mel_floor, grain
        self.latent = LatentShape(latent_dim)
        self.class_embedding = nn.Embedding(n_classes + 1, condition_dim) if n_classes else None
        if self.class_embedding is not None:
            nn.init.normal_(self.class_embedding.weight, std=0.1)
        self.trunk = Trunk(
            n_mels=n_mels, frames=frames, f_min=f_min, f_max=f_max, latent_dim=latent_dim, pitch_low=pitch_low,
            pitch_high=pitch_high, mel_floor=mel_floor, exact_rows=grain, decay_onset=decay_onset,
            decay_attack=decay_attack, stereo_bands=stereo_bands,
        )  # fmt: skip
        known = {CLASS: n_classes > 0, PITCH: self.trunk.axis is not None, VELOCITY: velocity}
        self.conditions = tuple(name for name, takes in known.items() if takes)
        self.analysis = nn.Linear(self.trunk.size, latent_dim)
        features = FEATURES if self.trunk.axis else 0
        dim = (condition_dim if n_classes else 0) + (SCALAR_INPUTS if velocity else 0)
        self.encoder = Encoder(
            n_mels=self.trunk.rows, frames=frames, channels=tuple(channels), blocks=blocks, out_dim=2 * latent_dim,
            features=features, condition_dim=dim,
        )  # fmt: skip
        size: dict[str, Any] = {
            "n_mels": self.trunk.rows, "frames": frames, "channels": tuple(channels), "blocks": blocks,
            "features": features,
        }  # fmt: skip
        self.decoder: Decoder | Synthesis
        self.decoder_class_embedding = None
        if grain:  # the encoder can be fixed while the decoder trains
            self.decoder_class_embedding = copy.deepcopy(self.class_embedding)
            self.decoder = Synthesis(w_dim=latent_dim + dim + SCALAR_INPUTS, **size)
            self.register_buffer("noise", self.decoder.fixed_noise())
        else:
            self.decoder = Decoder(in_dim=latent_dim + dim, **size)
        rename_on_load(self, VAE_KEYS)

    def encode(self, mel: Tensor, conditions: Conditions) -> Posterior:
        """The posterior of z (B, 1, D) for log-mel (B, M, L) in nats, L = frames."""
        mel, pitch = mel.clamp(min=self.trunk.floor), self.trunk.pitch(conditions)
        image = (mel - self.mel_floor) / self.trunk.scale - 1
        hidden = self.encoder(image, self.trunk.features(pitch), self._condition(conditions, self.class_embedding))
        delta, logvar = hidden.chunk(2, dim=1)
        mean = self.trunk.encode(mel, pitch, lambda rows: self.analysis(rows) + delta)
        return Posterior(mean[:, None], (logvar - 4).clamp(-12, 4)[:, None])

    def decode(self, z: Tensor, conditions: Conditions) -> Tensor:
        """z (B, 1, D) -> log-mel (B, M, L) in nats."""
        return self.trunk.limited(self.decode_raw(z, conditions))

    def decode_raw(self, z: Tensor, conditions: Conditions, noise: Tensor | None = None) -> Tensor:
        """As `decode`, but not clamped, so that the loss has a gradient everywhere; `noise` is from `draw_noise`."""
        z, pitch = z[:, 0], self.trunk.pitch(conditions)
        embedding = self.decoder_class_embedding if self.grain else self.class_embedding
        mel, condition = self.trunk.mel(z, pitch), self._condition(conditions, embedding)
        parts = [z, *([pitch_inputs(pitch)] if self.grain else []), *([] if condition is None else [condition])]
        inputs, features = torch.cat(parts, dim=1), self.trunk.features(pitch)
        if isinstance(self.decoder, Decoder):
            return mel + self.trunk.scale * self.decoder(inputs, features)
        styles = inputs[:, None].expand(-1, len(self.decoder.stages), -1)
        refined = self.decoder(styles, features, self.noise if noise is None else noise)
        return mel + REFINEMENT * self.trunk.scale * refined

    def draw_noise(self, count: int, generator: torch.Generator) -> Tensor | None:
        """Noise for `count` mels (B, 16, H, W); None for a model without grain."""
        return noise_like(self.noise, count, generator) if self.grain else None

    def no_noise(self) -> Tensor | None:
        """The noise of an image without grain."""
        return torch.zeros_like(self.noise) if self.grain else None

    @torch.no_grad()
    def initialise(self, mel: Tensor, conditions: Conditions) -> None:
        """Set normalisation and the linear path to the principal components of mel (N, M, L), N >= 1.

        z is whitened: each component has unit variance over these clips.
        """
        basis = self.trunk.fit(mel, self.trunk.pitch(conditions))
        self.analysis.weight.zero_()
        self.analysis.bias.zero_()
        self.analysis.weight[self.trunk.components(basis)] = basis.analysis

    @torch.no_grad()
    def drop_components(self, which: Tensor) -> None:
        """Remove components (D,) bool from the linear path; the posterior's mean is 0 there from now on."""
        for layer in (self.analysis, self.encoder.head):
            layer.weight[: len(which)][which] = 0  # the head's other rows are for logvar
            layer.bias[: len(which)][which] = 0
        self.trunk.drop_components(which)

    def _condition(self, conditions: Conditions, embedding: nn.Embedding | None) -> Tensor | None:
        """Inputs for class and velocity (B, K), if the model has them."""
        device, parts = self.trunk.mean.device, []
        if embedding is not None:
            parts.append(embedding(conditions.get(CLASS, device) + 1))  # row 0: no class
        if VELOCITY in self.conditions:
            parts.append(velocity_inputs(conditions.get(VELOCITY, device)))
        return torch.cat(parts, dim=1) if parts else None


class Encoder(nn.Module):
    """2-D residual network on patches of the mel image; its output starts at zero."""

    def __init__(
        self, *, n_mels: int, frames: int, channels: tuple[int, ...], blocks: int, out_dim: int, features: int,
        condition_dim: int,
    ) -> None:  # fmt: skip
        """From (B, 1 + features, n_mels, frames) and a condition (B, condition_dim) to (B, out_dim)."""
        super().__init__()
        self.sizes = stage_sizes(n_mels, frames, len(channels))
        self.stem = nn.Conv2d(1 + features, channels[0], PATCH, stride=PATCH)
        self.stages = nn.ModuleList()
        self.downs = nn.ModuleList()
        for i, width in enumerate(channels):
            self.stages.append(
                nn.ModuleList(ResBlock2d(channels=width, condition_dim=condition_dim) for _ in range(blocks))
            )
            if i + 1 < len(channels):
                self.downs.append(nn.Conv2d(width, channels[i + 1], 2, stride=2))
        height, width = self.sizes[-1]
        self.head = nn.Linear(channels[-1] * height * width, out_dim)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, mel: Tensor, features: Tensor | None, condition: Tensor | None) -> Tensor:
        """mel (B, M, L) and features (B, K, M) -> (B, out_dim)."""
        x = mel[:, None]
        if features is not None:
            x = torch.cat([x, features[..., None].expand(-1, -1, -1, x.shape[-1])], dim=1)
        x = self.stem(pad_to(x, PATCH * self.sizes[0][0], PATCH * self.sizes[0][1]))
        for i, stage in enumerate(self.stages):
            for block in stage:  # type: ignore[attr-defined]
                x = block(x, condition)
            if i < len(self.downs):
                x = self.downs[i](pad_to(x, 2 * self.sizes[i + 1][0], 2 * self.sizes[i + 1][1]))
        return self.head(F.silu(x).flatten(1))


class Decoder(nn.Module):
    """The mirrored encoder; z and class condition every block, and the output starts at zero."""

    def __init__(
        self, *, n_mels: int, frames: int, channels: tuple[int, ...], blocks: int, in_dim: int, features: int
    ) -> None:
        """From (B, in_dim) to (B, n_mels, frames)."""
        super().__init__()
        self.sizes, self.n_mels, self.frames = stage_sizes(n_mels, frames, len(channels)), n_mels, frames
        height, width = self.sizes[-1]
        self.stem = nn.Linear(in_dim, channels[-1] * height * width)
        self.stages = nn.ModuleList()
        self.ups = nn.ModuleList()
        for i in reversed(range(len(channels))):
            self.stages.append(
                nn.ModuleList(ResBlock2d(channels=channels[i], condition_dim=in_dim) for _ in range(blocks))
            )
            if i:
                self.ups.append(nn.Conv2d(channels[i], channels[i - 1], 1))
        self.features = nn.Linear(features * PATCH, channels[0]) if features else None
        self.norm = AdaptiveNorm2d(channels=channels[0])
        self.head = nn.Conv2d(channels[0], PATCH * PATCH, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        assert self.head.bias is not None
        nn.init.zeros_(self.head.bias)

    def forward(self, z: Tensor, features: Tensor | None) -> Tensor:
        """z (B, in_dim) and features (B, K, M) -> (B, M, L)."""
        height, width = self.sizes[-1]
        x = self.stem(z).unflatten(1, (-1, height, width))
        for i, stage in enumerate(self.stages):
            if i == len(self.stages) - 1 and self.features is not None and features is not None:
                x = x + patched(self.features, features, self.sizes[0][0])
            for block in stage:  # type: ignore[attr-defined]
                x = block(x, z)
            if i < len(self.ups):
                height, width = self.sizes[len(self.sizes) - 2 - i]
                x = F.interpolate(self.ups[i](x), scale_factor=2, mode="nearest")[:, :, :height, :width]
        x = F.pixel_shuffle(self.head(F.silu(self.norm(x))), PATCH)
        return x[:, 0, : self.n_mels, : self.frames]
