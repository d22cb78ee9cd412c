"""What a run leaves while it trains, when it is killed, and when it has finished."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from audio_gen.artefacts.bundle import load_bundle
from audio_gen.artefacts.checkpoint import load_checkpoint
from audio_gen.artefacts.folders import RunFolder
from audio_gen.errors import CheckpointError
from audio_gen.generation.pipeline import Pipeline
from audio_gen.training.disk import prunable, prune
from audio_gen.training.events import Event, Note, Resumed, StepDone
from audio_gen.training.tasks.run import train_run
from tests.sounds import write_notes

ROOT = Path(__file__).parents[2]
Kads = Callable[..., None]


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_notes(tmp_path_factory.mktemp("notes"), count=12)


@pytest.fixture
def kads(monkeypatch: pytest.MonkeyPatch) -> Kads:
    """Make the evaluations of runs find these, one after the other."""

    def found(*values: float) -> None:
        rest: Iterator[float] = iter(values)
        evaluate = lambda model: {"kad": next(rest), "kad_se": 0.1}  # noqa: E731
        monkeypatch.setattr("audio_gen.training.tasks.evaluator.make_evaluator", lambda *args: evaluate)
        monkeypatch.setattr("audio_gen.training.selfcheck.EVALUATION_SHARE", 1.0)

    return found


def train(notes: Path, run: Path, *overrides: str, model: str = "vae", **how: Any) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    train_run(
        notes, run, model=model, config_file=ROOT / "configs" / model / "tiny.yaml", device="cpu",
        overrides=["train.previews=4", *overrides], on_event=how.pop("on_event", events.append), **how,
    )  # fmt: skip
    return events


def steps(run: Path) -> dict[str, int]:
    return {name: about["steps"] for name, about in RunFolder(run).best_and_last().items()}


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ((0.68, 1.0, 1.5, 2.13), {"bundle": 1, "bundle-last": 4}),
        ((2.0, 0.7, 1.5, 0.75), {"bundle": 4}),
        ((2.0, 0.7, 0.75, 1.5), {"bundle": 3, "bundle-last": 4}),
    ],
)
def test_the_bundle_is_the_best_step_and_the_last_stays_within_reach(
    notes: Path, tmp_path: Path, kads: Kads, values: tuple[float, ...], wanted: dict[str, int]
) -> None:
    kads(*values)
    events = train(notes, tmp_path / "run")
    assert steps(tmp_path / "run") == wanted
    assert (events[-1].best_step, events[-1].last) == (wanted["bundle"], values[-1])
    assert events[-1].best == values[wanted["bundle"] - 1]
    assert load_bundle(tmp_path / "run").config["training"]["steps"] == wanted["bundle"]
    last = tmp_path / "run" / list(wanted)[-1]
    assert load_bundle(last).config["training"]["steps"] == 4
    assert Pipeline.load(last, device="cpu").sample(1).isfinite().all()


def test_a_longer_run_goes_on_from_the_last_step_and_keeps_the_best(notes: Path, tmp_path: Path, kads: Kads) -> None:
    kads(1.0, 0.5, 2.0, 2.0)
    train(notes, tmp_path / "run")
    best, last = (load_bundle(tmp_path / "run" / name).digest for name in ("bundle", "bundle-last"))
    kads(2.0, 2.0)
    events = train(notes, tmp_path / "run", "train.previews=2", steps=8)
    assert [e.step for e in events if isinstance(e, Resumed)] == [4]
    assert sum("optimisers start from zero" in e.text for e in events if isinstance(e, Note)) == 1
    assert steps(tmp_path / "run") == {"bundle": 2, "bundle-last": 8}
    assert load_bundle(tmp_path / "run").digest == best
    assert load_bundle(tmp_path / "run/bundle-last").digest != last
    kads(0.1)
    train(notes, tmp_path / "run", "train.previews=1", steps=9)
    assert steps(tmp_path / "run") == {"bundle": 9}


@pytest.mark.parametrize("model", ["vae", "gan", "vocoder"])
def test_a_run_that_has_finished_keeps_weights_alone_and_goes_on_from_them(
    notes: Path, tmp_path: Path, model: str
) -> None:
    whole = train(notes, tmp_path / "run", "train.compact=false", model=model)
    state = load_checkpoint(tmp_path / "run/checkpoints/step-00000004.pt")
    assert whole[-1].freed == 0
    before = RunFolder(tmp_path / "run").sizes()["checkpoints"]
    events = train(notes, tmp_path / "run", "train.compact=true", model=model)  # nothing to do but that
    assert [path.name for path in (tmp_path / "run/checkpoints").iterdir()] == ["step-00000004.pt"]
    assert events[-1].freed == before - RunFolder(tmp_path / "run").sizes()["checkpoints"] > 0
    seen: list[dict[str, Any]] = []

    def look(event: Event) -> None:
        if isinstance(event, StepDone) and not seen:  # before its first step it had written a whole state
            seen.append(load_checkpoint(tmp_path / "run/checkpoints/step-00000004.pt"))

    train(notes, tmp_path / "run", model=model, steps=5, on_event=look)
    assert all(torch.allclose(state["ema"][key], value, atol=1e-3) for key, value in seen[0]["ema"].items())
    others = {key: value for key, value in state["modules"].items() if not key.startswith("model.")}
    assert all(torch.allclose(value, seen[0]["modules"][key], atol=1e-3) for key, value in others.items())
    assert seen[0]["optimisers"] and seen[0]["began"] == 4
    assert steps(tmp_path / "run") == {"bundle": 5}


def test_a_run_that_was_stopped_keeps_all_of_its_state(notes: Path, tmp_path: Path) -> None:
    def stop(event: Event) -> None:
        if isinstance(event, StepDone) and event.step == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    train(notes, tmp_path / "run", on_event=stop)
    assert "optimisers" in load_checkpoint(tmp_path / "run/checkpoints/step-00000003.pt")
    assert steps(tmp_path / "run") == {"bundle": 3}


def test_a_finished_run_without_its_bundle_says_so(notes: Path, tmp_path: Path) -> None:
    train(notes, tmp_path / "run", steps=1)
    (tmp_path / "run/bundle").rename(tmp_path / "elsewhere")
    with pytest.raises(CheckpointError, match=r"its bundle of step 1 is missing.*--force") as error:
        train(notes, tmp_path / "run", steps=2)
    assert "\n" not in str(error.value)
    (tmp_path / "elsewhere").rename(tmp_path / "run/bundle")
    assert train(notes, tmp_path / "run", steps=2)


KILLED = """
import os, signal, sys
from pathlib import Path
from audio_gen.training.events import StepDone
from audio_gen.training.tasks.run import train_run
def die(event):
    if isinstance(event, StepDone) and event.step == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
