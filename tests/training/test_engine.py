import json
import math
import os
import shutil
import signal
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import torch

from audio_gen.artefacts.bundle import load_bundle
from audio_gen.artefacts.checkpoint import load_checkpoint, save_checkpoint
from audio_gen.config import TrainSettings, read_yaml
from audio_gen.errors import CheckpointError, ConfigError, TrainingError
from audio_gen.training.events import Ended, Event, MilestoneExported, Note, Resumed, StepDone
from audio_gen.training.metrics import read_metrics
from audio_gen.training.schedule import Budget, due, lr_factor, stop_signals
from audio_gen.training.state import Part, StateRegistry, is_count
from audio_gen.training.task import Loss
from audio_gen.training.tasks import mels
from audio_gen.training.tasks.gan import mapping_start
from audio_gen.training.tasks.run import TASKS, train_run
from tests.sounds import pluck, write, write_notes, write_second

ROOT = Path(__file__).parents[2]
# Hundreds of millions of weights: a minute each.
LARGE = [ROOT / "configs/gan" / name for name in ("base.yaml", "large.yaml")]
CONFIGS = sorted([*(ROOT / "configs").rglob("*.yaml"), *(ROOT / "recipes").rglob("*.yaml")])


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_notes(tmp_path_factory.mktemp("notes"), count=12)


def tiny(model: str) -> Path:
    return ROOT / "configs" / model / "tiny.yaml"


def train(notes: Path, run: Path, model: str = "vae", **how: Any) -> Path:
    return train_run(notes, run, model=model, config_file=how.pop("config_file", tiny(model)), device="cpu", **how)


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_bundle(run).tensors


KILLED = """
import os, signal, sys, time
from pathlib import Path
from audio_gen.training.events import StepDone
from audio_gen.training.tasks.run import train_run
def die(event):
    if isinstance(event, StepDone) and event.step == 3:
        while not (Path(sys.argv[2]) / "checkpoints" / "step-00000002.pt").exists():  # it is written meanwhile
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)
train_run(Path(sys.argv[1]), Path(sys.argv[2]), model=sys.argv[3], config_file=Path(sys.argv[4]),
          overrides=sys.argv[5:], device="cpu", on_event=die)
"""


@pytest.mark.posix
@pytest.mark.parametrize(
    ("model", "setting"),
    [
        ("vae", "train.log_every=1"), ("vae", "adversarial.start=0.3"), ("gan", "train.log_every=1"),
        pytest.param("vocoder", "train.log_every=1", marks=pytest.mark.faults),
    ],
)  # fmt: skip
def test_four_steps_are_two_a_kill_and_two(notes: Path, tmp_path: Path, model: str, setting: str) -> None:
    overrides = ["train.previews=2", "train.compact=false", setting]
    train(notes, tmp_path / "whole", model, overrides=overrides)
    command = [sys.executable, "-c", KILLED, str(notes), str(tmp_path / "killed"), model, str(tiny(model)), *overrides]
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}  # sums round otherwise with another number of them
    killed = subprocess.run(command, cwd=ROOT, capture_output=True, env={**os.environ, **threads})
    assert killed.returncode == -signal.SIGKILL
    assert load_checkpoint(tmp_path / "killed/checkpoints/step-00000002.pt")["step"] == 2
    train(notes, tmp_path / "killed", model, overrides=overrides)
    whole, resumed = weights(tmp_path / "whole"), weights(tmp_path / "killed")
    assert whole.keys() == resumed.keys()
    assert all(whole[key].numpy().tobytes() == resumed[key].numpy().tobytes() for key in whole)  # NaN equals NaN here
    steps = [line["step"] for line in read_metrics(tmp_path / "killed") if "loss" in json.dumps(line)]
    assert steps == [1, 2, 3, 4]
    ends = [load_checkpoint(tmp_path / run / "checkpoints/step-00000004.pt") for run in ("whole", "killed")]
    flat = [torch.cat([p.flatten() for p in end["modules"].values()]) for end in ends]
    assert torch.equal(*flat)


def model_of(path: Path) -> str:
    """What a config says that it is for; otherwise its folder does, such as recipes/drums_gan."""
    named = read_yaml(path).get("model")
    return named or next(model for model in TASKS if model in path.parent.name.split("_"))


def test_there_are_configs_for_every_model() -> None:
    assert {model_of(path) for path in CONFIGS} == set(TASKS)
    assert set(LARGE) < set(CONFIGS)


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=pytest.mark.long if path in LARGE else ()) for path in CONFIGS],
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_every_config_trains_saves_and_exports(
    notes: Path, tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapping_start, "START_CLIPS", 64)  # thousands take half a minute
    monkeypatch.setattr(mels, "MIN_BASIS_CLIPS", 64)
    model = model_of(path)
    small = ["train.batch_size=2", "train.val_clips=2", "train.previews=1"]
    second = write_second(model, notes)
    train(notes, tmp_path / "run", model, config_file=path, steps=1, overrides=small, to=second)
    assert load_bundle(tmp_path / "run").config["training"]["steps"] == 1
    assert list((tmp_path / "run/previews").rglob("*.wav"))
    assert list((tmp_path / "run/previews").rglob("*.png"))


