"""The training task of transfer models: a decoder of log-mel from what transforms read of a sound."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from audio_gen.artefacts.bundle import Bundle
from audio_gen.audio.mel import MelFrontEnd, MelSpec
from audio_gen.data.dataset import Batch, ClipDataset
from audio_gen.data.store import Cache
from audio_gen.errors import CheckpointError
from audio_gen.models.codecs.patches import STEADY, STRIDE, grain_noise
from audio_gen.models.registry import Part, kind_of, packed, parts_of
from audio_gen.models.salience import PitchSalience
from audio_gen.models.transforms.controls import GROUPS, ControlDecoder
from audio_gen.models.transforms.sound import FLOOR, KeptSalience, Ranges, SoundFrames
from audio_gen.text import one_line
from audio_gen.training.task import Loss, Phase, Preview
from audio_gen.training.tasks.mels import PREVIEW_ITERATIONS, preview_of, quick_sound
from audio_gen.training.tasks.sequence.grain import grain_score
from audio_gen.training.tasks.settings import clip_frames
from audio_gen.training.tasks.start import load_part
from audio_gen.training.tasks.transfer.settings import TransferConfig

KIND, DECODER = "controls", "decoder"
BASIS_BATCHES = 24
MOST_KEPT_FRAMES = 1_500_000  # of pitches, ten hours in 380 MB
DEFAULT_KEPT = (True, True, True, False)  # what a sound with pitches gives
RANGES = ("loudness", "onset", "brightness", "pitches", "voiced")
OF_TARGETS = (*RANGES, "target.weight")


class DecoderStep(NamedTuple):
    """Data of a step.

    Attributes:
        target: Normalised patches (B, N, 4 M).
        mean: Decoded means of them.
        draws: Two draws of the grain (2, B, N, 4 M).
    """

    target: Tensor
    mean: Tensor
    draws: Tensor


class TransferTask:
    """Trains a decoder on the target's sounds alone."""

    retired: Sequence[str] = ()
    generates = False
    judged_by: str | None = "mel_l1"
    preroll = 0

    def __init__(self, config: TransferConfig, spec: MelSpec, cache: Cache) -> None:
        """Size the network to the cache's classes."""
        self.config, self.spec, self.cache, net = config, spec, cache, config.net
        self.classes = cache.classes if net.use_class and len(cache.classes) > 1 else []
        self.args: dict[str, Any] = {
            "n_mels": spec.n_mels, "n_classes": len(self.classes), "width": net.width, "depth": net.depth,
            "grain_depth": net.grain_depth, "noise_dim": net.noise_dim,
        }  # fmt: skip
        self.model: nn.Module = ControlDecoder(**self.args)
        self.modules = nn.ModuleDict({"model": self.model})
        self._frames = max(STRIDE, clip_frames(config.data.segment_sec, spec) // STRIDE * STRIDE)
        self.segments = spec.samples(self._frames), spec.samples(self._frames)
        self._known: dict[int, SoundFrames] = {}
        self._kept_frames = 0

    def compilable(self) -> Sequence[nn.Module]:
        """No part."""
        return ()

    @torch.no_grad()
    def initialise(self, train: ClipDataset) -> None:
        """Set the normalisation by training clips, and the ranges of each target's controls by its sounds."""
        decoder, size = self._decoder, self.config.train.batch_size
        wavs = torch.cat([train.batch(step, size).wav for step in range(BASIS_BATCHES)])
        decoder.normalise(MelFrontEnd(self.spec)(wavs).clamp(min=FLOOR))
        for number, name in enumerate(self.classes or [None]):
            decoder.set_ranges(number, Ranges.of(self._sounds(name)))

    @property
    def _decoder(self) -> ControlDecoder:
        assert isinstance(self.model, ControlDecoder)
        return self.model

    def _sounds(self, class_name: str | None) -> list[SoundFrames]:
        """Training sounds of a class, at most so many minutes of them, evenly spread."""
        numbers = self.cache.numbers("train").tolist()
        numbers = [n for n in numbers if class_name is None or self.cache.clips[n].class_name == class_name]
        most = 60 * self.config.measured_minutes * self.spec.sample_rate
        count = max(1, round(len(numbers) * min(1.0, most / max(1, sum(self.cache.clips[n].samples for n in numbers)))))
        return [self._sound(numbers[i]) for i in np.linspace(0, len(numbers) - 1, count).round().astype(int)]

    def _sound(self, number: int) -> SoundFrames:
        """A clip of the cache, whose pitches are computed once if there is room for them."""
        if number in self._known:
            return self._known[number]
        clip = self.cache.clips[number]

        def read(start: int, samples: int) -> Tensor:
            return torch.from_numpy(self.cache.read(clip, start, samples).astype(np.float32, copy=False))[None]

        found = PitchSalience(read, clip.samples, self.spec.sample_rate)
        if self._kept_frames + found.frames > MOST_KEPT_FRAMES:
            return SoundFrames(read, clip.samples, self.spec)
        self._kept_frames += found.frames
        self._known[number] = SoundFrames(read, clip.samples, self.spec, KeptSalience(found))
        return self._known[number]

    def start_from(self, bundle: Bundle, run: Path) -> str | None:
        """Load the networks of a transfer model of this size; the ranges are those of the new sounds."""
        if kind_of(bundle) != KIND:
            raise CheckpointError(
                f"--init {one_line(run)}: holds a {kind_of(bundle)}; give a run made with --model transfer"
            )
        own = {name: value.clone() for name, value in self.model.state_dict().items() if name in RANGES}
        tensors = parts_of(bundle)["transform"].tensors
        shapes = {name: value.shape for name, value in self.model.state_dict().items()}
        other = any(tensors[name].shape != shapes[name] for name in OF_TARGETS if name in tensors)
        if other:
            kept = {name: value for name, value in self.model.state_dict().items() if name in OF_TARGETS}
            tensors = {**tensors, **kept}
        load_part(self.model, tensors, bundle, run)
        self.model.load_state_dict(own, strict=False)
        return "its targets are learned anew: there are others" if other else None

    def phases(self) -> list[Phase]:
        """One."""
        return [Phase(DECODER, [(list(self.model.parameters()), 1.0)])]

    def begin(self, batch: Batch, generator: torch.Generator, progress: float) -> DecoderStep:
        """Decode clips from their controls."""
        decoder, device = self._decoder, batch.wav.device
        shares = self.config.controls
        lost = torch.tensor([shares.no_pitch, shares.no_loudness, shares.no_attack, shares.no_brightness])
        kept = torch.rand(len(batch.wav), GROUPS, generator=generator, device=device).cpu() >= lost
        inputs, patches, targets = self.read(decoder, batch, kept.tolist())
        h = decoder.features(inputs.to(device), targets.to(device))
        shape = 2 * len(h), h.shape[1] + max(STEADY) - 1, decoder.noise_dim
        noise = grain_noise(torch.randn(shape, generator=generator, device=device))
        draws = decoder.grain_of(h.detach().repeat(2, 1, 1), noise).float().unflatten(0, (2, -1))
        return DecoderStep(patches.to(device), decoder.mean_of(h).float(), draws)

    @torch.no_grad()
    @torch.autocast("cpu", enabled=False)
    def read(
        self, decoder: ControlDecoder, batch: Batch, kept: Sequence[Sequence[bool]]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The decoder's inputs (B, N, I), the patches to decode (B, N, 4 M) and the targets (B,), on the CPU."""
        inputs, mels, targets = [], [], []
        places = zip(batch.index.tolist(), batch.start.tolist(), batch.class_id.tolist(), kept, strict=True)
        for number, start, class_id, some in places:
            target = max(0, class_id) if self.classes else 0
            sound, first = self._sound(number), start // self.spec.hop_length
            controls = sound.controls(first, first + self._frames, decoder.smoothing(target))
            inputs.append(decoder.inputs(controls, target, some))
            mels.append(sound.mel(first, first + self._frames))
            targets.append(target)
        image = torch.stack(mels).to(decoder.mean.device)
        return torch.stack(inputs), decoder.patches(image).cpu(), torch.tensor(targets)

    def loss(self, phase: str, shared: DecoderStep, generator: torch.Generator, progress: float) -> Loss:
        """Mean and grain."""
        w, residual = self.config.loss, (shared.target - shared.mean).detach()
        return Loss({
            "mel": ((shared.target - shared.mean).abs().mean() * self._decoder.scale, w.mel),
            "grain": (grain_score(residual, shared.draws, self.spec.n_mels), w.grain),
        })  # fmt: skip

    def after_step(self, statistics: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Nothing adapts."""
        return {}

    def after_validation(self, figures: Mapping[str, float]) -> None:
        """Nothing adapts."""

    def validate(self, model: ControlDecoder, batches: Iterable[Batch]) -> dict[str, float]:
        """Held-out log-mel L1 in nats of the decoded mean, from all controls but brightness."""
        errors = []
        for batch in batches:
            inputs, patches, targets = self.read(model, batch, [DEFAULT_KEPT] * len(batch.wav))
            h = model.features(inputs.to(batch.wav.device), targets.to(batch.wav.device))
            errors.append((model.mean_of(h).cpu() - patches).abs().mean((1, 2)) * model.scale.cpu())
        return {"mel_l1": float(torch.cat(errors).mean())}

    def preview(self, model: ControlDecoder, batch: Batch) -> Preview:
        """Real clips, and decoded from their controls."""
        inputs, patches, targets = self.read(model, batch, [DEFAULT_KEPT] * len(batch.wav))
        h = model.features(inputs.to(batch.wav.device), targets.to(batch.wav.device))
        columns = {"real": model.image(patches.to(batch.wav.device)), "from controls": model.decoded(h)}
        return preview_of(batch, columns, self.spec, self.render)

    def render(self, image: Tensor, iterations: int = PREVIEW_ITERATIONS) -> Tensor:
        """Log-mel (B, M, L) -> wav (B, 1, T) on the CPU, by a fast vocoder."""
        return quick_sound(image, self.spec, self._decoder.mel_floor, iterations)

    def generate(self, model: Any, count: int, seed: int) -> Tensor:
        """Not called: it makes no sounds of its own."""
        raise NotImplementedError

    def copy(self, wav: Tensor) -> Tensor:
        """Not called: it makes no sounds of its own."""
        raise NotImplementedError

    def bundle(self, model: ControlDecoder) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """The decoder."""
        config, tensors = packed({"transform": Part(KIND, self.args, model.state_dict())})
        return config | {"mel": self.spec.to_dict(), "classes": self.classes, "preroll": 0}, tensors
