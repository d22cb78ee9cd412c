"""The task of sequence models: the codec, then the prior over all latents."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from audio_gen.artefacts.bundle import load_bundle
from audio_gen.artefacts.checkpoint import load_checkpoint
from audio_gen.data.dataset import ClipDataset
from audio_gen.errors import CheckpointError, ConfigError
from audio_gen.generation.pipeline import Pipeline
from audio_gen.models.codecs.local import LocalCodec
from audio_gen.models.registry import parts_of
from audio_gen.training.events import Ended
from audio_gen.training.metrics import read_metrics
from audio_gen.training.narration import line_of
from audio_gen.training.tasks.latents import LatentStore
from audio_gen.training.tasks.run import TASKS, resolve_config, train_run
from audio_gen.training.tasks.source import open_source
from tests.sounds import RATE, noise, sine, write
from tests.training.test_gan_task import CONFIGS

TINY = CONFIGS / "sequence" / "tiny.yaml"
ROOT = CONFIGS.parent
KILLED = """
import os, signal, sys
from pathlib import Path
from audio_gen.training.events import Saved
from audio_gen.training.tasks.run import train_run
source, run, tiny, at = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
def kill(event):
    if isinstance(event, Saved) and event.step == at:
        os.kill(os.getpid(), signal.SIGKILL)
train_run(Path(source), Path(run), model="sequence", config_file=Path(tiny), overrides=sys.argv[5:], device="cpu",
          on_event=kill)
"""


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of files of several lengths."""
    folder = tmp_path_factory.mktemp("music")
    for i in range(4):
        write(folder / "tones" / f"{i}.wav", sine(200.0 * (i + 1), 2.0 + 0.5 * i))
        write(folder / "noises" / f"{i}.wav", noise(1.5 + i, seed=i))
    return folder


@pytest.fixture(scope="module")
def ready(music: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, ClipDataset]:
    """A task before the first step, and its clips."""
    run = tmp_path_factory.mktemp("ready") / "run"
    settings = resolve_config(run, "sequence", TINY, [], {})
    cache = open_source(music, run, settings, settings.mel, lambda event: None)
    torch.manual_seed(0)
    task = TASKS["sequence"][1](settings, settings.mel, cache)
    data = ClipDataset(cache, split="train", segment_samples=task.segments[0], seed=0, crop="random")
    task.initialise(data)
    return task, data


def test_windows_leave_room_after_a_prompt_with_long_frames(music: Path, tmp_path: Path) -> None:
    mel = "mel={sample_rate: 16000, n_fft: 4096, hop_length: 4096, n_mels: 40}"
    settings = resolve_config(tmp_path, "sequence", TINY, [mel, "prior.window_sec=1", "prior.context_sec=60"], {})
    cache = open_source(music, tmp_path, settings, settings.mel, lambda event: None)
    task = TASKS["sequence"][1](settings, settings.mel, cache)
    assert (task.prior.window, task.prior.context) == (8, 4)


def test_a_latent_has_at_most_the_numbers_of_its_frames(music: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"net.latent_dim \(161\): 4 frames of this mel have 160 numbers"):
        train_run(
            music, tmp_path / "run", model="sequence", config_file=TINY, overrides=["net.latent_dim=161"], device="cpu"
        )


def test_each_phase_has_its_part_of_the_run(ready: tuple[Any, ClipDataset]) -> None:
    task, _ = ready
    codec, prior = task.phases()
    assert [codec.progress(p) for p in (0.0, 0.25, 0.5, 1.0)] == [0.0, 0.5, None, None]
    assert [prior.progress(p) for p in (0.0, 0.49, 0.5, 0.75, 1.0)] == [None, None, 0.0, 0.5, 1.0]
    owned = {id(p) for phase in (codec, prior) for p in phase.parameters()}
    assert owned == {id(p) for p in task.model.parameters()}