def test_a_run_goes_on_when_given_more_steps(notes: Path, tmp_path: Path) -> None:
    train(notes, tmp_path / "run", steps=2)
    train_run(notes, tmp_path / "run", model="vae", steps=3, device="cpu")
    assert load_bundle(tmp_path / "run").config["training"]["steps"] == 3


def test_a_run_of_another_version_is_told_in_a_line(notes: Path, tmp_path: Path) -> None:
    run = train(notes, tmp_path / "run", steps=1, overrides=["train.compact=false"])
    path = next((run / "checkpoints").glob("step-00000001.pt"))
    state = load_checkpoint(path)
    state["modules"].popitem()
    save_checkpoint(path, state)
    with pytest.raises(CheckpointError, match=r"another version.* --init .*run") as told:
        train(notes, run, steps=2)
    assert "\n" not in str(told.value)


HOSTILE: list[Callable[[dict[str, Any]], object]] = [
    lambda state: state.pop("fingerprint"),
    lambda state: state.update(fingerprint=[1]),
    lambda state: state.update(step="1"),
    lambda state: state.update(step=-1),
    lambda state: state.update(step=10**30),
    lambda state: state.update(elapsed_sec=float("inf")),
    lambda state: state.update(elapsed_sec=None),
    lambda state: state.update(guard={"skipped": 0}),
    lambda state: state["guard"].update(recent={"g": ["x"]}),
    lambda state: state.update(figures=[(1, 2)]),
    lambda state: state.update(modules=[1]),
    lambda state: state.update(optimisers=5),
    lambda state: state["optimisers"].update(g=None),
    lambda state: state["optimisers"]["g"].update(param_groups=3),
    lambda state: state["optimisers"]["g"]["state"][0].update(exp_avg=torch.zeros(3, 1, 7)),
    lambda state: state["optimisers"]["g"]["state"][0].update(step="x"),
]


def test_a_state_that_is_none_of_ours_is_refused_in_a_line(notes: Path, tmp_path: Path) -> None:
    run = train(notes, tmp_path / "run", steps=1, overrides=["train.compact=false"])
    path = next((run / "checkpoints").glob("step-00000001.pt"))
    whole = path.read_bytes()
    for spoil in HOSTILE:
        path.write_bytes(whole)
        state = load_checkpoint(path)
        spoil(state)
        save_checkpoint(path, state)
        with pytest.raises(CheckpointError) as told:
            train(notes, run, steps=2)
        assert "\n" not in str(told.value) and len(str(told.value)) < 600
    path.write_bytes(whole)
    assert train(notes, run, steps=2)


def test_names_of_classes_that_are_only_stored_otherwise_are_no_change(tmp_path: Path) -> None:
    for name in ("Café", "Drum"):
        write_notes(tmp_path / "in" / name, count=4)
    run = train(tmp_path / "in", tmp_path / "run", steps=1, overrides=["train.compact=false"])
    path = next((run / "checkpoints").glob("step-00000001.pt"))
    state = load_checkpoint(path)
    assert state["fingerprint"]["classes"] == ["Café", "Drum"]
    state["fingerprint"]["classes"] = [unicodedata.normalize("NFD", "Café"), "Drum"]
    save_checkpoint(path, state)
    assert train(tmp_path / "in", run, steps=2)
    state["fingerprint"]["classes"] = ["Drum", "Café", *map(str, range(10**5))]
    for later in (run / "checkpoints").glob("*.pt"):
        save_checkpoint(later, state)
    with pytest.raises(CheckpointError, match=r"classes list of 100002 entries then, .*Café") as told:
        train(tmp_path / "in", run, steps=3)
    assert len(str(told.value)) < 600


def test_other_settings_are_refused_by_name(notes: Path, tmp_path: Path) -> None:
    train(notes, tmp_path / "run")
    with pytest.raises(ConfigError, match=r"train\.batch_size was 4, is 3"):
        train(notes, tmp_path / "run", overrides=["train.batch_size=3"])
    with pytest.raises(ConfigError, match="settings are for vae"):
        train_run(notes, tmp_path / "run", model="vocoder", device="cpu")
    assert load_bundle(tmp_path / "run")


