"""`audio-gen status` for runs that run, have ended, were killed, or are older than progress files."""

import json
import os
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from audio_gen.cli import app
from audio_gen.files import write_json
from audio_gen.training.status import _clock, _trend
from audio_gen.training.tasks.run import TASKS, train_run
from tests import sounds
from tests.conftest import RunCli

ROOT = Path(__file__).parents[2]

VAL = {"val/mel_l1": 0.2, "val/kl": 100.0, "val/active_dimensions": 128.0}
EVALUATION = {"eval/kad": 1.2, "eval/kad_floor": 0.4, "eval/coverage": 0.8, "eval/coverage_real": 0.95, "eval/n": 64.0}


def make_run(folder: Path, rows: list[dict[str, Any]], progress: dict[str, Any] | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text("model: vae\ntrain:\n  steps: 1000\n  minutes: null\n")
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    if progress is not None:
        entry = {
            "state": "running", "step": 500, "progress": 0.5, "left_sec": 130.0, "elapsed_sec": 125.0,
            "pid": os.getpid(), "host": socket.gethostname(), "updated": time.time(), "error": None,
        }  # fmt: skip
        write_json(folder / "progress.json", {**entry, **progress})
    return folder


ROWS: list[dict[str, Any]] = [
    {"step": 250, **VAL, "val/mel_l1": 0.25, "val/kl": 180.0},
    {"step": 250, **EVALUATION, "eval/kad": 3.1},
    {"step": 490, "loss/mel": 0.3, "time/elapsed_sec": 122.0},
    {"step": 500, **VAL},
    {"step": 500, **EVALUATION},
    {"step": 500, "health": [{"name": "working", "text": "..", "alarm": False}]},
]


def told(capsys: pytest.CaptureFixture[str], run: Path, *more: str) -> str:
    assert app.run(["status", str(run), *more]) == 0
    out, error = capsys.readouterr()
    assert error == ""
    return out


@pytest.mark.parametrize(
    ("progress", "line"),
    [
        ({}, "is running, at step 500 (50 % done, 2:05 trained, 2:10 left)"),
        ({"pid": 2**62}, "was killed at about step 500: run the same train command again to resume from the last"),
        (
            {"state": "stopped"},
            "was stopped at step 500, all is saved: run the same train command again to resume (50 %",
        ),
        ({"state": "failed", "error": "no room"}, "failed at step 500: no room (50 % done"),
        ({"state": "finished", "progress": 1.0}, "finished at step 500 (100 % done, 2:05 trained)"),
        (None, "is at step 500; whether it runs is not known: if it does not, run the same train command again"),
    ],
)
def test_states(tmp_path: Path, capsys: pytest.CaptureFixture[str], progress: Any, line: str) -> None:
    run = make_run(tmp_path, ROWS, progress)
    assert told(capsys, run).startswith(f"{run}: {line}")


def test_figures_and_verdicts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = told(capsys, make_run(tmp_path, ROWS, {})).splitlines()
    figures = [" ".join(line.split()) for line in lines[2:-2]]
    assert figures == [
        "distance of samples from your sounds (KAD, lower is better) 1.2 (real-vs-real baseline 0.4); 3.1 at first, "
        "lately falling",
        "your sounds that have a sample near them (coverage) 80 % (real sounds 95 %); 80 % at first, lately steady",
        "error on held-out files (log-mel, lower is better) 0.2; 0.25 at first, lately falling",
        "information in a sound's latent (KL, in nats of 1.4 bits) 100; 180 at first, lately falling",
        "dimensions of the latent in use 128; 128 at first, lately steady",
    ]
    assert lines[1] == "no bundle yet; the first comes at step 100"
    assert lines[-2].startswith("note working: Samples get closer to your sounds (KAD 3.1 -> 1.2; ")
    broken = make_run(tmp_path, [*ROWS, {"step": 600, "val/mel_l1": 0.9}], {})
    assert told(capsys, broken).splitlines()[-2].startswith("ALARM divergence: ")
    fresh = make_run(tmp_path, [], {"step": 1, "progress": 0.001})
    assert told(capsys, fresh).splitlines()[2:-1] == ["nothing was measured yet"]


def test_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    value = json.loads(told(capsys, make_run(tmp_path, ROWS, {}), "--json"))
    verdicts, sizes = value.pop("verdicts"), value.pop("sizes")
    files = ("config.yaml", "metrics.jsonl", "progress.json")
    assert {kind: size for kind, size in sizes.items() if size} == {
        "other": sum((tmp_path / name).stat().st_size for name in files)
    }
    assert value == {
        "run": str(tmp_path), "state": "running", "progress": 0.5, "step": 500, "elapsed_sec": 125.0, "left_sec": 130.0,
        "error": None, "values": {**VAL, **EVALUATION, "loss/mel": 0.3}, "bundles": {},
    }  # fmt: skip
    assert [(v["name"], v["alarm"]) for v in verdicts] == [("working", False)]
    assert verdicts[0].keys() == {"name", "text", "alarm"}


def test_old_runs_and_cut_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path, ROWS)
    with open(run / "metrics.jsonl", "a") as file:
        file.write('{"step": 510, "val/mel')
    value = json.loads(told(capsys, run, "--json"))
    assert (value["state"], value["progress"], value["step"], value["elapsed_sec"]) == ("unknown", 0.5, 500, 122.0)
    (run / "config.yaml").write_text("train: {minutes: 4.0}")
    assert json.loads(told(capsys, run, "--json"))["progress"] == pytest.approx(122 / 240)
    (run / "config.yaml").write_text("{")
    assert json.loads(told(capsys, run, "--json"))["progress"] is None
    (run / "bundle").mkdir()
    value = json.loads(told(capsys, run, "--json"))
    assert (value["state"], value["progress"]) == ("finished", 1.0)
    (run / "progress.json").write_text('{"state": "finished", "progress": NaN}')
    value = json.loads(told(capsys, run, "--json"))
    assert (value["state"], value["progress"], value["step"]) == ("finished", 1.0, 500)  # no JSON, so none
    assert told(capsys, run)


