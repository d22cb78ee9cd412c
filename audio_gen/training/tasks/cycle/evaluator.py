"""Light evaluation of a cycle-consistent GAN at each preview: transferred windows against real ones, both ways."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from audio_gen.audio.resample import resample
from audio_gen.errors import AudioGenError
from audio_gen.evaluation import distances, novelty
from audio_gen.evaluation.embeddings import load_embedding
from audio_gen.evaluation.embeddings.base import Embedding
from audio_gen.evaluation.signal import is_silent
from audio_gen.models.codecs.patches import STRIDE
from audio_gen.models.transforms.cycle import DOMAINS, CycleNetwork
from audio_gen.text import shortened
from audio_gen.training.events import Event, Note
from audio_gen.training.tasks.evaluator import ONE_ERROR

if TYPE_CHECKING:
    from audio_gen.training.tasks.cycle.task import CycleTask

WINDOW_SEC, WINDOWS, LEAST_WINDOWS = 2.0, 48, 16
LEAST_MINUTES = 4.0
BATCH = 16
FEWEST_WINDOWS = 8  # of a domain, to compare anything


@dataclass
class CycleEvaluator:
    """Compares windows of one domain's sounds, transferred, with windows of the other's; held-out ones if enough.

    All go through the fast vocoder.

    Attributes:
        task: The task, which renders them.
        embedding: Embedding that compares them.
        tell: Gets a note if there are too few sounds to compare.
    """

    task: "CycleTask"
    embedding: Embedding
    tell: Callable[[Event], None] = lambda event: None
    _images: list[Tensor] = field(default_factory=list, init=False)
    _real: list[Tensor] = field(default_factory=list, init=False)

    def __call__(self, model: CycleNetwork) -> dict[str, float]:
        """Figures by name, means of both directions, `kad` first; "way" is 1 - KAD / KAD of the sources."""
        if not self._images:
            self._images = [self._windows(number) for number in range(DOMAINS)]
            few = [i for i, images in enumerate(self._images) if len(images) < FEWEST_WINDOWS]
            if few:
                name, count = shortened(self.task.classes[few[0]]), len(self._images[few[0]])
                self.tell(Note(f"the run is not evaluated: {name} has {count} windows of {WINDOW_SEC:g} s with sound"))
            else:
                self._real = [self._embed(images)[0] for images in self._images]
        if not self._real:
            return {}
        rows = [self._direction(model, number) for number in range(DOMAINS)]
        return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}

    def _direction(self, model: CycleNetwork, target: int) -> dict[str, float]:
        """The figures of the direction to a domain."""
        device, real, source = model.mean.device, self._real[target], self._real[1 - target]
        images = torch.cat([
            model(part.to(device), torch.full((len(part),), target, device=device)).cpu()
            for part in self._images[1 - target].split(BATCH)
        ])  # fmt: skip
        vectors, silent = self._embed(images)
        kad, low, high = distances.kad_estimate(real, vectors, level=ONE_ERROR)
        start = distances.kad_estimate(real, source)[0]
        spread = novelty.diversity(vectors, real)["ratio"]
        return {
            "kad": kad, "kad_se": (high - low) / 2, "kad_sources": start,
            "way": 1 - kad / start if start > 0 else 0.0, "diversity": 1.0 if spread is None else spread,
            "silent": silent, "n": float(len(vectors)),
        }  # fmt: skip

    def _windows(self, number: int) -> Tensor:
        """Log-mels (N, M, L) of windows of a domain's sounds, evenly spread over held-out ones, and over others."""
        found: list[Tensor] = []
        held_out, train = (self.task.cache.numbers(side).tolist() for side in ("val", "train"))
        for clips in (held_out, sorted(set(train) - set(held_out))):
            if len(found) < LEAST_WINDOWS:
                found += self._some(number, clips, WINDOWS - len(found))
        return torch.cat(found) if found else torch.empty(0, self.task.spec.n_mels, STRIDE)

    def _some(self, number: int, clips: Sequence[int], count: int) -> list[Tensor]:
        """At most so many windows (1, M, L) of a domain's clips among these numbers."""
        task, cache = self.task, self.task.cache
        frames = max(STRIDE, round(WINDOW_SEC * task.spec.frame_rate / STRIDE) * STRIDE)
        size = task.spec.samples(frames)
        places = []
        for clip_number in clips:
            clip = cache.clips[clip_number]
            if clip.class_name == cache.classes[number]:
                places += [(clip, start) for start in range(0, max(1, clip.samples - size // 2), size)]
        if not places:
            return []
        chosen = np.unique(np.linspace(0, len(places) - 1, min(count, len(places))).round().astype(int))
        device, found = task.network.mean.device, []
        for place in chosen:
            clip, start = places[place]
            wav = torch.from_numpy(cache.read(clip, start, size).astype(np.float32, copy=False))
            if not is_silent(wav, task.spec.sample_rate):
                mel = task.front_end(wav[None, None].to(device)).clamp(min=task.config.net.mel_floor)
                found.append(mel.cpu())
        return found

    def _embed(self, images: Tensor) -> tuple[Tensor, float]:
        """Vectors (N, D) of the sounds of log-mels (N, M, L), and the share of them that is silent."""
        rate = self.task.spec.sample_rate
        wav = torch.cat([self.task.render(part, iterations=1) for part in images.split(BATCH)])[:, 0]
        silent = [is_silent(one, rate) for one in wav]
        return self.embedding(list(resample(wav, rate, self.embedding.sample_rate))), float(np.mean(silent))


def cycle_evaluator(task: "CycleTask", minutes: float | None, tell: Callable[[Event], None]) -> CycleEvaluator | None:
    """The evaluator of a run; None for a short run."""
    if minutes is None or minutes < LEAST_MINUTES:
        return None
    try:
        return CycleEvaluator(task, load_embedding(), tell)
    except AudioGenError as e:
        tell(Note(f"the run will not be evaluated: {e}"))
        return None
