"""The task of cycle-consistent GANs: one network between two folders."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from audio_gen.artefacts.bundle import load_bundle
from audio_gen.artefacts.folders import RunFolder
from audio_gen.data.cache import build_cache
from audio_gen.data.dataset import ClipDataset
from audio_gen.data.domains import domain_names
from audio_gen.errors import ConfigError, DataError
from audio_gen.generation.pipeline import Pipeline
from audio_gen.models.contract import Kept
from audio_gen.models.transforms.sound import SoundFrames
from audio_gen.training.tasks.cycle.evaluator import CycleEvaluator
from audio_gen.training.tasks.cycle.task import CycleTask, partners
from audio_gen.training.tasks.run import resolve_config, train_run
from audio_gen.training.tasks.source import open_source
from tests.sounds import noise, pluck, write
from tests.training.test_gan_task import CONFIGS

TINY = CONFIGS / "cycle" / "tiny.yaml"
SAME: dict[str, Any] = {"model": "cycle", "config_file": TINY, "device": "cpu"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Plucked notes, and fewer bursts of noise."""
    place = tmp_path_factory.mktemp("sounds")
    for i in range(14):
        write(place / "plucks" / "train" / f"{i}.wav", pluck(110 * 2 ** (i / 12), 1.0))
    for i in range(9):
        hits = noise(1.0, seed=i) * np.exp(-8 * (np.arange(22050) % 8000) / 22050)
        write(place / "hits" / "train" / f"{i}.wav", hits)
    return place / "plucks" / "train", place / "hits" / "train"


