"""The VAE's task: its settings, losses, validation and bundle."""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from audio_gen.audio.inversion import GriffinLimVocoder
from audio_gen.audio.mel import LOG_FLOOR, MelFrontEnd, MelSpec
from audio_gen.config import Count, RunConfig, Settings, Share, TrainSettings
from audio_gen.data.augment import augment_mel, auto_strength
from audio_gen.data.dataset import Batch, ClipDataset
from audio_gen.data.store import Cache
from audio_gen.losses.latent import active_dimensions, kl_divergence
from audio_gen.losses.spectral import difference_l1, mel_l1
from audio_gen.models.density import LatentDensity
from audio_gen.models.vae import VAE
from audio_gen.training.task import Phase, Preview

BASIS_CLIPS, DENSITY_CLIPS, ENCODE_BATCH = 1024, 8192, 64
MIN_BASIS_CLIPS = 512  # fewer are drawn again, changed
MIN_PITCHED_SHARE = 0.5
QUICK_DENSITY_CLIPS, QUICK_BATCH, QUICK_ITERATIONS = 512, 32, 4


class VAENet(Settings):
    """The network."""

    latent_dim: Count = 128
    """Dimensions of z."""
    channels: tuple[Count, ...] = (32, 64, 96, 128)
    """Channels of each stage, each at half the resolution of the one before."""
    blocks: Count = 1
    """Residual blocks a stage."""
    mel_floor: float = -9.0
    """Nats below which a log-mel counts as silence."""
    use_class: bool = True
    """Condition on the class where the folder has classes."""
    use_pitch: bool = True
    """Condition on the pitch where most clips have one."""


class VAELoss(Settings):
    """Weights of the losses, and what shapes them."""

    mel: float = 1.0
    """Log-mel L1."""
    delta_time: float = 0.2
    """L1 of differences from frame to frame: onsets."""
    delta_frequency: float = 0.2
    """L1 of differences from band to band: partials."""
    kl: float = 1e-3
    """KL divergence to N(0, I), in nats summed over z."""
    kl_warmup: Share = 0.2
    """Share of the run over which the KL weight rises."""
    free_nats: Annotated[float, Field(ge=0)] = 0.02
    """Nats that each dimension may cost for nothing."""
    padding: Annotated[float, Field(gt=0, le=1)] = 0.25
    """What a frame of padding counts beside a frame of sound."""
    linear_lr: Annotated[float, Field(gt=0, le=1)] = 0.03
    """Learning rate of the linear path over that of the networks."""


class VAEConfig(RunConfig):
    """A VAE run."""

    model: Literal["vae"] = "vae"
    train: TrainSettings = TrainSettings(steps=3000)
    net: VAENet = VAENet()
    loss: VAELoss = VAELoss()
    augment: Literal["auto"] | Annotated[float, Field(ge=0, le=1)] = "auto"
    """How strongly gain, tilt, speed (and bands, without pitches) are changed; auto: the fewer clips the more."""


