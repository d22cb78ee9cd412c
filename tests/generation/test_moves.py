"""Moves: as far as asked for every clip, the other descriptors held, along the cheapest way."""

import math
from types import SimpleNamespace
from typing import cast

import pytest
import torch
from torch import Tensor

from audio_gen.audio.mel import MelSpec
from audio_gen.generation import moves as module
from audio_gen.generation.descriptors import MONO_NAMES, steps_of
from audio_gen.generation.directions import Directions
from audio_gen.generation.latents import Latents
from audio_gen.generation.moves import move, move_lines, moved_json
from audio_gen.generation.pipeline import Pipeline
from audio_gen.models.contract import Conditions

SPEC = MelSpec(sample_rate=22050, n_fft=512, hop_length=256, n_mels=40)
FRAMES, DIM = 80, 6
BAND, FRAME = torch.arange(SPEC.n_mels).float(), torch.arange(FRAMES).float()
NAMES = list(MONO_NAMES)


class Toy:
    """A tilted spectrum that decays: z[0] is the log length if `axis`; z[1] tilts, by another slope for each clip, and
    changes the level too; z[2] is the level; z[3] the log decay without `axis`, and z[4] too, but less.
    """

    device, spec = torch.device("cpu"), SPEC

    def __init__(self, axis: bool = False, silent: bool = False) -> None:
        self.axis, self.silent = axis, silent
        self.codec = SimpleNamespace(
            mel_floor=-9.0, frames=FRAMES, decode=self._decode, length_frames=self._length if axis else lambda z: None
        )

    def points(self, count: int, layers: int = 1) -> Latents:
        z = torch.randn(count, 1, DIM, generator=torch.Generator().manual_seed(1))
        return Latents(z.expand(-1, layers, -1), Conditions(count))

    def _length(self, z: Tensor) -> Tensor:
        return 20 * (0.3 * z[:, 0, 0]).exp()

    def _decode(self, z: Tensor, conditions: Conditions) -> Tensor:
        if self.silent:
            return torch.full((len(z), SPEC.n_mels, FRAMES), -9.0) + 0 * z.sum()
        w = z.mean(1)
        decay = self._length(z) if self.axis else 20 * (0.3 * w[:, 3] + 0.1 * w[:, 4]).exp()
        tilt = 0.03 * w[:, 1] * (1 + 0.6 * w[:, 5].tanh())
        level = -1 + 0.3 * w[:, 2] + 0.2 * w[:, 1]
        spectrum = tilt[:, None] * (BAND - 20)  # (B, M)
        fall = -5.0 * FRAME / decay[:, None]  # (B, L)
        return (spectrum[:, :, None] + fall[:, None] + level[:, None, None]).clamp(min=-9.0)


def directions() -> Directions:
    return Directions(torch.eye(DIM), (), dict.fromkeys(NAMES, 1.0), "0" * 12, {"n": 64, "seed": 0})


class Known(Directions):
    """Directions with all names."""

    @property
    def names(self) -> list[str]:
        return [*NAMES, "pca1", "pca2"]


KNOWN = Known(torch.eye(DIM), (), dict.fromkeys(NAMES, 1.0), "0" * 12, {"n": 64, "seed": 0})


def change(toy: Toy, asked: dict[str, float], count: int = 12) -> Tensor:
    found = move(cast(Pipeline, toy), toy.points(count), KNOWN, asked)
    return (found.after - found.before) / steps_of(SPEC)


@pytest.mark.parametrize("name", ["brightness", "length", "loudness"])
@pytest.mark.parametrize("amount", [1.0, -1.5])
def test_every_clip_moves_as_far_as_asked_and_the_others_stay(name: str, amount: float) -> None:
    steps = change(Toy(), {name: amount})
    wanted = torch.zeros(len(NAMES))
    wanted[NAMES.index(name)] = amount
    assert torch.allclose(steps, wanted.expand_as(steps), atol=0.2)
    assert float((steps - wanted).abs().median()) < 0.05