def test_the_codec_starts_from_principal_components_and_learns_its_grain(ready: tuple[Any, ClipDataset]) -> None:
    task, data = ready
    generator = torch.Generator().manual_seed(0)
    step = task.begin(data.batch(0, 4), generator, 0.1)
    loss = task.loss("codec", step, generator, 0.1)
    assert set(loss.terms) == {"mel", "grain", "latent"}
    task.modules.zero_grad(set_to_none=True)
    loss.terms["grain"][0].backward()
    moved = {name for name, p in task.codec.named_parameters() if p.grad is not None}
    assert moved and all(name.startswith("grain") for name in moved)  # the mean does not learn from the grain


def test_windows_hold_the_latents_of_one_file_each(ready: tuple[Any, ClipDataset]) -> None:
    task, _ = ready
    store = task.latents["train"]
    store.encode(task.codec)
    length = task.prior_args["window"]
    windows = store.draw(200, length, torch.Generator().manual_seed(0))
    assert windows.z.shape == (200, length, 8) and not windows.z[~windows.sound].any()
    assert set(windows.conditions.class_id.tolist()) == {0, 1}
    spread = store.spread(8, length)
    assert 1 < len(spread.z) <= 8 and bool(spread.sound[:, 0].all())
    # A latent of the store is that of the codec.
    clip = store._clips[0]
    wav = torch.from_numpy(np.array(store._cache.read(clip, 0, clip.samples)))[None, None]
    whole = task.codec.encode(task.front_end(wav[..., : task.spec.samples(40)])).mean[0]
    assert torch.allclose(store._windows(np.array([0]), np.array([0]), 8).z[0, 2:], whole[2:8], atol=0.1)
    assert float(store.class_shares(2).sum()) == pytest.approx(1)


@pytest.mark.parametrize("at", [1, 3], ids=["codec", "prior"])
def test_a_killed_run_goes_on_as_if_it_had_not_been(music: Path, tmp_path: Path, at: int) -> None:
    overrides = ["train.previews=4", "train.compact=false"]
    train_run(music, tmp_path / "whole", model="sequence", config_file=TINY, overrides=overrides, device="cpu")
    command = [sys.executable, "-c", KILLED, str(music), str(tmp_path / "killed"), str(TINY), str(at), *overrides]
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, env={**os.environ, **threads})
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    train_run(music, tmp_path / "killed", model="sequence", config_file=TINY, overrides=overrides, device="cpu")
    ends = [load_checkpoint(tmp_path / run / "checkpoints/step-00000004.pt")["modules"] for run in ("whole", "killed")]
    assert ends[0].keys() == ends[1].keys()
    assert all(torch.equal(ends[0][key], ends[1][key]) for key in ends[0])


def test_the_figure_of_the_prior_picks_the_best_step(music: Path, tmp_path: Path) -> None:
    run = train_run(music, tmp_path / "run", model="sequence", config_file=TINY, device="cpu")
    validations = [line for line in read_metrics(run) if "mel_l1" in str(line)]
    assert ["prior_loss" in str(line) for line in validations] == [False, True] or len(validations) == 2
    bundle = load_bundle(run)
    parts = parts_of(bundle)
    assert (parts["codec"].kind, parts["prior"].kind) == ("local", "flow")
    assert bundle.config["training"]["figure"] is not None
    pipeline = Pipeline.load(run)
    assert pipeline.is_sequence and pipeline.sample(2, seed=1).shape[0] == 2


def test_a_finished_run_is_left_alone_and_can_be_extended(music: Path, tmp_path: Path) -> None:
    run = train_run(music, tmp_path / "run", model="sequence", config_file=TINY, device="cpu")
    events: list[Any] = []
    for steps in (4, 6):
        train_run(
            music, run, model="sequence", config_file=TINY, device="cpu", overrides=[f"train.steps={steps}"],
            on_event=events.append,
        )  # fmt: skip
    assert [event.step for event in events if isinstance(event, Ended)] == [4, 6]
    end = next(event for event in reversed(events) if isinstance(event, Ended))
    assert end.judged_by == "loss of the prior on held-out passages"


