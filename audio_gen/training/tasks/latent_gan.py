"""The GAN's task in the latent space of a trained VAE: small networks, many steps."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from audio_gen.artefacts.bundle import Bundle, load_bundle
from audio_gen.audio.mel import MelSpec
from audio_gen.data.dataset import Batch, ClipDataset
from audio_gen.data.names import composed
from audio_gen.data.store import Cache
from audio_gen.errors import AudioGenError, CheckpointError, ConfigError
from audio_gen.files import at_home
from audio_gen.losses import adversarial
from audio_gen.models.discriminators import LatentDiscriminator
from audio_gen.models.latent_gan import LatentGAN
from audio_gen.text import shortened
from audio_gen.training.task import Phase
from audio_gen.training.tasks.bank import LatentBank, start_mapping
from audio_gen.training.tasks.gan_config import GANConfig
from audio_gen.training.tasks.mapped import MappedTask
from audio_gen.training.tasks.mels import Conditions, MelData
from audio_gen.training.tasks.outliers import MOST_DEVIATIONS, reach
from audio_gen.training.tasks.start import load_some

HOW = "train one with `audio-gen train FOLDER --model vae --run VAE_RUN` and give it with --set vae=VAE_RUN"


class LatentGANTask(MappedTask):
    """Trains a mapping network against a discriminator of latents; the VAE stays as it is."""

    kind, encoded = "latent_gan", "reconstructed"
    gan: LatentGAN

    def __init__(self, config: GANConfig, spec: MelSpec, cache: Cache) -> None:
        """Load the VAE, and be sure that it is of these sounds.

        Raises:
            ConfigError: There is no VAE, or it is not of this mel, length, classes or pitches.
        """
        self.config, net = config, config.net
        vae = _trained_vae(config.vae)
        self.mels = MelData(
            spec, cache, config.data, floor=vae.config["args"]["mel_floor"], use_class=net.use_class,
            use_pitch=net.use_pitch, augment=config.augment, seed=config.train.seed,
        )  # fmt: skip
        self._check(vae, spec)
        size = net.sized()
        self.args = {
            "vae": vae.config["args"], "noise_dim": net.noise_dim, "anchors": self.mels.anchors,
            "width": size.latent_width, "blocks": 3,
            "own_directions": net.own_directions,
        }  # fmt: skip
        self.gan = LatentGAN(**self.args)
        self.gan.vae.load_state_dict(vae.part("model"))
        self.d = LatentDiscriminator(
            latent_dim=self.gan.latent_dim, n_classes=len(self.mels.classes), width=size.latent_width, blocks=3
        )
        self.networks = nn.ModuleDict({"model": self.gan, "d": self.d, "front_end": self.mels.front_end})
        self._drawn: list[tuple[Tensor, Tensor, Conditions]] = []
        self._readings: dict[str, Tensor] = {}

    def _check(self, vae: Bundle, spec: MelSpec) -> None:
        spec.check_same(MelSpec.from_dict(vae.config["mel"]), "this run", f"the VAE {self.config.vae}")
        wanted = {
            "data.segment_sec in frames": (vae.config["args"]["frames"], self.mels.frames),
            "classes": ([composed(name) for name in vae.config.get("classes") or []], list(self.mels.classes)),
            "pitch range": (vae.config.get("pitch_range"), self.mels.pitch_range and list(self.mels.pitch_range)),
        }
        for name, (theirs, mine) in wanted.items():
            if theirs != mine:
                raise ConfigError(
                    f"vae ({self.config.vae}): {name} {shortened(theirs)} there, {shortened(mine)} here; {HOW}"
                )
        theirs, mine = ("align" if preroll else "keep" for preroll in (vae.config.get("preroll"), self.mels.preroll))
        if theirs != mine:
            raise ConfigError(
                f"vae ({self.config.vae}): data.onset {theirs} there, {mine} here; add --set data.onset={theirs}"
            )

    def initialise(self, train: ClipDataset) -> None:
        """Encode training clips, augmented, and let the mapping begin as the density of their latents."""
        self.mels.learn_from(train)
        self.bank = LatentBank(self.mels, self.gan)
        start_mapping(self.gan.mapping, self.mels, self.gan)

    def start_from(self, bundle: Bundle, run: Path) -> str | None:
        """Take the mapping network of another GAN over the same VAE."""
        own = {name: value.clone() for name, value in self.gan.vae.state_dict().items()}
        load_some(self.gan, bundle, run, kind="latent_gan", args=self.args, classes=self.mels.classes)
        if any(not torch.equal(value, own[name]) for name, value in self.gan.vae.state_dict().items()):
            raise CheckpointError(f"--init {run}: is over another VAE than vae ({self.config.vae}); give the same one")
        return None

    def phases(self) -> list[Phase]:
        """The discriminator, then the generator."""
        return [
            Phase("d", [(list(self.d.parameters()), self.config.loss.d_lr)]),
            Phase("g", [(list(self.gan.mapping.parameters()), 1.0)]),
        ]

    def weights(self, phase: str, progress: float) -> Mapping[str, float]:
        """The weights of the losses; the gradient penalty falls to its end value over the ramp."""
        w = self.config.loss
        if phase == "g":
            return {"adv_g": 1.0}
        ramp = min(1.0, progress / w.ramp) if w.ramp else 1.0
        return {"adv_d": 1.0, "penalty": w.penalty_latent * w.penalty_start ** (1 - ramp)}

    def losses(self, phase: str, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Relativistic losses on pairs of the same class and pitch; of the batch only the size counts."""
        if phase == "d":
            self._drawn.append(self._draw(len(batch.wav), generator))
            return self._d_losses(*self._drawn[-1])
        real, fake, conditions = self._drawn.pop(0)
        self.d.requires_grad_(False)
        logits_real, logits_fake = self._judged(real, fake, conditions)
        self.d.requires_grad_(True)
        return {"adv_g": adversarial.relativistic_g(logits_real, logits_fake)}

    def _draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Conditions]:
        real, conditions = self.bank.draw(count, generator)
        z = torch.randn(count, self.gan.noise_dim, generator=generator, device=real.device)
        return real, self.gan.map(z, *conditions), conditions

    def _d_losses(self, real: Tensor, fake: Tensor, conditions: Conditions) -> dict[str, Tensor]:
        real, fake = real.detach().requires_grad_(), fake.detach().requires_grad_()
        logits_real, logits_fake = self._judged(real, fake, conditions)
        self._readings = {"gap/logits": (logits_real - logits_fake).mean().detach()}
        return {
            "adv_d": adversarial.relativistic_d(logits_real, logits_fake),
            "penalty": adversarial.gradient_penalty(logits_real + logits_fake, real, fake),
        }

    def _judged(self, real: Tensor, fake: Tensor, conditions: Conditions) -> tuple[Tensor, Tensor]:
        logits = self.d(torch.cat([real, fake]), *(condition.repeat(2) for condition in conditions)).float()
        return logits[: len(real)], logits[len(real) :]

    def readings(self) -> Mapping[str, Tensor]:
        """The gap of logits."""
        return self._readings

    def learn(self, phase: str, readings: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Nothing; logs the gap as the discriminator saw it."""
        return readings if phase == "d" else {}

    def validate(self, model: nn.Module, batches: Iterable[Batch]) -> dict[str, float]:
        """The discriminator's gap between kept-out latents and made ones."""
        assert isinstance(model, LatentGAN)
        generator = torch.Generator(next(model.parameters()).device).manual_seed(self.config.train.seed)
        gaps = []
        for batch in batches:
            mel, conditions = self.mels.front_end(batch.wav), self.mels.conditions(batch)
            z = torch.randn(len(mel), model.noise_dim, generator=generator, device=mel.device)
            logits = self._judged(model.encode(mel, *conditions)[0], model.map(z, *conditions), conditions)
            gaps.append(logits[0] - logits[1])
        return {"logits_gap": float(torch.cat(gaps).mean())}


def _trained_vae(place: str | None) -> Bundle:
    """The bundle of the VAE that the settings name.

    Raises:
        ConfigError: They name none, or what is there is none.
    """
    if place is None:
        raise ConfigError(f"domain latent needs a trained VAE; {HOW}")
    try:
        bundle = load_bundle(at_home(place))
    except AudioGenError as e:
        raise ConfigError(f"vae ({place}): {e}; {HOW}") from e
    if bundle.config["model"] != "vae":
        raise ConfigError(f"vae ({place}): holds a {bundle.config['model']}; {HOW}")
    far = reach(bundle.tensors)
    if far is not None and not bool((far <= MOST_DEVIATIONS).all()):
        raise ConfigError(
            f"vae ({place}): its latents reach {float(far.max()):.3g} standard deviations ({MOST_DEVIATIONS:g} at "
            f"most); train it again with --init {place}, which drops such components"
        )
    return bundle
