"""The training task of a cycle-consistent GAN between the two classes of a cache."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from audio_gen.artefacts.bundle import Bundle
from audio_gen.audio.mel import MelFrontEnd, MelSpec
from audio_gen.audio.stft import padding
from audio_gen.data.dataset import Batch, ClipDataset
from audio_gen.data.store import Cache
from audio_gen.errors import CheckpointError, ConfigError
from audio_gen.losses.spectral import floored
from audio_gen.models.codecs.patches import STRIDE
from audio_gen.models.contract import CLASS, Conditions
from audio_gen.models.discriminators.along_time import TimeDiscriminator
from audio_gen.models.registry import Part, kind_of, packed, trained_weights
from audio_gen.models.transforms.cycle import DOMAINS, CycleNetwork, loud_db
from audio_gen.models.transforms.sound import loudness_db
from audio_gen.text import distinct_sounds, one_line, shortened
from audio_gen.training.task import Loss, Phase, Preview
from audio_gen.training.tasks.cycle.settings import CycleConfig
from audio_gen.training.tasks.gan.discriminator import AdversarialLosses, Drawn
from audio_gen.training.tasks.mels import PREVIEW_ITERATIONS, preview_of, quick_sound
from audio_gen.training.tasks.settings import clip_frames
from audio_gen.training.tasks.start import load_part

KIND = "cycle"
START_BATCHES = 48
GAP_CLIPS = 64


class CycleStep(NamedTuple):
    """Data that the phases of a step share.

    Attributes:
        own: Mel images of clips (B, M, L) in nats.
        domains: Their domains (B,).
        drawn: What they become in the other domain, and real clips of it.
    """

    own: Tensor
    domains: Tensor
    drawn: Drawn


class CycleTask:
    """Trains one network in both directions against a discriminator of both domains."""

    retired: Sequence[str] = ()
    generates = False
    judged_by: str | None = None
    preroll = 0

    def __init__(self, config: CycleConfig, spec: MelSpec, cache: Cache) -> None:
        """Size the networks; the domains are the classes of the cache.

        Raises:
            ConfigError: There are not two.
        """
        self.config, self.spec, self.cache, net = config, spec, cache, config.net
        self.classes = cache.classes
        _check_domains(cache)
        usual = DOMAINS if cache.target is None else self.classes.index(cache.target)
        self.args: dict[str, Any] = {
            "n_mels": spec.n_mels, "n_classes": DOMAINS, "target": usual, "width": net.width, "depth": net.depth,
            "mel_floor": net.mel_floor,
        }  # fmt: skip
        self.network = CycleNetwork(**self.args)
        self.model: nn.Module = self.network
        self.adversarial = AdversarialLosses(
            config.loss,
            TimeDiscriminator(n_mels=spec.n_mels, n_classes=DOMAINS, width=net.d_width, depth=net.d_depth),
            floor=net.mel_floor, images=config.train.batch_size, whole=0.0,
        )  # fmt: skip
        self.front_end = MelFrontEnd(spec)
        self.modules = nn.ModuleDict({"model": self.network, **self.adversarial.modules, "front_end": self.front_end})
        self.frames = max(STRIDE, clip_frames(config.data.segment_sec, spec) // STRIDE * STRIDE)
        self._margin = STRIDE * -(-padding(spec.n_fft, spec.hop_length) // (STRIDE * spec.hop_length))
        self.segments = (spec.samples(self.frames + 2 * self._margin),) * 2

    def compilable(self) -> Sequence[nn.Module]:
        """No part."""
        return ()

    @torch.no_grad()
    def initialise(self, train: ClipDataset) -> None:
        """Set the normalisation and the levels of both domains by training clips."""
        self.train = train
        size = self.config.train.batch_size
        batches = [train.batch(step, size) for step in range(START_BATCHES)]
        mels = torch.cat([self._mel(batch) for batch in batches])
        domains = torch.cat([batch.class_id for batch in batches])
        self.network.normalise(mels)
        for number in range(DOMAINS):
            self.network.level_db[number] = loud_db(loudness_db(mels[domains == number], self.spec).flatten())

    def start_from(self, bundle: Bundle, run: Path) -> str | None:
        """Load the network of a cycle GAN of this size; levels are those of the new sounds."""
        if kind_of(bundle) != KIND:
            raise CheckpointError(f"--init {one_line(run)}: holds a {kind_of(bundle)}; give a run of --model cycle")
        levels = self.network.level_db.clone()
        load_part(self.network, trained_weights(bundle), bundle, run)
        self.network.level_db.copy_(levels)
        return None

    def phases(self) -> list[Phase]:
        """The discriminator, then the network."""
        d = list(self.adversarial.d.parameters())
        return [Phase("d", [(d, self.config.loss.d_lr)]), Phase("g", [(list(self.network.parameters()), 1.0)])]

    def begin(self, batch: Batch, generator: torch.Generator, progress: float) -> CycleStep:
        """Clips, what they become in the other domain, and real clips of that."""
        own, domains = self._mel(batch), batch.class_id
        fake = self._floored(self.network.raw(own, 1 - domains, self._known(own, generator)))
        conditions = Conditions(len(own), {CLASS: 1 - domains})
        drawn = Drawn(own[partners(domains)], fake, 0, conditions, None, own.new_zeros(len(own), 1))
        return CycleStep(own, domains, drawn)

    def loss(self, phase: str, shared: CycleStep, generator: torch.Generator, progress: float) -> Loss:
        """Relativistic losses; for the network also that of the way there and back, and that of its own domain."""
        w = self.config.loss
        ramp = min(1.0, progress / w.ramp) if w.ramp else 1.0
        if phase == "d":
            return self.adversarial.d_loss(shared.drawn, generator, penalty=w.penalty * w.penalty_start ** (1 - ramp))
        both = torch.cat([shared.drawn.fake, shared.own])
        back, same = self._floored(self.network.raw(both, shared.domains.repeat(2))).chunk(2)
        return Loss({
            **self.adversarial.g_terms(shared.drawn, generator),
            "cycle": ((back - shared.own).abs().mean(), w.cycle),
            "identity": ((same - shared.own).abs().mean(), w.identity),
        })  # fmt: skip

    def after_step(self, statistics: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Adapt the augmentation; log that, and the gap of logits."""
        return self.adversarial.after_step(statistics)

    def after_validation(self, figures: Mapping[str, float]) -> None:
        """Measure the discriminator's overfitting by its gaps of logits."""
        if "logits_gap" in figures:
            self.adversarial.adaptive.measure(figures["logits_gap_train"], figures["logits_gap"])

    def validate(self, model: CycleNetwork, batches: Iterable[Batch]) -> dict[str, float]:
        """L1 in nats of held-out clips there and back, and logit gaps of held-out and training clips."""
        backs, gaps, known = [], list[Tensor](), list[Tensor]()
        for batch in batches:
            own, fake = self._transferred(model, batch)
            backs.append((model(fake, batch.class_id) - own).abs().mean((1, 2)))
            gaps += self._gap(own, fake, batch.class_id)
        for batch in self.train.fixed_batches(GAP_CLIPS, GAP_CLIPS) if gaps else ():
            batch = batch.to(gaps[0].device)
            known += self._gap(*self._transferred(model, batch), batch.class_id)
        figures = {"back_l1": float(torch.cat(backs).mean())}
        if gaps and known:
            figures |= {"logits_gap": float(torch.cat(gaps).mean()), "logits_gap_train": float(torch.cat(known).mean())}
        return figures

    def preview(self, model: CycleNetwork, batch: Batch) -> Preview:
        """Real clips, what they become, and that on the way back."""
        own, fake = self._transferred(model, batch)
        columns = {"real": own, "transferred": fake, "back": model(fake, batch.class_id)}
        return preview_of(batch, columns, self.spec, self.render)

    def render(self, image: Tensor, iterations: int = PREVIEW_ITERATIONS) -> Tensor:
        """Log-mel (B, M, L) -> wav (B, 1, T) on the CPU, by a fast vocoder."""
        return quick_sound(image, self.spec, self.config.net.mel_floor, iterations)

    def generate(self, model: Any, count: int, seed: int) -> Tensor:
        """Not called: it makes no sounds of its own."""
        raise NotImplementedError

    def copy(self, wav: Tensor) -> Tensor:
        """Not called: it makes no sounds of its own."""
        raise NotImplementedError

    def bundle(self, model: CycleNetwork) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """The network."""
        config, tensors = packed({"transform": Part(KIND, self.args, model.state_dict())})
        return config | {"mel": self.spec.to_dict(), "classes": self.classes, "preroll": 0}, tensors

    def _mel(self, batch: Batch) -> Tensor:
        """Log-mels (B, M, L) of crops, without the frames at their ends: the edge of a crop is a click.

        What is before the start of a clip is silence, so that its attack is among the frames.
        """
        margin = self.spec.samples(self._margin)
        late = F.pad(batch.wav, (margin, -margin))
        wav = torch.where((batch.start <= 0)[:, None, None], late, batch.wav)
        mel: Tensor = self.front_end(wav)[..., self._margin : -self._margin]
        return mel.clamp(min=self.config.net.mel_floor)

    def _floored(self, raw: Tensor) -> Tensor:
        return floored(raw.float(), self.config.net.mel_floor)

    def _transferred(self, model: CycleNetwork, batch: Batch) -> tuple[Tensor, Tensor]:
        own = self._mel(batch)
        return own, model(own, 1 - batch.class_id)

    def _gap(self, own: Tensor, fake: Tensor, domains: Tensor) -> list[Tensor]:
        """Logits (B,) of real clips minus those of transferred ones; nothing for clips of one domain."""
        if len(domains.unique()) < DOMAINS:
            return []
        conditions = Conditions(len(own), {CLASS: 1 - domains})
        return [self.adversarial.gap(own[partners(domains)], fake, conditions, None)]

    def _known(self, own: Tensor, generator: torch.Generator) -> Tensor:
        """Which frames are not masked (B, 1, L): all but a stretch of each clip."""
        draw = torch.rand(2, len(own), 1, 1, generator=generator, device=own.device)
        width = self.config.loss.masked * own.shape[2] * draw[0]
        start = draw[1] * (own.shape[2] - width)
        frame = torch.arange(own.shape[2], device=own.device)
        return ((frame < start) | (frame >= start + width)).to(own.dtype)