def test_a_codec_can_be_taken_without_its_prior(music: Path, tmp_path: Path) -> None:
    first = train_run(music, tmp_path / "first", model="sequence", config_file=TINY, device="cpu")
    notes: list[Any] = []
    again = train_run(
        music, tmp_path / "again", model="sequence", config_file=TINY, device="cpu", init=first,
        overrides=["prior.start=0", "prior.window_sec=2"], on_event=notes.append,
    )  # fmt: skip
    codecs = [parts_of(load_bundle(run))["codec"].tensors for run in (first, again)]
    assert all(torch.equal(codecs[0][key], codecs[1][key]) for key in codecs[0])
    assert any("only the codec is taken" in str(note) for note in notes)


def test_another_model_is_no_start(music: Path, tmp_path: Path) -> None:
    gan = train_run(music, tmp_path / "gan", model="gan", config_file=CONFIGS / "gan" / "tiny.yaml", device="cpu")
    with pytest.raises(CheckpointError, match="holds a gan; give a run made with --model sequence"):
        train_run(music, tmp_path / "run", model="sequence", config_file=TINY, device="cpu", init=gan)


def told(run: Path, folder: Path, *overrides: str) -> str:
    """All notes of a short run."""
    notes: list[Any] = []
    train_run(folder, run, model="sequence", config_file=TINY, overrides=overrides, device="cpu", on_event=notes.append)
    return " ".join(str(note) for note in notes if "Note" in type(note).__name__)


def test_what_little_sound_cannot_teach_is_said(music: Path, tmp_path: Path) -> None:
    text = told(tmp_path / "run", music, "prior.window_sec=30")
    assert "s of sound to learn from: sequences will be copies of it" in text
    assert "less than a window of prior.window_sec (30)" in text and "no file is held out" not in text


def test_one_track_only_says_what_is_not_known(tmp_path: Path) -> None:
    write(tmp_path / "sounds" / "track.wav", noise(40.0))
    text = told(tmp_path / "run", tmp_path / "sounds")
    assert "no file is held out, so the error on held-out files" in text and "s of sound to learn from" not in text
    assert "the codec is done; computing the latents that the prior learns" in text


def test_nothing_held_out_is_counted_as_nothing(tmp_path: Path) -> None:
    write(tmp_path / "sounds" / "track.wav", noise(20.0))
    told: list[Any] = []
    train_run(
        tmp_path / "sounds", tmp_path / "run", model="sequence", config_file=TINY, device="cpu", on_event=told.append
    )
    (started,) = [line_of(event) for event in told if type(event).__name__ == "Started"]
    assert str(started).startswith("1 training clips, 0 held out")


def test_a_codec_alone_says_that_training_must_go_on(music: Path, tmp_path: Path) -> None:
    run = train_run(
        music, tmp_path / "run", model="sequence", config_file=TINY, device="cpu", overrides=["prior.start=0.99"]
    )
    with pytest.raises(CheckpointError, match="only its codec has been trained so far"):
        Pipeline.load(run).sample(1)


def clicks(bpm: float, beats: int, rate: int = RATE) -> np.ndarray:
    """A loop of clicks that ring, the first of four louder."""
    x = noise(beats * 60 / bpm, rate, 0.01)
    ring = (np.exp(-np.arange(1600) / 200) * np.sin(np.arange(1600) * 0.6)).astype(np.float32)
    for beat in range(beats):
        at = round(beat * 60 / bpm * rate)
        part = ring[: len(x) - at] * (0.9 if beat % 4 == 0 else 0.4)
        x[at : at + len(part)] += part
    return x


def test_loops_are_repeated_and_have_phases(tmp_path: Path) -> None:
    for i, bpm in enumerate((100, 110, 120, 130, 140)):
        write(tmp_path / "loops" / f"{i}.wav", clicks(bpm, 8))
    text = told(tmp_path / "run", tmp_path / "loops", "prior.window_sec=6")
    assert "have a steady beat: loops take the tempo that is asked for" in text
    settings = resolve_config(tmp_path / "run", "sequence", None, [], {})
    assert settings.prior.beats is True
    pipeline = Pipeline.load(tmp_path / "run")
    low, high = pipeline.tempo_range or (0, 0)
    assert 49 < low < high < 141  # half of a tempo is one too
    assert set(pipeline.sequence.conditions) == {"beat", "bar"}
    cache = open_source(tmp_path / "loops", tmp_path / "run", settings, settings.mel, lambda event: None)
    store = LatentStore(cache, "train", settings.mel, window=94, beats=True)
    store.encode(LocalCodec(n_mels=40, latent_dim=8, width=16))
    windows = store.draw(20, 94, torch.Generator().manual_seed(0))
    assert bool(windows.sound.all())  # although every loop is shorter than a window
    beat = windows.conditions.values["beat"]
    steps = (beat[:, 1:] - beat[:, :-1]) % 1
    tempos = steps.mean(1) * 16_000 / (4 * 256) * 60
    octaves = torch.log2(tempos[:, None] / torch.tensor([100.0, 110, 120, 130, 140]))
    assert float((octaves - octaves.round()).abs().amin(1).max()) < 0.01
    assert torch.allclose(windows.conditions.values["bar"] * 4 % 1, beat, atol=1e-3)


