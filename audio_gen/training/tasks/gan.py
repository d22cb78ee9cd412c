"""The GAN's task, on mel images: its losses and validation."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from audio_gen.artefacts.bundle import Bundle
from audio_gen.audio.mel import MelSpec
from audio_gen.data.dataset import Batch, ClipDataset
from audio_gen.data.store import Cache
from audio_gen.losses.floor import floored
from audio_gen.models.contract import Conditions
from audio_gen.models.earlier import split_gan_args
from audio_gen.models.generator import Generator
from audio_gen.models.priors.mapped import MappedPrior
from audio_gen.models.registry import Part
from audio_gen.training.task import Phase, Preview
from audio_gen.training.tasks.bank import start_mapping
from audio_gen.training.tasks.critics import Critics, Drawn
from audio_gen.training.tasks.gan_config import GANConfig
from audio_gen.training.tasks.mels import MelData, MelTask
from audio_gen.training.tasks.outliers import drop_outliers
from audio_gen.training.tasks.start import load_some


class GANTask(MelTask):
    """Trains a generator against a discriminator of mel images."""

    retired: Sequence[str] = ("d_latent.", "averages.real", "averages.fake")

    def __init__(self, config: GANConfig, spec: MelSpec, cache: Cache) -> None:
        """Size the networks to the cache's classes and pitches."""
        self.config, net = config, config.net
        self.mels = MelData(
            spec, cache, config.data, floor=net.mel_floor, use_class=net.use_class, use_pitch=net.use_pitch,
            use_velocity=net.use_velocity, augment=config.augment, seed=config.train.seed,
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
        if self.mels.velocity_range:  # else left out, as it was in earlier versions' runs
            self.args["velocity"] = True
        self.codec_args, self.mapping_args = split_gan_args(self.args)
        self.generator = Generator(codec=self.codec_args, mapping=self.mapping_args)
        self.codec, self.mapping = self.generator.codec, self.generator.mapping
        parts = {"mapping": self.mapping, "linear": self.codec.trunk.linear, "synthesis": self.codec.synthesis}
        for name in net.freeze:
            parts[name].requires_grad_(False)
        self.critics = Critics(config.loss, self.codec, size, n_classes=classes, images=config.train.batch_size)
        self.networks = nn.ModuleDict(
            {"model": self.generator, **self.critics.modules, "front_end": self.mels.front_end}
        )
        self.networks.to(memory_format=torch.channels_last)  # a tenth faster
        self._drawn: list[Drawn] = []

    def initialise(self, train: ClipDataset) -> None:
        """Set the linear path to principal components, and the mapping to the density of the clips' latents."""
        self.mels.learn_from(train)
        self.codec.initialise(*self.mels.basis())
        start_mapping(self.mapping, self.mels, self.codec)

    def start_from(self, bundle: Bundle, run: Path) -> str | None:
        """Take what fits of a trained GAN; its components are kept, and this folder's clips placed among them.

        Components in which latents are far out are dropped.
        """
        args = {**self.mapping_args, **self.codec_args}
        load_some(self.generator, bundle, run, kind="gan", args=args, classes=self.mels.classes)
        told = drop_outliers(self.codec, bundle, self.mels, run)
        start_mapping(self.mapping, self.mels, self.codec)
        return told

    @property
    def model(self) -> nn.Module:
        """The generator."""
        return self.generator

    def phases(self) -> list[Phase]:
        """The discriminator, then the generator; its linear path moves slowly, since it starts where it should be."""
        rates, codec = self.config.loss, self.codec
        parts = [
            (codec.trunk.linear.parameters(), rates.linear_lr), (self.mapping.parameters(), rates.mapping_lr),
            ([*codec.synthesis.parameters(), *codec.class_embedding.parameters()], 1.0),
        ]  # fmt: skip
        moving = [([p for p in parameters if p.requires_grad], rate) for parameters, rate in parts]
        return [
            Phase("d", [(list(self.critics.d.parameters()), rates.d_lr)]),
            Phase("g", [(parameters, rate) for parameters, rate in moving if parameters]),
        ]

    def compilable(self) -> Sequence[nn.Module]:
        """The generator's layers; the penalties on discriminators need a second gradient, which Inductor refuses."""
        return (self.codec.synthesis,)

    def weights(self, phase: str, progress: float) -> Mapping[str, float]:
        """The weights of the losses; the gradient penalties fall to their end values over the ramp."""
        w = self.config.loss
        ramp = min(1.0, progress / w.ramp) if w.ramp else 1.0
        if phase == "d":
            penalty = w.penalty * w.penalty_start ** (1 - ramp)
            return {"adv_d": 1.0, "adv_d_local": w.local, "penalty": penalty}
        rest = w.reconstruction_end + (1 - ramp) * (w.reconstruction - w.reconstruction_end)
        return {"adv_g": 1.0, "adv_g_local": w.local, "reconstruction": rest, "stay": w.stay}

    def losses(self, phase: str, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Relativistic losses on pairs of the same class and pitch; both phases of a step see the same made images."""
        if phase == "d":
            self._drawn.append(self._draw(batch, generator))
            return self.critics.d_losses(self._drawn[-1], generator)
        return self.critics.g_losses(self._drawn.pop(0), generator)

    def _draw(self, batch: Batch, generator: torch.Generator) -> Drawn:
        conditions, codec = self.mels.conditions(batch), self.codec
        with torch.no_grad():
            real = self.mels.augmented(batch, generator)[0].clamp(min=codec.mel_floor)
            w, features = codec.encode(real, conditions).mean, codec.trunk.features(conditions.pitch)
        rebuilt = max(1, round(self.config.loss.reconstruction_share * len(real)))
        made, moves = self.mapping.moved(self._noise(len(real), generator), conditions)
        made = torch.cat([w[:rebuilt], made[rebuilt:]])
        raw = codec.decode_raw(made, conditions, codec.draw_noise(len(real), generator))
        fake = floored(raw.float(), codec.mel_floor)
        return Drawn(real, fake, rebuilt, conditions, features, moves)

    def _noise(self, count: int, generator: torch.Generator) -> Tensor:
        return torch.randn(count, self.mapping.noise_dim, generator=generator, device=generator.device)

    def readings(self) -> Mapping[str, Tensor]:
        """The means of the discriminator's logits, and of the signs of their gaps."""
        return self.critics.readings

    def learn(self, phase: str, readings: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Adapt the augmentation; logs that, and the gap of logits."""
        return self.critics.learn(readings) if phase == "d" else {}

    def validate(self, model: nn.Module, batches: Iterable[Batch]) -> dict[str, float]:
        """Held-out log-mel L1 in nats of first guesses at inversion, and the gaps of logits to kept-out and own clips.

        The adaptive augmentation takes in the gaps.
        """
        assert isinstance(model, Generator)
        codec = model.codec
        generator = torch.Generator(next(model.parameters()).device).manual_seed(self.config.train.seed)
        errors, gaps = [], []
        for batch in batches:
            mel, conditions = self.mels.front_end(batch.wav).clamp(min=codec.mel_floor), self.mels.conditions(batch)
            w = codec.encode(mel, conditions).mean
            errors.append(self.mels.mel_l1(codec.decode(w, conditions), mel, batch))
            gaps.append(self._gap(model, mel, conditions, generator))
        kept_out, own = torch.cat(gaps), []
        for mel, batch in self.mels.draws(len(kept_out), generator.device):
            own.append(self._gap(model, mel.clamp(min=codec.mel_floor), self.mels.conditions(batch), generator))
        means = torch.cat(own).mean(), kept_out.mean()
        self.critics.adaptive.measure(*means)
        return {
            "guess_l1": float(torch.cat(errors).mean()), "logits_gap": float(means[1]),
            "logits_gap_train": float(means[0]),
        }  # fmt: skip

    def preview(self, model: nn.Module, batch: Batch) -> Preview:
        """Real clips, these through the generator and back, and new clips of the same class and pitch."""
        assert isinstance(model, Generator)
        codec = model.codec
        mel, conditions = self.mels.front_end(batch.wav).clamp(min=codec.mel_floor), self.mels.conditions(batch)
        back = codec.decode(codec.encode(mel, conditions).mean, conditions)
        sampled = torch.cat(list(self.mels.drawn(codec, self._prior(model), conditions, self.config.train.seed)))
        return self.mels.preview(batch, {"real": mel, "encoded": back, "sampled": sampled})

    def make(self, model: nn.Module, count: int, seed: int) -> Tensor:
        """Clips from the mapping network as it is now."""
        assert isinstance(model, Generator)
        return self.mels.make(model.codec, self._prior(model), count, seed)

    def bundle(self, model: nn.Module) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Config and tensors: the averaged generator, and what its conditions and truncation are drawn from."""
        assert isinstance(model, Generator)
        known = self.mels.known_conditions()
        prior = MappedPrior.fit(model.mapping, self.mapping_args, known)
        return self.mels.bundle(
            codec=Part("gan", self.codec_args, model.codec.state_dict()),
            prior=Part("mapped", {**self.mapping_args, "clips": len(known)}, prior.state_dict()),
        )

    def _prior(self, model: Generator) -> MappedPrior:
        """What clips are drawn from, with the model's mapping as it is now."""
        return MappedPrior.fit(model.mapping, self.mapping_args, self.mels.known_conditions())

    def _gap(self, model: Generator, mel: Tensor, conditions: Conditions, generator: torch.Generator) -> Tensor:
        """Logits of real mel images (B, M, L) less those of made ones of the same conditions (B,)."""
        made = model(self._noise(len(mel), generator), conditions)
        return self.critics.gap(mel, made, conditions, model.codec.trunk.features(conditions.pitch))
