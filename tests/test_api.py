"""The public API: what Python users write in the README."""

import json
from pathlib import Path
from typing import Any

import pytest
import soundfile as sf
import torch

import audio_gen
from audio_gen import Pipeline, evaluate, interpolate, sample, train
from audio_gen.artefacts.sidecar import read_sidecar
from audio_gen.errors import ConfigError, OutputError
from audio_gen.generation.operations.encode import EncodeRequest
from audio_gen.generation.operations.vary import VaryRequest
from tests import sounds
from tests.generation.models import write_bundle


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    return Pipeline.load(
        write_bundle(tmp_path_factory.mktemp("model") / "bundle"), vocoder="griffinlim:2", device="cpu"
    )


def test_every_public_name_is_there() -> None:
    assert set(audio_gen.__all__) == {
        "Pipeline", "__version__", "evaluate", "interpolate", "quickstart", "sample", "train",
    }  # fmt: skip
    assert all(callable(getattr(audio_gen, name)) for name in audio_gen.__all__ if name != "__version__")
    with pytest.raises(AttributeError):
        _ = audio_gen.nothing


def test_clips_are_sounds_and_save_with_their_sidecars(pipeline: Pipeline, tmp_path: Path) -> None:
    clips = sample(pipeline, 2, seed=5, every_seed=True, pitch=60, normalize="none", bits="float", length="model")
    first, second = clips
    assert torch.equal(first.wav, pipeline.sample(1, seed=5, pitch=60)[0]) and first.provenance["seed"] == 5
    assert first.sample_rate == pipeline.spec.sample_rate and len(clips) == 2
    saved = clips.save(tmp_path / "clips")
    assert [one.path.stem for one in saved] == [first.name, second.name] == list(clips.names)
    assert sf.info(saved[0].path).frames == first.wav.shape[-1]
    sidecar = read_sidecar(saved[0].path)
    assert sidecar is not None and sidecar.digest == pipeline.digest and sidecar.pitch == 60
    origin = json.loads(saved[0].path.with_suffix(".json").read_text())["command"]
    assert origin.startswith("SampleRequest(") and "pitch=60" in origin
    with pytest.raises(OutputError, match="add --force"):
        clips.save(tmp_path / "clips")
    clips.save(tmp_path / "clips", force=True)


def test_one_clip_never_replaces_a_file_unasked(pipeline: Pipeline, tmp_path: Path) -> None:
    (clip,) = sample(pipeline, 1)
    clip.save(tmp_path / "a.wav")
    (tmp_path / "b.json").write_text("mine")
    for name in ("a.wav", "b.wav"):
        with pytest.raises(OutputError, match="overwrite=True"):
            clip.save(tmp_path / name)
    assert (tmp_path / "b.json").read_text() == "mine" and not (tmp_path / "b.wav").exists()
    before = (tmp_path / "a.wav").read_bytes()
    clip.save(tmp_path / "a.wav", overwrite=True)
    assert (tmp_path / "a.wav").read_bytes() == before


@pytest.mark.parametrize("name", ["a.json", "a.flac", "a", ".wav", ""])
def test_a_clip_is_saved_as_wav_only(pipeline: Pipeline, tmp_path: Path, name: str) -> None:
    (clip,) = sample(pipeline, 1)
    folder = tmp_path / "clips"
    with pytest.raises(ConfigError, match=r"must end in \.wav; try "):
        clip.save(folder / name)
    with pytest.raises(ConfigError, match="must end in"):
        clip.save("")
    assert not folder.exists()
    assert clip.save(folder / "a.WAV").path.is_file()


def test_ends_of_a_move_are_the_clips_of_their_seeds(pipeline: Pipeline) -> None:
    clips = list(interpolate(pipeline, "seed:1", "seed:2", steps=3, morph="1s"))
    assert [clip.name for clip in clips] == ["step-00", "step-01", "step-02", "morph"]
    assert torch.equal(clips[0].wav, pipeline.sample(1, seed=1)[0])
    assert torch.equal(clips[2].wav, pipeline.sample(1, seed=2)[0])
    assert clips[1].provenance["distance_db"] == pytest.approx(clips[2].provenance["distance_db"] / 2, abs=0.01)


def test_wrong_options_are_one_line_that_names_the_nearest(pipeline: Pipeline) -> None:
    for options, told in (
        ({"temprature": 1}, "did you mean temperature"),
        ({"count": 0}, "count"),
        ({"count": 1_000_001}, r"count \(1000001\): input should be less than or equal to 1000000"),
        ({"count": None, "per_class": 10**400}, r"per_class \(.*less than or equal to 1000000"),
        ({"bits": "12"}, "--bits 12"),
        ({"per_class": 2}, "give one of them"),
    ):
        with pytest.raises(ConfigError, match=told) as caught:
            sample(pipeline, **options)  # type: ignore[arg-type]
        assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="duration"):
        interpolate(pipeline, "seed:1", "seed:2", morph="long")


def test_home_is_found_in_every_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert VaryRequest(clip="~/a.wav").clip == tmp_path / "a.wav"  # type: ignore[arg-type]
    assert EncodeRequest(files=["~/a.wav", "b.wav"]).files == [tmp_path / "a.wav", Path("b.wav")]  # type: ignore[list-item]


def test_an_evaluation_has_sentences_and_figures(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUDIO_GEN_CACHE", str(tmp_path / "kept"))
    real = sounds.write_notes(tmp_path / "real", count=6)
    sample(pipeline, 4).save(tmp_path / "made")
    result = evaluate(real, tmp_path / "made", pitch="none", device="cpu")
    assert result.sentences() and result.figures["n"]["generated"] == 4
    assert result.table()[0].split()[0] != ""


def test_options_and_paths_are_checked_before_any_work(pipeline: Pipeline, tmp_path: Path) -> None:
    nowhere: Any = None
    run = tmp_path / "run"
    for call, told in (
        (lambda: train(tmp_path, run, minuts=1), "unknown option 'minuts'; did you mean minutes?"),
        (lambda: train(tmp_path, run, xyz=1), "unknown option 'xyz'; known: model, config_file, "),
        (lambda: train(tmp_path, run, overrides="net.x=1", steps=1), "unknown setting net.x"),
        (lambda: train(tmp_path, run, overrides="net.x"), "--set net.x: must read section.key=value"),
        (lambda: train(nowhere, run), "source (None): must be a path"),
        (lambda: train(tmp_path, nowhere), "run (None): must be a path"),
        (lambda: interpolate(pipeline, nowhere, "seed:1"), "start (None): must be a path"),
        (lambda: interpolate(pipeline, "seed:1", nowhere), "end (None): must be a path"),
        (lambda: evaluate(nowhere, tmp_path), "real (None): must be a path"),
        (lambda: evaluate(tmp_path, nowhere), "generated (None): must be a path"),
        (lambda: evaluate(tmp_path, tmp_path, seed=-1), "seed (-1): input should be greater than or equal to 0"),
        (lambda: evaluate(tmp_path, tmp_path, sed=1), "did you mean seed"),
        (lambda: sample(pipeline, sed=1), "did you mean seed"),
    ):
        with pytest.raises(ConfigError) as error:
            call()
        assert told in str(error.value) and "\n" not in str(error.value)
    assert not run.exists()


def test_a_model_may_be_given_by_its_folder(pipeline: Pipeline) -> None:
    (clip,) = sample(pipeline.path, 1, seed=5, pitch=60)
    (same,) = sample(Pipeline.load(pipeline.path), 1, seed=5, pitch=60)
    assert torch.equal(clip.wav, same.wav)
