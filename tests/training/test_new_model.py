"""Adding a model takes one module, one task, its settings, and a line in each of two tables."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

from audio_gen.artefacts.bundle import Bundle, load_bundle
from audio_gen.audio.mel import MelSpec
from audio_gen.config import Settings, TrainSettings
from audio_gen.data.dataset import Batch, ClipDataset
from audio_gen.data.store import Cache
from audio_gen.generation.interpolate import decode_between
from audio_gen.generation.pipeline import Pipeline
from audio_gen.models.registry import KINDS, Part
from audio_gen.training.task import Loss, Phase, Preview
from audio_gen.training.tasks.mels import MelData
from audio_gen.training.tasks.run import TASKS, train_run
from audio_gen.training.tasks.settings import RunConfig
from tests.models.toys import ToyCodec, ToyPrior
from tests.sounds import write_notes


class ToyNet(Settings):
    """No settings."""


class ToyConfig(RunConfig):
    """A toy run."""

    model: Literal["toy"] = "toy"
    train: TrainSettings = TrainSettings(steps=2)
    net: ToyNet = ToyNet()


class ToyTask:
    """Learns the level of each class."""

    retired: Sequence[str] = ()
    generates = True
    judged_by = None

    def __init__(self, config: ToyConfig, spec: MelSpec, cache: Cache) -> None:
        self.mels = MelData(
            spec, cache, config.data, floor=-9.0, use_class=True, use_pitch=False, use_velocity=False, augment=0.0,
            seed=config.train.seed,
        )  # fmt: skip
        self.args: dict[str, Any] = {
            "n_mels": spec.n_mels, "frames": self.mels.frames, "n_classes": len(self.mels.classes),
        }  # fmt: skip
        self.model: nn.Module
        self.model = self.codec = ToyCodec(**self.args)
        self.prior = ToyPrior(n_classes=len(self.mels.classes))
        self.modules = nn.ModuleDict({"model": self.codec, "front_end": self.mels.front_end})
        self.segments, self.preroll = self.mels.segments, self.mels.preroll

    def compilable(self) -> Sequence[nn.Module]:
        return ()

    def initialise(self, train: ClipDataset) -> None:
        self.mels.prepare(train)

    def start_from(self, bundle: Bundle, run: Path) -> str | None:
        return None

    def phases(self) -> list[Phase]:
        return [Phase("g", [(list(self.codec.parameters()), 1.0)])]

    def begin(self, batch: Batch, generator: torch.Generator, progress: float) -> Any:
        return self.mels.augmented(batch, generator)[0], self.mels.conditions(batch)

    def loss(self, phase: str, shared: Any, generator: torch.Generator, progress: float) -> Loss:
        mel, conditions = shared
        z = torch.randn(len(mel), 1, self.codec.latent.dim, generator=generator)
        return Loss({"l1": ((self.codec.decode_raw(z, conditions) - mel).abs().mean(), 1.0)})

    def after_step(self, statistics: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return {}

    def validate(self, model: nn.Module, batches: Iterable[Batch]) -> dict[str, float]:
        return {"level": float(self.codec.levels.weight.mean())}

    def after_validation(self, figures: Mapping[str, float]) -> None:
        pass

    def preview(self, model: nn.Module, batch: Batch) -> Preview:
        return self.mels.preview(batch, {"real": self.mels.front_end(batch.wav)})

    def copy(self, wav: Tensor) -> Tensor:
        return self.mels.copy(wav)

    def generate(self, model: nn.Module, count: int, seed: int) -> Tensor:
        assert isinstance(model, ToyCodec)
        return self.mels.generate(model, self.prior, count, seed)

    def bundle(self, model: nn.Module) -> tuple[dict[str, Any], dict[str, Tensor]]:
        return self.mels.bundle(
            codec=Part("toy", self.args, model.state_dict()),
            prior=Part("toy", {"n_classes": self.args["n_classes"]}, self.prior.state_dict()),
        )


def test_a_toy_trains_resumes_exports_samples_and_interpolates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TASKS, "toy", (ToyConfig, ToyTask))
    monkeypatch.setitem(KINDS["codec"], "toy", ToyCodec)
    monkeypatch.setitem(KINDS["prior"], "toy", ToyPrior)
    write_notes(tmp_path / "sounds")
    mel = "mel={sample_rate: 16000, n_fft: 512, hop_length: 256, n_mels: 40}"
    quick = [mel, "data.segment_sec=0.5", "train.batch_size=4", "train.previews=0", "train.validations=1",
             "train.val_clips=4", "train.warmup_steps=1"]  # fmt: skip
    how: dict[str, Any] = {"model": "toy", "overrides": quick, "device": "cpu"}
    levels = []
    for steps in (2, 4):
        train_run(tmp_path / "sounds", tmp_path / "run", steps=steps, **how)
        bundle = load_bundle(tmp_path / "run")
        assert bundle.config["training"]["steps"] == steps
        levels.append(bundle.tensors["codec.levels.weight"])
    assert not torch.equal(*levels)
    pipeline = Pipeline.load(tmp_path / "run", vocoder="griffinlim:1", device="cpu")
    assert pipeline.kind == "toy" and torch.equal(pipeline.sample(2, 3)[1:], pipeline.sample(1, 4))
    start, end = pipeline.latents([1]), pipeline.latents([2])
    mels = decode_between(pipeline, start, end, torch.linspace(0, 1, 3))
    assert torch.equal(mels[:1], pipeline.decode(start)) and torch.equal(mels[-1:], pipeline.decode(end))
    assert pipeline.encode(mels[1], start.conditions).z.shape == start.z.shape
