"""A sidecar is enough to make its clip again."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from audio_gen.artefacts.sidecar import read_sidecar, shareable
from audio_gen.errors import DataError
from audio_gen.generation.clip_file import describe, write_clip
from audio_gen.generation.inputs import starting_point
from audio_gen.generation.latents import Latents
from audio_gen.generation.pipeline import Pipeline


def test_a_clip_is_made_again_from_its_sidecar(pipeline: Pipeline, tmp_path: Path) -> None:
    point = pipeline.latents([4])
    wav = pipeline.vocode(pipeline.decode(point))[0]
    write_clip(tmp_path / "a.wav", wav, describe(pipeline, point, command="test", seed=4, temperature=1.0))
    found = read_sidecar(tmp_path / "a.wav")
    assert found is not None and found.digest == pipeline.digest and found.bundle_path == pipeline.path.resolve()
    assert found.class_name is not None and found.pitch is not None
    again = Latents.one(found.z, pipeline.vocabulary.requested(found.class_name, found.pitch))
    assert torch.equal(pipeline.vocode(pipeline.decode(again))[0], wav)


def test_clips_and_their_run_can_be_moved_together(pipeline: Pipeline, tmp_path: Path) -> None:
    clip = tmp_path / "here" / "clips" / "a.wav"
    shutil.copytree(pipeline.path, tmp_path / "here" / "run")
    loaded = Pipeline.load(tmp_path / "here" / "run")
    clip.parent.mkdir()
    write_clip(clip, torch.ones(1, 4000), describe(loaded, loaded.latents([4]), command="test"))
    (tmp_path / "here").rename(tmp_path / "there")
    assert str(tmp_path) not in (tmp_path / "there/clips/a.json").read_text()
    found = read_sidecar(tmp_path / "there/clips/a.wav")
    assert found is not None and found.bundle_path == (tmp_path / "there" / "run").resolve()


def test_a_path_of_an_earlier_version_is_whole(tmp_path: Path) -> None:
    about = {"z": [1.0], "class": None, "pitch": None, "bundle": "", "bundle_path": str(tmp_path / "run")}
    (tmp_path / "a.json").write_text(json.dumps(about))
    found = read_sidecar(tmp_path / "a.wav")
    assert found is not None and found.bundle_path == (tmp_path / "run").resolve()


@pytest.mark.parametrize(
    ("run", "clips", "told"),
    [("home/me/runs/a", "home/me/clips", "../runs/a"), ("home/me/runs/a", "mnt/clips", "~/runs/a"),
     ("home/me/runs/a", "home/you/clips", "~/runs/a"), ("mnt/runs/a", "mnt/clips", "../runs/a")],
)  # fmt: skip
def test_no_path_says_who_the_user_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: str, clips: str, told: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home/me"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home/me"))
    assert shareable(tmp_path / run, tmp_path / clips) == told


def test_unknown_conditions_are_null(plain: Pipeline) -> None:
    about = describe(plain, plain.latents([0]), command="test")
    assert about["class"] is None and about["pitch"] is None and about["seed"] is None
    json.dumps(about, allow_nan=False)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"z": "abc"}', '{"z": [1, NaN], "class": null, "pitch": null, "bundle": "", "bundle_path": ""}',
     '{"z": [1], "class": 3, "pitch": null, "bundle": "", "bundle_path": ""}',
     '{"z": [1], "class": null, "pitch": "high", "bundle": "", "bundle_path": ""}',
     '{"z": [1], "class": null, "pitch": null, "bundle": "", "bundle_path": null}'],
)  # fmt: skip
def test_damaged_sidecars_are_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError, match=r"a\.json: damaged, or not a sidecar .*--run") as caught:
        read_sidecar(tmp_path / "a.wav")
    assert "\n" not in str(caught.value)


def test_no_sidecar_is_none(tmp_path: Path) -> None:
    assert read_sidecar(tmp_path / "a.wav") is None


def test_velocity_is_kept(struck: Pipeline, tmp_path: Path) -> None:
    point = struck.latents([4], velocity=80)
    write_clip(tmp_path / "a.wav", struck.vocode(struck.decode(point))[0], describe(struck, point, command="test"))
    found = read_sidecar(tmp_path / "a.wav")
    assert found is not None and found.velocity == 80
    again = starting_point(struck, tmp_path / "a.wav").latents
    assert again.conditions.same(point.conditions) and torch.equal(again.z, point.z)
