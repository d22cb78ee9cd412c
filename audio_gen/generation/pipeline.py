"""A trained model, loaded once: seeds or sounds to latents, latents to log-mels, log-mels to sound."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from audio_gen.artefacts.bundle import Bundle, load_bundle
from audio_gen.audio.clips import side_by_side
from audio_gen.audio.mel import MelFrontEnd, MelSpec
from audio_gen.audio.onset import fade_in, lead_samples, onset
from audio_gen.device import resolve_device
from audio_gen.errors import CheckpointError, ConfigError
from audio_gen.files import at_home
from audio_gen.generation.conditions import Conditions
from audio_gen.generation.latents import Latents
from audio_gen.models import build_model
from audio_gen.models.density import LatentDensity
from audio_gen.models.fitting import bundle_mel
from audio_gen.models.gan import GAN
from audio_gen.models.latent_gan import LatentGAN
from audio_gen.models.mapped import MappedPrior
from audio_gen.models.vae import VAE
from audio_gen.text import one_line
from audio_gen.vocoding.load import load_vocoder
from audio_gen.vocoding.silence import subtract_floor
from audio_gen.vocoding.vocoder import Vocoder

MAX_SEED = 2**63 - 1
MAKES_NO_CLIPS = ("vocoder",)
UNHEARD_SEC = 0.05  # a difference in length that nobody needs to be told of


@dataclass(frozen=True)
class Pipeline:
    """A model that makes clips, what its latents are drawn from, and a vocoder.

    The same seed gives the same clip, whatever else is made with it: clip i draws from its own generator, seeded with
    `seed + i`, and on the CPU the networks work on one clip at a time, each on one core, because kernels may differ in
    the last bit for another batch or number of threads. On a GPU they work on `batch` clips at a time, and clips are
    equal to within rounding.

    Attributes:
        kind: What the model is called in the table of models.
        model: The network, on `device`.
        prior: What latents are drawn from.
        spec: The mel of model and vocoder.
        vocoder: Turns log-mel into sound.
        conditions: Classes and pitches that the model knows.
        preroll: Samples of silence at the start of the model's mels, which no clip has; 0 for models before there were
            any, whose clips begin where they begin.
        path: The bundle's folder.
        digest: The bundle's hash.
        device: Where the networks are.
    """

    kind: str
    model: VAE | GAN | LatentGAN
    prior: LatentDensity | MappedPrior
    spec: MelSpec
    vocoder: Vocoder
    conditions: Conditions
    preroll: int
    path: Path
    digest: str
    device: torch.device

    @classmethod
    def load(cls, path: Path | str, *, vocoder: str | None = None, device: str = "auto") -> "Pipeline":
        """Load a run or a bundle.

        Args:
            path: Its folder.
            vocoder: See `load_vocoder`.
            device: "auto", "cpu", "cuda", ..

        Raises:
            CheckpointError: There is no bundle of a model that makes clips, or it is damaged.
            ConfigError: The device or the vocoder is unknown.
            MelMismatchError: The vocoder was trained for another mel.
        """
        place, bundle = resolve_device(device), load_bundle(at_home(path))
        name = one_line(path)
        spec = bundle_mel(bundle)
        model, prior = _model_and_prior(bundle, name)
        _check_conditions(bundle, prior.tensors(), model, spec, name)
        pitch_range = bundle.config.get("pitch_range")
        return cls(
            kind=bundle.config["model"],
            model=model.to(place),
            prior=prior,
            spec=spec,
            vocoder=load_vocoder(vocoder, spec, place),
            conditions=Conditions(
                name, tuple(bundle.config.get("classes") or ()), None if pitch_range is None else tuple(pitch_range)
            ),
            preroll=int(bundle.config.get("preroll", 0)),
            path=bundle.path,
            digest=bundle.digest,
            device=place,
        )

    @property
    def samples(self) -> int:
        """Length of a clip at most, T."""
        return self.spec.samples(self.model.frames) - self.preroll

    @property
    def onset(self) -> int | None:
        """The sample of the model's mels at which every clip begins; None where they begin anywhere."""
        return self.preroll + lead_samples(self.spec.sample_rate) if self.preroll else None

    @property
    def layers(self) -> int:
        """How many layers of the model take a latent of their own, K; 1 for a model that takes one latent."""
        return 1 if isinstance(self.model, VAE) else self.model.layers

    @property
    def duration_sec(self) -> float:
        """Length of a clip in seconds."""
        return self.samples / self.spec.sample_rate

    def sample(
        self,
        n: int,
        seed: int = 0,
        class_name: str | None = None,
        pitch: float | None = None,
        temperature: float = 1.0,
        batch: int = 16,
    ) -> Tensor:
        """Make new clips.

        Args:
            n: How many, B.
            seed: Of the first; the others follow with seed + 1, seed + 2, ..
            class_name: Their class; None draws one for each clip, as often as it was trained on.
            pitch: Their MIDI pitch; None draws one for each clip.
            temperature: 0 gives the most typical clips, 1 the model's whole variety.
            batch: Clips at a time on a GPU.

        Returns:
            wav (B, 1, T) on the CPU.

        Raises:
            ConfigError: A value is out of its range, or class or pitch is unknown to the model.
        """
        if n < 1:
            raise ConfigError(f"n ({n}) must be at least 1 clip; try 16")
        if batch < 1:
            raise ConfigError(f"batch ({batch}) must be at least 1 clip; try 16")
        latents = self.latents(range(seed, seed + n), class_name=class_name, pitch=pitch, temperature=temperature)
        return self.vocode(self.decode(latents, batch=batch), batch=batch)

    def latents(
        self,
        seeds: Sequence[int],
        *,
        class_name: str | None = None,
        pitch: float | None = None,
        temperature: float = 1.0,
    ) -> Latents:
        """Draw one latent for each seed; arguments and errors as for `sample`."""
        if not (math.isfinite(temperature) and temperature >= 0):
            raise ConfigError(f"temperature ({temperature:g}) must be 0 or more; try 1")
        if min(seeds) < 0 or max(seeds) > MAX_SEED:
            raise ConfigError(f"seeds ({min(seeds)} to {max(seeds)}) must lie between 0 and 2^63 - 1; try 0")
        wanted = self.conditions.class_id(class_name), self.conditions.pitch(pitch)
        return Latents.join([self._draw(seed, *wanted, temperature) for seed in seeds])

    def _draw(self, seed: int, class_id: int, pitch: float, temperature: float) -> Latents:
        generator = torch.Generator().manual_seed(seed)
        condition = self.prior.draw_condition(generator, class_id, pitch)
        return Latents.one(self.prior.sample(generator, *condition, temperature), *condition)

    @torch.no_grad()
    def encode(self, mel: Tensor, class_id: int, pitch: float) -> Latents:
        """The latent of one clip: a VAE's posterior mean, a GAN's first guess (`inversion.invert` makes it better).

        Args:
            mel: Log-mel (M, L) with L frames as the model has them.
            class_id: Its class number, -1 where it has none.
            pitch: Its MIDI pitch, NaN where it has none.
        """
        point = Latents.one(torch.zeros(self.model.latent_dim), class_id, pitch)
        mu, _ = self.model.encode(
            mel[None].to(self.device), point.class_id.to(self.device), point.pitch.to(self.device)
        )
        return Latents(self._finite(mu.cpu(), "latent"), point.class_id, point.pitch)

    @torch.no_grad()
    def decode(self, latents: Latents, batch: int = 16) -> Tensor:
        """Latents (B) -> log-mel (B, M, L) on the CPU; `batch` is for a GPU."""

        def decode(first: int, stop: int) -> Tensor:
            part = latents[first:stop]
            return self.model.decode(*(x.to(self.device) for x in (part.z, part.class_id, part.pitch)))

        if self.device.type == "cpu":
            mels = side_by_side(lambda i: decode(i, i + 1).float(), len(latents))
        else:
            mels = [decode(i, i + batch).float().cpu() for i in range(0, len(latents), batch)]
        return self._finite(torch.cat(mels), "mel")

    @torch.no_grad()
    def vocode(self, mel: Tensor, batch: int = 16) -> Tensor:
        """Log-mel (B, M, L) of this model -> wav (B, 1, L * hop_length - preroll) on the CPU; `batch` is for a GPU."""
        mel = subtract_floor(mel, self.model.mel_floor)

        def speak(some: Tensor) -> Tensor:
            return self.vocoder(some.to(self.device), self.onset)[..., self.preroll :].float().cpu()

        # On a CPU the vocoder itself takes clips one by one, as many side by side as suits it.
        size = len(mel) if self.device.type == "cpu" else batch
        return self._finite(torch.cat([speak(some) for some in mel.split(size)]), "sound")

    @torch.no_grad()
    def mel(self, wav: Tensor) -> Tensor:
        """The log-mel (M, L) that the model has of a sound: wav (1, T), cropped or padded with silence."""
        begin = self.begin(wav) - self.preroll
        wav = F.pad(wav[:, max(0, begin) :], (max(0, -begin), 0))
        if self.preroll:
            wav = wav.clone()
            wav[:, : max(self.preroll, -begin)] = 0
            fade_in(wav[:, max(self.preroll, -begin) :].numpy(), self.spec.sample_rate)
        samples = self.spec.samples(self.model.frames)
        wav = F.pad(wav[:, :samples], (0, max(0, samples - wav.shape[-1])))
        return MelFrontEnd(self.spec)(wav[None])[0].clamp(min=self.model.mel_floor)

    def begin(self, wav: Tensor) -> int:
        """The sample of a sound (1, T) with which the model's clip of it begins: 1 ms before its onset."""
        rate = self.spec.sample_rate
        return onset(wav[0].numpy(), rate) - lead_samples(rate) if self.preroll else 0

    def length_note(self, name: str, samples: int) -> str | None:
        """What to tell of a sound with `samples` samples that is cropped or padded; None where it fits as it is."""
        have, want = samples / self.spec.sample_rate, self.duration_sec
        if abs(have - want) < UNHEARD_SEC:
            return None
        if samples > self.samples:
            return f"{name}: {have:.2f} s long, only its first {want:.2f} s are used"
        return f"{name}: {have:.2f} s long, silence is added up to {want:.2f} s"

    def _finite(self, x: Tensor, what: str) -> Tensor:
        if not bool(torch.isfinite(x).all()):
            raise CheckpointError(
                f"{self.conditions.model}: made a {what} with NaN or infinite values; lower temperature or retrain"
            )
        return x


