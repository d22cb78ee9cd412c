"""The training task of the VAE: settings, losses, validation and bundle."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from audio_gen.artefacts.bundle import Bundle
from audio_gen.audio.mel import MelSpec
from audio_gen.config import Depth, MelFloor, NotNegative, Settings, Share, TrainSettings, Width
from audio_gen.data.dataset import Batch, ClipDataset
from audio_gen.data.store import Cache
from audio_gen.losses.latent import active_dimensions, kl_divergence
from audio_gen.losses.spectral import difference_l1, mel_l1
from audio_gen.models.blocks import GROUPS
from audio_gen.models.codecs.vae import VAE
from audio_gen.models.contract import Conditions
from audio_gen.models.priors.neighbours import NeighbourPrior
from audio_gen.models.registry import Part
from audio_gen.training.task import Loss, Phase, Preview
from audio_gen.training.tasks.mels import MelData
from audio_gen.training.tasks.outliers import drop_outliers
from audio_gen.training.tasks.settings import RunConfig
from audio_gen.training.tasks.start import load_some
from audio_gen.training.tasks.time_axis import TimeAxis

Channels = Annotated[Width, Field(multiple_of=GROUPS)]
DENSITY_CLIPS, QUICK_DENSITY_CLIPS = 8192, 512


class VAENet(Settings):
    """The network."""

    latent_dim: Width = 128
    """Dimensions of z."""
    channels: Annotated[tuple[Channels, ...], Field(min_length=1)] = (32, 64, 96, 128)
    """Channels of each stage; each stage halves the resolution."""
    blocks: Depth = 1
    """Residual blocks per stage."""
    mel_floor: MelFloor = -9.0
    """Nats below which a log-mel counts as silence."""
    use_class: bool = True
    """Condition on the class if the folder has classes."""
    use_pitch: bool = True
    """Condition on the pitch if most clips have one."""
    use_velocity: bool = False
    """Condition on the velocity if most clips have one."""
    time_axis: TimeAxis = "auto"
    """decay: a blend of a short and a long sound is one sound of a length in between; seconds: their mix, for
    sustained sounds; auto: decay if most sounds decay."""


class VAELoss(Settings):
    """Weights and parameters of the losses."""

    mel: NotNegative = 1.0
    """Log-mel L1."""
    delta_time: NotNegative = 0.2
    """L1 of differences from frame to frame: onsets."""
    delta_frequency: NotNegative = 0.2
    """L1 of differences from band to band: partials."""
    kl: NotNegative = 1e-3
    """KL divergence to N(0, I), in nats summed over z."""
    kl_warmup: Share = 0.2
    """Share of the run over which the KL weight rises."""
    free_nats: NotNegative = 0.02
    """KL in nats of each dimension that is free."""
    padding: Annotated[float, Field(gt=0, le=1)] = 0.25
    """Weight of a frame of padding, relative to a frame of sound."""
    linear_lr: Annotated[float, Field(gt=0, le=1)] = 0.03
    """Learning rate of the linear path, relative to the networks'."""


class VAEConfig(RunConfig):
    """A VAE run."""

    model: Literal["vae"] = "vae"
    train: TrainSettings = TrainSettings(steps=3000)
    net: VAENet = VAENet()
    loss: VAELoss = VAELoss()
    augment: Literal["auto"] | Annotated[float, Field(ge=0, le=1)] = "auto"
    """Strength of random gain, tilt, speed (and band shifts, without pitches); auto: stronger for fewer clips."""


class Clips(NamedTuple):
    """Log-mels (B, M, L) of a micro-batch, their frames before the padding (B,), and their conditions."""

    mel: Tensor
    frames: Tensor
    conditions: Conditions