def test_another_folder_is_refused_and_a_changed_one_is_told(notes: Path, tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    shutil.copytree(notes, folder)
    train(folder, tmp_path / "run", steps=1)
    write(folder / "new.wav", pluck(333.0))
    events: list[Any] = []
    train(folder, tmp_path / "run", steps=2, on_event=events.append)
    assert any("changed" in event.text and "new.wav" in event.text for event in events if isinstance(event, Note))
    before = {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file() and p.name != ".lock"}
    with pytest.raises(ConfigError, match="was started on"):
        train(notes, tmp_path / "run", steps=3)
    assert all(path.read_bytes() == content for path, content in before.items())
    folder.rename(tmp_path / "moved")
    assert train(tmp_path / "moved", tmp_path / "run", steps=3)


def test_force_moves_the_old_run_aside(notes: Path, tmp_path: Path) -> None:
    train(notes, tmp_path / "run")
    train(notes, tmp_path / "run", overrides=["train.batch_size=3"], force=True)
    assert load_bundle(next(tmp_path.glob("run.old-*")))


def test_a_damaged_newest_checkpoint_is_passed_over(notes: Path, tmp_path: Path) -> None:
    train(notes, tmp_path / "run", overrides=["train.previews=2", "train.compact=false"])
    newest = tmp_path / "run/checkpoints/step-00000004.pt"
    newest.write_bytes(newest.read_bytes()[:1000])
    events: list[Any] = []
    train(notes, tmp_path / "run", overrides=["train.previews=2", "train.compact=false"], on_event=events.append)
    assert any("step-00000004.pt" in e.text for e in events if isinstance(e, Note))
    assert [e.step for e in events if isinstance(e, Resumed)] == [2]
    for path in (tmp_path / "run/checkpoints").glob("step-*.pt"):
        path.write_bytes(b"junk")
    with pytest.raises(CheckpointError, match="all of its 2 checkpoints are damaged"):
        train(notes, tmp_path / "run", overrides=["train.previews=2"])


def test_weights_that_break_again_and_again_stop_the_run_and_the_last_state_is_kept(
    notes: Path, tmp_path: Path
) -> None:
    train(notes, tmp_path / "run", steps=2)

    def poison(event: Event) -> None:
        if isinstance(event, StepDone):
            for parameter in poisoned:
                parameter.data.fill_(math.nan)

    poisoned: list[torch.nn.Parameter] = []
    task: Any = TASKS["vae"][1]
    original = task.phases
    try:
        task.phases = lambda self: poisoned.extend(self.vae.parameters()) or original(self)
        with pytest.raises(
            TrainingError, match=r"NaN or infinite.* at step 4, still after 3 rollbacks.*step-00000002\.pt is"
        ):
            train_run(notes, tmp_path / "run", model="vae", steps=6, device="cpu", on_event=poison)
    finally:
        task.phases = original
    state = load_checkpoint(tmp_path / "run/checkpoints/step-00000002.pt")
    assert all(torch.isfinite(value).all() for value in state["modules"].values())


@pytest.mark.skipif(os.name == "nt", reason="has no such signals")
@pytest.mark.posix
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_saves_and_says_so(notes: Path, tmp_path: Path, name: str) -> None:
    events: list[Any] = []

    def stop(event: Event) -> None:
        events.append(event)
        if isinstance(event, StepDone) and event.step == 2:
            os.kill(os.getpid(), getattr(signal, name))

    train(notes, tmp_path / "run", on_event=stop)
    assert events[-1] == Ended(
        step=2, stopped_by=name, freed=0, best=None, best_step=2, last=None, judged_by=None,
    )  # fmt: skip
    assert (tmp_path / "run/checkpoints/step-00000002.pt").is_file()


@pytest.mark.skipif(os.name == "nt", reason="has no such signals")
@pytest.mark.posix
def test_a_hang_up_that_nohup_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_signals() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert stop == []
            os.kill(os.getpid(), signal.SIGTERM)
            assert stop == ["SIGTERM"]
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_same_seed_gives_the_same_weights_and_another_does_not(notes: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(notes, tmp_path / name, steps=1, seed=seed)
    a, b, c = (weights(tmp_path / name)["codec.encoder.stem.weight"] for name in "abc")
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_each_weight_of_a_loss_is_applied_once() -> None:
    one = torch.tensor(1.0)
    assert float(Loss({"a": (one, 2.0), "b": (one, 0.5)}).total()) == 2.5


@pytest.mark.parametrize("only_once", [True, False])
def test_a_listener_that_raises_ends_no_run_and_is_noted_once(
    notes: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, only_once: bool
) -> None:
    """Noted to itself, or in the log where it takes no note either."""
    told: list[str] = []

    def broken(event: Event) -> None:
        if isinstance(event, Note) and only_once:
            told.append(event.text)
        else:
            raise ValueError("no terminal")

    train(notes, tmp_path / "run", on_event=broken)
    assert load_bundle(tmp_path / "run").config["training"]["steps"] == 4
    told += caplog.messages
    assert [text for text in told if "failed" in text] == [
        "a listener failed (ValueError: no terminal); training continues"
    ]


def test_each_part_of_a_state_is_registered_once_and_checked() -> None:
    registry, box = StateRegistry(), {"a": 1, "b": 2}
    registry.register("a", Part(lambda: box["a"], lambda value: box.update(a=value), is_count))
    registry.register("b", Part(lambda: box["b"], lambda value: box.update(b=value), optional=True))
    with pytest.raises(AssertionError):
        registry.register("a", Part(lambda: 0, lambda value: None))
    assert registry.state_dict() == {"a": 1, "b": 2}
    assert registry.fits({"a": 0}) and not registry.fits({"b": 0}) and not registry.fits({"a": -1})
    registry.load({"a": 5, "other": 0})
    assert box == {"a": 5, "b": 2}


def test_a_budget_by_the_clock_counts_all_sessions() -> None:
    now = [0.0]
    budget = Budget(None, 2.0, spent_sec=60.0, clock=lambda: now[0])
    assert budget.progress(0) == 0.5
    now[0] = 30
    assert budget.progress(7) == 0.75
    assert budget.left_sec(7, 1.0) == 30
    assert Budget(10, None).progress(5) == 0.5


def test_lengths_in_images_and_until_a_time() -> None:
    images = TrainSettings(images=100, batch_size=32)
    assert Budget.of(images).steps == 4
    until = datetime.now() + timedelta(minutes=30)
    budget = Budget.of(TrainSettings(until=until), spent_sec=600)
    assert budget.minutes == pytest.approx(40, abs=0.1)
    assert budget.progress(7) == pytest.approx(0.25, abs=0.01)
    with pytest.raises(ConfigError, match="has passed"):
        Budget.of(TrainSettings(until=until - timedelta(hours=1)))


@pytest.mark.parametrize(("minutes", "early"), [(None, 0.1), (10.0, 0.1), (50.0, 0.1), (600.0, 1 / 120)])
def test_something_to_hear_comes_after_a_tenth_or_five_minutes(minutes: float | None, early: float) -> None:
    assert Budget(None if minutes else 10, minutes).early == pytest.approx(early)


def test_the_first_preview_is_early(notes: Path, tmp_path: Path) -> None:
    train(notes, tmp_path / "run", steps=20, overrides=["train.previews=1"])
    assert sorted(path.name for path in (tmp_path / "run/previews").iterdir()) == ["step-00000002", "step-00000020"]


def test_the_rate_can_stay_until_the_end_of_a_run() -> None:
    kept = [lr_factor(step, step / 100, 10, decay=0.0) for step in range(101)]
    assert kept[10:] == [1.0] * 91
    late = [lr_factor(step, step / 100, 10, decay=0.25) for step in range(101)]
    assert late[10:76] == [1.0] * 66
    assert late[88] == pytest.approx(0.5, abs=0.05) and late[100] == pytest.approx(0.01)


def test_the_rate_rises_and_falls() -> None:
    rates = [lr_factor(step, step / 100, 10) for step in range(101)]
    assert max(rates) == pytest.approx(rates[10], rel=0.03)
    assert rates[0] < 0.1
    assert rates[100] == pytest.approx(0.01)


def test_marks_come_once_each_and_the_last_at_the_end() -> None:
    hits = [step for step in range(1, 101) if due((step - 1) / 100, step / 100, 4)]
    assert hits == [25, 50, 75, 100]
    assert not any(due((s - 1) / 10, s / 10, 0) for s in range(1, 11))


def test_milestones_leave_a_bundle_each(notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step takes half a minute here; a run that goes on does not come past the same milestone again."""
    now = [0.0]
    monkeypatch.setattr(Budget, "elapsed_sec", lambda self: now[0])
    events: list[Any] = []

    def half_a_minute(event: Event) -> None:
        events.append(event)
        now[0] += 30 * (isinstance(event, StepDone))

    milestones = ["train.milestones=[0.75, 1.5, 9]", "train.previews=0"]
    train(notes, tmp_path / "run", steps=2, overrides=milestones, on_event=half_a_minute)
    train(notes, tmp_path / "run", steps=4, overrides=milestones, on_event=half_a_minute)
    assert [(e.step, e.minutes) for e in events if isinstance(e, MilestoneExported)] == [(2, 0.75), (3, 1.5)]
    folders = {path.name: path for path in (tmp_path / "run").glob("bundle*")}
    assert folders.keys() == {"bundle", "bundle-0.75min", "bundle-1.5min"}
    told = [load_bundle(folders[name]).config["training"] for name in sorted(folders)]
    assert [(t["steps"], t["minutes"]) for t in told] == [(4, 2.0), (2, 1.0), (3, 1.5)]
    first, last = (load_bundle(folders[name]).tensors["codec.encoder.stem.weight"] for name in sorted(folders)[1:])
    assert not torch.equal(first, last)
