"""The training task of sequence models: the codec first, then a prior over the latents of all clips."""

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from audio_gen.artefacts.bundle import Bundle
from audio_gen.audio.mel import DB_PER_NAT, MelFrontEnd, MelSpec
from audio_gen.audio.stereo import on_mel
from audio_gen.data.dataset import Batch, ClipDataset
from audio_gen.data.store import Cache
from audio_gen.errors import CheckpointError, ConfigError
from audio_gen.models.codecs.local import LocalCodec
from audio_gen.models.codecs.patches import STEADY, STRIDE, grain_noise
from audio_gen.models.contract import Conditions
from audio_gen.models.registry import KINDS, Part, kind_of, packed, parts_of
from audio_gen.text import one_line
from audio_gen.training.events import Event, Note
from audio_gen.training.task import Loss, Phase, Preview
from audio_gen.training.tasks.latents import MOST_VERSIONS, LatentStore, Windows
from audio_gen.training.tasks.mels import PREVIEW_ITERATIONS, preview_of, quick_sound
from audio_gen.training.tasks.sequence.grain import grain_score
from audio_gen.training.tasks.sequence.settings import SIZES, SequenceConfig
from audio_gen.training.tasks.settings import clip_frames
from audio_gen.training.tasks.start import load_part

CODEC, PRIOR = "codec", "prior"
BASIS_BATCHES = 48  # of the run's batches, whose patches the codec starts from
PREVIEW_SEC = 6.0
NORMALISED = 65_536  # latents that the prior's normalisation is measured on
VAL_SEED = 1
TOLD_SEC = 15.0
VERSION_MINUTES = 1.5  # of a run for each version of its sounds
LEAST_WINDOW = 8  # latents; frames may be long
TEMPO_QUANTILES = (0.1, 0.9)


class SequenceModel(nn.Module):
    """A codec and a prior over its latents."""

    def __init__(self, codec: LocalCodec, prior: nn.Module) -> None:
        """Join both, for the averaged weights and checkpoints."""
        super().__init__()
        self.codec, self.prior = codec, prior
        self.register_buffer("ready", torch.zeros((), dtype=torch.bool))  # whether the prior has its normalisation
        self.register_buffer("tempo", torch.zeros(2))  # slowest and fastest usual tempo in bpm; 0 if unknown


class CodecStep(NamedTuple):
    """Data of a step of the codec.

    Attributes:
        target: Normalised patches (B, N, 4 R).
        mean: Decoded means of them.
        draws: Two draws of the grain (2, B, N, 4 R).
        z: Latents (B, N, D), without noise.
    """

    target: Tensor
    mean: Tensor
    draws: Tensor
    z: Tensor


