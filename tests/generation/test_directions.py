"""Directions: found where they were planted, as long as they say, kept and moved along."""

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from audio_gen.artefacts.folders import BundleFolder
from audio_gen.audio.mel import MelSpec
from audio_gen.errors import CheckpointError, ConfigError
from audio_gen.generation import direction_search as search
from audio_gen.generation.descriptors import MONO_NAMES
from audio_gen.generation.direction_search import clips_needed, find_directions
from audio_gen.generation.directions import (
    Directions,
    doubts,
    load_directions,
    parse_moves,
    read_directions,
    save_directions,
)
from audio_gen.generation.latents import Latents
from audio_gen.generation.pipeline import Pipeline
from audio_gen.models.contract import Conditions, LatentShape
from tests.given import one

DIM, BRIGHT, LOUD = 10, 3, 5
SPEC = MelSpec(sample_rate=22050, n_fft=512, hop_length=256, n_mels=40)
BAND = torch.arange(SPEC.n_mels, dtype=torch.float32)
SPREAD = torch.linspace(1.0, 2.0, DIM)


class Toy:
    """A model that is a line: w[3] moves a bump over the bands, w[5] its level, and class and pitch move both."""

    def __init__(self, classes: int = 1, layers: int = 0, silent: bool = False) -> None:
        self.codec = SimpleNamespace(
            latent=LatentShape(DIM), mel_floor=-9.0, decode=self._decode, length_frames=lambda z: None, frames=12
        )
        self.spec, self.vocabulary = SPEC, SimpleNamespace(model="toy")
        self.path, self.digest = Path("toy"), "0123456789ab"
        self.classes, self.layers, self.silent, self.device = classes, layers, silent, torch.device("cpu")

    def latents(self, seeds: range) -> Latents:
        return Latents.join([self._one(seed) for seed in seeds])

    def _one(self, seed: int) -> Latents:
        generator = torch.Generator().manual_seed(seed)
        class_id = seed % self.classes
        pitch = 48 + 24 * float(torch.rand((), generator=generator))
        w = SPREAD * torch.randn(DIM, generator=generator)
        # What tells the classes and the pitches apart lies in w[0] and w[1], and must not pass for brightness.
        w[0] += 20 * class_id
        w[1] += pitch - 60
        return Latents.one(w.expand(self.layers or 1, -1), one(class_id, pitch))

    def decode(self, points: Latents, batch: int = 16) -> Tensor:
        return self._decode(points.z, points.conditions)

    def _decode(self, z: Tensor, conditions: Conditions) -> Tensor:
        if self.silent:
            return torch.full((len(z), SPEC.n_mels, 12), -9.0) + 0 * z.sum()
        w, class_id = z.mean(1), conditions.class_id
        centre = 27 + w[:, BRIGHT] + class_id % 3 + (conditions.pitch - 60) / 12
        bump = -0.5 * ((BAND - centre[:, None]) / 2).square()
        level = -2 + 0.3 * w[:, LOUD] - 0.3 * (class_id % 3)
        return (bump + level[:, None])[:, :, None].expand(-1, -1, 12).clamp(min=-9.0)


def found(toy: Toy, count: int = 512, seed: int = 0, advance: search.Advance = lambda amount: None) -> Directions:
    return find_directions(cast(Pipeline, toy), count, seed, advance)


@pytest.fixture(scope="module")
def planted() -> Directions:
    return found(Toy(classes=3))


def test_what_directions_do_is_measured(planted: Directions) -> None:
    for name, unit in (("brightness", None), ("loudness", 0.3 * 20 / math.log(10))):
        fact = planted.facts[planted.index(name)]
        assert fact.right is not None and fact.right == 1.0 and fact.works
        # Where the bump lies decides its flatness too, so it cannot get as bright as asked with the flatness held.
        assert fact.effects[name] == pytest.approx(1.0 if unit else 0.85, abs=0.1)
        if unit:
            assert planted.spreads[name] == pytest.approx(unit * float(SPREAD[LOUD]), rel=0.15)
    assert planted.facts[planted.index("brightness")].effects["loudness"] < 0.1
    assert planted.facts[planted.index("loudness")].effects["brightness"] < 0.1


def test_class_and_pitch_do_not_leak_into_directions(planted: Directions) -> None:
    # Their axes vary by 20 and 7 over all clips, but hardly within a class and pitch.
    assert float(planted.principal[:, :2].norm()) < 0.5 * float(planted.principal[:, 2:].norm())
    assert float(planted.principal[0, :2].abs().max() / planted.principal[0].norm()) < 0.2


def test_what_does_not_vary_is_said_to_do_nothing(planted: Directions) -> None:
    fact = planted.facts[planted.index("attack")]
    assert (fact.right, fact.works, set(fact.effects.values())) == (0.0, False, {0.0})
    assert [line.split(":")[0] for line in doubts(planted, {"attack": 1, "loudness": 1, "pca1": 1})] == ["attack"]


