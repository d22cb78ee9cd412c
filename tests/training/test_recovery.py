"""Updates that went wrong: left out, then back to a checkpoint with a lower rate, then the end."""

import errno
import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from audio_gen import locks
from audio_gen.artefacts import checkpoint
from audio_gen.artefacts.bundle import load_bundle
from audio_gen.artefacts.checkpoint import load_checkpoint
from audio_gen.artefacts.folders import RunFolder
from audio_gen.errors import OutputError, TrainingError
from audio_gen.training import hooks
from audio_gen.training.events import Event, MilestoneExported, Note, Saved, StepDone
from audio_gen.training.guard import EXPLODED, MIN_SEEN, PATIENCE, Guard
from audio_gen.training.lock import locked
from audio_gen.training.metrics import MetricsLog, read_metrics
from audio_gen.training.schedule import Budget
from audio_gen.training.task import Loss
from audio_gen.training.tasks import bundles
from audio_gen.training.tasks.run import TASKS, train_run
from tests.sounds import write_notes

TINY = Path(__file__).parents[2] / "configs" / "vae" / "tiny.yaml"
ONE = {"a": torch.tensor(1.0)}


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_notes(tmp_path_factory.mktemp("notes"), count=12)


def train(notes: Path, run: Path, *overrides: str, **how: Any) -> list[Any]:
    events: list[Any] = []
    settings = ["train.previews=0", "train.validations=0", *overrides]
    train_run(
        notes, run, model="vae", config_file=TINY, device="cpu", overrides=settings,
        on_event=how.pop("on_event", events.append), **how,
    )  # fmt: skip
    return events


def spoilt(monkeypatch: pytest.MonkeyPatch, spoil: Callable[[int], float]) -> None:
    """The VAE's losses times spoil(call), calls counted from 0."""
    task: Any = TASKS["vae"][1]
    loss, calls = task.loss, iter(range(10**6))

    def changed(self: Any, *args: Any) -> Loss:
        factor = spoil(next(calls))
        return Loss({name: (factor * value, weight) for name, (value, weight) in loss(self, *args).terms.items()})

    monkeypatch.setattr(task, "loss", changed)


@pytest.mark.parametrize(("total", "norm"), [(math.nan, 1.0), (1.0, math.inf), (math.inf, 1.0)])
def test_what_is_not_finite_is_left_out_with_its_name(total: float, norm: float) -> None:
    guard = Guard()
    losses = {"kl": torch.tensor(1.0), "mel": torch.tensor(total)}
    assert not guard.allows("g", losses, total, norm)
    assert guard.skipped == 1
    assert ("the gradient" if math.isfinite(total) else "mel") in guard.reason
    assert "kl" not in guard.reason


def test_a_loss_explodes_against_its_own_median() -> None:
    guard = Guard()
    assert guard.allows("g", ONE, 1e9, 1.0)  # nothing to compare with yet
    for i in range(MIN_SEEN):
        assert guard.allows("g", ONE, 2.0 + i % 2, 1.0)
    assert guard.allows("g", ONE, -EXPLODED, 1.0)
    assert not guard.allows("g", ONE, -3.1 * EXPLODED, 1.0)
    assert guard.allows("d", ONE, 1e9, 1.0)  # of another phase nothing is known


def test_bad_steps_add_up_and_good_ones_take_off() -> None:
    guard = Guard()
    for _ in range(int(PATIENCE) - 1):
        guard.allows("g", ONE, math.nan, 1.0)
        assert not guard.after_step(guard.skipped - 1)
    assert not guard.exhausted
    for _ in range(100):
        assert guard.after_step(guard.skipped)
    assert guard.strain == 0
    guard.exhaust()
    assert guard.exhausted
    guard.roll_back()
    assert (guard.exhausted, guard.rate) == (False, 0.5)


def test_a_guard_goes_on_as_it_was() -> None:
    guard, again = Guard(), Guard()
    for value in (1.0, 2.0, math.nan):
        guard.allows("g", ONE, value, 1.0)
    guard.roll_back()
    again.load_state_dict(guard.state_dict())
    assert again.state_dict() == guard.state_dict()