def _model_and_prior(bundle: Bundle, name: str) -> tuple[VAE | GAN | LatentGAN, LatentDensity | MappedPrior]:
    """The network of a bundle, and what its latents are drawn from."""
    kind = bundle.config["model"]
    if kind in MAKES_NO_CLIPS:
        raise CheckpointError(f"{name}: holds a {kind}, which makes no clips; give a run made with --model vae or gan")
    model = build_model(bundle.config, bundle.tensors, name)
    if isinstance(model, VAE):
        return model, LatentDensity.from_tensors(bundle.part("density"))
    assert isinstance(model, GAN | LatentGAN)
    return model, MappedPrior(model, bundle.part("prior"))


def _check_conditions(
    bundle: Bundle, prior: Mapping[str, Tensor], model: VAE | GAN | LatentGAN, spec: MelSpec, name: str
) -> None:
    """Refuse a bundle whose parts beside the network do not fit it.

    Raises:
        CheckpointError: They do not.
    """
    classes, n, d = len(bundle.config.get("classes") or ()), prior.get("classes"), model.latent_dim
    known = bundle.config["args"].get("vae", bundle.config["args"]).get("n_classes", 0)
    shapes: dict[str, tuple[int, ...]] = {"classes": (-1,), "pitches": (-1 if n is None else len(n),)}
    if isinstance(model, VAE):
        count = len(prior["corners"]) if "corners" in prior and prior["corners"].ndim else 0
        shapes |= {"corners": (count, -1, d + 1), "factors": (count, d + 1, -1), "class_id": (count,)}
    else:
        shapes |= {"centres": (classes + 1, d)}
    fault = None
    for key, wanted in shapes.items():
        value = prior.get(key)
        if value is None:
            fault = fault or f"{key} is missing"
        elif value.ndim != len(wanted) or any(have != want and (want >= 0 or not have) for have, want in zip(
            value.shape, wanted, strict=True
        )) or (not value.numel() and key != "factors"):  # fmt: skip
            fault = fault or f"{key} has the shape {tuple(value.shape)}"
        elif key in ("classes", "class_id"):
            if value.dtype != torch.int64 or int(value.min()) < -1 or int(value.max()) >= classes:
                fault = fault or f"{key} are not the numbers of its {classes} classes"
        elif value.dtype != torch.float32 or (key != "pitches" and not bool(value.isfinite().all())):
            fault = fault or f"{key} holds what is no number"
    if known != classes:
        fault = fault or f"{classes} classes, its network knows {known}"
    if bundle.config.get("preroll", 0) >= spec.samples(model.frames):
        fault = fault or "preroll is longer than a clip"
    if fault:
        raise CheckpointError(f"{name}: damaged ({fault}); export the bundle again from its run")
