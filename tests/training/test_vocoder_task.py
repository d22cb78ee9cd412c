"""The vocoder's task: which losses are computed, and a run with discriminators."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from audio_gen.data.dataset import Batch, ClipDataset
from audio_gen.errors import ConfigError
from audio_gen.training.events import Note
from audio_gen.training.metrics import read_metrics
from audio_gen.training.task import Loss
from audio_gen.training.tasks.run import TASKS, resolve_config, train_run
from audio_gen.training.tasks.source import open_source
from tests.sounds import noise, pluck, write

TINY = Path(__file__).parents[2] / "configs" / "vocoder" / "tiny.yaml"
QUICK = ["train.previews=0", "train.validations=0", "train.steps=2"]
ADVERSARIAL = ["loss.adversarial=1", "judges.channels=2", "judges.period_channels=1"]
ALL = [f"loss.{name}=1" for name in ("multi_stft", "log_amplitude", "group_delay", "phase_advance", "complex")]


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sounds")
    for i in range(6):
        write(folder / f"pluck-{i}.wav", pluck(200.0 + 60 * i, 0.5) + 0.1 * noise(0.5, seed=i))
    return folder


def ready(sounds: Path, run: Path, *overrides: str) -> tuple[Any, ClipDataset]:
    settings = resolve_config(run, "vocoder", TINY, list(overrides), {})
    spec = settings.mel
    cache = open_source(sounds, run, settings, spec, lambda event: None)
    torch.manual_seed(0)
    task = TASKS["vocoder"][1](settings, spec, cache)
    data = ClipDataset(cache, split="train", segment_samples=task.segments[0], seed=0, crop="random")
    return task, data


@pytest.mark.parametrize(
    ("settings", "phases"),
    [
        ([], {"g": {"multi_mel"}}),
        (["loss.multi_mel=0", "loss.complex=2"], {"g": {"complex"}}),
        (ALL, {"g": {"multi_mel", "multi_stft", "log_amplitude", "group_delay", "phase_advance", "complex"}}),
        (ADVERSARIAL, {"d": {"adversarial_d"}, "g": {"multi_mel", "adversarial_g", "feature_matching"}}),
        ([*ADVERSARIAL, "loss.feature_matching=0"], {"d": {"adversarial_d"}, "g": {"multi_mel", "adversarial_g"}}),
    ],
)
def test_what_weighs_nothing_is_not_computed(
    sounds: Path, tmp_path: Path, settings: list[str], phases: dict[str, set[str]]
) -> None:
    task, data = ready(sounds, tmp_path / "run", *settings)
    assert [phase.name for phase in task.phases()] == list(phases)
    for name, keys in phases.items():
        loss = loss_of(task, name, data.batch(0, 2))
        assert set(loss.terms) == keys
        total = loss.total()
        assert bool(total.isfinite())
        assert total.requires_grad


def loss_of(task: Any, phase: str, batch: Batch) -> Loss:
    noise = torch.Generator().manual_seed(0)
    return task.loss(phase, task.begin(batch, noise, 0.5), noise, 0.5)


def test_each_phase_moves_its_own_networks(sounds: Path, tmp_path: Path) -> None:
    task, data = ready(sounds, tmp_path / "run", *ADVERSARIAL)
    vocoder, judges = task.phases()[1].parameters(), task.phases()[0].parameters()
    loss_of(task, "d", data.batch(0, 2)).total().backward()
    assert all(p.grad is None for p in vocoder)
    assert any(p.grad is not None and bool(p.grad.any()) for p in judges)


def test_an_adversarial_run_begins_from_one_without(sounds: Path, tmp_path: Path) -> None:
    how: dict[str, Any] = {"model": "vocoder", "config_file": TINY, "device": "cpu"}
    first = train_run(sounds, tmp_path / "first", overrides=QUICK, **how)
    second = train_run(sounds, tmp_path / "second", overrides=[*QUICK, *ADVERSARIAL, *ALL], init=first, **how)
    rows = [row for row in read_metrics(second) if "loss/adversarial_d" in row]
    assert rows
    assert {"loss/adversarial_g", "loss/feature_matching", "grad_norm/d", "grad_norm/g"} <= set(rows[-1])


def test_slow_bf16_is_told_once_as_a_run_that_goes_on_keeps_it(
    sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("audio_gen.training.tasks.run.emulates_bf16", lambda device: True)
    told = []
    for steps in (1, 2):
        events: list[dict[str, Any]] = []
        train_run(
            sounds, tmp_path / "run", model="vocoder", config_file=TINY, steps=steps, precision="bf16", device="cpu",
            overrides=QUICK[:2], on_event=events.append,
        )  # fmt: skip
        told.append(sum("--precision fp32" in e.text for e in events if isinstance(e, Note)))
    assert told == [1, 0]


def test_a_run_that_names_its_head_resumes_unless_it_was_a_vocos_head(sounds: Path, tmp_path: Path) -> None:
    """Earlier versions stored `net.head`."""
    resolve = partial(resolve_config, tmp_path, "vocoder", None)
    stored = resolve([], {"train": {"steps": 3}}).model_dump(mode="json")
    for head in ("vocoder", "vocos"):
        net = {"head": head, **stored["net"]}
        (tmp_path / "config.yaml").write_text(yaml.safe_dump({**stored, "net": net}), encoding="utf-8")
        if head == "vocoder":
            assert resolve([], {}).model_dump(mode="json") == stored
            continue
        with pytest.raises(ConfigError, match=r"was trained with net\.head vocos, which this version no longer has"):
            resolve([], {})
