"""`audio-gen prune`, and what commands say of a run's bundles."""

import json
import os
import socket
import time
from pathlib import Path

import pytest

from audio_gen.artefacts.bundle import load_bundle, save_bundle
from audio_gen.files import write_json
from tests.cli.conftest import Run
from tests.generation.models import write_bundle


@pytest.fixture
def ended(tmp_path: Path) -> Path:
    """A run of two bundles and two checkpoints, the newest of the step of its last bundle."""
    run = tmp_path / "run"
    for name, step in (("bundle", 100), ("bundle-last", 200)):
        bundle = load_bundle(write_bundle(run / name, seed=step))
        about = {key: value for key, value in bundle.config.items() if key not in ("format", "digest")}
        save_bundle(run / name, {**about, "training": {"steps": step, "figure": step / 100}}, bundle.tensors)
    (run / "checkpoints").mkdir()
    for step in (150, 200):
        (run / f"checkpoints/step-{step:08d}.pt").write_bytes(bytes(2_000_000))
    (run / "config.yaml").write_text("model: vae\ntrain: {steps: 200}\n")
    return run


def test_a_dry_run_deletes_nothing_and_prune_the_checkpoints(ended: Path, run: Run) -> None:
    before = {path for path in ended.rglob("*") if path.is_file()}
    out, _ = run("prune", ended, "--dry-run")
    assert "2 checkpoints would be deleted (4.0 MB)" in out
    assert {path for path in ended.rglob("*") if path.is_file()} == before
    told = json.loads(run("prune", ended, "--json")[0])
    assert (told["checkpoints"], told["freed"], told["dry_run"]) == (2, 4_000_000, False)
    left = {path for path in ended.rglob("*") if path.is_file() and path.name != ".lock"}
    assert left == {path for path in before if path.suffix != ".pt"}


@pytest.mark.parametrize(("name", "told"), [("nowhere", "no such folder"), (".", "holds no run")])
def test_what_cannot_be_pruned_is_one_line(tmp_path: Path, run: Run, name: str, told: str) -> None:
    out, error = run("prune", tmp_path / name, status=2)
    assert out == "" and told in error and error.count("\n") == 1


def test_steps_that_only_a_checkpoint_has_stay(ended: Path, run: Run) -> None:
    (ended / "checkpoints/step-00000300.pt").write_bytes(b"more")
    write_json(ended / "progress.json", {"state": "stopped", "pid": os.getpid(), "host": socket.gethostname(),
                                         "updated": time.time()})  # fmt: skip
    _, error = run("prune", ended, status=2)
    assert "stopped at step 300, its bundle is of step 200" in error and error.count("\n") == 1
    assert len(list((ended / "checkpoints").iterdir())) == 3


def test_status_says_which_step_is_used_and_what_is_on_the_disk(ended: Path, run: Run) -> None:
    lines = run("status", ended)[0].splitlines()
    assert lines[1] == (
        "all commands use the best step: bundle is the best step, 100 (1), bundle-last is the last step, 200 (2)"
    )
    assert lines[-1].startswith("on disk: checkpoints 4.0 MB, bundles ")


def test_sampling_before_the_first_preview_is_one_line(tmp_path: Path, run: Run) -> None:
    (tmp_path / "run").mkdir()
    for train, due in (
        ("{steps: 200}", "at step 20"),
        ("{minutes: 20}", "after 2 minutes of training"),
        ("{minutes: 600}", "after 5 minutes of training"),
        ("{images: 6400, batch_size: 32}", "at step 20"),
        ("{steps: 9, previews: 0}", "at its end"),
    ):
        (tmp_path / "run/config.yaml").write_text(f"model: vae\ntrain: {train}\n")
        _, error = run("sample", "run", "--out", "clips", status=2)
        assert f"not reached its first preview, which is due {due}" in error and error.count("\n") == 1
