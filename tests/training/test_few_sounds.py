"""Folders of one sound, of copies of one, and of two: they train, and what is made is finite."""

import shutil
from pathlib import Path

import pytest
import torch

from audio_gen.artefacts.bundle import load_bundle
from audio_gen.generation.pipeline import Pipeline
from audio_gen.text import distinct_sounds
from audio_gen.training.events import Event, Note
from audio_gen.training.tasks.run import train_run
from tests.sounds import noise, pluck, write

CONFIGS = Path(__file__).parents[2] / "configs"
# As many previews as evaluations: a run of a minute evaluates itself.
LENGTHS = ["train.steps=2", "train.previews=1", "train.validations=1"]
FOLDERS = {"one": (1, 0), "copies": (1, 7), "two": (2, 0), "two and copies": (2, 6), "four": (4, 0), "five": (5, 0)}


def write_few(folder: Path, sounds: int, copies: int) -> Path:
    for i in range(sounds):
        write(folder / f"{i}.wav", pluck(110.0 + 40 * i, 0.3) + 0.1 * noise(0.3, seed=i))
    for i in range(copies):
        shutil.copy(folder / f"{i % sounds}.wav", folder / f"{i % sounds} copy {i}.wav")
    return folder


@pytest.mark.parametrize("model", ["gan", "vae"])
@pytest.mark.parametrize("name", FOLDERS)
def test_few_sounds_train(model: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audio_gen.training.tasks.evaluator.sample_count", lambda *args: 16)
    sounds, _ = FOLDERS[name]
    notes: list[str] = []

    def tell(event: Event) -> None:
        if isinstance(event, Note):
            notes.append(event.text)

    folder, file = write_few(tmp_path / "in", *FOLDERS[name]), CONFIGS / model / "tiny.yaml"
    train_run(folder, tmp_path / "run", model=model, config_file=file, overrides=LENGTHS, device="cpu", on_event=tell)
    assert any(f"{distinct_sounds(sounds)} to learn from" in note for note in notes) == (sounds < 5)
    assert any("will not be evaluated" in note for note in notes) == (sounds < 4)
    assert all(torch.isfinite(value).all() for value in load_bundle(tmp_path / "run").part("codec").values())
    assert torch.isfinite(Pipeline.load(tmp_path / "run").sample(2, seed=0)).all()
