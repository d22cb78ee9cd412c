"""`Pipeline`: a loaded model with its vocoder, from seeds or sounds to latents, log-mels and sound."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from audio_gen.artefacts.bundle import load_bundle
from audio_gen.audio.channels import mono
from audio_gen.audio.mel import MelFrontEnd, MelSpec
from audio_gen.audio.onset import fade_in, lead_samples, loudest, onset
from audio_gen.audio.parallel import side_by_side
from audio_gen.audio.stereo import on_mel
from audio_gen.device import resolve_device
from audio_gen.errors import CheckpointError, ConfigError
from audio_gen.files import at_home
from audio_gen.generation.latents import Latents
from audio_gen.generation.transferred import InMemory, Transfer, transferred_blocks
from audio_gen.generation.vocabulary import Outside, Vocabulary
from audio_gen.models.contract import Codec, Conditions, Kept, Prior, SequenceCodec, SequencePrior, Transform
from audio_gen.models.registry import build_parts, bundle_mel, kind_of, tempo_range
from audio_gen.models.transforms.sound import SoundFrames
from audio_gen.text import one_line, shortened
from audio_gen.vocoding.load import load_vocoder
from audio_gen.vocoding.silence import subtract_floor
from audio_gen.vocoding.vocoder import Vocoder

MAX_SEED, MAX_TEMPERATURE = 2**63 - 1, 100.0
NEEDS: dict[str, tuple[str, ...]] = {"sample": ("codec", "prior"), "encode": ("codec",), "transform": ("transform",)}
TRANSFORM = "transform"
KEPT = Kept()
CLIP_SEC = 4.0  # of a codec without a fixed length
UNHEARD_SEC = 0.05  # smaller differences in length get no note


@dataclass(frozen=True)
class Pipeline:
    """A model and a vocoder. A bundle has some of codec, prior and transform; see `require`.

    The same seed gives the same clip, whatever is generated with it: clip i has a separate generator, seeded with `seed
    + i`. On the CPU the networks process one clip at a time, each on one core, because kernels may differ in the last
    bit with batch size or thread count. On a GPU they process `batch` clips at a time, and clips are equal to within
    rounding.

    Attributes:
        kind: The kind of its codec, or of its main part without one.
        parts: The parts of the model by their names in `registry.KINDS`, their networks on `device`.
        spec: The mel of model and vocoder.
        vocoder: Turns log-mel into sound.
        vocabulary: Classes, pitches and velocities that the model knows.
        preroll: Samples of silence at the start of the model's mels, cut from clips; 0 for earlier models, whose clips
            have no fixed onset.
        tempo_range: Usual tempos of a sequence model's sounds in bpm, slowest and fastest; None if it knows none.
        path: The bundle's folder.
        digest: The bundle's hash.
        device: Where the networks are.
    """

    kind: str
    parts: Mapping[str, nn.Module]
    spec: MelSpec
    vocoder: Vocoder
    vocabulary: Vocabulary
    preroll: int
    path: Path
    digest: str
    device: torch.device
    tempo_range: tuple[float, float] | None = None

    @classmethod
    def load(cls, path: Path | str, *, vocoder: str | Path | None = None, device: str = "auto") -> "Pipeline":
        """Load a run or a bundle.

        Args:
            path: Its folder.
            vocoder: See `load_vocoder`.
            device: "auto", "cpu", "cuda", ..

        Raises:
            CheckpointError: The bundle is missing or damaged.
            ConfigError: The device or the vocoder is unknown.
            MelMismatchError: The vocoder was trained for another mel.
        """
        place, bundle = resolve_device(device), load_bundle(at_home(path))
        name = one_line(path)
        spec = bundle_mel(bundle)
        parts = build_parts(bundle, name)
        for part in parts.values():
            if any(True for _ in part.parameters()):  # priors without parameters draw on the CPU
                part.to(place)
        pitches, velocities = (bundle.config.get(f"{one}_range") for one in ("pitch", "velocity"))
        pipeline = cls(
            kind=kind_of(bundle),
            parts=parts,
            spec=spec,
            vocoder=load_vocoder(vocoder, spec, place),
            vocabulary=Vocabulary(
                name,
                tuple(bundle.config.get("classes") or ()),
                None if pitches is None else tuple(pitches),
                None if velocities is None else tuple(velocities),
            ),
            preroll=int(bundle.config.get("preroll", 0)),
            path=bundle.path,
            digest=bundle.digest,
            device=place,
            tempo_range=tempo_range(bundle),
        )
        if "codec" in parts and pipeline.samples <= 0:
            raise CheckpointError(
                f"{name}: damaged (preroll is longer than a clip); export the bundle again from its run"
            )
        return pipeline

    def require(self, use: Literal["sample", "encode", "transform"]) -> Self:
        """This pipeline, if its model has the parts for a use.

        Raises:
            CheckpointError: A part is missing.
        """
        missing = [name for name in NEEDS[use] if name not in self.parts]
        if not missing:
            return self
        model = self.vocabulary.model
        if missing == ["prior"] and self.codec.latent.stride is not None:
            raise CheckpointError(
                f"{model}: only its codec has been trained so far, which can reconstruct; go on with train, and it "
                "learns to sample"
            )
        if TRANSFORM in self.parts:
            raise CheckpointError(f"{model}: plays sounds in the timbre of its own, with transfer; it cannot {use}")
        if self.kind == "vocoder":
            raise CheckpointError(f"{model}: is a vocoder, which generates no clips; give a run of --model vae or gan")
        raise CheckpointError(f"{model}: has no {' and no '.join(missing)}, which {use} needs; give another run")

    @property
    def codec(self) -> Codec:
        """Log-mel <-> latents."""
        return cast(Codec, self.require("encode").parts["codec"])

    @property
    def prior(self) -> Prior:
        """The distribution of latents."""
        return cast(Prior, self.require("sample").parts["prior"])

    @property
    def is_sequence(self) -> bool:
        """Whether the model makes sounds of any length."""
        return "codec" in self.parts and self.codec.latent.stride is not None

    @property
    def sequence_codec(self) -> SequenceCodec:
        """The codec of a sequence model.

        Raises:
            CheckpointError: The model is of whole clips.
        """
        if not self.require("encode").is_sequence:
            raise CheckpointError(
                f"{self.vocabulary.model}: is a model of clips of {self.duration_sec:.2f} s; give a run of --model "
                "sequence for sounds of any length"
            )
        return cast(SequenceCodec, self.parts["codec"])

    @property
    def sequence(self) -> SequencePrior:
        """The distribution of sequences of latents.

        Raises:
            CheckpointError: The model is of whole clips, or has no prior yet.
        """
        _ = self.sequence_codec
        return cast(SequencePrior, self.require("sample").parts["prior"])

    @property
    def latent_samples(self) -> int:
        """Samples of one latent of a sequence model."""
        return self.spec.samples(self.sequence_codec.latent.stride or 1)

    @property
    def transform(self) -> Transform:
        """Transforms sounds into its domains."""
        return cast(Transform, self.require("transform").parts["transform"])

    @property
    def domains(self) -> tuple[str, ...]:
        """Names of the domains into which it transforms: its classes, or its own name."""
        _ = self.transform
        return self.vocabulary.classes or (Path(self.vocabulary.model).name or TRANSFORM,)

    @property
    def frames(self) -> int:
        """Mel frames of a clip, L."""
        stride = self.codec.latent.stride or 1
        return self.codec.frames or stride * round(CLIP_SEC * self.spec.frame_rate / stride)

    @property
    def samples(self) -> int:
        """Maximal length of a clip, T."""
        return self.spec.samples(self.frames) - self.preroll

    @property
    def onset(self) -> int | None:
        """The sample of the model's mels at which every clip begins; None without a fixed onset."""
        return self.preroll + lead_samples(self.spec.sample_rate) if self.preroll else None

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
        velocity: float | None = None,
        outside: Outside = "refuse",
    ) -> Tensor:
        """Generate clips.

        Args:
            n: Number of clips, B.
            seed: Of the first; the others have seed + 1, seed + 2, ..
            class_name: Their class; None draws one per clip, with its frequency in training.
            pitch: Their MIDI pitch; None draws one per clip.
            temperature: 0 gives the most typical clips, 1 the model's whole variety.
            batch: Clips at a time on a GPU.
            velocity: Their MIDI velocity; None draws one per clip.
            outside: Treatment of a pitch outside the trained range, see `Vocabulary.requested`.

        Returns:
            wav (B, C, T) on the CPU; a stereo model has 2 channels.

        Raises:
            CheckpointError: The model has no prior.
            ConfigError: A value is out of its range, or the model does not know the class or pitch.
        """
        if n < 1:
            raise ConfigError(f"n ({n}) must be at least 1 clip; try 16")
        if batch < 1:
            raise ConfigError(f"batch ({batch}) must be at least 1 clip; try 16")
        latents = self.latents(
            range(seed, seed + n), class_name=class_name, pitch=pitch, velocity=velocity, temperature=temperature,
            outside=outside,
        )  # fmt: skip
        return self.vocode(self.decode(latents, batch=batch), batch=batch)

    def latents(
        self,
        seeds: Sequence[int],
        *,
        class_name: str | None = None,
        pitch: float | None = None,
        velocity: float | None = None,
        temperature: float = 1.0,
        outside: Outside = "refuse",
    ) -> Latents:
        """Draw one latent for each seed; arguments and errors as for `sample`."""
        check_temperature(temperature)
        check_seeds(seeds)
        requested = self.vocabulary.requested(class_name, pitch, velocity, outside).repeat(len(seeds))
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        conditions = self.prior.fill(requested, generators)
        stride = self.codec.latent.stride
        length = 1 if stride is None else -(-self.frames // stride)
        return Latents(self.prior.sample(conditions, generators, length=length, temperature=temperature), conditions)

    @torch.no_grad()
    def encode(self, mel: Tensor, conditions: Conditions) -> Latents:
        """The latents of one clip; without a trained encoder a first estimate, which `inversion.invert` improves.

        Args:
            mel: Log-mel (M, L) of the model's length.
            conditions: Of this one clip.
        """
        z = self.codec.encode(mel[None].to(self.device), conditions.to(self.device)).mean
        return Latents(self._finite(z.cpu(), "latent"), conditions)

    @torch.no_grad()
    def decode(self, latents: Latents, batch: int = 16) -> Tensor:
        """Latents (B) -> log-mel (B, M, L) on the CPU; `batch` is for a GPU."""

        def decode(first: int, stop: int) -> Tensor:
            part = latents[first:stop]
            return self.codec.decode(part.z.to(self.device), part.conditions.to(self.device))

        if self.device.type == "cpu":
            mels = side_by_side(lambda i: decode(i, i + 1).float(), len(latents))
        else:
            mels = [decode(i, i + batch).float().cpu() for i in range(0, len(latents), batch)]
        return self._finite(torch.cat(mels), "mel")

    @torch.no_grad()
    def vocode(self, mel: Tensor, batch: int = 16) -> Tensor:
        """Log-mel (B, M, L) of this model -> wav (B, C, L * hop_length - preroll) on the CPU; `batch` is for a GPU."""
        mel = on_mel(mel, self.spec.n_mels, lambda rows: subtract_floor(rows, self.codec.mel_floor))

        def speak(some: Tensor) -> Tensor:
            return self.vocoder(some.to(self.device), self.onset)[..., self.preroll :].float().cpu()

        # On a CPU the vocoder itself processes clips one by one, in parallel.
        size = len(mel) if self.device.type == "cpu" else batch
        return self._finite(torch.cat([speak(some) for some in mel.split(size)]), "sound")

    @torch.no_grad()
    def mel(self, wav: Tensor) -> Tensor:
        """The model's log-mel (M, L) of a sound: wav (C, T), cropped or padded with silence.

        A stereo model takes 1 or 2 channels, and the result has its rows of stereo; a mono model takes 1.
        """
        begin = self.begin(wav) - self.preroll
        wav = F.pad(wav[:, max(0, begin) :], (max(0, -begin), 0))
        if self.preroll:
            wav = wav.clone()
            wav[:, : max(self.preroll, -begin)] = 0
            fade_in(wav[:, max(self.preroll, -begin) :].numpy(), self.spec.sample_rate)
        samples = self.spec.samples(self.frames)
        wav = F.pad(wav[:, :samples], (0, max(0, samples - wav.shape[-1])))
        image = MelFrontEnd(self.spec)(wav[None])[0]
        return on_mel(image, self.spec.n_mels, lambda mel: mel.clamp(min=self.codec.mel_floor))

    def begin(self, wav: Tensor) -> int:
        """First sample of the model's clip in a sound (C, T): 1 ms before its onset."""
        rate = self.spec.sample_rate
        return onset(loudest(wav.numpy()), rate) - lead_samples(rate) if self.preroll else 0

    def length_note(self, name: str, samples: int) -> str | None:
        """A note on a sound with `samples` samples that is cropped or padded; None if it fits."""
        have, want = samples / self.spec.sample_rate, self.duration_sec
        if abs(have - want) < UNHEARD_SEC:
            return None
        if samples > self.samples:
            return f"{name}: {have:.2f} s long, only its first {want:.2f} s are used"
        return f"{name}: {have:.2f} s long, silence is added up to {want:.2f} s"

    @torch.no_grad()
    def transfer(self, wav: Tensor, target: str | None = None, *, kept: Kept = KEPT, mix: float = 1.0) -> Tensor:
        """A sound in the timbre of a target, as long and as loud.

        Args:
            wav: (C, T) at the model's rate; 1 or 2 channels.
            target: Name of one of `domains`; None if there is one.
            kept: What is kept of the sound.
            mix: Share of the result in a mix with the sound itself.

        Raises:
            CheckpointError: The model cannot transfer.
            ConfigError: It does not know the target.
        """
        number = self.domain(target)
        frames = SoundFrames.of_wav(mono(wav)[None], self.spec)
        rendition = self.transform.begin(frames, number, kept)
        how = Transfer(number, kept, mix=mix)
        blocks = transferred_blocks(InMemory(wav), frames, rendition, how, self.vocoder, self.device)
        return self._finite(torch.cat(list(blocks), dim=1), "sound")

    def domain(self, name: str | None) -> int:
        """The number of a domain that a user names; errors as for `transfer`."""
        domains = self.domains
        if name is None and (usual := self.transform.usual_target) is not None:
            return usual
        if name in domains:
            return domains.index(name)
        given = "--to: missing" if name is None else f"--to {shortened(name)}: unknown to {self.vocabulary.model}"
        raise ConfigError(f"{given}; it knows {', '.join(domains)}. To use a folder of sounds, leave the run out")

    def _finite(self, x: Tensor, what: str) -> Tensor:
        if not bool(torch.isfinite(x).all()):
            raise CheckpointError(
                f"{self.vocabulary.model}: generated a {what} with NaN or infinite values; lower temperature or retrain"
            )
        return x


def check_seeds(seeds: Sequence[int]) -> None:
    """Refuse seeds outside their range.

    Raises:
        ConfigError: One is.
    """
    if min(seeds) < 0 or max(seeds) > MAX_SEED:
        raise ConfigError(f"seeds ({min(seeds)} to {max(seeds)}) must be between 0 and 2^63 - 1; try 0")


def check_temperature(temperature: float) -> None:
    """Refuse a temperature outside its range.

    Raises:
        ConfigError: It is not between 0 and MAX_TEMPERATURE.
    """
    if not 0 <= temperature <= MAX_TEMPERATURE:
        raise ConfigError(f"temperature ({temperature:g}) must be between 0 and {MAX_TEMPERATURE:g}; try 1")
