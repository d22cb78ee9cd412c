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
from audio_gen.generation.descriptors import DESCRIPTORS
from audio_gen.generation.direction_search import clips_needed, find_directions
from audio_gen.generation.directions import (
    Directions,
    doubts,
    load_directions,
    moved,
    parse_moves,
    read_directions,
    save_directions,
)
from audio_gen.generation.latents import Latents
from audio_gen.generation.pipeline import Pipeline
from audio_gen.models.contract import LatentShape
from tests.given import one

DIM, BRIGHT, LOUD = 10, 3, 5
SPEC = MelSpec(sample_rate=22050, n_fft=512, hop_length=256, n_mels=40)
BAND = torch.arange(SPEC.n_mels, dtype=torch.float32)
SPREAD = torch.linspace(1.0, 2.0, DIM)


class Toy:
    """A model that is a line: w[3] moves a bump over the bands, w[5] its level, and class and pitch move both."""

    def __init__(self, classes: int = 1, layers: int = 0, silent: bool = False) -> None:
        self.codec = SimpleNamespace(latent=LatentShape(DIM), mel_floor=-9.0)
        self.spec, self.vocabulary = SPEC, SimpleNamespace(model="toy")
        self.path, self.digest = Path("toy"), "0123456789ab"
        self.classes, self.layers, self.silent = classes, layers, silent

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
        if self.silent:
            return torch.full((len(points), SPEC.n_mels, 12), -9.0)
        w, class_id = points.z.mean(1), points.conditions.class_id
        centre = 27 + w[:, BRIGHT] + class_id % 3 + (points.conditions.pitch - 60) / 12
        bump = -0.5 * ((BAND - centre[:, None]) / 2).square()
        level = -2 + 0.3 * w[:, LOUD] - 0.3 * (class_id % 3)
        return (bump + level[:, None])[:, :, None].expand(-1, -1, 12).clamp(min=-9.0)


def found(toy: Toy, count: int = 512, seed: int = 0, advance: search.Advance = lambda amount: None) -> Directions:
    return find_directions(cast(Pipeline, toy), count, seed, advance)


@pytest.fixture(scope="module")
def planted() -> Directions:
    return found(Toy(classes=3))


def test_directions_are_the_planted_axes(planted: Directions) -> None:
    for name, axis, unit in (("brightness", BRIGHT, 1.0), ("loudness", LOUD, 0.3 * 20 / math.log(10))):
        vector = planted.vectors[planted.index(name)]
        assert float(vector[axis] / vector.norm()) > 0.9
        fact = planted.facts[planted.index(name)]
        assert fact.r2 is not None and fact.r2 > 0.9 and fact.works
        assert fact.effects[name] == pytest.approx(1.0, abs=0.1)
        if name == "loudness":
            assert planted.spreads[name] == pytest.approx(unit * float(SPREAD[axis]), rel=0.15)
    assert abs(planted.facts[planted.index("brightness")].effects["loudness"]) < 0.15
    assert abs(planted.facts[planted.index("loudness")].effects["brightness"]) < 0.15


def test_class_and_pitch_do_not_leak_into_directions(planted: Directions) -> None:
    for name in ("brightness", "loudness"):
        vector = planted.vectors[planted.index(name)]
        assert float(vector[:2].abs().max() / vector.norm()) < 0.2


def test_a_move_does_what_the_effect_says(planted: Directions) -> None:
    toy = Toy(classes=3)
    points = toy.latents(range(5000, 5064))
    before, after = (search._measured(cast(Pipeline, toy), p, lambda amount: None) for p in (
        points, moved(points, planted, {"loudness": 1.5})))  # fmt: skip
    change = (after - before).mean(0) / torch.tensor(list(planted.spreads.values()))
    assert float(change[list(DESCRIPTORS).index("loudness")]) == pytest.approx(1.5, abs=0.2)


def test_what_does_not_vary_is_said_to_do_nothing(planted: Directions) -> None:
    fact = planted.facts[planted.index("attack")]
    assert (fact.r2, fact.works, set(fact.effects.values())) == (0.0, False, {0.0})
    assert not bool(planted.vectors[planted.index("attack")].any())
    assert [line.split(":")[0] for line in doubts(planted, {"attack": 1, "loudness": 1, "pca1": 1})] == ["attack"]


