"""The training task of the GAN: losses and validation."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from audio_gen.artefacts.bundle import Bundle
from audio_gen.audio.mel import MelSpec
from audio_gen.data.dataset import Batch, ClipDataset
from audio_gen.data.store import Cache
from audio_gen.losses.spectral import floored
from audio_gen.models.contract import Conditions
from audio_gen.models.earlier import split_gan_args
from audio_gen.models.generator import Generator
from audio_gen.models.priors.mapped import MappedPrior
from audio_gen.models.registry import Part
from audio_gen.training.task import Loss, Phase, Preview
from audio_gen.training.tasks.gan.discriminator import AdversarialLosses, Drawn
from audio_gen.training.tasks.gan.mapping_start import start_mapping
from audio_gen.training.tasks.gan.settings import GANConfig
from audio_gen.training.tasks.mels import MelData
from audio_gen.training.tasks.outliers import drop_outliers
from audio_gen.training.tasks.start import check_preroll, load_some


class GANTask:
    """Trains a generator against a discriminator of mel images."""

    retired: Sequence[str] = ("d_latent.", "averages.real", "averages.fake")
    generates = True
    judged_by: str | None = None

    def __init__(self, config: GANConfig, spec: MelSpec, cache: Cache) -> None:
        """Size the networks to the cache's classes and pitches."""
        self.config, net = config, config.net
        self.mels = MelData(
            spec, cache, config.data, floor=net.mel_floor, use_class=net.use_class, use_pitch=net.use_pitch,
            use_velocity=net.use_velocity, augment=config.augment, seed=config.train.seed,
            time_axis=net.time_axis,
        )  # fmt: skip
        low, high = self.mels.pitch_range or (None, None)
        size, classes = net.sized(), len(self.mels.classes)
        self.args: dict[str, Any] = {
            "n_mels": spec.n_mels, "frames": self.mels.frames, "f_min": spec.f_min, "f_max": spec.f_max,
            "noise_dim": net.noise_dim, "latent_dim": net.latent_dim, "channels": list(size.channels),
            "blocks": size.blocks, "mapping_width": size.mapping_width,
            "anchors": self.mels.anchors, "n_classes": classes, "pitch_low": low,
            "pitch_high": high, "mel_floor": net.mel_floor, "own_directions": net.own_directions,
        }  # fmt: skip
        if self.mels.velocity_range:  # otherwise missing, as in runs of earlier versions
            self.args["velocity"] = True
        self.args |= self.mels.axis_args
        self.codec_args, self.mapping_args = split_gan_args(self.args)
        self.model: nn.Module
        self.model = self.generator = Generator(codec=self.codec_args, mapping=self.mapping_args)
        self.codec, self.mapping = self.generator.codec, self.generator.mapping
        parts = {"mapping": self.mapping, "linear": self.codec.trunk.linear, "synthesis": self.codec.synthesis}
        for name in net.freeze:
            parts[name].requires_grad_(False)
        self.adversarial = AdversarialLosses.of_codec(
            config.loss, self.codec, size, n_classes=classes, images=config.train.batch_size
        )
        self.modules = nn.ModuleDict(
            {"model": self.generator, **self.adversarial.modules, "front_end": self.mels.front_end}
        )
        self.modules.to(memory_format=torch.channels_last)  # a tenth faster
        self.segments, self.preroll = self.mels.segments, self.mels.preroll

    def initialise(self, train: ClipDataset) -> None:
        """Set the linear path to principal components, and the mapping to the density of the clips' latents."""
        self.mels.prepare(train)
        self.codec.initialise(*self.mels.basis())
        start_mapping(self.mapping, self.mels, self.codec)

    def start_from(self, bundle: Bundle, run: Path) -> str | None:
        """Load the matching weights of a trained GAN; keep its components and encode this folder's clips with them.

        Components with outlying latents are dropped.
        """
        args = {**self.mapping_args, **self.codec_args}
        check_preroll(bundle, self.preroll, run)
        load_some(self.generator, bundle, run, kind="gan", args=args, classes=self.mels.classes)
        note = drop_outliers(self.codec, bundle, self.mels, run)
        start_mapping(self.mapping, self.mels, self.codec)
        return note

    def phases(self) -> list[Phase]:
        """The discriminator, then the generator; its linear path moves slowly, since it starts from a PCA."""
        rates, codec = self.config.loss, self.codec
        parts = [
            (codec.trunk.linear.parameters(), rates.linear_lr), (self.mapping.parameters(), rates.mapping_lr),
            ([*codec.synthesis.parameters(), *codec.class_embedding.parameters()], 1.0),
        ]  # fmt: skip
        moving = [([p for p in parameters if p.requires_grad], rate) for parameters, rate in parts]
        return [
            Phase("d", [(list(self.adversarial.d.parameters()), rates.d_lr)]),
            Phase("g", [(parameters, rate) for parameters, rate in moving if parameters]),
        ]

    def compilable(self) -> Sequence[nn.Module]:
        """The generator's layers; Inductor does not support the second gradient of the discriminator's penalty."""
        return (self.codec.synthesis,)

    def begin(self, batch: Batch, generator: torch.Generator, progress: float) -> Drawn:
        """Real and generated mel images, which both phases see."""
        conditions, codec = self.mels.conditions(batch), self.codec
        with torch.no_grad():
            real = self.mels.augmented(batch, generator)[0].clamp(min=codec.trunk.floor)
            w, features = codec.encode(real, conditions).mean, codec.trunk.features(conditions.pitch)
        rebuilt = max(1, round(self.config.loss.reconstruction_share * len(real)))
        w_fake, moves = self.mapping.moved(self._noise(len(real), generator), conditions)
        w_fake = torch.cat([w[:rebuilt], w_fake[rebuilt:]])
        raw = codec.decode_raw(w_fake, conditions, codec.draw_noise(len(real), generator))
        fake = floored(raw.float(), codec.trunk.floor)
        return Drawn(real, fake, rebuilt, conditions, features, moves)

    def loss(self, phase: str, shared: Drawn, generator: torch.Generator, progress: float) -> Loss:
        """Relativistic losses on pairs of the same class and pitch.

        Over the ramp, the weights of gradient penalty and reconstruction move to their end values.
        """
        w = self.config.loss
        ramp = min(1.0, progress / w.ramp) if w.ramp else 1.0
        if phase == "d":
            return self.adversarial.d_loss(shared, generator, penalty=w.penalty * w.penalty_start ** (1 - ramp))
        reconstruction = w.reconstruction_end + (1 - ramp) * (w.reconstruction - w.reconstruction_end)
        return self.adversarial.g_loss(shared, generator, reconstruction=reconstruction, stay=w.stay)

    def _noise(self, count: int, generator: torch.Generator) -> Tensor:
        return torch.randn(count, self.mapping.noise_dim, generator=generator, device=generator.device)

    def after_step(self, statistics: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Adapt the augmentation; log that, and the gap of logits."""
        return self.adversarial.after_step(statistics)

    def after_validation(self, figures: Mapping[str, float]) -> None:
        """Measure the discriminator's overfitting by its gaps of logits."""
        self.adversarial.adaptive.measure(figures["logits_gap_train"], figures["logits_gap"])

    def validate(self, model: Generator, batches: Iterable[Batch]) -> dict[str, float]:
        """Held-out log-mel L1 in nats of encoder estimates, and logit gaps of held-out and training clips."""
        codec = model.codec
        generator = torch.Generator(next(model.parameters()).device).manual_seed(self.config.train.seed)
        errors, gaps = [], []
        for batch in batches:
            mel, conditions = self.mels.front_end(batch.wav).clamp(min=codec.trunk.floor), self.mels.conditions(batch)
            w = codec.encode(mel, conditions).mean
            errors.append(self.mels.mel_l1(codec.decode(w, conditions), mel, batch))
            gaps.append(self._gap(model, mel, conditions, generator))
        held_out, training = torch.cat(gaps), []
        for mel, batch in self.mels.draws(len(held_out), generator.device):
            training.append(self._gap(model, mel.clamp(min=codec.trunk.floor), self.mels.conditions(batch), generator))
        return {
            "guess_l1": float(torch.cat(errors).mean()), "logits_gap": float(held_out.mean()),
            "logits_gap_train": float(torch.cat(training).mean()),
        }  # fmt: skip

    def preview(self, model: Generator, batch: Batch) -> Preview:
        """Real clips, their reconstructions, and samples of the same class and pitch."""
        codec = model.codec
        mel, conditions = self.mels.front_end(batch.wav).clamp(min=codec.trunk.floor), self.mels.conditions(batch)
        back = codec.decode(codec.encode(mel, conditions).mean, conditions)
        sampled = torch.cat(list(self.mels.drawn(codec, self._prior(model), conditions, self.config.train.seed)))
        return self.mels.preview(batch, {"real": mel, "encoded": back, "sampled": sampled})

    def copy(self, wav: Tensor) -> Tensor:
        """Copy-synthesis of wav (B, 1, T) with the fast vocoder."""
        return self.mels.copy(wav)

    def generate(self, model: Generator, count: int, seed: int) -> Tensor:
        """Clips from the current mapping network."""
        return self.mels.generate(model.codec, self._prior(model), count, seed)

    def bundle(self, model: Generator) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Config and tensors: the averaged generator, and the distribution of conditions and truncation centres."""
        args = {**self.mapping_args, "clips": len(self.mels.known_conditions())}
        return self.mels.bundle(
            codec=Part("gan", self.codec_args, model.codec.state_dict()),
            prior=Part("mapped", args, self._prior(model).state_dict()),
        )

    def _prior(self, model: Generator) -> MappedPrior:
        """The prior with the model's current mapping."""
        return MappedPrior.fit(model.mapping, self.mapping_args, self.mels.known_conditions())

    def _gap(self, model: Generator, mel: Tensor, conditions: Conditions, generator: torch.Generator) -> Tensor:
        """Logits of real mel images (B, M, L) minus those of generated ones of the same conditions (B,)."""
        fake = model(self._noise(len(mel), generator), conditions)
        return self.adversarial.gap(mel, fake, conditions, model.codec.trunk.features(conditions.pitch))