def test_several_moves_are_solved_together() -> None:
    steps = change(Toy(), {"brightness": 1.0, "loudness": -2.0, "length": 0.5})
    for name, amount in (("brightness", 1.0), ("loudness", -2.0), ("length", 0.5)):
        assert torch.allclose(steps[:, NAMES.index(name)], torch.tensor(amount).expand(len(steps)), atol=0.2)


def test_the_cheapest_latents_move() -> None:
    """Of two that lengthen, the one that does so with a third of the move."""
    toy = Toy()
    shift = (move(cast(Pipeline, toy), toy.points(6), KNOWN, {"length": 1.0}).points.z - toy.points(6).z)[:, 0]
    assert torch.allclose(shift[:, 4] / shift[:, 3], torch.tensor(1 / 3).expand(6), atol=0.05)
    assert float(shift[:, 0].abs().max()) == 0.0


def test_a_move_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FARTHEST", 0.5)
    toy = Toy()
    found = move(cast(Pipeline, toy), toy.points(4), KNOWN, {"loudness": 5.0})
    assert float((found.points.z - toy.points(4).z).norm(dim=2).max()) <= 0.5 + 1e-5
    assert bool((found.after[:, -1] > found.before[:, -1]).all())


def test_on_a_decay_axis_the_length_is_the_first_latent() -> None:
    toy = Toy(axis=True)
    found = move(cast(Pipeline, toy), toy.points(8), KNOWN, {"length": 1.0})
    shift = found.points.z[:, 0, 0] - toy.points(8).z[:, 0, 0]
    assert torch.allclose(0.3 * shift, torch.tensor(math.log(2) / 2).expand(8), atol=0.02)
    frames = 2 ** found.after[:, NAMES.index("length")] * SPEC.frame_rate
    assert torch.allclose(frames, toy._length(found.points.z), rtol=1e-3)


def test_a_clip_does_not_depend_on_the_others_and_layers_move_alike() -> None:
    toy = Toy()
    many = move(cast(Pipeline, toy), toy.points(5, layers=3), KNOWN, {"brightness": 1.0})
    one = move(cast(Pipeline, toy), toy.points(5, layers=3)[2], KNOWN, {"brightness": 1.0})
    assert torch.equal(many.points.z[2:3], one.points.z)
    shift = many.points.z - toy.points(5, layers=3).z
    assert torch.allclose(shift, shift[:, :1].expand(-1, 3, -1), atol=1e-6) and bool((shift != 0).any())


def test_principal_components_are_added() -> None:
    toy = Toy()
    shift = move(cast(Pipeline, toy), toy.points(3), KNOWN, {"pca2": -2.0}).points.z - toy.points(3).z
    assert torch.allclose(shift, torch.tensor([0.0, -2, 0, 0, 0, 0]).expand(3, 1, -1), atol=1e-6)


def test_a_silent_clip_stays() -> None:
    toy = Toy(silent=True)
    found = move(cast(Pipeline, toy), toy.points(2), KNOWN, {"loudness": 1.0})
    assert torch.equal(found.points.z, toy.points(2).z)
    assert moved_json(found.before[0], found.after[0]) is None
    assert move_lines({"loudness": 1.0}, [None, None]) == []


def test_what_moved_is_told() -> None:
    before = torch.tensor([0.0, -4.0, -10.0, -1.0, -20.0])
    rows = [moved_json(before, before + torch.tensor(some)) for some in ((0.5, 0.0, 0.1, 0.0, 0.0), (0.2, 0, 0, 0, 0))]
    assert rows[0] is not None
    assert rows[0]["brightness"] == {"from": 1000.0, "to": 1414.21, "unit": "Hz", "steps": 2.0}
    assert rows[0]["length"] == {"from": 500.0, "to": 500.0, "unit": "ms", "steps": 0.0}
    lines = move_lines({"brightness": 2.0, "pca1": 1.0}, [*rows, rows[0]])
    assert lines == [
        "brightness: asked for +0.50 octaves, reached +0.50 octaves (median), 2 of 3 within 20%",
        "the others moved by (median): attack 0%, noisiness 0.1 dB, length 0%, loudness 0.0 dB",
    ]
