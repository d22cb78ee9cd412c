"""Bundles of any format: the parts that they hold, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from audio_gen.artefacts.bundle import load_bundle, save_bundle
from audio_gen.errors import CheckpointError
from audio_gen.generation.pipeline import Pipeline
from audio_gen.models.registry import KINDS, build_parts, kind_of, packed, parts_of, trained_weights
from tests.generation.models import SPEC, write_bundle, write_format_1, write_gan_bundle


@pytest.mark.parametrize("write", [write_bundle, write_gan_bundle])
def test_a_bundle_of_format_1_makes_the_same_clips(tmp_path: Path, write: Any) -> None:
    folder = write(tmp_path / "new")
    old = write_format_1(tmp_path / "old", folder)
    config = json.loads((old / "config.json").read_text())
    assert config["format"] == 1 and config["model"] in ("vae", "gan")
    assert {key.split(".")[0] for key in load_bundle(old).tensors} <= {"model", "density", "prior"}
    first, second = (Pipeline.load(path, vocoder="griffinlim:1", device="cpu") for path in (folder, old))
    assert torch.equal(first.sample(2, seed=3), second.sample(2, seed=3))
    assert first.kind == second.kind == kind_of(load_bundle(old))
    new_weights, old_weights = trained_weights(load_bundle(folder)), trained_weights(load_bundle(old))
    assert new_weights.keys() == old_weights.keys()
    assert all(torch.equal(value, old_weights[key]) for key, value in new_weights.items())


def test_parts_come_back_as_they_were_packed(tmp_path: Path) -> None:
    bundle = load_bundle(write_bundle(tmp_path))
    parts = parts_of(bundle)
    assert list(parts) == ["codec", "prior"] and parts["prior"].kind == "neighbours"
    config, tensors = packed(parts)
    assert all(bundle.config[name] == about for name, about in config.items())
    assert tensors.keys() == bundle.tensors.keys()


def test_a_codec_alone_encodes_and_draws_nothing(tmp_path: Path) -> None:
    bundle = load_bundle(write_bundle(tmp_path / "whole"))
    config, tensors = packed({"codec": parts_of(bundle)["codec"]})
    save_bundle(tmp_path / "codec", {**config, "mel": SPEC.to_dict(), "classes": bundle.config["classes"]}, tensors)
    pipeline = Pipeline.load(tmp_path / "codec", vocoder="griffinlim:1", device="cpu")
    assert pipeline.require("encode") is pipeline and pipeline.codec.has_encoder
    for use in (lambda: pipeline.require("sample"), lambda: pipeline.sample(1)):
        with pytest.raises(CheckpointError, match="codec: has no prior, which sample needs"):
            use()
    with pytest.raises(CheckpointError, match="has no transform, which transform needs"):
        pipeline.require("transform")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"codec": {"kind": "wavenet", "args": {}}}, "its codec (.wavenet.) is unknown; this version knows vae, gan"),
        (
            {"prior": {"kind": "diffusion", "args": {}}},
            "its prior (.diffusion.) is unknown; this version knows neighbours, mapped, flow, lstm, attention",
        ),
        ({"format": 3}, "bundle format 3, this version reads up to 2; update audio_gen"),
        ({"format": 1, "model": "latent_gan", "args": {}}, "its codec (.latent_gan.) is unknown"),
        ({"format": 0}, "damaged"),
    ],
)
def test_what_this_version_does_not_know_is_refused_by_name(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    folder = write_bundle(tmp_path / "bundle")
    place = folder / "config.json"
    place.write_text(json.dumps({**json.loads(place.read_text()), **changes}))
    with pytest.raises(CheckpointError) as caught:
        build_parts(load_bundle(folder))
    assert told.replace("(.", "('").replace(".)", "')") in str(caught.value) and "\n" not in str(caught.value)


def test_parts_of_other_sizes_are_refused(tmp_path: Path) -> None:
    bundle = load_bundle(write_bundle(tmp_path / "bundle"))
    codec = parts_of(bundle)["codec"]
    codec.args["latent_dim"] = 9
    with pytest.raises(CheckpointError, match="do not fit its vae codec"):
        build_parts(bundle)


def test_a_new_kind_takes_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from audio_gen.models.registry import Part
    from tests.models.toys import ToyCodec, ToyPrior

    monkeypatch.setitem(KINDS["codec"], "toy", ToyCodec)
    monkeypatch.setitem(KINDS["prior"], "toy", ToyPrior)
    args = {"n_mels": SPEC.n_mels, "frames": 12, "n_classes": 2}
    config, tensors = packed({
        "codec": Part("toy", args, ToyCodec(**args).state_dict()),
        "prior": Part("toy", {"n_classes": 2}, ToyPrior(n_classes=2).state_dict()),
    })  # fmt: skip
    save_bundle(tmp_path, {**config, "mel": SPEC.to_dict(), "classes": ["a", "b"]}, tensors)
    pipeline = Pipeline.load(tmp_path, vocoder="griffinlim:1", device="cpu")
    points = pipeline.latents([1, 2], class_name="b")
    assert pipeline.kind == "toy" and points.conditions.class_id.tolist() == [1, 1]
    assert pipeline.sample(2, seed=1, class_name="b").shape == (2, 1, pipeline.samples)
    again = pipeline.encode(pipeline.decode(points)[0], points[0].conditions)
    assert torch.allclose(again.z, points[0].z, atol=1e-4)
