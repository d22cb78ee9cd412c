"""The task of transfer models: a decoder of one target from what transforms read of a sound."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from audio_gen.artefacts.bundle import load_bundle
from audio_gen.artefacts.checkpoint import load_checkpoint
from audio_gen.data.dataset import ClipDataset
from audio_gen.errors import CheckpointError
from audio_gen.generation.pipeline import Pipeline
from audio_gen.models.contract import Kept
from audio_gen.models.transforms.sound import SoundFrames
from audio_gen.training.events import Note
from audio_gen.training.tasks.run import TASKS, resolve_config, train_run
from audio_gen.training.tasks.source import open_source
from tests.sounds import noise, pluck, write
from tests.training.test_gan_task import CONFIGS

TINY = CONFIGS / "transfer" / "tiny.yaml"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes: notes and hits."""
    place = tmp_path_factory.mktemp("target")
    for i in range(4):
        notes = [pluck(110 * 2 ** ((i + j) / 12), 0.5) for j in range(4)]
        write(place / "notes" / f"{i}.wav", np.concatenate(notes))
        write(place / "hits" / f"{i}.wav", noise(1.5, seed=i) * np.exp(-8 * (np.arange(33075) % 8000) / 22050))
    return place


@pytest.fixture(scope="module")
def trained(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_run(folder, tmp_path_factory.mktemp("run") / "run", model="transfer", config_file=TINY, device="cpu")


def task_of(folder: Path, run: Path, *overrides: str) -> tuple[Any, ClipDataset]:
    settings = resolve_config(run, "transfer", TINY, overrides, {})
    cache = open_source(folder, run, settings, settings.spec, lambda event: None)
    task = TASKS["transfer"][1](settings, settings.spec, cache)
    train = ClipDataset(cache, split="train", segment_samples=task.segments[0], seed=0)
    task.initialise(train)
    return task, train


def test_targets_are_the_classes(trained: Path) -> None:
    pipeline = Pipeline.load(trained, vocoder="griffinlim:2", device="cpu")
    assert pipeline.domains == ("hits", "notes")
    decoder = pipeline.parts["transform"]
    assert decoder.ranges(1).is_pitched
    assert not decoder.ranges(0).is_pitched


def test_without_classes_the_target_is_named_after_the_run(folder: Path, tmp_path: Path) -> None:
    run = train_run(folder / "notes", tmp_path / "plucks", model="transfer", config_file=TINY, device="cpu")
    assert Pipeline.load(run, vocoder="griffinlim:2", device="cpu").domains == ("plucks",)


def test_a_decoder_overfits_a_batch(folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    task, train = task_of(folder / "notes", tmp_path / "run", "net.width=64")
    batch = train.batch(0, 4)
    optimiser = torch.optim.Adam(task.model.parameters(), 3e-3)
    losses = []
    for _ in range(150):
        shared = task.begin(batch, torch.Generator().manual_seed(0), 0.0)
        loss = task.loss("decoder", shared, torch.Generator(), 0.0).terms["mel"][0]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.4 * losses[0]


def test_a_rendition_in_parts_equals_the_whole(trained: Path) -> None:
    pipeline = Pipeline.load(trained, vocoder="griffinlim:2", device="cpu")
    wav = torch.from_numpy(np.concatenate([pluck(220, 1.0), pluck(330, 1.0)]))[None]
    sound = SoundFrames.of_wav(wav, pipeline.spec)
    rendition = pipeline.transform.begin(sound, 1, Kept())
    whole = rendition.mel(0, sound.frames)
    cuts = [0, 50, 53, 111, sound.frames]
    parts = [rendition.mel(a, b) for a, b in pairwise(cuts)]
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=5e-3, rtol=0)


def test_four_steps_equal_two_and_two(folder: Path, tmp_path: Path) -> None:
    same = dict(model="transfer", config_file=TINY, device="cpu", overrides=["train.compact=false"])
    train_run(folder, tmp_path / "whole", **same)
    train_run(folder, tmp_path / "parts", steps=2, **same)
    train_run(folder, tmp_path / "parts", steps=4, **same)
    a, b = (load_bundle(tmp_path / name).tensors for name in ("whole", "parts"))
    assert a.keys() == b.keys()
    checkpoints = [sorted((tmp_path / name / "checkpoints").glob("*4.pt")) for name in ("whole", "parts")]
    assert all(checkpoints)
    states = [load_checkpoint(found[-1]) for found in checkpoints]
    assert states[0].keys() == states[1].keys()
    assert all(torch.isfinite(value).all() for value in b.values())


def test_init_takes_the_networks_and_measures_the_new_target(trained: Path, folder: Path, tmp_path: Path) -> None:
    notes: list[str] = []

    def listen(event: Any) -> None:
        if isinstance(event, Note):
            notes.append(event.text)

    run = train_run(
        folder / "hits", tmp_path / "run", model="transfer", config_file=TINY, device="cpu", init=trained,
        overrides=["train.lr=1e-9"], on_event=listen,
    )  # fmt: skip
    assert any("targets are learned anew" in note for note in notes)
    old, new = (load_bundle(place).tensors for place in (trained, run))
    assert (old["transform.stem.weight"] - new["transform.stem.weight"]).abs().max() < 1e-3
    assert not new["transform.voiced"].isnan().any()
    assert len(new["transform.voiced"]) == 1


def test_other_operations_say_what_the_model_is(trained: Path) -> None:
    pipeline = Pipeline.load(trained, vocoder="griffinlim:2", device="cpu")
    with pytest.raises(CheckpointError, match="in the timbre of its own, with transfer; it cannot sample"):
        pipeline.require("sample")


def test_little_sound_is_told(folder: Path, tmp_path: Path) -> None:
    notes: list[str] = []

    def listen(event: Any) -> None:
        if isinstance(event, Note):
            notes.append(event.text)

    train_run(folder, tmp_path / "run", model="transfer", config_file=TINY, device="cpu", on_event=listen)
    assert any("s of sound to learn from" in note for note in notes)