def test_principal_directions_have_the_planted_variances(planted: Directions) -> None:
    shares = [planted.facts[planted.index(f"pca{i}")].share or 0.0 for i in range(1, 6)]
    wanted = SPREAD.flip(0)[:5].square() / SPREAD.square().sum()
    assert shares == pytest.approx(wanted.tolist(), rel=0.25) and shares == sorted(shares, reverse=True)
    assert torch.allclose(planted.principal[:5].norm(dim=1), SPREAD.flip(0)[:5], rtol=0.15)


def test_principal_directions_of_two_axes() -> None:
    w = torch.randn(4000, 3, generator=torch.Generator().manual_seed(0)).double() * torch.tensor([1.0, 5.0, 2.0])
    vectors, shares = search.principal_directions(w - w.mean(0))
    assert shares == pytest.approx([25 / 30, 4 / 30, 1 / 30], rel=0.1)
    assert torch.allclose(vectors.abs(), torch.tensor([[0, 5, 0], [0, 0, 2], [1, 0, 0]]).float(), atol=0.2)


def test_the_same_seed_gives_the_same_and_all_clips_are_counted() -> None:
    counted: list[float] = []
    a, b = found(Toy(), 100, 7, counted.append), found(Toy(), 100, 7)
    assert torch.equal(a.principal, b.principal) and a.facts == b.facts
    assert sum(counted) == clips_needed(cast(Pipeline, Toy()), 100)
    assert not torch.equal(a.principal, found(Toy(), 100, 8).principal)


def test_too_few_clips_and_silent_ones_are_told() -> None:
    with pytest.raises(ConfigError, match=r"n \(64 clips with sound\) is too few for 40 classes; try"):
        found(Toy(classes=40), 64)
    with pytest.raises(CheckpointError, match="64 of 64 clips are silent"):
        found(Toy(silent=True), 64)


@pytest.fixture
def own(pipeline: Pipeline) -> Directions:
    """Directions that fit the model of the tests, whatever they are."""
    facts = found(Toy(), 64).facts
    principal = torch.randn(len(facts), pipeline.codec.latent.dim, generator=torch.Generator().manual_seed(0))
    return Directions(principal, facts, dict.fromkeys(MONO_NAMES, 1.0), pipeline.digest, {"n": 64, "seed": 0})


def test_saved_and_loaded_they_are_the_same(tmp_path: Path, pipeline: Pipeline, own: Directions) -> None:
    save_directions(BundleFolder(tmp_path).directions, own)
    back = load_directions(replace(pipeline, path=tmp_path))
    assert torch.equal(back.principal, own.principal)
    assert (back.facts, back.spreads, back.digest, back.source) == (own.facts, own.spreads, own.digest, own.source)


def test_those_of_another_bundle_are_refused(tmp_path: Path, pipeline: Pipeline, own: Directions) -> None:
    path = tmp_path / "d.safetensors"
    for wrong in (replace(own, digest="ffffffffffff"), replace(own, principal=own.principal[:, 1:])):
        save_directions(path, wrong)
        with pytest.raises(CheckpointError, match=r"audio-gen directions .* again"):
            load_directions(pipeline, path)
    with pytest.raises(CheckpointError, match="create it with `audio-gen directions"):
        load_directions(pipeline, tmp_path / "none.safetensors")


@pytest.mark.parametrize("damage", ["text", "bare", "format"])
def test_a_damaged_file_is_one_line(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "d.safetensors"
    metadata: dict[str, Any] = {"about": '{"format": 1}'} if damage == "format" else {}
    save_file({"directions": torch.zeros(1, 2)}, path, metadata)
    if damage == "text":
        path.write_text("no tensors")
    with pytest.raises(CheckpointError, match=r"run `audio-gen directions RUN --force`") as caught:
        read_directions(path)
    assert len(str(caught.value).splitlines()) == 1


def test_moves_are_read() -> None:
    assert parse_moves(["brightness=+1.5", " pca1 = -2", "length=5"]) == {"brightness": 1.5, "pca1": -2, "length": 5}
    assert parse_moves([]) == {}


@pytest.mark.parametrize("text", ["brightness", "brightness=", "=1", "pca1=x", "pca1=nan", "pca1=5.1", "pca1=-inf"])
def test_wrong_moves_are_told(text: str) -> None:
    with pytest.raises(ConfigError, match="must be NAME=NUMBER with a number from -5 to 5"):
        parse_moves([text])


def test_moves_twice_or_to_nowhere_are_told(planted: Directions) -> None:
    with pytest.raises(ConfigError, match="length is moved twice"):
        parse_moves(["length=1", "length=2"])
    with pytest.raises(ConfigError, match=r"did you mean 'brightness'\? there are brightness, attack"):
        planted.index("brihtness")
