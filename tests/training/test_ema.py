import pytest
import torch
from torch import nn

from audio_gen.training.ema import RAMP_SHARE, Ema


class One(nn.Module):
    """One number that is learned and one that is not."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.learned = nn.Parameter(torch.tensor(value))
        self.register_buffer("counted", torch.tensor(value))


def of(ema: Ema, name: str) -> float:
    return float(ema.module.state_dict()[name])


def test_a_constant_stays_and_buffers_are_copied() -> None:
    for how in ({"decay": 0.99}, {"decay": 0.99, "half_life_images": 100.0, "batch_size": 4}):
        ema = Ema(One(2.0), **how)  # type: ignore[arg-type]
        for step in range(20):
            ema.update(One(2.0), step)
        assert of(ema, "learned") == 2.0
    ema.update(One(5.0), 20)
    assert of(ema, "counted") == 5.0
    assert 2 < of(ema, "learned") < 5


def test_frozen_weights_stay_as_they_are_and_the_rest_is_averaged() -> None:
    """What is frozen is equal in both, to the last bit, and costs nothing; all may be frozen."""
    module = nn.ModuleDict({"frozen": One(2.0).requires_grad_(False), "free": One(2.0)})
    ema = Ema(module, 0.5)
    for parameter in module.parameters():
        parameter.data.fill_(3.0)
    ema.update(module, 100)
    assert of(ema, "frozen.learned") == 2.0
    assert of(ema, "free.learned") == 2.5
    ema.update(module.requires_grad_(False), 101)
    assert of(ema, "free.learned") == 2.5


def test_the_decay_by_steps_rises_to_what_was_set() -> None:
    decays = [Ema(One(0.0), 0.9).decay_at(step) for step in range(200)]
    assert decays == sorted(decays)
    assert decays[0] == pytest.approx(0.1)
    assert decays[-1] == 0.9


def test_half_of_a_jump_is_taken_in_within_the_half_life() -> None:
    """Late in a run, where the ramp is over: 320 images at 16 a step are 20 steps."""
    ema = Ema(One(0.0), 0.999, half_life_images=320, batch_size=16)
    for step in range(1000, 1020):
        ema.update(One(1.0), step)
    assert of(ema, "learned") == pytest.approx(0.5, abs=1e-4)


def test_the_half_life_counts_images_whatever_the_batch() -> None:
    small, big = (Ema(One(0.0), 0.999, half_life_images=500, batch_size=size) for size in (10, 40))
    assert small.decay_at(10**6) ** 4 == pytest.approx(big.decay_at(10**6))


def test_early_the_half_life_is_a_share_of_what_was_seen() -> None:
    ema = Ema(One(0.0), 0.999, half_life_images=10_000, batch_size=16)
    decays = [ema.decay_at(step) for step in (0, 10, 100, 1000, 10_000, 20_000)]
    assert decays == sorted(decays)
    assert decays[0] < 0.01
    assert decays[2] == pytest.approx(0.5 ** (1 / (RAMP_SHARE * 101)))
    assert decays[-1] == decays[-2] == pytest.approx(0.5 ** (16 / 10_000))