def test_principal_directions_have_the_planted_variances(planted: Directions) -> None:
    names = [f"pca{i}" for i in range(1, 6)]
    shares = [planted.facts[planted.index(name)].share or 0.0 for name in names]
    wanted = SPREAD.flip(0)[:5].square() / SPREAD.square().sum()
    assert shares == pytest.approx(wanted.tolist(), rel=0.25) and shares == sorted(shares, reverse=True)
    lengths = torch.stack([planted.vectors[planted.index(name)].norm() for name in names])
    assert torch.allclose(lengths, SPREAD.flip(0)[:5], rtol=0.15)


def test_principal_directions_of_two_axes() -> None:
    w = torch.randn(4000, 3, generator=torch.Generator().manual_seed(0)).double() * torch.tensor([1.0, 5.0, 2.0])
    vectors, shares = search.principal_directions(w - w.mean(0))
    assert shares == pytest.approx([25 / 30, 4 / 30, 1 / 30], rel=0.1)
    assert torch.allclose(vectors.abs(), torch.tensor([[0, 5, 0], [0, 0, 2], [1, 0, 0]]).float(), atol=0.2)


def test_the_same_seed_gives_the_same_and_all_clips_are_counted() -> None:
    counted: list[float] = []
    a, b = found(Toy(), 100, 7, counted.append), found(Toy(), 100, 7)
    assert torch.equal(a.vectors, b.vectors) and a.facts == b.facts
    assert sum(counted) == clips_needed(cast(Pipeline, Toy()), 100)
    assert not torch.equal(a.vectors, found(Toy(), 100, 8).vectors)


def test_latents_per_layer_all_move() -> None:
    directions = found(Toy(layers=4), 128)
    assert directions.vectors.shape == (10, DIM)
    points = Toy(layers=4).latents(range(2))
    step = moved(points, directions, {"loudness": -2.0}).z - points.z
    assert step.shape == (2, 4, DIM)
    assert torch.allclose(step, (-2 * directions.vectors[directions.index("loudness")]).expand(2, 4, -1), atol=1e-5)


def test_random_labels_are_not_told() -> None:
    generator = torch.Generator().manual_seed(0)
    w, y = torch.randn(300, 20, generator=generator).double(), torch.randn(300, generator=generator).double()
    assert search.cross_validated_r2(w, y) < 0.05
    assert search.cross_validated_r2(w, w[:, 2] + 0.5 * y) == pytest.approx(0.8, abs=0.07)


def test_too_few_clips_and_silent_ones_are_told() -> None:
    with pytest.raises(ConfigError, match=r"n \(64 clips with sound\) is too few for 40 classes; try"):
        found(Toy(classes=40), 64)
    with pytest.raises(CheckpointError, match="64 of 64 clips are silent"):
        found(Toy(silent=True), 64)


@pytest.fixture
def own(pipeline: Pipeline) -> Directions:
    """Directions that fit the model of the tests, whatever they are."""
    facts = found(Toy(), 64).facts
    vectors = torch.randn(len(facts), pipeline.codec.latent.dim, generator=torch.Generator().manual_seed(0))
    return Directions(vectors, facts, dict.fromkeys(DESCRIPTORS, 1.0), pipeline.digest, {"n": 64, "seed": 0})


def test_saved_and_loaded_they_are_the_same(tmp_path: Path, pipeline: Pipeline, own: Directions) -> None:
    save_directions(BundleFolder(tmp_path).directions, own)
    back = load_directions(replace(pipeline, path=tmp_path))
    assert torch.equal(back.vectors, own.vectors)
    assert (back.facts, back.spreads, back.digest, back.source) == (own.facts, own.spreads, own.digest, own.source)


def test_those_of_another_bundle_are_refused(tmp_path: Path, pipeline: Pipeline, own: Directions) -> None:
    path = tmp_path / "d.safetensors"
    for wrong in (replace(own, digest="ffffffffffff"), replace(own, vectors=own.vectors[:, 1:])):
        save_directions(path, wrong)
        with pytest.raises(CheckpointError, match=r"audio-gen directions .* again"):
            load_directions(pipeline, path)
    with pytest.raises(CheckpointError, match="create it with `audio-gen directions"):
        load_directions(pipeline, tmp_path / "none.safetensors")


@pytest.mark.parametrize("damage", ["text", "bare", "format"])
def test_a_damaged_file_is_one_line(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "d.safetensors"
    metadata: dict[str, Any] = {"about": '{"format": 99}'} if damage == "format" else {}
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
        moved(Toy().latents(range(1)), planted, {"brihtness": 1.0})
