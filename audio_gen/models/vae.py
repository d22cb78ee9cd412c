"""The VAE: a clip's log-mel <-> one global latent z, given class and pitch where they are known."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from audio_gen.models.basis import principal_components
from audio_gen.models.layers import AdaptiveNorm2d, ResBlock2d
from audio_gen.models.pitch import FEATURES, HarmonicAxis

PATCH = 4
CEILING = 6.0  # nats; no log-mel of a sound below full scale is higher
CEILING_MARGIN = 0.5


class VAE(nn.Module):
    """A linear autoencoder, set to the data's principal components, with convolutional networks that refine it.

    The linear path makes the first step of training as good as PCA, which small folders and short budgets live on; the
    networks start at zero beside it. With pitch labels the linear path works on the harmonic axis (`HarmonicAxis`).
    Source: Kingma and Welling 2014; AdaLN conditioning from Peebles and Xie 2023.
    """

    mean: Tensor
    scale: Tensor
    ceiling: Tensor

    def __init__(
        self,
        *,
        n_mels: int,
        frames: int,
        f_min: float,
        f_max: float,
        latent_dim: int = 128,
        channels: tuple[int, ...] = (32, 64, 96, 128),
        blocks: int = 1,
        n_classes: int = 0,
        pitch_low: float | None = None,
        pitch_high: float | None = None,
        mel_floor: float = -9.0,
        condition_dim: int = 64,
    ) -> None:
        """A model of log-mel (B, n_mels, frames); `f_min` and `f_max` in Hz, pitches in MIDI, `mel_floor` in nats."""
        super().__init__()
        self.n_mels, self.frames, self.latent_dim, self.mel_floor = n_mels, frames, latent_dim, mel_floor
        self.axis = None
        if pitch_low is not None and pitch_high is not None:
            self.axis = HarmonicAxis(
                n_mels=n_mels, f_min=f_min, f_max=f_max, pitch_low=pitch_low, pitch_high=pitch_high
            )
        self.class_embedding = nn.Embedding(n_classes + 1, condition_dim) if n_classes else None
        if self.class_embedding is not None:
            nn.init.normal_(self.class_embedding.weight, std=0.1)
        rows = self.axis.rows if self.axis else n_mels
        self.register_buffer("mean", torch.zeros(rows, frames))
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("ceiling", torch.full((n_mels, 1), CEILING))
        self.linear_in = nn.Linear(rows * frames, latent_dim)
        self.linear_out = nn.Linear(latent_dim, rows * frames)
        features = FEATURES if self.axis else 0
        dim = condition_dim if self.class_embedding is not None else 0
        self.encoder = Encoder(
            n_mels=n_mels, frames=frames, channels=channels, blocks=blocks, out_dim=2 * latent_dim, features=features,
            condition_dim=dim,
        )  # fmt: skip
        self.decoder = Decoder(
            n_mels=n_mels, frames=frames, channels=channels, blocks=blocks, in_dim=latent_dim + dim, features=features
        )

    def encode(self, mel: Tensor, class_id: Tensor, pitch: Tensor) -> tuple[Tensor, Tensor]:
        """The posterior of z.

        Args:
            mel: Log-mel in nats (B, M, L) with L = frames.
            class_id: Class numbers (B,), -1 where there is none.
            pitch: MIDI pitches (B,), NaN where there is none.

        Returns:
            mu and logvar, each (B, D).
        """
        mel = mel.clamp(min=self.mel_floor)
        rows = (self._to_rows(mel, pitch) - self.mean) / self.scale
        hidden = self.encoder((mel - self.mel_floor) / self.scale - 1, self._features(pitch), self._condition(class_id))
        delta, logvar = hidden.chunk(2, dim=1)
        return self.linear_in(rows.flatten(1)) + delta, (logvar - 4).clamp(-12, 4)

    def decode(self, z: Tensor, class_id: Tensor, pitch: Tensor) -> Tensor:
        """z (B, D), class_id (B,), pitch (B,) as for `encode` -> log-mel (B, M, L) in nats.

        It is nowhere below `mel_floor`, and hardly above what its band had in training.
        """
        mel = self.decode_raw(z, class_id, pitch)
        return torch.minimum(mel, self.ceiling).clamp(min=self.mel_floor)

    def decode_raw(self, z: Tensor, class_id: Tensor, pitch: Tensor) -> Tensor:
        """As `decode`, but not clamped, so that the loss has a gradient everywhere."""
        rows = self.linear_out(z).unflatten(1, self.mean.shape) * self.scale + self.mean  # (B, rows, L)
        mel = self.axis.to_mel(rows, pitch) if self.axis else rows
        condition = self._condition(class_id)
        refined = self.decoder(z if condition is None else torch.cat([z, condition], dim=1), self._features(pitch))
        return mel + self.scale * refined

    @torch.no_grad()
    def initialise(self, mel: Tensor, pitch: Tensor) -> None:
        """Set normalisation and the linear path to the principal components of mel (N, M, L) at pitch (N,), N >= 1.

        z is whitened: each component has unit variance over the clips given.
        """
        # With pitches a partial may come where no clip had one, so all bands share one ceiling.
        highest = mel.amax() if self.axis else mel.amax(dim=(0, 2))[:, None]
        self.ceiling.copy_(highest + CEILING_MARGIN)
        rows = self._to_rows(mel.clamp(min=self.mel_floor), pitch)
        basis = principal_components(rows.flatten(1), self.latent_dim)
        self.mean.copy_(basis.mean.unflatten(0, self.mean.shape))
        self.scale.copy_(basis.scale)
        for parameter in (self.linear_in.weight, self.linear_in.bias, self.linear_out.weight, self.linear_out.bias):
            parameter.zero_()
        self.linear_in.weight[: len(basis.analysis)] = basis.analysis
        self.linear_out.weight[:, : len(basis.analysis)] = basis.synthesis

    @torch.no_grad()
    def drop_components(self, which: Tensor) -> None:
        """Take components (D,) bool out of the linear path; mu is 0 there from now on."""
        for layer in (self.linear_in, self.encoder.head):
            layer.weight[: len(which)][which] = 0  # the head's other rows are for logvar
            layer.bias[: len(which)][which] = 0
        self.linear_out.weight[:, which] = 0

    def _to_rows(self, mel: Tensor, pitch: Tensor) -> Tensor:
        return self.axis.to_rows(mel, pitch) if self.axis else mel

    def _features(self, pitch: Tensor) -> Tensor | None:
        return self.axis.features(pitch) if self.axis else None

    def _condition(self, class_id: Tensor) -> Tensor | None:
        return self.class_embedding(class_id + 1) if self.class_embedding is not None else None  # row 0: no class


def stage_sizes(n_mels: int, frames: int, stages: int) -> list[tuple[int, int]]:
    """Height and width at each stage: patches, then halves, rounded up."""
    sizes = [(-(-n_mels // PATCH), -(-frames // PATCH))]
    for _ in range(stages - 1):
        sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
    return sizes


def pad_to(x: Tensor, height: int, width: int) -> Tensor:
    """Repeat the last row and column of x (B, C, H, W) up to (height, width)."""
    return F.pad(x, (0, width - x.shape[-1], 0, height - x.shape[-2]), mode="replicate")


def patched(project: nn.Module, features: Tensor, height: int) -> Tensor:
    """Features of bands (B, F, M) as an image of patches (B, C, height, 1), through `project` from F * PATCH to C."""
    padded = F.pad(features, (0, PATCH * height - features.shape[-1]))
    patches = padded.unflatten(2, (-1, PATCH)).permute(0, 2, 1, 3).flatten(2)  # (B, H, F * PATCH)
    return project(patches).transpose(1, 2)[..., None]


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
    """The encoder's mirror; z and class steer every block, and the output starts at zero."""

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