@pytest.fixture(scope="module")
def trained(folders: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_run(folders[0], tmp_path_factory.mktemp("run") / "run", to=folders[1], **SAME)


def task_of(folders: tuple[Path, Path], run: Path, *overrides: str) -> tuple[CycleTask, ClipDataset]:
    settings = resolve_config(run, "cycle", TINY, overrides, {})
    cache = open_source(folders[0], run, settings, settings.spec, lambda event: None, folders[1])
    task = CycleTask(settings, settings.spec, cache)  # type: ignore[arg-type]
    train = ClipDataset(cache, split="train", segment_samples=task.segments[0], seed=0, balanced=True)
    task.initialise(train)
    return task, train


def test_domains_are_named_by_what_differs(folders: tuple[Path, Path], tmp_path: Path) -> None:
    assert domain_names(*folders) == ("plucks", "hits")
    with pytest.raises(DataError, match="is the folder of the sounds itself"):
        domain_names(folders[0], folders[0])
    with pytest.raises(DataError, match="inside the other"):
        domain_names(folders[0].parent, folders[0])


def test_two_folders_are_the_classes_of_one_cache(folders: tuple[Path, Path], tmp_path: Path) -> None:
    cache = build_cache(folders[0], tmp_path / "cache", sample_rate=22050, to=folders[1])
    assert (cache.classes, cache.target) == (["hits", "plucks"], "hits")
    assert {clip.path.split("/")[0] == clip.class_name for clip in cache.clips} == {True}
    assert sum(clip.class_name == "hits" for clip in cache.clips) == 9
    again = build_cache(folders[0], tmp_path / "cache", sample_rate=22050, to=folders[1])
    assert [clip.path for clip in again.clips] == [clip.path for clip in cache.clips]


def test_each_batch_has_as_much_of_both(folders: tuple[Path, Path], tmp_path: Path) -> None:
    _, train = task_of(folders, tmp_path / "run")
    ids = [train.batch(step, 4).class_id.tolist() for step in range(20)]
    assert ids == [[0, 1, 0, 1]] * 20
    seen = torch.cat([train.batch(step, 4).index for step in range(20)])
    assert len(seen.unique()) == len(train)
    assert next(train.fixed_batches(4)).class_id.tolist() == [0, 1, 0, 1]


def test_partners_are_of_the_other_domain() -> None:
    assert partners(torch.tensor([0, 1, 0, 0, 1])).tolist() == [1, 0, 4, 1, 2]


def test_a_new_network_is_the_identity(folders: tuple[Path, Path], tmp_path: Path) -> None:
    task, train = task_of(folders, tmp_path / "run")
    mel = task._mel(train.batch(0, 4))
    assert float((task.network(mel, torch.tensor([0, 0, 1, 1])) - mel).detach().abs().mean()) < 0.1


def test_crops_have_no_clicks_at_their_ends_and_keep_the_attack(folders: tuple[Path, Path], tmp_path: Path) -> None:
    task, train = task_of(folders, tmp_path / "run")
    batch = train.batch(0, 16)
    whole = {}
    for i, (number, start) in enumerate(zip(batch.index.tolist(), batch.start.tolist(), strict=True)):
        clip = train.cache.clips[number]
        samples = np.pad(train.cache.read(clip), (4096, 4096)).astype(np.float32)
        first = max(0, start) + 4096 + (task.spec.samples(task._margin) if start > 0 else 0) - 2048
        part = torch.from_numpy(samples[first : first + task.spec.samples(task.frames) + 4096])[None, None]
        part = torch.nn.functional.pad(part, (0, task.spec.samples(task.frames) + 4096 - part.shape[-1]))
        whole[i] = task.front_end(part)[0, :, 8 : 8 + task.frames].clamp(min=-9)
    torch.testing.assert_close(task._mel(batch), torch.stack([whole[i] for i in range(16)]), atol=0.05, rtol=0)


def test_the_way_there_learns_to_sound_like_the_other_domain(folders: tuple[Path, Path], tmp_path: Path) -> None:
    torch.manual_seed(0)
    task, train = task_of(folders, tmp_path / "run", "net.width=64", "net.depth=2", "net.d_width=64")
    phases = {phase.name: torch.optim.Adam(phase.parameters(), 2e-3, (0.0, 0.99)) for phase in task.phases()}
    generator = torch.Generator().manual_seed(0)

    def mean_spectra() -> tuple[torch.Tensor, torch.Tensor]:
        own = task._mel(train.batch(0, 16))
        domains = train.batch(0, 16).class_id
        with torch.no_grad():
            fake = task.network(own, 1 - domains)
        return own[domains == 0].mean((0, 2)), fake[domains == 1].mean((0, 2))

    before = torch.dist(*mean_spectra())
    for step in range(60):
        batch = train.batch(step, 8)
        shared = task.begin(batch, generator, 0.0)
        for name, optimiser in phases.items():
            optimiser.zero_grad()
            task.loss(name, shared, generator, 0.5).total().backward()
            optimiser.step()
    assert torch.dist(*mean_spectra()) < 0.6 * before


def test_a_run_transfers_to_the_second_folder_by_default(trained: Path) -> None:
    pipeline = Pipeline.load(trained, vocoder="griffinlim:2", device="cpu")
    assert pipeline.domains == ("hits", "plucks")
    assert pipeline.domain(None) == 0
    assert pipeline.domain("plucks") == 1
    wav = torch.from_numpy(np.stack([pluck(220, 1.0), pluck(330, 1.0)]))
    assert pipeline.transfer(wav).shape == wav.shape


def test_a_rendition_in_parts_equals_the_whole(trained: Path) -> None:
    pipeline = Pipeline.load(trained, vocoder="griffinlim:2", device="cpu")
    network = pipeline.parts["transform"]
    torch.nn.init.normal_(network.head.weight, std=0.1)  # type: ignore[arg-type,union-attr]
    sound = SoundFrames.of_wav(
        torch.from_numpy(np.concatenate([pluck(220, 1.0), pluck(330, 1.0)]))[None], pipeline.spec
    )
    rendition = pipeline.transform.begin(sound, 0, Kept())
    whole = rendition.mel(0, sound.frames)
    parts = [rendition.mel(a, b) for a, b in pairwise([0, 50, 53, 111, sound.frames])]
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=1e-3, rtol=0)


def test_quiet_sounds_reach_the_network_as_loud_as_those_it_learned_from(trained: Path) -> None:
    pipeline = Pipeline.load(trained, vocoder="griffinlim:2", device="cpu")
    wav = torch.from_numpy(pluck(220, 1.0))[None]
    gains = [
        pipeline.transform.begin(SoundFrames.of_wav(scale * wav, pipeline.spec), 0, Kept(levels=levels)).gain  # type: ignore[attr-defined]
        for scale, levels in ((1.0, True), (0.25, True), (0.25, False))
    ]
    assert gains[1] - gains[0] == pytest.approx(np.log(4), abs=0.05)
    assert gains[2] == 0


def test_a_run_resumes_without_naming_the_second_folder(folders: tuple[Path, Path], tmp_path: Path) -> None:
    run = train_run(folders[0], tmp_path / "run", to=folders[1], steps=2, **SAME)
    train_run(folders[0], tmp_path / "run", steps=4, **SAME)
    assert json.loads(RunFolder(run).source.read_text())["to"] == str(folders[1].resolve())
    for source, second in ((folders[0], write_other(tmp_path)), (folders[1], None)):
        with pytest.raises(
            (ConfigError, DataError), match=r"was started on .* --to |is the folder of the sounds itself"
        ):
            train_run(source, tmp_path / "run", to=second, steps=6, **SAME)


def write_other(place: Path) -> Path:
    for i in range(5):
        write(place / "others" / f"{i}.wav", noise(0.5, seed=40 + i))
    return place / "others"