def test_versions_of_loops_have_their_own_tempo(tmp_path: Path) -> None:
    write(tmp_path / "loops" / "a.wav", clicks(100, 8))
    write(tmp_path / "loops" / "b.wav", clicks(120, 8))
    settings = resolve_config(tmp_path / "run", "sequence", TINY, [], {})
    cache = open_source(tmp_path / "loops", tmp_path / "run", settings, settings.mel, lambda event: None)
    store = LatentStore(cache, "train", settings.mel, window=94, beats=True, most_change=(2.0, 6.0))
    torch.manual_seed(0)
    codec = LocalCodec(n_mels=40, latent_dim=8, width=16)
    store.encode(codec)
    windows = store.draw(200, 94, torch.Generator().manual_seed(0))
    semitones, gain = windows.conditions.values["speed"], windows.conditions.values["gain"]
    assert 0.3 < float((semitones == 0).float().mean()) < 0.5
    assert 1 < float(semitones.abs().max()) <= 2.1 and 3 < float(gain.abs().max()) <= 6
    beat = windows.conditions.values["beat"]
    tempo = ((beat[:, 1:] - beat[:, :-1]) % 1).mean(1) * 16_000 / (4 * 256) * 60
    played = tempo / 2 ** (semitones / 12)
    octaves = torch.log2(played[:, None] / torch.tensor([100.0, 120]))
    assert float((octaves - octaves.round()).abs().amin(1).max()) < 0.01
    plain = LatentStore(cache, "train", settings.mel, window=94, beats=True)
    plain.encode(codec)
    assert torch.equal(store.thinned(10**6), plain.thinned(10**6))
    few = LatentStore(cache, "train", settings.mel, window=94, beats=True, most_change=(2.0, 6.0), most_versions=1)
    few.encode(codec)
    assert not bool(few.draw(50, 94, torch.Generator().manual_seed(0)).conditions.values["speed"].any())


def test_noises_have_no_beat(music: Path, tmp_path: Path) -> None:
    assert "tempo is no condition" in told(tmp_path / "run", music)
    assert Pipeline.load(tmp_path / "run").tempo_range is None


def test_a_prior_of_other_classes_is_not_taken(music: Path, tmp_path: Path) -> None:
    first = train_run(music, tmp_path / "first", model="sequence", config_file=TINY, device="cpu")
    other = tmp_path / "other"
    for before, after in (("tones", "bells"), ("noises", "winds")):
        shutil.copytree(music / before, other / after)
    notes: list[Any] = []
    train_run(
        other, tmp_path / "run", model="sequence", config_file=TINY, device="cpu", init=first, on_event=notes.append
    )
    assert any("only the codec is taken" in str(note) for note in notes)


def test_a_prior_that_is_taken_learns_the_tempo_of_these_sounds(tmp_path: Path) -> None:
    for i, bpm in enumerate((100, 110, 120, 130, 140)):
        write(tmp_path / "loops" / f"{i}.wav", clicks(bpm, 8))
    how: dict[str, Any] = {"model": "sequence", "config_file": TINY, "device": "cpu"}
    first = train_run(tmp_path / "loops", tmp_path / "first", **how)
    again = train_run(tmp_path / "loops", tmp_path / "again", **how, init=first)
    assert Pipeline.load(again).tempo_range == Pipeline.load(first).tempo_range is not None
