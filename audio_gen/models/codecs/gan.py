"""The GAN's generator without its mapping network: w and noise to log-mel."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from audio_gen.models.blocks import (
    PATCH,
    SCALAR_INPUTS,
    ModulatedBlock,
    patched,
    pitch_inputs,
    stage_sizes,
    velocity_inputs,
)
from audio_gen.models.codecs.trunk import Trunk, TrunkCodec
from audio_gen.models.contract import CLASS, PITCH, VELOCITY, Conditions, LatentShape, Posterior
from audio_gen.models.earlier import GAN_KEYS, rename_on_load
from audio_gen.models.pitch_axis import FEATURES

NOISE_SEED = 7
NOISE_CHANNELS = PATCH * PATCH  # white noise at full resolution, a patch in a pixel
REFINEMENT = 0.3  # of the deviation of log-mels: unit of the networks' output, which keeps steps small


class GANCodec(TrunkCodec):
    """A linear path of the data's principal components, refined by convolutions.

    w is in units of the principal components' deviations. The linear path makes the first samples blends of
    neighbouring clips, from where adversarial training starts. Noise at full resolution gives the grain of noisy
    sounds; decoding uses one fixed draw, so that equal w give equal mels. The linear path is the first style layer, and
    each stage of the convolutions is another.
    Source: Huang 2024 (R3GAN); Karras 2019 (styles, noise).
    """

    analysis: Tensor
    noise: Tensor
    has_encoder = False

    def __init__(
        self, *, n_mels: int, frames: int, f_min: float, f_max: float, latent_dim: int,
        channels: tuple[int, ...], blocks: int, mel_floor: float, n_classes: int = 0,
        pitch_low: float | None = None, pitch_high: float | None = None, velocity: bool = False,
        condition_dim: int = 32, decay_onset: float | None = None, decay_attack: float = 0.0,
        stereo_bands: int = 0,
    ) -> None:  # fmt: skip
        """A codec of log-mel (B, n_mels, frames).

        `f_min` and `f_max` are in Hz, pitches in MIDI, `mel_floor` in nats; with `velocity` it also takes velocities.
        `decay_onset` and `decay_attack`, in frames, are those of a `DecayAxis`; None for none.
        `stereo_bands` are those of the mel.
        """
        super().__init__()
        self.frames, self.mel_floor = frames, mel_floor
        self.latent = LatentShape(latent_dim, style_layers=1 + len(channels))
        self.class_embedding = nn.Embedding(n_classes + 1, condition_dim)
        self.trunk = Trunk(
            n_mels=n_mels, frames=frames, f_min=f_min, f_max=f_max, latent_dim=latent_dim, pitch_low=pitch_low,
            pitch_high=pitch_high, mel_floor=mel_floor, exact_rows=True, decay_onset=decay_onset,
            decay_attack=decay_attack, stereo_bands=stereo_bands,
        )  # fmt: skip
        known = {CLASS: n_classes > 0, PITCH: self.trunk.axis is not None, VELOCITY: velocity}
        self.conditions = tuple(name for name, takes in known.items() if takes)
        self.register_buffer("analysis", torch.zeros(latent_dim, self.trunk.size))
        self.synthesis = Synthesis(
            n_mels=self.trunk.rows, frames=frames, channels=tuple(channels), blocks=blocks,
            w_dim=latent_dim + condition_dim + SCALAR_INPUTS * (2 if velocity else 1),
            features=FEATURES if self.trunk.axis else 0,
        )  # fmt: skip
        self.register_buffer("noise", self.synthesis.fixed_noise())
        rename_on_load(self, GAN_KEYS)

    def encode(self, mel: Tensor, conditions: Conditions) -> Posterior:
        """A first estimate of w (B, 1, D) for log-mel (B, M, L): its principal components."""
        mel = mel.clamp(min=self.trunk.floor)
        w = self.trunk.encode(mel, self.trunk.pitch(conditions), lambda rows: rows @ self.analysis.T)
        return Posterior(w[:, None])

    def decode(self, z: Tensor, conditions: Conditions) -> Tensor:
        """w (B, 1, D), or (B, K, D) with one per style layer -> log-mel (B, M, L) in nats."""
        return self.trunk.limited(self.decode_raw(z, conditions))

    def decode_raw(self, z: Tensor, conditions: Conditions, noise: Tensor | None = None) -> Tensor:
        """As `decode`, but not clamped, so that losses have a gradient everywhere; `noise` is from `draw_noise`."""
        conditions = conditions.subset(self.conditions)
        w, pitch = self.latent.per_layer(z), self.trunk.pitch(conditions)
        mel = self.trunk.mel(w[:, 0], pitch)
        class_id = conditions.get(CLASS, pitch.device)
        parts = [self.class_embedding(class_id + 1), pitch_inputs(pitch)]
        if VELOCITY in self.conditions:
            parts.append(velocity_inputs(conditions.get(VELOCITY, pitch.device)))
        known = torch.cat(parts, dim=1)
        styles = torch.cat([w[:, 1:], known[:, None].expand(-1, self.latent.style_layers - 1, -1)], dim=2)
        refined = self.synthesis(styles, self.trunk.features(pitch), self.noise if noise is None else noise)
        return mel + REFINEMENT * self.trunk.scale * refined

    def draw_noise(self, count: int, generator: torch.Generator) -> Tensor:
        """Noise for `count` mels (B, 16, H, W)."""
        return noise_like(self.noise, count, generator)

    @torch.no_grad()
    def initialise(self, mel: Tensor, conditions: Conditions) -> None:
        """Set the linear path to the principal components of mel (N, M, L), N >= 1."""
        basis = self.trunk.fit(mel, self.trunk.pitch(conditions))
        self.analysis.zero_()
        self.analysis[self.trunk.components(basis)] = basis.analysis

    @torch.no_grad()
    def drop_components(self, which: Tensor) -> None:
        """Remove components (D,) bool from the linear path; w is 0 there from now on."""
        self.analysis[which] = 0
        self.trunk.drop_components(which)


class Synthesis(nn.Module):
    """Convolutions from coarse to fine: one w per stage, noise at the finest, and an output that starts at zero.

    Noise enters the finest features and, scaled by these, the output. Without it the network would imitate noisy sounds
    by a texture of equal patches.
    """

    def __init__(
        self, *, n_mels: int, frames: int, channels: tuple[int, ...], blocks: int, w_dim: int, features: int
    ) -> None:
        """From one w (B, w_dim) per stage of `channels` to (B, n_mels, frames)."""
        super().__init__()
        self.sizes, self.n_mels, self.frames = stage_sizes(n_mels, frames, len(channels)), n_mels, frames
        height, width = self.sizes[-1]
        self.stem = nn.Linear(w_dim, channels[-1] * height * width)
        self.stages, self.ups = nn.ModuleList(), nn.ModuleList()
        for i in reversed(range(len(channels))):
            self.stages.append(nn.ModuleList(ModulatedBlock(channels=channels[i], w_dim=w_dim) for _ in range(blocks)))
            if i:
                self.ups.append(nn.Conv2d(channels[i], channels[i - 1], 1))
        self.features = nn.Linear(features * PATCH, channels[0]) if features else None
        self.noise = nn.Conv2d(NOISE_CHANNELS, channels[0], 1, bias=False)
        self.head = nn.Conv2d(channels[0], PATCH * PATCH, 3, padding=1)
        self.grain = nn.Conv2d(channels[0], PATCH * PATCH, 1)
        for last in (self.head, self.grain):
            nn.init.zeros_(last.weight)
            assert last.bias is not None
            nn.init.zeros_(last.bias)
        self.register_load_state_dict_pre_hook(_without_grain)

    def fixed_noise(self) -> Tensor:
        """The noise (1, 16, H, W) of decoded clips, the same for all models of a size."""
        generator = torch.Generator().manual_seed(NOISE_SEED)
        return torch.randn(1, NOISE_CHANNELS, *self.sizes[0], generator=generator)

    def forward(self, w: Tensor, features: Tensor | None, noise: Tensor) -> Tensor:
        """w (B, K, w_dim) for K stages, features (B, F, M), noise (B or 1, 16, H, W) -> (B, M, L)."""
        height, width = self.sizes[-1]
        x = self.stem(w[:, 0]).unflatten(1, (-1, height, width))
        for i, stage in enumerate(self.stages):
            if i == len(self.stages) - 1:
                x = x + self.noise(noise)
                if self.features is not None and features is not None:
                    x = x + patched(self.features, features, self.sizes[0][0])
            for block in stage:  # type: ignore[attr-defined]
                x = block(x, w[:, i])
            if i < len(self.ups):
                height, width = self.sizes[len(self.sizes) - 2 - i]
                x = F.interpolate(self.ups[i](x), scale_factor=2, mode="nearest")[:, :, :height, :width]
        x = F.silu(x)
        patches = torch.addcmul(self.head(x), self.grain(x), noise)
        return F.pixel_shuffle(patches, PATCH)[:, 0, : self.n_mels, : self.frames]


def noise_like(noise: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """New noise (B, 16, H, W) for `count` clips, of the size of `noise`."""
    return torch.randn(count, *noise.shape[1:], generator=generator, device=noise.device)


def _without_grain(module: nn.Module, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    """Load weights of versions without grain: zero, its initial value."""
    assert isinstance(module, Synthesis)
    for name, value in module.grain.state_dict().items():
        state.setdefault(f"{prefix}grain.{name}", torch.zeros_like(value))
