"""Light evaluation of a sequence model at each preview: windows of its sounds against windows of held-out files."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from audio_gen.audio.channels import mono
from audio_gen.audio.mel import MelSpec
from audio_gen.audio.resample import resample
from audio_gen.errors import AudioGenError
from audio_gen.evaluation import distances
from audio_gen.evaluation.compare import mean_prdc
from audio_gen.evaluation.embeddings import load_embedding
from audio_gen.evaluation.embeddings.base import Embedding
from audio_gen.evaluation.signal import is_silent
from audio_gen.models.codecs.patches import STRIDE
from audio_gen.training.events import Event, Note
from audio_gen.training.tasks.evaluator import ONE_ERROR, SEED

if TYPE_CHECKING:
    from audio_gen.training.tasks.sequence.task import SequenceModel, SequenceTask

WINDOW_SEC, SOUND_WINDOWS, SOUNDS, REAL_WINDOWS = 2.0, 4, 16, 96
LEAST_WINDOWS, LEAST_MINUTES = 16, 8.0


@dataclass
class SequenceEvaluator:
    """Compares 2 s windows of new sounds with windows of held-out files, all through the fast vocoder.

    Attributes:
        task: The task, which renders the windows.
        embedding: Embedding that compares them.
    """

    task: "SequenceTask"
    embedding: Embedding
    _real: tuple[Tensor, float] | None = field(default=None, init=False)

    def __call__(self, model: "SequenceModel") -> dict[str, float]:
        """Figures by name, `kad` first; none before the prior trains, or if nearly all windows are silent."""
        if not bool(model.get_buffer("ready")):
            return {}
        frames = window_frames(self.task.spec)
        self._real = self._real or self._reference(frames)
        reference, floor = self._real
        images = self.task.sampled(model, SOUNDS, SOUND_WINDOWS * frames // STRIDE, SEED)
        vectors, silent = self._embed(torch.cat(images.split(frames, dim=2)))
        if len(vectors) < LEAST_WINDOWS:
            return {}
        kad, low, high = distances.kad_estimate(reference, vectors, level=ONE_ERROR)
        half = len(reference) // 2
        return {
            "kad": kad, "kad_se": (high - low) / 2, "kad_floor": floor,
            "coverage": float(mean_prdc(reference, vectors)["coverage"]),
            "coverage_real": float(mean_prdc(reference[:half], reference[half:])["coverage"]),
            "silent": silent, "n": float(len(vectors)),
        }  # fmt: skip

    def _reference(self, frames: int) -> tuple[Tensor, float]:
        """Vectors of real windows, and the KAD between halves of them."""
        vectors, _ = self._embed(self.task.latents["val"].images(REAL_WINDOWS, frames))
        floor = distances.kad_floor(vectors, [str(i) for i in range(len(vectors))])["p95"]
        return vectors, float(floor)

    def _embed(self, images: Tensor) -> tuple[Tensor, float]:
        """Vectors (n, D) of the sounds of images (B, R, L) that are not silent, and the share that is."""
        rate = self.task.spec.sample_rate
        wav = torch.cat([self.task.render(image[None], iterations=1) for image in images])
        heard = torch.tensor([not is_silent(mono(x), rate) for x in wav])
        mids = torch.stack([mono(x) for x in wav[heard]]) if bool(heard.any()) else wav[:0, 0]
        vectors = self.embedding(list(resample(mids, rate, self.embedding.sample_rate))) if len(mids) else mids
        return vectors, 1 - float(heard.float().mean())


def window_frames(spec: MelSpec) -> int:
    """Frames of a window, a multiple of the stride."""
    return max(1, round(WINDOW_SEC * spec.frame_rate / STRIDE)) * STRIDE


def sequence_evaluator(
    task: "SequenceTask", minutes: float | None, tell: Callable[[Event], None]
) -> SequenceEvaluator | None:
    """The evaluator of a run; None for a short run, or without enough held-out sound."""
    if minutes is None or minutes < LEAST_MINUTES:
        return None
    if (found := task.latents["val"].count_windows(window_frames(task.spec))) < distances.MIN_FLOOR_CLIPS:
        tell(Note(f"the run will not be evaluated: the held-out files have {found} windows of {WINDOW_SEC:g} s"))
        return None
    try:
        return SequenceEvaluator(task, load_embedding())
    except AudioGenError as e:
        tell(Note(f"the run will not be evaluated: {e}"))
        return None
