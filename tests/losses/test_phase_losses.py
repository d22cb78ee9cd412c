"""Losses on spectra: known answers."""

import math

import pytest
import torch
from torch import Tensor

from audio_gen.losses.phase import spectrum_losses


def noise(seed: int = 0) -> Tensor:
    return torch.randn(2, 9, 12, dtype=torch.complex64, generator=torch.Generator().manual_seed(seed))


def losses(made: Tensor, real: Tensor) -> dict[str, float]:
    return {key: float(value) for key, value in spectrum_losses(made, real).items()}


def test_nothing_is_lost_of_the_same() -> None:
    assert losses(noise(), noise()) == pytest.approx({key: 0 for key in spectrum_losses(noise(), noise())}, abs=1e-6)


def test_only_the_spectrum_itself_hears_the_polarity() -> None:
    found = losses(-noise(), noise())
    assert found["complex"] == pytest.approx(2 * float(noise().abs().sqrt().mean()), rel=1e-4)
    assert max(found["log_amplitude"], found["group_delay"], found["phase_advance"]) < 1e-5


@pytest.mark.parametrize(
    ("name", "other", "dim"), [("group_delay", "phase_advance", 1), ("phase_advance", "group_delay", 2)]
)
@pytest.mark.parametrize("turn", [0.5, math.pi, 2 * math.pi])
def test_an_even_turn_costs_one_minus_its_cosine(name: str, other: str, dim: int, turn: float) -> None:
    steps = torch.arange(noise().shape[dim], dtype=torch.float32)
    turned = noise() * torch.exp(1j * turn * (steps[:, None] if dim == 1 else steps))
    found = losses(turned, noise())
    assert found[name] == pytest.approx(1 - math.cos(turn), abs=1e-4)
    assert found[other] < 1e-4


def test_twice_as_loud_is_a_distance_of_log_two() -> None:
    found = losses(2 * noise(), noise())
    assert found["log_amplitude"] == pytest.approx(math.log(2), rel=1e-4)
    assert max(found["group_delay"], found["phase_advance"]) < 1e-5


def test_silence_has_finite_gradients() -> None:
    made = torch.zeros(1, 5, 6, dtype=torch.complex64, requires_grad=True)
    sum(spectrum_losses(made, torch.zeros(1, 5, 6, dtype=torch.complex64)).values()).backward()  # type: ignore[union-attr]
    assert made.grad is not None
    assert bool(torch.view_as_real(made.grad).isfinite().all())


def test_what_is_too_soft_to_hear_has_no_phase() -> None:
    real = noise()
    real[:, 4:] *= 1e-5
    made = real.clone()
    made[:, 4:] *= torch.exp(1j * torch.rand(2, 5, 12))
    found = losses(made, real)
    assert max(found["group_delay"], found["phase_advance"]) < 1e-5