def test_one_bad_update_is_left_out_and_the_run_goes_on(
    notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoilt(monkeypatch, lambda call: math.nan if call == 2 else 1.0)
    events = train(notes, tmp_path / "run", steps=6)
    told = [e.text for e in events if isinstance(e, Note) and "an update was skipped" in e.text]
    assert len(told) == 1
    assert "step 3" in told[0]
    assert [line["step"] for line in read_metrics(tmp_path / "run") if "skipped" in line] == [3]
    assert all(bool(value.isfinite().all()) for value in load_bundle(tmp_path / "run").part("codec").values())


def test_after_several_a_run_goes_back_with_half_the_rate(
    notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two steps are saved, one goes well, five go wrong; the eight that follow are at half the rate."""
    train(notes, tmp_path / "run", steps=2)
    spoilt(monkeypatch, lambda call: math.nan if call in range(1, 6) else 1.0)
    events = train(notes, tmp_path / "run", steps=10)
    told = [e.text for e in events if isinstance(e, Note) and "back to step 2" in e.text]
    assert len(told) == 1
    assert "0.5 x the learning rate" in told[0]
    lines = read_metrics(tmp_path / "run")
    assert [line["step"] for line in lines if "lr" in line] == list(range(1, 11))
    state = load_checkpoint(tmp_path / "run/checkpoints/step-00000010.pt")
    assert state["guard"]["rollbacks"] == 1


def test_three_times_back_are_enough(notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoilt(monkeypatch, lambda call: math.nan)
    with pytest.raises(TrainingError, match=r"NaN or inf.*after 3 rollbacks.*step-00000000\.pt is kept.*train\.lr"):
        train(notes, tmp_path / "run", steps=50)


def no_room(*_: Any) -> None:
    raise OutputError("no room")


def test_a_full_disk_is_found_before_the_first_step(
    notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "save_checkpoint", no_room)
    events: list[Any] = []
    with pytest.raises(OutputError, match="no room"):
        train(notes, tmp_path / "run", steps=2, on_event=events.append)
    assert not [e for e in events if isinstance(e, StepDone)]


def test_a_disk_that_is_full_for_a_while_costs_a_checkpoint(
    notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second save of four fails twice: for lack of room, and again when older ones have made some."""
    save, calls = checkpoint.save_checkpoint, iter(range(100))
    monkeypatch.setattr(checkpoint, "save_checkpoint", lambda *a: no_room() if next(calls) in (2, 3) else save(*a))
    monkeypatch.setattr(hooks, "write_preview", no_room)
    events = train(notes, tmp_path / "run", "train.previews=4", steps=4)
    assert [e.step for e in events if isinstance(e, Saved)] == [1, 3, 4]
    assert sum("no room" in e.text for e in events if isinstance(e, Note)) == 5
    assert load_bundle(tmp_path / "run").config["training"]["steps"] == 4


def test_older_checkpoints_make_room_for_a_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = checkpoint.CheckpointStore(tmp_path, keep=3)
    for step in (1, 2, 3):
        store.save(step, {"step": step})
    save = checkpoint.save_checkpoint
    room = lambda: len(store.paths()) < 2  # noqa: E731
    monkeypatch.setattr(checkpoint, "save_checkpoint", lambda *a: save(*a) if room() else no_room())
    store.save(4, {"step": 4})
    assert [path.name for path in store.paths()] == ["step-00000003.pt", "step-00000004.pt"]


def test_a_place_that_cannot_be_written_keeps_its_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = checkpoint.CheckpointStore(tmp_path, keep=2)
    for step in (1, 2):
        store.save(step, {"step": step})

    def read_only(*_: Any, **__: Any) -> None:
        raise OSError("read-only file system")

    monkeypatch.setattr(checkpoint, "save_checkpoint", no_room)
    monkeypatch.setattr(Path, "unlink", read_only)
    with pytest.raises(OutputError, match="no room"):
        store.save(3, {"step": 3})
    assert [path.name for path in store.paths()] == ["step-00000001.pt", "step-00000002.pt"]


def test_a_milestone_that_finds_no_room_does_not_end_the_run(
    notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, now = bundles.save_bundle, [0.0]
    monkeypatch.setattr(Budget, "elapsed_sec", lambda self: now[0])
    monkeypatch.setattr(bundles, "save_bundle", lambda f, *a, **k: no_room() if "min" in f.name else save(f, *a, **k))
    events: list[Any] = []

    def half_a_minute(event: Event) -> None:
        events.append(event)
        now[0] += 30 * (isinstance(event, StepDone))

    train(notes, tmp_path / "run", "train.milestones=[0.75]", steps=3, on_event=half_a_minute)
    assert sum("no room" in e.text for e in events if isinstance(e, Note)) == 1
    assert not [e for e in events if isinstance(e, MilestoneExported)]
    assert load_bundle(tmp_path / "run").config["training"]["steps"] == 3


def test_a_flipped_bit_is_found(tmp_path: Path) -> None:
    store = checkpoint.CheckpointStore(tmp_path, keep=2)
    for step in (1, 2):
        store.save(step, {"step": step, "weights": torch.zeros(1000)})
    path = store.paths()[-1]
    data = bytearray(path.read_bytes())
    data[data.index(bytes(500)) + 250] ^= 1  # among the zeros
    path.write_bytes(data)
    state, skipped = store.newest()
    assert state is not None
    assert state["step"] == 1
    assert "step-00000002.pt" in skipped[0]


def test_a_line_that_a_full_disk_cut_off_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = MetricsLog(tmp_path, 0)
    log.write(1, {"a": 1.0})
    file = log._file

    class Short:
        def __getattr__(self, name: str) -> Any:
            return getattr(file, name)

        def write(self, data: bytes) -> int:
            return file.write(data[:3])

    monkeypatch.setattr(log, "_file", Short())
    log.write(2, {"a": 2.0})
    monkeypatch.setattr(log, "_file", file)
    log.write(3, {"a": 3.0})
    log.close()
    assert [line["step"] for line in read_metrics(tmp_path)] == [1, 3]
    assert len(RunFolder(tmp_path).metrics.read_text().splitlines()) == 2


def test_two_processes_do_not_train_in_one_folder(notes: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with locked(run):
        for force in (False, True):
            with pytest.raises(TrainingError, match="another process trains here"):
                train(notes, run, steps=1, force=force)
    assert not list(tmp_path.glob("run.old-*"))
    train(notes, run, steps=1)


@pytest.mark.skipif(os.name == "nt", reason="an open file holds its folder there")
@pytest.mark.parametrize("way", ["rename", "delete", "delete while it writes"])
def test_a_run_whose_folder_goes_ends_and_makes_it_not_again(notes: Path, tmp_path: Path, way: str) -> None:
    run, seen = tmp_path / "run", []

    def lose(event: Event) -> None:
        seen.append(type(event))
        if isinstance(event, StepDone) and event.step == 3:
            if way == "rename":
                run.rename(tmp_path / "other")
            else:
                shutil.rmtree(run)
            if way == "delete while it writes":
                (run / "previews").mkdir(parents=True)

    settings = ["train.validations=2", "train.previews=2", "train.checkpoint_minutes=1e-9"]
    with pytest.raises(OutputError, match="deleted or renamed") as error:
        train(notes, run, *settings, steps=40, on_event=lose)
    assert "\n" not in str(error.value)
    assert not (run / ("config.yaml" if "writes" in way else "")).exists()
    assert seen.count(StepDone) <= 4
    if way == "rename":
        assert train(notes, tmp_path / "other", *settings, steps=40)[-1].step == 40


def test_what_a_kill_left_half_written_goes_with_the_next_session(notes: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(notes, run, "train.compact=false", steps=1)
    left = [run / "checkpoints/.step-00000001.77.tmp.pt", run / "checkpoints/.step-00000002.77-8.tmp.pt",
            run / "bundle/.model.77-8.tmp.safetensors", run / ".config.77-8.tmp.yaml"]  # fmt: skip
    kept = [run / "notes.tmp.txt", run / ".mine.tmp.txt", run / "checkpoints/.hidden"]
    for path in (*left, *kept):
        path.write_bytes(b"half")
    train(notes, run, "train.compact=false", steps=2)
    assert not [path for path in left if path.exists()]
    assert all(path.exists() for path in kept)


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS, errno.EIO])
def test_a_file_system_without_locks_is_told_and_trained_on(
    notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(file: int, wait: bool) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(locks, "_try_lock", refuse)
    told: list[str] = []
    with locked(tmp_path / "run", told.append):
        assert len(told) == 1 and os.strerror(code) in told[0] and "\n" not in told[0]
    if code == errno.ENOLCK:
        events = train(notes, tmp_path / "other", steps=1)
        told = [event.text for event in events if isinstance(event, Note) and "no locks" in event.text]
        assert len(told) == len(set(told)) == 2  # of the run and of its cache
        assert events[-1].step == 1


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="cannot be written"), locked(tmp_path / "run"):
        pass