class SequenceTask:
    """Trains a codec along time, then a prior over its latents.

    Attributes:
        tell: Gets what the user should know.
    """

    retired: Sequence[str] = ()
    generates = True
    judged_by: str | None = "prior_loss"
    preroll = 0
    tell: Callable[[Event], None] = staticmethod(lambda event: None)

    def __init__(self, config: SequenceConfig, spec: MelSpec, cache: Cache) -> None:
        """Size the networks to the cache's classes.

        Raises:
            ConfigError: A latent has more numbers than the frames that it stands for.
        """
        self.config, self.spec, self.cache, net, prior = config, spec, cache, config.net, config.prior
        self.classes = cache.classes if net.use_class and len(cache.classes) > 1 else []
        if net.latent_dim > (most := STRIDE * spec.rows):
            raise ConfigError(
                f"net.latent_dim ({net.latent_dim}): {STRIDE} frames of this mel have {most} numbers; use fewer, such "
                f"as {min(64, most)}"
            )
        rate = spec.frame_rate / STRIDE
        window = max(LEAST_WINDOW, round(prior.window_sec * rate))
        self.codec_args: dict[str, Any] = {
            "n_mels": spec.n_mels, "latent_dim": net.latent_dim, "width": net.width,
            "encoder_depth": net.encoder_depth, "decoder_depth": net.decoder_depth, "grain_depth": net.grain_depth,
            "noise_dim": net.noise_dim, "mel_floor": net.mel_floor, "stereo_bands": spec.stereo_bands,
            "causal": net.causal,
        }  # fmt: skip
        self.prior_args: dict[str, Any] = {
            "latent_dim": net.latent_dim, "n_classes": len(self.classes), "window": window,
            "context": min(max(1, round(prior.context_sec * rate)), window // 2),
            **SIZES[prior.kind][prior.size],
        }  # fmt: skip
        if prior.kind == "flow":
            self.prior_args["beats"] = prior.beats is True
        self.args = {CODEC: self.codec_args, PRIOR: {"kind": prior.kind, **self.prior_args}}
        self.front_end = MelFrontEnd(spec)
        self.codec, self.prior = LocalCodec(**self.codec_args), KINDS[PRIOR][prior.kind](**self.prior_args)
        self.model: nn.Module = SequenceModel(self.codec, self.prior)
        self.modules = nn.ModuleDict({"model": self.model, "front_end": self.front_end})
        frames = max(STRIDE, clip_frames(config.data.segment_sec, spec) // STRIDE * STRIDE)
        shown = max(frames, clip_frames(PREVIEW_SEC, spec) // STRIDE * STRIDE)
        self.segments = spec.samples(frames), spec.samples(shown)
        beats = self.prior_args.get("beats", False)
        changes = (prior.semitones, config.gain_db) if prior.semitones else None
        minutes = config.train.minutes  # a short run has no time to encode many versions
        versions = MOST_VERSIONS if minutes is None else min(MOST_VERSIONS, max(1, round(minutes / VERSION_MINUTES)))
        self.latents = {
            "train": LatentStore(
                cache, "train", spec, window=window, beats=beats, most_change=changes, most_versions=versions
            ),
            "val": LatentStore(cache, "val", spec, window=window, beats=beats),
        }

    def compilable(self) -> Sequence[nn.Module]:
        """No part."""
        return ()

    @torch.no_grad()
    def initialise(self, train: ClipDataset) -> None:
        """Set the codec's linear path to the principal components of patches of training sounds."""
        size = self.config.train.batch_size
        images = [self.front_end(train.batch(step, size).wav) for step in range(BASIS_BATCHES)]
        self.codec.initialise(torch.cat(images))

    def start_from(self, bundle: Bundle, run: Path) -> str | None:
        """Load the codec of a sequence model of this size, and the prior if it is of the same kind and classes."""
        parts = parts_of(bundle)
        if kind_of(bundle) != "local":
            raise CheckpointError(
                f"--init {one_line(run)}: holds a {kind_of(bundle)}; give a run made with --model sequence"
            )
        load_part(self.codec, parts[CODEC].tensors, bundle, run)
        prior = parts.get(PRIOR)
        mine = self.config.prior.kind, self.prior_args, list(self.classes)
        shapes = None if prior is None else {name: value.shape for name, value in prior.tensors.items()}
        if (
            prior is None
            or (prior.kind, prior.args, list(bundle.config.get("classes") or ())) != mine
            or shapes != {name: value.shape for name, value in self.prior.state_dict().items()}
        ):
            return "only the codec is taken from it: the prior is of another kind, size or set of classes"
        load_part(self.prior, prior.tensors, bundle, run)
        self.model.ready.fill_(True)  # type: ignore[operator]
        return None

    def phases(self) -> list[Phase]:
        """The codec until `prior.start`, then the prior; the linear path moves slowly: it starts from a PCA."""
        loss, prior = self.config.loss, self.config.prior
        linear = [*self.codec.analysis.parameters(), *self.codec.synthesis.parameters()]
        rest = [one for one in self.codec.parameters() if all(one is not other for other in linear)]
        return [
            Phase(CODEC, [(linear, loss.linear_lr), (rest, 1.0)], (0.0, prior.start)),
            Phase(PRIOR, [(list(self.prior.parameters()), prior.lr)], (prior.start, 1.0)),
        ]

    def begin(self, batch: Batch, generator: torch.Generator, progress: float) -> CodecStep | Windows:
        """Decoded clips while the codec trains; later, windows of latents."""
        if progress < self.config.prior.start:
            return self._codec_step(batch, generator)
        device = batch.wav.device
        self._freeze()
        count = max(1, round(self.config.prior.batch_size * len(batch.wav) / self.config.train.batch_size))
        return self.latents["train"].draw(count, self.prior_args["window"], generator).to(device)

    def _codec_step(self, batch: Batch, generator: torch.Generator) -> CodecStep:
        codec, device = self.codec, batch.wav.device

        def normal(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator, device=device)

        gain = (2 * torch.rand(len(batch.wav), 1, 1, generator=generator, device=device) - 1) * self.config.gain_db
        image = on_mel(self.front_end(batch.wav), self.spec.n_mels, lambda mel: mel + gain / DB_PER_NAT)
        target = codec.patches(image)
        z = codec.encode(image).mean
        level = torch.rand(len(z), 1, 1, generator=generator, device=device) * self.config.loss.latent_noise
        noisy = z + level * normal(*z.shape)
        h = codec.features(noisy)
        mean = codec.mean_of(noisy, h)
        fixed_z, fixed_h = (part.detach().repeat(2, 1, 1) for part in (noisy, h))
        noise = grain_noise(normal(2 * len(z), z.shape[1] + max(STEADY) - 1, codec.noise_dim))
        drawn = codec.drawn(fixed_z, fixed_h, noise)
        draws = drawn.float().unflatten(0, (2, -1))
        return CodecStep(target, mean.float(), draws, z.float())

    def loss(self, phase: str, shared: CodecStep | Windows, generator: torch.Generator, progress: float) -> Loss:
        """Mean, grain and size of the codec; or the loss of the prior."""
        if isinstance(shared, Windows):
            value = self.prior.loss(shared.z, shared.sound, shared.conditions, generator)  # type: ignore[operator]
            return Loss({"prior": (value, 1.0)})
        w, target = self.config.loss, shared.target
        residual, rows = (target - shared.mean).detach(), self.codec.rows
        score = grain_score(residual, shared.draws, rows)
        return Loss({
            "mel": ((target - shared.mean).abs().mean() * self.codec.scale, w.mel), "grain": (score, w.grain),
            "latent": (shared.z.square().mean(), w.latent_size),
        })  # fmt: skip

    @torch.no_grad()
    def _freeze(self) -> None:
        """Encode all training clips with the trained codec, once in a session, and prepare the prior for them."""
        store = self.latents["train"]
        if store.encoded:
            return
        self.codec.requires_grad_(False)
        self.codec.eval()
        with torch.autocast(self.codec.mean.device.type, enabled=False):
            store.encode(self.codec, self._told())
        if not self.model.ready:
            shares = store.class_shares(len(self.classes))
            self.prior.initialise(store.thinned(NORMALISED), shares, self.codec.importance)  # type: ignore[operator]
            self.model.ready.fill_(True)  # type: ignore[operator]
        if store.tempos:
            self.model.get_buffer("tempo").copy_(torch.tensor(np.quantile(store.tempos, TEMPO_QUANTILES)))

    def _told(self) -> Callable[[int, int], None]:
        """Tells how far the latents are, at most four times a minute."""
        last = -math.inf

        def progress(done: int, total: int) -> None:
            nonlocal last
            if (now := time.monotonic()) >= last + TOLD_SEC:
                last = now
                self.tell(Note(f"the codec is done; computing the latents that the prior learns: {done / total:.0%}"))

        return progress

    def after_step(self, statistics: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Nothing adapts."""
        return {}

    def after_validation(self, figures: Mapping[str, float]) -> None:
        """Nothing adapts."""

    def validate(self, model: SequenceModel, batches: Iterable[Batch]) -> dict[str, float]:
        """Held-out log-mel L1 in nats of the decoded mean; and, once it trains, the prior's loss on windows."""
        device, found = model.codec.mean.device, {}
        if bool(model.ready):
            store = self.latents["val"]
            if not store.encoded:  # the codec is fixed by now
                store.encode(self.codec)
            windows = store.spread(self.config.prior.val_windows, self.prior_args["window"]).to(device)
            generator = torch.Generator(device).manual_seed(VAL_SEED)
            loss = model.prior.loss(windows.z, windows.sound, windows.conditions, generator)  # type: ignore[operator]
            found["prior_loss"] = float(loss)
        errors = []
        for batch in batches:
            image = self.front_end(batch.wav)
            mean = decoded_mean(model.codec, image)
            errors.append((mean - torch.maximum(image, model.codec.least))[:, : self.spec.n_mels].abs().mean((1, 2)))
        return found | {"mel_l1": float(torch.cat(errors).mean())}

    def preview(self, model: SequenceModel, batch: Batch) -> Preview:
        """Real, reconstructed and, once the prior trains, sampled clips."""
        image = torch.maximum(self.front_end(batch.wav), model.codec.least)
        columns = {"real": image, "reconstructed": model.codec.decode(model.codec.encode(image).mean)}
        if bool(model.ready):
            columns["sampled"] = self.sampled(model, len(image), image.shape[2] // STRIDE, self.config.train.seed)
        return preview_of(batch, columns, self.spec, self.render)

    def sampled(self, model: SequenceModel, count: int, length: int, seed: int) -> Tensor:
        """Sampled log-mels (count, R, 4 length)."""
        generators = [torch.Generator().manual_seed(seed + i) for i in range(count)]
        conditions = model.prior.fill(Conditions(count), generators)  # type: ignore[operator]
        z = model.prior.sample(conditions, generators, length=length)  # type: ignore[operator]
        decoded: Tensor = model.codec.decode(z.to(model.codec.mean.device))
        return decoded

    def render(self, image: Tensor, iterations: int = PREVIEW_ITERATIONS) -> Tensor:
        """Log-mel (B, R, L) -> wav (B, C, T) on the CPU, by a fast vocoder."""
        return quick_sound(image, self.spec, self.config.net.mel_floor, iterations)

    def generate(self, model: SequenceModel, count: int, seed: int) -> Tensor:
        """New clips (count, C, T) of the length of a training crop."""
        length = math.ceil(self.segments[0] / self.spec.samples(STRIDE))
        return self.render(self.sampled(model, count, length, seed))

    def copy(self, wav: Tensor) -> Tensor:
        """Copy-synthesis of wav (B, C, T) with the fast vocoder."""
        return self.render(self.front_end(wav))

    def bundle(self, model: SequenceModel) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Codec and prior; without the prior while that has not begun."""
        parts = {CODEC: Part("local", self.codec_args, model.codec.state_dict())}
        if bool(model.ready):
            parts[PRIOR] = Part(self.config.prior.kind, self.prior_args, model.prior.state_dict())
        config, tensors = packed(parts)
        tempo = {"tempo_range": [round(bpm, 2) for bpm in model.get_buffer("tempo").tolist()]}
        config |= {"mel": self.spec.to_dict(), "classes": self.classes, "preroll": 0}
        return config | (tempo if bool((model.get_buffer("tempo") > 0).all()) else {}), tensors


def decoded_mean(codec: LocalCodec, image: Tensor) -> Tensor:
    """Copies (B, R, L) of images without grain."""
    z = codec.encode(image).mean
    return codec.limited(codec.image(codec.mean_of(z, codec.features(z))))[:, :, : image.shape[2]]
