"""Bundles and checkpoints of strangers: bombs, links to nowhere, pipes, and what is no number."""

import json
import os
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from audio_gen.artefacts.bundle import load_bundle
from audio_gen.artefacts.checkpoint import load_checkpoint, save_checkpoint
from audio_gen.cli import app
from audio_gen.cli.common import say
from audio_gen.errors import CheckpointError
from audio_gen.generation.pipeline import Pipeline
from tests.generation.models import write_bundle, write_gan_bundle


def changed(folder: Path, part: str, **values: Any) -> None:
    about = folder / "config.json"
    config = json.loads(about.read_text())
    place = config
    for key in filter(None, part.split(".")):
        place = place[key]
    place.update(values)
    about.write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("part", "values"),
    [
        ("codec.args", {"blocks": 10**6}), ("codec.args", {"frames": 10**6}), ("codec.args", {"latent_dim": 10**9}),
        ("codec.args", {"channels": [10**9, 8]}), ("codec.args", {"channels": [8] * 10**5}),
        ("codec.args", {"n_classes": 10**9}),
        ("prior.args", {"clips": 10**6}), ("prior.args", {"latent_dim": 9}), ("prior.args", {"velocity": True}),
        ("prior.args", {"clips": True}), ("prior", {"args": []}), ("codec", {"kind": "x"}), ("codec", {"kind": 3}),
        ("codec.args", {"channels": [1000, 1000]}), ("codec.args", {"frames": 1000}), ("mel", {"n_fft": 2**24}),
        ("mel", {"n_mels": 10**6}), ("mel", {"n_fft": 2**17, "n_mels": 4096}), ("mel", {"sample_rate": 10**12}),
        ("", {"classes": [f"{i}" for i in range(10**5)]}), ("", {"classes": ["a", "b"]}), ("", {"format": 3}),
        ("", {"pitch_range": [1, 0]}), ("", {"preroll": 10**6}), ("", {"shared": {"with": "..", "tensors": ["x"]}}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("write", [write_bundle, write_gan_bundle])
def test_a_bomb_is_refused_at_once(tmp_path: Path, write: Any, part: str, values: dict[str, Any]) -> None:
    folder = write(tmp_path / "bundle")
    Pipeline.load(folder, vocoder="griffinlim", device="cpu")
    changed(folder, part, **values)
    began = time.monotonic()
    with pytest.raises(CheckpointError) as caught:
        Pipeline.load(folder, vocoder="griffinlim", device="cpu")
    assert time.monotonic() - began < 3
    line = str(caught.value)
    assert "bundle" in line and len(line) < 1000 and line.isprintable()


@pytest.mark.parametrize("key", ["codec.trunk.mean", "prior.corners", "prior.class_id", "prior.examples.pitches"])
def test_weights_and_density_of_other_numbers_are_refused(tmp_path: Path, key: str) -> None:
    folder = write_bundle(tmp_path / "bundle")
    path = folder / "model.safetensors"
    tensors = load_file(path)
    for value in (
        torch.full((1,), 99),
        torch.full(tensors[key].shape, 99.0),
        torch.full(tensors[key].shape, torch.nan),
    ):
        made = (
            value.long() if key == "prior.class_id" and value.ndim == tensors[key].ndim and value.min() > 0 else value
        )
        save_file({**tensors, key: made}, path, metadata={})
        digest = __import__("hashlib").sha256(path.read_bytes()).hexdigest()[:12]
        changed(folder, "", digest=digest)
        if key == "prior.examples.pitches" and value.shape == tensors[key].shape:
            Pipeline.load(folder, vocoder="griffinlim", device="cpu")  # a clip need not have a pitch
        elif not (key == "codec.trunk.mean" and value.shape == tensors[key].shape and bool(value.isfinite().all())):
            if key == "prior.corners" and value.shape == tensors[key].shape and bool(value.isfinite().all()):
                continue
            with pytest.raises(CheckpointError):
                Pipeline.load(folder, vocoder="griffinlim", device="cpu")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_pipe_in_a_bundle_is_not_waited_for(tmp_path: Path, name: str) -> None:
    folder = write_bundle(tmp_path / "bundle")
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(CheckpointError):
        load_bundle(folder)
    os.mkfifo(tmp_path / "step-1.pt")
    with pytest.raises(CheckpointError):
        load_checkpoint(tmp_path / "step-1.pt")


def test_a_compressed_checkpoint_is_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a.pt", {"a": torch.zeros(10**5)})
    with zipfile.ZipFile(tmp_path / "a.pt") as old, zipfile.ZipFile(tmp_path / "b.pt", "w") as new:
        for part in old.infolist():
            new.writestr(part.filename, old.read(part), zipfile.ZIP_DEFLATED)
    assert load_checkpoint(tmp_path / "a.pt")["a"].numel() == 10**5
    with pytest.raises(CheckpointError):
        load_checkpoint(tmp_path / "b.pt")


def test_escapes_are_shown_and_not_obeyed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_bundle(tmp_path / "bundle")
    changed(folder, "", classes=["bell\x1b[2J", "drum\n", "flute\u202e"])
    out = str(tmp_path / "out")
    assert app.run(["sample", str(folder), "--class", "x\x1b]0;\x07", "--out", out]) == 2
    say("a\x1b[31m\nb")
    printed = capsys.readouterr()
    assert all(line.isprintable() for line in (printed.out + printed.err).splitlines())
    assert r"bell\x1b[2J" in printed.err and printed.out == "a\\x1b[31m\\nb\n"
