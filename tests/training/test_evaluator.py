"""The light evaluation of a run: how much it may do, what it finds, and which checkpoint is the best by it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from audio_gen.artefacts.bundle import load_bundle
from audio_gen.artefacts.folders import RunFolder
from audio_gen.audio.similarity import view
from audio_gen.config import TrainSettings
from audio_gen.data.cache import build_cache
from audio_gen.data.dataset import ClipDataset
from audio_gen.data.store import Cache
from audio_gen.generation.originals import COMPARED, find_copies, original_views
from audio_gen.training.events import Evaluated
from audio_gen.training.metrics import read_metrics
from audio_gen.training.selfcheck import EVALUATION_SHARE
from audio_gen.training.tasks.evaluator import MAX_CLIPS, MIN_CLIPS, SOUND_PER_SEC, LightEvaluator, sample_count
from audio_gen.training.tasks.run import train_run
from tests.sounds import noise, pluck, write

RATE, SAMPLES = 16000, 8000


class Bands:
    name, digest, sample_rate, dimensions = "bands", "0123456789ab", RATE, 8

    def __call__(self, wavs: list[Tensor]) -> Tensor:
        spectra = [torch.fft.rfft(wav, 8192).abs().square() for wav in wavs]
        return torch.stack([torch.log(s[1:].reshape(8, -1).mean(1) + 1e-3) for s in spectra])


class Maker:
    """A task that makes what it is told to."""

    def __init__(self, wav: Tensor) -> None:
        self.wav = wav

    def generate(self, model: nn.Module, count: int, seed: int) -> Tensor:
        return self.wav[:count]

    def copy(self, wav: Tensor) -> Tensor:
        return wav


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    place = tmp_path_factory.mktemp("plucks")
    for i, x in enumerate(plucks(100, 0)):
        write(place / f"sounds/{i:03d}.wav", x, RATE)
    return build_cache(place / "sounds", place / "cache", sample_rate=RATE)


def plucks(count: int, seed: int) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    tones, hiss = random.uniform(150, 2500, count), random.uniform(1e-4, 3e-2, count)
    return [
        pluck(f0, 0.4, RATE) + h * noise(0.4, RATE, seed=1000 * seed + i)
        for i, (f0, h) in enumerate(zip(tones, hiss, strict=True))
    ]


def figures(cache: Cache, made: list[np.ndarray]) -> dict[str, float]:
    sides = [ClipDataset(cache, split=s, segment_samples=SAMPLES, seed=0, crop="start") for s in ("train", "val")]
    wav = torch.stack([torch.from_numpy(np.pad(x, (0, SAMPLES - len(x))).astype(np.float32)) for x in made])[:, None]
    task = Maker(wav)
    evaluator = LightEvaluator(task, *sides, len(made), RATE, torch.device("cpu"), Bands())  # type: ignore[arg-type]
    return evaluator(nn.Identity())


def test_new_plucks_are_near_varied_and_no_copies(cache: Cache) -> None:
    found = figures(cache, plucks(40, 1))
    assert next(iter(found)) == "kad" and found["kad"] < 2 * found["kad_floor"]
    assert 0 < found["kad_se"] < 2 * found["kad_floor"]
    assert found["coverage"] > 0.7 and 0.7 < found["diversity"] < 1.4
    assert abs(found["memorised"] - found["memorised_real"]) < 0.2  # plucks are as near to each other as copies
    assert found["distinct_real"] > 80 and found["flatness_real"] < 0.2


def test_what_is_broken_shows(cache: Cache) -> None:
    same = figures(cache, [plucks(1, 1)[0]] * 40)
    assert same["diversity"] < 0.01 and same["coverage"] < 0.2
    copied = figures(cache, [cache.read(clip) for clip in cache.split("train")[:40]])
    assert copied["memorised"] == 1
    still = figures(cache, [1e-5 * x for x in plucks(40, 1)])
    assert still["silent"] == 1 and still["kad"] == float("inf")


def test_a_run_counts_copies_as_sample_does(cache: Cache) -> None:
    made = [cache.read(clip) for clip in cache.split("train")[:20]] + plucks(20, 1)
    sec = SAMPLES / RATE
    views = torch.stack([view(torch.from_numpy(np.asarray(x, np.float32)), RATE, COMPARED * sec) for x in made])
    train = cache.split("train")
    matches = find_copies(views, original_views(cache, train, sec), [clip.path for clip in train])
    copied = sum(match.verdict == "copy" for match in matches) / len(made)
    assert 0.5 <= copied < 1 and figures(cache, made)["memorised"] == pytest.approx(copied)


def test_an_evaluation_takes_its_share_of_the_time_and_no_more() -> None:
    for minutes in (3.0, 20.0, 600.0):
        settings = TrainSettings(minutes=minutes)
        count = sample_count(settings, clip_sec=2.0)
        planned_sec = (settings.previews + 2) * count * 2.0 / SOUND_PER_SEC
        assert MIN_CLIPS <= count <= MAX_CLIPS and planned_sec <= EVALUATION_SHARE * 60 * minutes
    assert sample_count(TrainSettings(minutes=0.2), 2.0) == 0 == sample_count(TrainSettings(steps=4), 2.0)
    assert sample_count(TrainSettings(minutes=600, previews=0), 2.0) == 0


def test_a_run_keeps_its_best_and_says_what_it_found(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = iter([{"kad": 1.0, "n": 16.0}, {"kad": 2.0, "n": 16.0}])
    monkeypatch.setattr("audio_gen.training.tasks.evaluator.make_evaluator", lambda *args: lambda model: next(values))
    monkeypatch.setattr("audio_gen.training.selfcheck.EVALUATION_SHARE", 1.0)
    events: list[Any] = []
    config = Path(__file__).parents[2] / "configs/vae/tiny.yaml"
    train_run(
        cache.path, tmp_path / "run", model="vae", config_file=config, overrides=["train.previews=2"], device="cpu",
        on_event=events.append,
    )  # fmt: skip
    assert [e.values["kad"] for e in events if isinstance(e, Evaluated)] == [1.0, 2.0]
    rows = read_metrics(tmp_path / "run")
    assert [row["eval/kad"] for row in rows if "eval/kad" in row] == [1.0, 2.0]
    assert [row["step"] for row in rows if "health" in row] == [2, 4]
    assert events[-1].best == 1.0 and events[-1].best_step == 2
    assert (events[-1].last, events[-1].judged_by) == (2.0, "KAD")
    told = RunFolder(tmp_path / "run").best_and_last()
    assert {name: (about["steps"], about["figure"]) for name, about in told.items()} == {
        "bundle": (2, 1.0), "bundle-last": (4, 2.0),
    }  # fmt: skip
    assert load_bundle(tmp_path / "run").config["training"]["steps"] == 2


def test_stereo_clips_are_judged_by_their_mono_mix(tmp_path: Path) -> None:
    for i, x in enumerate(plucks(100, 0)):
        side = 0.1 * noise(0.4, RATE, seed=9000 + i)
        write(tmp_path / f"sounds/{i:03d}.wav", np.stack([x + side, x - side], axis=1), RATE)
    cache = build_cache(tmp_path / "sounds", tmp_path / "cache", sample_rate=RATE)
    assert cache.channels == 2
    sides = [ClipDataset(cache, split=s, segment_samples=SAMPLES, seed=0, crop="start") for s in ("train", "val")]

    def figures_of(wav: Tensor) -> dict[str, float]:
        padded = nn.functional.pad(wav, (0, SAMPLES - wav.shape[-1]))
        evaluator = LightEvaluator(
            Maker(padded), *sides, len(wav), RATE, torch.device("cpu"), Bands()  # type: ignore[arg-type]
        )  # fmt: skip
        return evaluator(nn.Identity())

    train = torch.stack([torch.from_numpy(cache.read_channels(clip)) for clip in cache.split("train")[:40]])
    swapped = figures_of(train.flip(1))
    assert swapped["memorised"] == 1
    centred = figures_of(train.mean(1, keepdim=True).expand(-1, 2, -1))
    assert centred == pytest.approx(swapped, abs=1e-3)
    made = torch.from_numpy(np.stack(plucks(40, 1)).astype(np.float32))
    new = figures_of(torch.stack([made, made], dim=1))
    assert new["kad"] < 2 * new["kad_floor"] and new["memorised"] < 1
