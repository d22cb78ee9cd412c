"""Light evaluation at each preview: few clips, at most 5 % of the run's time."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from audio_gen.audio.channels import mono
from audio_gen.audio.resample import resample
from audio_gen.audio.similarity import view
from audio_gen.config import TrainSettings
from audio_gen.data.dataset import ClipDataset
from audio_gen.errors import AudioGenError, DataError
from audio_gen.evaluation import distances, novelty, signal
from audio_gen.evaluation.compare import mean_prdc
from audio_gen.evaluation.embeddings import load_embedding
from audio_gen.evaluation.embeddings.base import Embedding
from audio_gen.generation import originals
from audio_gen.training.events import Event, Note
from audio_gen.training.schedule import Budget
from audio_gen.training.selfcheck import EVALUATION_SHARE
from audio_gen.training.task import Task

MAX_CLIPS, MIN_CLIPS = 256, 16
REAL_A_SAMPLE = 4  # real clips per sample; more cost too much in a short run
MIN_REFERENCE = 50  # with fewer held-out clips all clips are the reference
SOUND_PER_SEC = 40.0  # seconds of sound generated, vocoded and embedded per second on two cores; measured 50 to 70
SEC_PER_STEP = 0.2  # estimate for runs with a length in steps
BATCH, FLATNESS_CLIPS = 32, 64
ONE_ERROR = 0.683  # share of a normal distribution within one standard error
SEED = 1_000_000  # of the first clip; far from the seeds that users start with


def sample_count(settings: TrainSettings, clip_sec: float) -> int:
    """Clips per evaluation so that all evaluations take 5 % of the run; 0 if too few."""
    budget = Budget.of(settings)
    run_sec = 60 * budget.minutes if budget.minutes is not None else SEC_PER_STEP * (budget.steps or 0)
    evaluations = settings.previews + 2  # plus the reference of training and held-out clips, once
    count = int(EVALUATION_SHARE * run_sec * SOUND_PER_SEC / (evaluations * clip_sec))
    return 0 if count < MIN_CLIPS or not settings.previews else min(count, MAX_CLIPS)


@dataclass(frozen=True)
class _Real:
    """Real clips: reference embeddings (N, D), views (K, M, L) of training sounds, and figures."""

    reference: Tensor
    views: Tensor
    memorised: float | None
    floor: float
    coverage: float
    flatness: float
    distinct: int


@dataclass
class LightEvaluator:
    """Compares samples of the averaged model with real clips, both rendered by the fast vocoder.

    Attributes:
        task: Generates the samples.
        train: Training clips.
        val: Held-out clips; the reference, if there are enough.
        count: Number of samples.
        sample_rate: Sample rate of the clips in Hz.
        device: Device of the networks.
        embedding: Embedding that compares clips.
    """

    task: Task
    train: ClipDataset
    val: ClipDataset
    count: int
    sample_rate: int
    device: torch.device
    embedding: Embedding
    _real: _Real | None = field(default=None, init=False)

    def __call__(self, model: nn.Module) -> dict[str, float]:
        """Figures by name, `kad` first; `kad` is infinite if nearly all samples are silent."""
        wav = self.task.generate(model, self.count, SEED)
        real = self._real = self._real or self._embed_real()
        audible = self._audible(wav)
        silent = 1 - float(audible.float().mean())
        if int(audible.sum()) < MIN_CLIPS:
            return {"kad": math.inf, "silent": silent, "n": float(audible.sum())}
        samples = self._embed(wav[audible])
        compared_sec = originals.COMPARED * self._clip_sec
        views = torch.stack([view(mono(x), self.sample_rate, compared_sec) for x in wav[audible]])
        matches = originals.find_copies(views, real.views, [""] * len(real.views))
        spread = novelty.diversity(samples, real.reference)
        near = mean_prdc(real.reference, samples)
        kad, *ends = distances.kad_estimate(real.reference, samples, level=ONE_ERROR)
        figures = {
            "kad": kad, "kad_se": (ends[1] - ends[0]) / 2, "kad_floor": real.floor,
            "coverage": near["coverage"], "coverage_real": real.coverage, "density": near["density"],
            "diversity": spread["ratio"], "memorised": sum(m.verdict == "copy" for m in matches) / len(matches),
            "memorised_real": real.memorised, "silent": silent, "flatness_real": real.flatness,
            "distinct_real": float(real.distinct), "n": float(len(samples)),
        }  # fmt: skip
        return {key: float(value) for key, value in figures.items() if value is not None}

    def _embed_real(self) -> _Real:
        """Embed real clips, once per session."""
        copies = {name: self._copies(clips) for name, clips in (("train", self.train), ("val", self.val))}
        vectors = {name: self._embed(wav) for name, wav in copies.items()}
        train, val = (np.unique(data.clips.column("offset")) for data in (self.train, self.val))  # one for equal sounds
        apart = not len(np.intersect1d(train, val))
        reference = vectors["val"]
        if apart and len(reference) < MIN_REFERENCE:
            reference = torch.cat([vectors["train"], reference])[:MAX_CLIPS]
        names = [str(i) for i in range(len(reference))]
        half = len(reference) // 2
        flat = [signal.describe(mono(wav), self.sample_rate)["flatness"] for wav in copies["train"][:FLATNESS_CLIPS]]
        views = originals.original_views(self.train.cache, self.train.clips, self._clip_sec)
        unseen = None
        if apart and len(val) >= originals.MIN_HELD_OUT:
            some = originals.thinned(self.val.clips, MAX_CLIPS)
            unseen = originals.original_views(self.val.cache, some, self._clip_sec)
        return _Real(
            reference=reference,
            views=views,
            memorised=originals.real_share(views, unseen),
            floor=distances.kad_floor(reference, names)["p95"],
            coverage=mean_prdc(reference[:half], reference[half:])["coverage"],
            flatness=float(torch.tensor(flat).nanmedian()),
            distinct=len(train),
        )

    @property
    def _clip_sec(self) -> float:
        return self.train.segment_samples / self.sample_rate

    def _copies(self, clips: ClipDataset) -> Tensor:
        """Copy-synthesis of the first clips, without silent ones: (N, C, T)."""
        batches = clips.fixed_batches(BATCH, min(MAX_CLIPS, max(MIN_REFERENCE, REAL_A_SAMPLE * self.count)))
        wav = torch.cat([self.task.copy(batch.wav.to(self.device)).cpu() for batch in batches])
        return wav[self._audible(wav)]

    def _audible(self, wav: Tensor) -> Tensor:
        """Whether clips (N, C, T) are finite and not silent: (N,) bool."""
        return torch.tensor([bool(x.isfinite().all()) and not signal.is_silent(mono(x), self.sample_rate) for x in wav])

    def _embed(self, wav: Tensor) -> Tensor:
        """Clips (N, C, T) -> (N, D), of their mid."""
        return self.embedding(
            list(resample(torch.stack([mono(x) for x in wav]), self.sample_rate, self.embedding.sample_rate))
        )


def make_evaluator(
    task: Task, settings: TrainSettings, train: ClipDataset, val: ClipDataset, sample_rate: int, device: torch.device
) -> LightEvaluator | None:
    """The evaluator of a run; None if the run is too short.

    Raises:
        DataError: There are too few training clips.
        AudioGenError: The default embedding is not installed.
    """
    count = sample_count(settings, train.segment_samples / sample_rate)
    if not count:
        return None
    if len(train) < distances.MIN_FLOOR_CLIPS:
        raise DataError(f"training clips ({len(train)}) must be at least {distances.MIN_FLOOR_CLIPS}; add sounds")
    return LightEvaluator(task, train, val, count, sample_rate, device, load_embedding())


def evaluator_of(
    task: Task, settings: TrainSettings, train: ClipDataset, val: ClipDataset, sample_rate: int, device: torch.device,
    tell: Callable[[Event], None],
) -> LightEvaluator | None:  # fmt: skip
    """The evaluator of a run; None for a short run, or a task whose best step a validation picks."""
    if task.judged_by is not None:
        return None
    try:
        return make_evaluator(task, settings, train, val, sample_rate, device)
    except AudioGenError as e:
        tell(Note(f"the run will not be evaluated: {e}"))
        return None
