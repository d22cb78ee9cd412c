"""`--auto`: what is chosen of measured rates, and that what is given stays."""

from pathlib import Path
from typing import Any

import pytest
import torch

from audio_gen import config
from audio_gen.training.events import Note
from audio_gen.training.tasks import auto
from audio_gen.training.tasks.auto import Probe, choose
from audio_gen.training.tasks.gan.settings import GANConfig
from audio_gen.training.tasks.run import TASKS, resolve_config, train_run
from audio_gen.training.tasks.settings import RunConfig
from audio_gen.training.tasks.source import open_source
from tests.sounds import write_notes

CONFIGS = Path(__file__).parents[2] / "configs"


class Rates(Probe):
    """A probe that knows the answers: clips a second by size and batch."""

    def __init__(self, device: str, rates: dict[Any, float], clips: int = 1000) -> None:
        self.device, self.rates, self.tried = torch.device(device), rates, []
        self.cache = type("Sounds", (), {"split": lambda self, name: range(clips)})()

    def clips_a_sec(self, settings: RunConfig) -> float:
        key = (settings.net.size, settings.train.batch_size)
        self.tried.append(key)
        return self.rates[key]


def chosen(probe: Probe, given: set[str] = frozenset(), **lengths: Any) -> tuple[GANConfig, list[str]]:
    lines: list[str] = []
    settings = config.build(GANConfig, {"model": "gan", "train": lengths or {"minutes": 10}})
    return choose(settings, given, probe, lines.append), lines


def test_the_largest_that_sees_enough_clips_in_time() -> None:
    rates = {("tiny", 32): 80.0, ("small", 32): 40.0, ("base", 32): 5.0}
    probe = Rates("cpu", rates)
    settings, lines = chosen(probe, minutes=10)
    assert settings.net.size == "small"  # 24,000 clips; base would see 3,000
    assert ("large", 32) not in probe.tried
    assert "net.size=small, 24,000 clips in 10 minutes" in lines[-1]
    assert chosen(Rates("cpu", rates), minutes=1)[0].net.size == "tiny"  # nothing is enough, the smallest is nearest
    assert chosen(Rates("cpu", rates | {("large", 32): 1.0}), minutes=100)[0].net.size == "base"


def test_a_run_of_so_many_steps_should_end_within_an_hour() -> None:
    rates = {("tiny", 32): 80.0, ("small", 32): 40.0, ("base", 32): 5.0}
    assert chosen(Rates("cpu", rates), steps=4000)[0].net.size == "small"
    assert chosen(Rates("cpu", rates), steps=8000)[0].net.size == "tiny"


def test_batches_grow_while_that_pays_and_fits() -> None:
    rates = {(size, 32): 500.0 for size in ("tiny", "small", "base", "large")}
    large = {("large", 64): 900.0, ("large", 128): 950.0}
    settings, lines = chosen(Rates("cuda", rates | large), minutes=60)
    assert (settings.net.size, settings.train.batch_size) == ("large", 64)
    assert "batches of 64" in lines[-1]
    settings, lines = chosen(Rates("cuda", rates | {("large", 64): 0.0}), minutes=60)
    assert settings.train.batch_size == 32
    assert "64: too large" in lines[-1]
    assert chosen(Rates("cuda", rates | large, clips=50), minutes=60)[0].train.batch_size == 32


def test_what_is_given_stays() -> None:
    probe = Rates("cuda", {})
    settings, lines = chosen(probe, {"net.channels", "train.batch_size"})
    assert settings == chosen(probe, {"net.size", "train.batch_size"})[0]
    assert (settings.net.size, settings.train.batch_size, probe.tried, lines) == ("small", 32, [], [])
    assert set(config.flat({"train": {"lr": 1}, "vae": "x"})) == {"train.lr", "vae"}


@pytest.mark.parametrize("model", ["vae", "gan", "vocoder"])
def test_every_size_is_of_its_model_and_a_probe_trains_it(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auto, "PROBE_SEC", 0.0)
    settings = resolve_config(tmp_path, model, CONFIGS / model / "tiny.yaml", [], {})
    for changes in auto.SIZES[model].values():
        auto.changed(settings, changes)  # an unknown setting would be refused
    spec = settings.mel
    notes = write_notes(tmp_path / "notes", count=12)
    cache = open_source(notes, tmp_path / "run", settings, spec, lambda event: None)
    probe = Probe(lambda tried: TASKS[model][1](tried, spec, cache), cache, torch.device("cpu"))
    assert probe.clips_a_sec(settings) > 0

    def too_large(tried: RunConfig) -> Any:
        raise MemoryError

    assert Probe(too_large, cache, torch.device("cpu")).clips_a_sec(settings) == 0


def test_a_run_is_started_with_it_and_goes_on_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", str(torch.get_num_threads()))
    notes, events = write_notes(tmp_path / "notes", count=12), []
    for steps in (1, 2):
        train_run(
            notes, tmp_path / "run", model="vae", config_file=CONFIGS / "vae" / "tiny.yaml", steps=steps, device="cpu",
            auto=True, on_event=events.append, overrides=["train.compact=false", "net.time_axis=seconds"],
        )  # fmt: skip
    assert [e.text for e in events if isinstance(e, Note)] == [
        f"--auto: {torch.get_num_threads()} threads, as the environment says"
    ]
