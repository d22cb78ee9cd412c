"""The training task of the VAE: losses, validation and bundle."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from audio_gen.artefacts.bundle import Bundle
from audio_gen.audio.mel import MelSpec
from audio_gen.data.dataset import Batch, ClipDataset
from audio_gen.data.store import Cache
from audio_gen.losses.latent import active_dimensions, kl_divergence
from audio_gen.losses.spectral import difference_l1, floored, mel_l1, pooled_l1
from audio_gen.models.codecs.vae import VAE
from audio_gen.models.contract import Conditions, Posterior
from audio_gen.models.priors.neighbours import NeighbourPrior
from audio_gen.models.registry import Part
from audio_gen.training.task import Loss, Phase, Preview
from audio_gen.training.tasks.blends import Blends
from audio_gen.training.tasks.gan.discriminator import AdversarialLosses, Drawn
from audio_gen.training.tasks.gan.settings import Size
from audio_gen.training.tasks.mels import MelData
from audio_gen.training.tasks.outliers import drop_outliers
from audio_gen.training.tasks.start import check_preroll, load_some
from audio_gen.training.tasks.vae_settings import VAEConfig

DENSITY_CLIPS, QUICK_DENSITY_CLIPS = 8192, 512


class Step(NamedTuple):
    """Data that the phases of a step share.

    Attributes:
        mel: Log-mels of clips (B, M, L).
        decoded: Reconstructions of the first of them, without noise, not clamped.
        frames: Frames of these before the padding.
        posterior: Of these.
        drawn: Clips and images for the discriminator; None before it trains.
    """

    mel: Tensor
    decoded: Tensor
    frames: Tensor
    posterior: Posterior
    drawn: Drawn | None


class Progress(nn.Module):
    """The progress of the run after the last step; a buffer, so that checkpoints hold it."""

    value: Tensor

    def __init__(self) -> None:
        """Start at zero."""
        super().__init__()
        self.register_buffer("value", torch.zeros(()))


class VAETask:
    """Trains a VAE on the log-mels of clips."""

    retired: Sequence[str] = ()
    generates = True
    judged_by: str | None = None

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
        self.sharp = config.adversarial.start < 1
        if self.sharp:
            self.args["grain"] = True
        self.args |= self.mels.axis_args
        self.model: nn.Module
        self.model = self.vae = VAE(**self.args)
        self.modules = nn.ModuleDict({"model": self.vae, "front_end": self.mels.front_end})
        if self.sharp:
            size = Size(net.channels, net.blocks, net.channels, net.blocks, 0)
            self.adversarial = AdversarialLosses.of_codec(
                config.adversarial, self.vae, size, n_classes=len(self.mels.classes), images=config.train.batch_size
            )
            self.progress = Progress()
            self.blends: Blends | None = None
            self.modules.update({**self.adversarial.modules, "progress": self.progress})
        self.segments, self.preroll = self.mels.segments, self.mels.preroll

    def compilable(self) -> Sequence[nn.Module]:
        """No part."""
        return ()

    def initialise(self, train: ClipDataset) -> None:
        """Set the linear path to the principal components of 512 to 1,024 training clips, augmented as in training."""
        self.mels.prepare(train)
        self.vae.initialise(*self.mels.basis())
        if self.sharp:
            self.blends = Blends(self.mels, self.vae, self.config.adversarial.noise)

    def start_from(self, bundle: Bundle, run: Path) -> str | None:
        """Load the weights of a VAE of the same size; drop components with outlying latents."""
        check_preroll(bundle, self.preroll, run)
        load_some(self.vae, bundle, run, kind="vae", args=self.args, classes=self.mels.classes)
        return drop_outliers(self.vae, bundle, self.mels, run)

    def phases(self) -> list[Phase]:
        """The discriminator, if there is one, then the VAE; the linear path moves slowly: it starts from a PCA."""
        rates = self.config.loss
        linear = [*self.vae.analysis.parameters(), *self.vae.trunk.linear.parameters()]
        encoder = list(self.vae.encoder.parameters()) if rates.encoder_lr != 1 else []
        apart = {id(parameter) for parameter in [*linear, *encoder]}
        rest = [parameter for parameter in self.vae.parameters() if id(parameter) not in apart]
        groups = [(linear, rates.linear_lr), (rest, 1.0), *([(encoder, rates.encoder_lr)] if encoder else [])]
        vae = Phase("g", groups)
        if not self.sharp:
            return [vae]
        return [Phase("d", [(list(self.adversarial.d.parameters()), self.config.adversarial.d_lr)]), vae]

    @property
    def has_started(self) -> bool:
        """Whether the discriminator trains."""
        return self.sharp and float(self.progress.value) >= self.config.adversarial.start

    def begin(self, batch: Batch, generator: torch.Generator, progress: float) -> Step:
        """Reconstructions from posterior samples and, once the discriminator trains, images for it.

        From then on the encoder is fixed, as in RAVE (Caillon and Esling 2021): otherwise both ends drift along
        components of little weight, and each makes up for the other.
        """
        vae, (mel, frames), conditions = self.vae, self.mels.augmented(batch, generator), self.mels.conditions(batch)
        share = self.config.adversarial.reconstruction_share if self.has_started else 1.0
        part = slice(0, max(1, round(share * len(mel))))
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.has_started):
            posterior = vae.encode(mel[part], conditions[part])
        mu = posterior.mean
        z = posterior.sample(torch.randn(mu.shape, generator=generator, device=mu.device))
        decoded = vae.decode_raw(z, conditions[part], vae.no_noise()).float()
        drawn = self._drawn(batch, mel, z, generator) if self.has_started else None
        return Step(mel, decoded, frames[part], posterior, drawn)

    def _drawn(self, batch: Batch, mel: Tensor, z: Tensor, generator: torch.Generator) -> Drawn:
        """Clips (B, M, L), and images: of the first clips from their latents z, of the others between two clips."""
        vae, conditions, rest = self.vae, self.mels.conditions(batch), slice(len(z), None)
        if len(z) < len(mel):
            with torch.no_grad():
                other = vae.encode(mel[rest], conditions[rest]).mean
            if self.blends is not None:  # None while `--auto` measures speed
                other = self.blends.latents(vae, other, batch.index[rest], generator)
            z = torch.cat([z, other])
        raw = vae.decode_raw(z, conditions, vae.draw_noise(len(mel), generator)).float()
        fake, real = floored(raw, vae.trunk.floor), mel.clamp(min=vae.trunk.floor)
        features = vae.trunk.features(vae.trunk.pitch(conditions))
        return Drawn(real, fake, len(mel) - len(mel[rest]), conditions, features, fake.new_zeros(len(mel), 1))

    def loss(self, phase: str, shared: Step, generator: torch.Generator, progress: float) -> Loss:
        """Reconstruction, the KL, whose weight ramps up, and from `adversarial.start` on adversarial losses."""
        drawn, decoded, floor, w = shared.drawn, shared.decoded, self.vae.trunk.floor, self.config.loss
        if phase == "d":
            return self._no_d_loss(decoded) if drawn is None else self._d_loss(drawn, generator, progress)
        mel, mu, logvar = shared.mel[: len(decoded)], shared.posterior.mean, shared.posterior.logvar
        assert logvar is not None
        rise = min(1.0, progress / w.kl_warmup) if w.kl_warmup else 1.0
        share = 1.0 if drawn is None else self.config.adversarial.mel
        terms = {
            "mel": (mel_l1(decoded, mel, floor, self.mels.frame_weights(shared.frames, w.padding)), share * w.mel),
            "delta_time": (difference_l1(decoded, mel, floor, -1), share * w.delta_time),
            "delta_frequency": (difference_l1(decoded, mel, floor, -2), share * w.delta_frequency),
            "kl": (kl_divergence(mu.float(), logvar.float(), w.free_nats), w.kl * rise),
        }
        if not self.sharp:
            return Loss(terms)
        a = self.config.adversarial
        if drawn is None:
            terms |= {name: (mu.new_zeros(()), 0.0) for name in ("adv_g", "adv_g_local", "reconstruction")}
        else:
            part = slice(0, drawn.rebuilt)
            error = pooled_l1(drawn.fake[part], drawn.real[part], a.reconstruction_pool)
            terms |= {**self.adversarial.g_terms(drawn, generator), "reconstruction": (error, a.reconstruction)}
        return Loss(terms, {"progress": torch.tensor(progress, device=mu.device)})

    def _d_loss(self, drawn: Drawn, generator: torch.Generator, progress: float) -> Loss:
        a = self.config.adversarial
        ramp = min(1.0, (progress - a.start) / a.ramp) if a.ramp else 1.0
        return self.adversarial.d_loss(drawn, generator, penalty=a.penalty * a.penalty_start ** (1 - ramp))

    def _no_d_loss(self, decoded: Tensor) -> Loss:
        """The loss of an undecided discriminator, without its gradients, so that its optimiser does not move."""
        zero, local = decoded.new_zeros(()), self.config.adversarial.local
        undecided = zero + math.log(2)
        terms = {"adv_d": (undecided, 1.0), "adv_d_local": (undecided, local), "penalty": (zero, 1.0)}
        return Loss(
            {name: (value.clone().requires_grad_(), weight) for name, (value, weight) in terms.items()},
            {"real": zero, "fake": zero},
        )

    def after_step(self, statistics: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Keep the progress, and adapt the augmentation of the discriminator's images."""
        if not self.sharp:
            return {}
        found = self.adversarial.after_step(statistics) if self.has_started else {}
        self.progress.value.copy_(statistics["progress"])
        return found

    def after_validation(self, figures: Mapping[str, float]) -> None:
        """Measure the discriminator's overfitting by its gaps of logits."""
        if self.sharp:
            self.adversarial.adaptive.measure(figures["logits_gap_train"], figures["logits_gap"])

    def validate(self, model: VAE, batches: Iterable[Batch]) -> dict[str, float]:
        """Held-out log-mel L1 in nats over the frames of sound, KL, and active dimensions."""
        errors, mus, logvars, gaps = [], [], [], []
        for batch in batches:
            mel, conditions = self.mels.front_end(batch.wav), self.mels.conditions(batch)
            posterior = model.encode(mel, conditions)
            decoded = model.decode(posterior.mean, conditions)
            errors.append(self.mels.mel_l1(decoded, mel, batch))
            gaps += self._gap(model, mel, decoded, conditions)
            assert posterior.logvar is not None
            mus.append(posterior.mean)
            logvars.append(posterior.logvar)
        mu, logvar = torch.cat(mus), torch.cat(logvars)
        found = {
            "mel_l1": float(torch.cat(errors).mean()),
            "kl": float(kl_divergence(mu, logvar)),
            "active_dimensions": float(active_dimensions(mu)),
        }
        if not self.sharp:
            return found
        training: list[Tensor] = []
        for mel, batch in self.mels.draws(len(mu), mu.device):
            conditions = self.mels.conditions(batch)
            decoded = model.decode(model.encode(mel, conditions).mean, conditions)
            training += self._gap(model, mel, decoded, conditions)
        return found | {
            "logits_gap": float(torch.cat(gaps).mean()), "logits_gap_train": float(torch.cat(training).mean()),
        }  # fmt: skip

    def _gap(self, model: VAE, mel: Tensor, decoded: Tensor, conditions: Conditions) -> list[Tensor]:
        """Logits of real mel images (B, M, L) minus those of their reconstructions, (B,), of a discriminator."""
        if not self.sharp:
            return []
        features = model.trunk.features(model.trunk.pitch(conditions))
        return [self.adversarial.gap(mel.clamp(min=model.trunk.floor), decoded, conditions, features)]

    def preview(self, model: VAE, batch: Batch) -> Preview:
        """Real, reconstructed and sampled clips."""
        mel, conditions = self.mels.front_end(batch.wav).clamp(min=model.trunk.floor), self.mels.conditions(batch)
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
        noise = self.config.adversarial.noise if self.sharp else None
        return NeighbourPrior.fit(z, conditions, index, line_noise=noise, weights=model.trunk.distance_weights())

    def bundle(self, model: VAE) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """The averaged weights, and the density of the latents of training clips, augmented as in training."""
        density = self._density(model, DENSITY_CLIPS)
        return self.mels.bundle(
            codec=Part("vae", self.args, model.state_dict()),
            prior=Part("neighbours", density.args, density.state_dict()),
        )
