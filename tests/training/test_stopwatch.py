"""Where a step's time goes: known times, and a run that tells them."""

from pathlib import Path
from typing import Any

import pytest
import torch

from audio_gen.training.events import Profiled
from audio_gen.training.stopwatch import PARTS, WARM_UP_STEPS, Stopwatch, counted, matrix_rate
from audio_gen.training.tasks.run import train_run
from tests.sounds import write_notes

ROOT = Path(__file__).parents[2]


def test_the_shares_are_those_of_the_clock() -> None:
    """Every step takes 1 s forward, 2 s backward in two pieces, and 1 s of what has no name."""
    now = [0.0]
    watch = Stopwatch(3, clock=lambda: now[0])
    for number in range(WARM_UP_STEPS + 5):
        assert watch.counts == (number >= WARM_UP_STEPS + 3)
        with watch.step():
            for name, seconds in [("forward", 1), ("backward", 1), ("backward", 1)]:
                with watch.part(name):
                    now[0] += seconds
            now[0] += 1
    found = watch.report(flops=8.0)
    assert (found["steps"], found["step_sec"], found["flops_per_sec"]) == (3, 4.0, 2.0)
    shares = {name: share for name, share in found["shares"].items() if share}
    assert shares == pytest.approx({"forward": 0.25, "backward": 0.5, "other": 0.25})
    assert not watch.counts


def test_without_steps_nothing_is_timed() -> None:
    watch = Stopwatch()
    with watch.step(), watch.part("forward"):
        pass
    assert not watch.counts


def test_operations_are_those_of_the_matrices() -> None:
    a, b = torch.randn(3, 5), torch.randn(5, 7, requires_grad=True)
    with counted(True) as flops:
        (a @ b).sum().backward()
    assert flops == [2 * (2 * 3 * 5 * 7)]  # forward, and the gradient of one factor
    with counted(False) as flops:
        a @ b
    assert flops == []


def test_a_machine_has_a_rate() -> None:
    assert matrix_rate(torch.device("cpu")) > 1e8


@pytest.mark.parametrize("model", ["vae", "gan"])
def test_a_run_tells_its_profile_once_and_trains_on(tmp_path: Path, model: str) -> None:
    notes = write_notes(tmp_path / "notes", count=12)
    events: list[Any] = []
    train_run(
        notes, tmp_path / "run", model=model, config_file=ROOT / "configs" / model / "tiny.yaml", device="cpu",
        steps=WARM_UP_STEPS + 5, overrides=["train.previews=0", "train.validations=0"], profile_steps=3,
        on_event=events.append,
    )  # fmt: skip
    (told,) = [event for event in events if isinstance(event, Profiled)]
    assert told.step == WARM_UP_STEPS + 4
    assert set(told.shares) == {*PARTS, "other"}
    assert sum(told.shares.values()) == pytest.approx(1, abs=0.2)  # medians of each part need not add up
    assert told.shares["backward"] > 0
    assert told.flops > 0