def test_a_folder_of_two_classes_needs_no_second_one(folders: tuple[Path, Path], tmp_path: Path) -> None:
    run = train_run(folders[0].parent.parent, tmp_path / "run", **SAME)
    pipeline = Pipeline.load(run, vocoder="griffinlim:2", device="cpu")
    with pytest.raises(ConfigError, match="--to: missing; it knows hits, plucks"):
        pipeline.domain(None)
    with pytest.raises(
        ConfigError, match="learns between two sets of sounds, and these have no classes; give a second"
    ):
        train_run(folders[0], tmp_path / "one", **SAME)


def test_an_odd_batch_is_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="half of it is of each domain"):
        train_run(folders[0], tmp_path / "run", to=folders[1], overrides=["train.batch_size=3"], **SAME)


def test_four_steps_equal_two_and_two(folders: tuple[Path, Path], tmp_path: Path) -> None:
    for name, lengths in (("whole", [4]), ("parts", [2, 4])):
        for steps in lengths:
            train_run(folders[0], tmp_path / name, to=folders[1], steps=steps, **SAME)
    a, b = (load_bundle(tmp_path / name).tensors for name in ("whole", "parts"))
    assert a.keys() == b.keys()
    assert all(torch.isfinite(value).all() for value in b.values())


class Spectra:
    """An embedding of mean spectra."""

    sample_rate = 22050

    def __call__(self, wavs: list[torch.Tensor]) -> torch.Tensor:
        return torch.stack([torch.fft.rfft(wav).abs()[:4000].unflatten(0, (20, -1)).mean(1) for wav in wavs])


def test_an_evaluation_tells_how_far_sounds_have_come(folders: tuple[Path, Path], tmp_path: Path) -> None:
    task, _ = task_of(folders, tmp_path / "run")
    figures = CycleEvaluator(task, Spectra())(task.network)  # type: ignore[arg-type]
    assert figures["way"] == pytest.approx(0, abs=0.15)  # a new network leaves sounds as they are
    assert figures["kad_sources"] > 0
    assert next(iter(figures)) == "kad"


def test_too_few_sounds_are_not_evaluated(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for i in range(4):
            write(tmp_path / name / f"{i}.wav", noise(0.3, seed=i if name == "a" else 10 + i))
    task, _ = task_of((tmp_path / "a", tmp_path / "b"), tmp_path / "run")
    told: list[Any] = []
    evaluator = CycleEvaluator(task, Spectra(), told.append)  # type: ignore[arg-type]
    assert [evaluator(task.network), evaluator(task.network)] == [{}, {}]
    assert [event.text for event in told] == ["the run is not evaluated: 'a' has 4 windows of 2 s with sound"]


def test_batches_of_one_domain_are_no_error(tmp_path: Path) -> None:
    for name, count in (("a", 1), ("b", 5)):
        for i in range(count):
            write(tmp_path / name / f"{i}.wav", noise(0.3, seed=i if name == "a" else 10 + i))
    run = train_run(tmp_path / "a", tmp_path / "run", to=tmp_path / "b", steps=4, **SAME)
    assert load_bundle(run).tensors


def test_a_folder_without_usable_sounds_is_named(folders: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: holds no audio files; give two folders"):
        train_run(folders[0], tmp_path / "run", to=tmp_path / "empty", **SAME)
    write(tmp_path / "silent" / "a.wav", np.zeros(22050))
    with pytest.raises(DataError, match=r"silent: none of its audio files can be used; .audio-gen inspect"):
        train_run(folders[0], tmp_path / "run", to=tmp_path / "silent", **SAME)


def test_other_models_take_two_folders_as_classes(folders: tuple[Path, Path], tmp_path: Path) -> None:
    notes: list[Any] = []
    settings: dict[str, Any] = {"model": "vae", "config_file": CONFIGS / "vae" / "tiny.yaml", "device": "cpu"}
    run = train_run(folders[0], tmp_path / "run", to=folders[1], on_event=notes.append, **settings)
    assert load_bundle(run).config["classes"] == ["hits", "plucks"]
    assert any(getattr(note, "text", "") == "the two folders are the classes hits and plucks" for note in notes)


@pytest.mark.parametrize("force", [False, True])
def test_the_second_folder_is_not_taken_for_the_run(folders: tuple[Path, Path], tmp_path: Path, force: bool) -> None:
    second = write_other(tmp_path)
    with pytest.raises(ConfigError, match=r"contains the sounds of .*others; use another folder for the run"):
        train_run(folders[0], second, to=second, force=force, **SAME)
    assert len(list(second.glob("*.wav"))) == 5