def test_no_run_is_one_line(tmp_path: Path, run_cli: RunCli) -> None:
    for name, text in (("nowhere", "there is no such folder"), (".", "holds no run")):
        result = run_cli("status", name)
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr.startswith("error: ") and text in result.stderr and result.stderr.count("\n") == 1


@pytest.mark.parametrize("model", TASKS)
def test_every_figure_of_a_validation_has_words(tmp_path: Path, capsys: pytest.CaptureFixture[str], model: str) -> None:
    config, overrides = ROOT / "configs" / model / "tiny.yaml", ["train.steps=2", "train.validations=1"]
    notes = sounds.write_notes(tmp_path / "notes", 4)
    same = {"model": model, "config_file": config, "overrides": overrides, "device": "cpu"}
    train_run(notes, tmp_path / "run", to=sounds.write_second(model, notes), **same)
    capsys.readouterr()
    out = told(capsys, tmp_path / "run")
    assert "held-out" in out and "val/" not in out and "eval/" not in out


def test_the_folder_of_a_quickstart_leads_to_its_run(tmp_path: Path, run_cli: RunCli) -> None:
    (tmp_path / "out" / "run").mkdir(parents=True)
    assert str(Path("out") / "run") in run_cli("status", "out").stderr


def test_trend_and_clock() -> None:
    assert _trend([1.0]) == ""
    assert _trend([4.0, 2.0, 1.0, 1.01]) == "; 4 at first, lately steady"
    assert _trend([4.0, 3.0, 1.0, 1.5]) == "; 4 at first, lately rising"
    assert _trend([0.0, 0.0]) == "; 0 at first, lately steady"
    assert [_clock(seconds) for seconds in (5, 125.4, 3725)] == ["0:05", "2:05", "1:02:05"]