train_run(Path(sys.argv[1]), Path(sys.argv[2]), model="vae", config_file=Path(sys.argv[4]), steps=20,
          overrides=["train.previews=1"], device="cpu", on_event=die)
"""


@pytest.mark.posix
@pytest.mark.parametrize(("step", "bundle"), [(2, None), (3, 2)])
def test_sampling_works_from_the_first_preview_on_after_a_kill_too(
    notes: Path, tmp_path: Path, step: int, bundle: int | None
) -> None:
    run, config = tmp_path / "run", ROOT / "configs/vae/tiny.yaml"
    command = [sys.executable, "-c", KILLED, str(notes), str(run), str(step), str(config)]
    assert subprocess.run(command, cwd=ROOT, capture_output=True).returncode == -signal.SIGKILL
    if bundle is None:
        with pytest.raises(CheckpointError, match=r"not reached its first preview, which is due at step 2") as error:
            Pipeline.load(run)
        assert "\n" not in str(error.value)
        with pytest.raises(CheckpointError, match="no bundle yet"):
            prunable(run)
    else:
        assert steps(run) == {"bundle": bundle}
        assert Pipeline.load(run, device="cpu").sample(1).isfinite().all()


def test_pruning_keeps_what_was_made_and_says_how_to_go_on(notes: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(notes, run, "train.compact=false")
    before = RunFolder(run).sizes()
    assert prune(run) == before["checkpoints"] > 0
    assert {**before, "checkpoints": 0} == RunFolder(run).sizes()
    with pytest.raises(CheckpointError, match=r"checkpoints are deleted .`prune`.*--init .*run.*--force") as error:
        train(notes, run, steps=8)
    assert "\n" not in str(error.value)
    assert steps(run) == {"bundle": 4}
    train(notes, tmp_path / "more", init=run, steps=1)


def test_checkpoints_beyond_the_bundle_are_not_pruned(notes: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(notes, run, "train.compact=false")
    (run / "checkpoints/step-00000004.pt").rename(run / "checkpoints/step-00000009.pt")
    with pytest.raises(CheckpointError, match=r"at step 9, its bundle is of step 4; .*--force"):
        prune(run)
    assert prune(run, force=True) > 0


def test_equal_sounds_of_previews_take_room_once(notes: Path, tmp_path: Path) -> None:
    train(notes, tmp_path / "run")
    real = sorted((tmp_path / "run/previews").glob("*/0-real.wav"))
    assert len(real) == 4 and len({path.stat().st_ino for path in real}) == 1
    made = sorted((tmp_path / "run/previews").glob("*/0-sampled.wav"))
    assert len({path.stat().st_ino for path in made}) == 4
    assert not list((tmp_path / "run/previews").rglob(".*"))