class VAETask:
    """Trains a VAE on the log-mels of clips."""

    retired: Sequence[str] = ()
    generates = True

    def __init__(self, config: VAEConfig, spec: MelSpec, cache: Cache) -> None:
        """Size the network to the cache's classes and pitches."""
        self.config, net = config, config.net
        self.mels = MelData(
            spec, cache, config.data, floor=net.mel_floor, use_class=net.use_class, use_pitch=net.use_pitch,
            use_velocity=net.use_velocity, augment=config.augment, seed=config.train.seed,
            time_axis=net.time_axis,
        )  # fmt: skip
        low, high = self.mels.pitch_range or (None, None)
        self.args: dict[str, Any] = {
            "n_mels": spec.n_mels, "frames": self.mels.frames, "f_min": spec.f_min, "f_max": spec.f_max,
            "latent_dim": net.latent_dim, "channels": list(net.channels), "blocks": net.blocks,
            "n_classes": len(self.mels.classes), "pitch_low": low, "pitch_high": high, "mel_floor": net.mel_floor,
        }  # fmt: skip
        if self.mels.velocity_range:  # otherwise missing, as in runs of earlier versions
            self.args["velocity"] = True
        self.args |= self.mels.decay_args
        self.model: nn.Module
        self.model = self.vae = VAE(**self.args)
        self.modules = nn.ModuleDict({"model": self.vae, "front_end": self.mels.front_end})
        self.segments, self.preroll = self.mels.segments, self.mels.preroll

    def compilable(self) -> Sequence[nn.Module]:
        """No part."""
        return ()

    def initialise(self, train: ClipDataset) -> None:
        """Set the linear path to the principal components of 512 to 1,024 training clips, augmented as in training."""
        self.mels.prepare(train)
        self.vae.initialise(*self.mels.basis())

    def start_from(self, bundle: Bundle, run: Path) -> str | None:
        """Load the weights of a VAE of the same size; drop components with outlying latents."""
        load_some(self.vae, bundle, run, kind="vae", args=self.args, classes=self.mels.classes)
        return drop_outliers(self.vae, bundle, self.mels, run)

    def phases(self) -> list[Phase]:
        """One phase; the linear path moves slowly, since it starts from a PCA."""
        linear = [*self.vae.analysis.parameters(), *self.vae.trunk.linear.parameters()]
        slow = {id(parameter) for parameter in linear}
        rest = [parameter for parameter in self.vae.parameters() if id(parameter) not in slow]
        return [Phase("g", [(linear, self.config.loss.linear_lr), (rest, 1.0)])]

    def begin(self, batch: Batch, generator: torch.Generator) -> Clips:
        """The log-mels of clips, augmented."""
        return Clips(*self.mels.augmented(batch, generator), self.mels.conditions(batch))

    def loss(self, phase: str, shared: Clips, generator: torch.Generator, progress: float) -> Loss:
        """Reconstruction from a posterior sample, and the KL, whose weight ramps up."""
        mel, frames, conditions = shared
        posterior = self.vae.encode(mel, conditions)
        mu, logvar = posterior.mean, posterior.logvar
        assert logvar is not None
        noise = torch.randn(mu.shape, generator=generator, device=mu.device)
        decoded = self.vae.decode_raw(posterior.sample(noise), conditions).float()
        floor, w = self.config.net.mel_floor, self.config.loss
        rise = min(1.0, progress / w.kl_warmup) if w.kl_warmup else 1.0
        return Loss(
            {
                "mel": (mel_l1(decoded, mel, floor, self.mels.frame_weights(frames, w.padding)), w.mel),
                "delta_time": (difference_l1(decoded, mel, floor, -1), w.delta_time),
                "delta_frequency": (difference_l1(decoded, mel, floor, -2), w.delta_frequency),
                "kl": (kl_divergence(mu.float(), logvar.float(), w.free_nats), w.kl * rise),
            }
        )

    def after_step(self, statistics: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Nothing."""
        return {}

    def after_validation(self, figures: Mapping[str, float]) -> None:
        """Nothing."""

    def validate(self, model: VAE, batches: Iterable[Batch]) -> dict[str, float]:
        """Held-out log-mel L1 in nats over the frames of sound, KL, and active dimensions."""
        errors, mus, logvars = [], [], []
        for batch in batches:
            mel, conditions = self.mels.front_end(batch.wav), self.mels.conditions(batch)
            posterior = model.encode(mel, conditions)
            errors.append(self.mels.mel_l1(model.decode(posterior.mean, conditions), mel, batch))
            assert posterior.logvar is not None
            mus.append(posterior.mean)
            logvars.append(posterior.logvar)
        mu, logvar = torch.cat(mus), torch.cat(logvars)
        return {
            "mel_l1": float(torch.cat(errors).mean()),
            "kl": float(kl_divergence(mu, logvar)),
            "active_dimensions": float(active_dimensions(mu)),
        }

    def preview(self, model: VAE, batch: Batch) -> Preview:
        """Real, reconstructed and sampled clips."""
        mel, conditions = self.mels.front_end(batch.wav).clamp(min=model.mel_floor), self.mels.conditions(batch)
        reconstructed = model.decode(model.encode(mel, conditions).mean, conditions)
        density = self._density(model, QUICK_DENSITY_CLIPS)
        sampled = torch.cat(list(self.mels.drawn(model, density, conditions, self.config.train.seed)))
        return self.mels.preview(batch, {"real": mel, "reconstructed": reconstructed, "sampled": sampled})

    def copy(self, wav: Tensor) -> Tensor:
        """Copy-synthesis of wav (B, 1, T) with the fast vocoder."""
        return self.mels.copy(wav)

    def generate(self, model: VAE, count: int, seed: int) -> Tensor:
        """Clips from the current density of the latents."""
        return self.mels.generate(model, self._density(model, min(QUICK_DENSITY_CLIPS, 4 * count)), count, seed)

    @torch.no_grad()
    def _density(self, model: VAE, limit: int) -> NeighbourPrior:
        """The density of the latents of up to `limit` training clips, augmented as in training."""
        device, count = next(model.parameters()).device, self.mels.draw_count(limit)
        parts: list[tuple[Tensor, Conditions, Tensor]] = []
        for mel, batch in self.mels.draws(count, device):
            conditions = self.mels.conditions(batch)
            parts.append((model.encode(mel, conditions).mean, conditions, batch.index))
        z, index = (torch.cat([part[i] for part in parts])[:count].cpu() for i in (0, 2))  # type: ignore[misc]
        conditions = Conditions.join([part[1] for part in parts])[:count].to("cpu")
        return NeighbourPrior.fit(z, conditions, index, weights=model.trunk.distance_weights())

    def bundle(self, model: VAE) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """The averaged weights, and the density of the latents of training clips, augmented as in training."""
        density = self._density(model, DENSITY_CLIPS)
        return self.mels.bundle(
            codec=Part("vae", self.args, model.state_dict()),
            prior=Part("neighbours", density.args, density.state_dict()),
        )
