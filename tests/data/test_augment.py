import math

import pytest
import torch
from torch import Tensor

from audio_gen.data.augment import augment_mel, auto_strength, read_linear

FLOOR = -9.0


def changed(strength: float, shift_bands: bool = True, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    mel = torch.randn(64, 20, 30, generator=torch.Generator().manual_seed(9)) - 3
    mel[:, :, 20:] = -11.5
    made, frames = augment_mel(
        mel, torch.full((64,), 20), torch.Generator().manual_seed(seed), strength=strength, floor=FLOOR,
        shift_bands=shift_bands,
    )  # fmt: skip
    return mel, made, frames


def test_strength_zero_changes_nothing() -> None:
    mel, made, frames = changed(0.0)
    assert torch.allclose(mel, made)
    assert (frames == 20).all()


def test_each_clip_is_changed_in_its_own_way_and_by_the_generator_alone() -> None:
    mel, made, _ = changed(1.0)
    shift = (made - mel).mean((1, 2))
    assert len(shift.unique()) == 64
    assert torch.equal(made, changed(1.0)[1])
    assert not torch.equal(made, changed(1.0, seed=1)[1])


def test_silence_stays_silent_and_the_end_moves_with_the_speed() -> None:
    _, made, frames = changed(1.0)
    assert frames.min() < 18
    assert frames.max() > 22
    for clip, end in zip(made, frames.tolist(), strict=True):
        assert (clip[:, end + 1 :] <= FLOOR).all()


@pytest.mark.parametrize(("shift", "moves"), [(False, False), (True, True)])
def test_bands_move_only_when_asked(shift: bool, moves: bool) -> None:
    mel = torch.full((32, 20, 10), -8.0)
    mel[:, 10] = 2.0
    made, _ = augment_mel(
        mel, torch.full((32,), 10), torch.Generator().manual_seed(0), strength=1.0, floor=FLOOR, shift_bands=shift
    )
    assert bool((made.mean(2).argmax(1) != 10).any()) == moves


@pytest.mark.parametrize("onset", [4.0, 4.3])
def test_onsets_stay_where_they_are_at_every_speed(onset: float) -> None:
    first = math.ceil(onset)
    mel = torch.full((64, 20, 40), -11.5)
    mel[:, :, first:30] = torch.linspace(0, -4, 30 - first)
    made, frames = augment_mel(
        mel, torch.full((64,), 30), torch.Generator().manual_seed(0), strength=1.0, floor=FLOOR, shift_bands=False,
        onset=onset,
    )  # fmt: skip
    begins = (made > FLOOR).float().argmax(2)
    assert (begins >= math.floor(onset)).all() and (begins <= first).all()
    speed = (30 - onset) / (frames - onset)
    assert speed.min() < 0.85 and speed.max() > 1.15
    if onset == first:
        change = made[:, :, first] - mel[:, :, first]  # gain and tilt alone: a straight line over the bands
        torch.testing.assert_close(change.diff(n=2), torch.zeros(64, 18), atol=1e-4, rtol=0)


def test_linear_reading_by_hand() -> None:
    x = torch.tensor([[[0.0, 10.0, 20.0]]])
    assert read_linear(x, torch.tensor([[0.5, 1.25, 2.0, 9.0]])).tolist() == [[[5.0, 12.5, 20.0, 20.0]]]
    assert read_linear(x[..., :1], torch.tensor([[0.0, 1.0]])).tolist() == [[[0.0, 0.0]]]


def test_small_sets_are_changed_more() -> None:
    assert auto_strength(50) == 1
    assert auto_strength(1500) == pytest.approx(0.1)


def test_a_clip_ends_where_it_did_while_its_speed_stays() -> None:
    mel = torch.full((32, 20, 30), FLOOR)
    mel[..., :12] = -2.0
    changed, frames = augment_mel(
        mel, torch.full((32,), 12), torch.Generator().manual_seed(0), strength=1.0, floor=FLOOR, shift_bands=True,
        change_speed=False,
    )  # fmt: skip
    assert bool((changed[..., 12:] == FLOOR).all()) and bool((changed[..., :12] > FLOOR).all())
    assert frames.tolist() == [12] * 32