def partners(domains: Tensor) -> Tensor:
    """For each of B clips the number of one of the other domain (B,); all of them are used in turn."""
    places = [(domains == number).nonzero()[:, 0] for number in range(DOMAINS)]
    found = torch.empty_like(domains)
    for number, others in enumerate(reversed(places)):
        count = len(places[number])
        found[places[number]] = others[torch.arange(count, device=domains.device) % max(1, len(others))]
    return found


def _check_domains(cache: Cache) -> None:
    """Refuse anything but two classes with training clips.

    Raises:
        ConfigError: There are not two.
    """
    how = "give a second folder with --to, or a folder with two subfolders"
    if len(cache.classes) != DOMAINS:
        some = ", ".join(shortened(name) for name in cache.classes[:3])
        more = ", .." if cache.classes[3:] else ""
        count = f"{len(cache.classes)} class{'es' * (len(cache.classes) > 1)}"
        held = f"{count} ({some}{more})" if cache.classes else "no classes"
        raise ConfigError(f"--model cycle learns between two sets of sounds, and these have {held}; {how}")
    ids = cache.split("train").column("class_id")
    for number, name in enumerate(cache.classes):
        if not bool((ids == number).any()):
            raise ConfigError(f"{shortened(name)} has no training clips ({distinct_sounds(len(ids))} in all); {how}")