class VAETask:
    """Trains a VAE on the log-mels of clips."""

    def __init__(self, config: VAEConfig, spec: MelSpec, cache: Cache) -> None:
        """Size the network to the cache's classes and pitches."""
        self.config, self.spec, self.cache = config, spec, cache
        self.frames = max(1, round(config.data.segment_sec * spec.frame_rate))
        pitched = sum(clip.pitch is not None for clip in cache.clips) >= MIN_PITCHED_SHARE * len(cache.clips)
        self.pitch_range = cache.pitch_range if config.net.use_pitch and pitched else None
        self.classes = cache.classes if config.net.use_class and len(cache.classes) > 1 else []
        low, high = self.pitch_range or (None, None)
        self.args: dict[str, Any] = {
            "n_mels": spec.n_mels, "frames": self.frames, "f_min": spec.f_min, "f_max": spec.f_max,
            "latent_dim": config.net.latent_dim, "channels": list(config.net.channels), "blocks": config.net.blocks,
            "n_classes": len(self.classes), "pitch_low": low, "pitch_high": high, "mel_floor": config.net.mel_floor,
        }  # fmt: skip
        self.vae = VAE(**self.args)
        self.front_end = MelFrontEnd(spec)
        self._modules = nn.ModuleDict({"model": self.vae, "front_end": self.front_end})

    @property
    def model(self) -> nn.Module:
        """The VAE."""
        return self.vae

    @property
    def modules(self) -> nn.ModuleDict:
        """The VAE and the front end."""
        return self._modules

    @property
    def makes_clips(self) -> bool:
        """A VAE does."""
        return True

    def segments(self) -> tuple[int, int]:
        """Samples of a training and of a validation clip."""
        return self.spec.samples(self.frames), self.spec.samples(self.frames)

    def initialise(self, train: ClipDataset) -> None:
        """Set the linear path to the principal components of 512 to 1,024 training clips, augmented as in training."""
        self.train = train
        self.strength = auto_strength(len(train)) if self.config.augment == "auto" else self.config.augment
        count = min(BASIS_CLIPS, max(MIN_BASIS_CLIPS if self.strength else 1, len(train)))
        generator = torch.Generator().manual_seed(self.config.train.seed)
        batches = [train.batch(i, ENCODE_BATCH) for i in range(-(-count // ENCODE_BATCH))]
        mel = torch.cat([self._augmented(batch, generator)[0] for batch in batches])[:count]
        self.vae.initialise(mel, torch.cat([batch.pitch for batch in batches])[:count])

    def phases(self) -> list[Phase]:
        """One phase; the linear path moves slowly, since it starts where it should be."""
        linear = [*self.vae.linear_in.parameters(), *self.vae.linear_out.parameters()]
        slow = {id(parameter) for parameter in linear}
        rest = [parameter for parameter in self.vae.parameters() if id(parameter) not in slow]
        return [Phase("g", [(linear, self.config.loss.linear_lr), (rest, 1.0)])]

    def weights(self, phase: str, progress: float) -> Mapping[str, float]:
        """The weights of the losses; that of the KL rises first."""
        w = self.config.loss
        rise = min(1.0, progress / w.kl_warmup) if w.kl_warmup else 1.0
        return {"mel": w.mel, "delta_time": w.delta_time, "delta_frequency": w.delta_frequency, "kl": w.kl * rise}

    def losses(self, phase: str, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Reconstruction through a sample of the posterior, and its KL."""
        mel, frames = self._augmented(batch, generator)
        mu, logvar = self.vae.encode(mel, *self._conditions(batch))
        noise = torch.randn(mu.shape, generator=generator, device=mu.device)
        made = self.vae.decode_raw(mu + noise * (logvar / 2).exp(), *self._conditions(batch)).float()
        floor = self.config.net.mel_floor
        return {
            "mel": mel_l1(made, mel, floor, self._frame_weights(frames, self.config.loss.padding)),
            "delta_time": difference_l1(made, mel, floor, -1),
            "delta_frequency": difference_l1(made, mel, floor, -2),
            "kl": kl_divergence(mu.float(), logvar.float(), self.config.loss.free_nats),
        }

    def validate(self, model: nn.Module, batches: Iterable[Batch]) -> dict[str, float]:
        """Held-out log-mel L1 in nats over the frames of sound, and what the latent does."""
        assert isinstance(model, VAE)
        errors, mus, logvars = [], [], []
        for batch in batches:
            mel = self.front_end(batch.wav)
            mu, logvar = model.encode(mel, *self._conditions(batch))
            made = model.decode(mu, *self._conditions(batch))
            frames = self._frame_weights(self._used_frames(batch), 0.0)
            target = mel.clamp(min=model.mel_floor)
            errors.append(((made - target).abs().mean(1) * frames).sum(1) / frames.sum(1))
            mus.append(mu)
            logvars.append(logvar)
        mu, logvar = torch.cat(mus), torch.cat(logvars)
        return {
            "mel_l1": float(torch.cat(errors).mean()),
            "kl": float(kl_divergence(mu, logvar)),
            "active_dimensions": float(active_dimensions(mu)),
        }

    def preview(self, model: nn.Module, batch: Batch) -> Preview:
        """Real, reconstructed and sampled clips beside each other."""
        assert isinstance(model, VAE)
        mel = self.front_end(batch.wav).clamp(min=model.mel_floor)
        conditions = self._conditions(batch)
        made = model.decode(model.encode(mel, *conditions)[0], *conditions)
        density = self._density(model, QUICK_DENSITY_CLIPS)
        sampled = torch.cat(list(self._drawn(model, density, *conditions, self.config.train.seed)))
        speak = GriffinLimVocoder(self.spec, iterations=16)
        sounds: dict[str, Tensor] = {}
        columns: list[tuple[str, Tensor]] = []
        for i in range(len(mel)):
            sounds[f"{i}-real"] = batch.wav[i]
            sounds[f"{i}-reconstructed"] = speak(made[i : i + 1])[0]
            sounds[f"{i}-sampled"] = speak(sampled[i : i + 1])[0]
            columns += [(f"{i} real", mel[i]), (f"{i} reconstructed", made[i]), (f"{i} sampled", sampled[i])]
        return Preview(self.spec.sample_rate, sounds, {"clips": columns})

    @torch.no_grad()
    def make(self, model: nn.Module, count: int, seed: int) -> Tensor:
        """Clips from the density of the latents as it is now."""
        assert isinstance(model, VAE)
        density = self._density(model, min(QUICK_DENSITY_CLIPS, 4 * count))
        anything = (torch.full((count,), -1), torch.full((count,), math.nan))
        return torch.cat([self._quickly(mel) for mel in self._drawn(model, density, *anything, seed)])

    def _drawn(
        self, model: VAE, density: LatentDensity, class_id: Tensor, pitch: Tensor, seed: int
    ) -> Iterator[Tensor]:
        """Log-mels (b, M, L), a few at a time, of one draw for each of class_id (B,) and pitch (B,); -1, NaN: any."""
        device = next(model.parameters()).device
        for rows in torch.arange(len(class_id)).split(QUICK_BATCH):
            draws = []
            for i in rows.tolist():
                generator = torch.Generator().manual_seed(seed + i)
                condition = density.draw_condition(generator, int(class_id[i]), float(pitch[i]))
                draws.append((density.sample(generator, *condition), *condition))
            z, classes, pitches = zip(*draws, strict=True)
            yield model.decode(torch.stack(z).to(device), torch.tensor(classes, device=device),
                               torch.tensor(pitches, dtype=torch.float32, device=device))  # fmt: skip

    @torch.no_grad()
    def copy(self, wav: Tensor) -> Tensor:
        """Copy-synthesis through the mel and a few iterations of Griffin-Lim."""
        return torch.cat([self._quickly(self.front_end(part)) for part in wav.split(QUICK_BATCH)])

    def _quickly(self, mel: Tensor) -> Tensor:
        """Log-mel (B, M, L) -> wav (B, 1, T) on the CPU; what lies at the model's floor is silence."""
        speak = GriffinLimVocoder(self.spec, iterations=QUICK_ITERATIONS)
        return speak(mel.masked_fill(mel <= self.config.net.mel_floor, LOG_FLOOR)).cpu()

    @torch.no_grad()
    def _density(self, model: VAE, limit: int) -> LatentDensity:
        """The density of the latents of up to `limit` training clips, augmented as in training."""
        device = next(model.parameters()).device
        generator = torch.Generator(device).manual_seed(self.config.train.seed)
        count = min(limit, max(MIN_BASIS_CLIPS if self.strength else 1, len(self.train)))
        parts: list[tuple[Tensor, ...]] = []
        for i in range(-(-count // ENCODE_BATCH)):
            batch = self.train.batch(i, min(ENCODE_BATCH, count)).to(device)
            conditions = self._conditions(batch)
            mu = model.encode(self._augmented(batch, generator)[0], *conditions)[0]
            parts.append((mu, *conditions, batch.index))
        return LatentDensity.fit(*(torch.cat(part)[:count].cpu() for part in zip(*parts, strict=True)))

    def bundle(self, model: nn.Module) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """The averaged weights, and the density of the latents of training clips, augmented as in training."""
        assert isinstance(model, VAE)
        density = self._density(model, DENSITY_CLIPS)
        config = {
            "model": "vae", "args": self.args, "mel": self.spec.to_dict(), "classes": self.classes,
            "pitch_range": list(self.pitch_range) if self.pitch_range else None,
        }  # fmt: skip
        tensors = {f"model.{key}": value for key, value in model.state_dict().items()}
        return config, tensors | {f"density.{key}": value for key, value in density.tensors().items()}

    def _conditions(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Class and pitch, or none where the model is not conditioned on them."""
        class_id = batch.class_id if self.classes else torch.full_like(batch.class_id, -1)
        pitch = batch.pitch if self.pitch_range else torch.full_like(batch.pitch, math.nan)
        return class_id, pitch

    def _augmented(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The clips' log-mels (B, M, L), changed as training has them, and their frames before the padding (B,)."""
        mel, frames = self.front_end(batch.wav), self._used_frames(batch)
        if not self.strength:
            return mel, frames
        floor, shift = self.config.net.mel_floor, self.pitch_range is None
        return augment_mel(mel, frames, generator, strength=self.strength, floor=floor, shift_bands=shift)

    def _used_frames(self, batch: Batch) -> Tensor:
        return ((batch.length + self.spec.hop_length - 1) // self.spec.hop_length).clamp(min=1)

    def _frame_weights(self, used: Tensor, padding: float) -> Tensor:
        """(B, L): 1 where a frame has sound, `padding` after the clip's end; used is (B,)."""
        inside = torch.arange(self.frames, device=used.device) < used[:, None]
        return torch.where(inside, 1.0, padding)
