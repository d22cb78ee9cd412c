"""A sidecar is enough to make its clip again."""

import json
from pathlib import Path

import pytest
import torch

from audio_gen.errors import DataError
from audio_gen.generation.latents import Latents
from audio_gen.generation.pipeline import Pipeline
from audio_gen.generation.sidecar import describe, read_sidecar, write_clip


def test_a_clip_is_made_again_from_its_sidecar(pipeline: Pipeline, tmp_path: Path) -> None:
    point = pipeline.latents([4])
    wav = pipeline.vocode(pipeline.decode(point))[0]
    write_clip(tmp_path / "a.wav", wav, describe(pipeline, point, command="test", seed=4, temperature=1.0))
    found = read_sidecar(tmp_path / "a.wav")
    assert found is not None and found.digest == pipeline.digest and found.bundle_path == pipeline.path
    assert found.class_name is not None and found.pitch is not None
    again = Latents.one(found.z, pipeline.conditions.class_id(found.class_name), found.pitch)
    assert torch.equal(pipeline.vocode(pipeline.decode(again))[0], wav)


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
    with pytest.raises(DataError, match=r"a\.json: damaged, or no sidecar .*--run") as caught:
        read_sidecar(tmp_path / "a.wav")
    assert "\n" not in str(caught.value)


def test_no_sidecar_is_none(tmp_path: Path) -> None:
    assert read_sidecar(tmp_path / "a.wav") is None
