import math

import pytest
import torch
from torch import nn

from audio_gen.losses.adversarial import (
    feature_matching,
    gradient_penalty,
    hinge_d,
    hinge_g,
    relativistic_d,
    relativistic_g,
)
from audio_gen.losses.spectral import pooled_l1


def logits(seed: int) -> torch.Tensor:
    return torch.randn(7, generator=torch.Generator().manual_seed(seed))


def test_equal_logits_cost_log_two() -> None:
    for loss in (relativistic_d, relativistic_g):
        assert float(loss(logits(0), logits(0))) == pytest.approx(math.log(2))


def test_only_differences_count_and_the_two_sides_are_mirrors() -> None:
    real, fake = logits(0), logits(1)
    for loss in (relativistic_d, relativistic_g):
        assert float(loss(real + 3, fake + 3)) == pytest.approx(float(loss(real, fake)), abs=1e-6)
    assert torch.equal(relativistic_d(real, fake), relativistic_g(fake, real))


def test_a_discriminator_wants_real_high_and_a_generator_made() -> None:
    assert float(relativistic_d(torch.tensor([20.0]), torch.tensor([-20.0]))) == pytest.approx(0, abs=1e-6)
    assert float(relativistic_g(torch.tensor([-20.0]), torch.tensor([20.0]))) == pytest.approx(0, abs=1e-6)
    assert float(relativistic_d(torch.tensor([-20.0]), torch.tensor([20.0]))) == pytest.approx(40)
    real, fake = logits(0).requires_grad_(), logits(1).requires_grad_()
    to_real, to_fake = torch.autograd.grad(relativistic_d(real, fake), [real, fake])
    assert (to_real < 0).all()
    assert torch.allclose(to_real, -to_fake)


def test_the_penalty_of_a_linear_discriminator_is_half_its_squared_norm() -> None:
    """R1 alone is |a|^2 / 2 wherever it is taken; R1 and R2 together are twice that."""
    linear = nn.Linear(12, 1)
    real, fake = torch.randn(5, 3, 4, requires_grad=True), torch.randn(5, 3, 4, requires_grad=True)
    half = 0.5 * float(linear.weight.square().sum().detach())
    on_real, on_fake = (linear(x.flatten(1))[:, 0] for x in (real, fake))
    assert float(gradient_penalty(on_real, real).detach()) == pytest.approx(half, rel=1e-5)
    assert float(gradient_penalty(on_real + on_fake, real, fake).detach()) == pytest.approx(2 * half, rel=1e-5)


def test_the_penalty_is_learned_from() -> None:
    """Its gradient with respect to the weights of a linear discriminator is the weights."""
    linear, x = nn.Linear(6, 1), torch.randn(5, 6, requires_grad=True)
    gradient_penalty(linear(x)[:, 0], x).backward()
    assert linear.weight.grad is not None
    assert torch.allclose(linear.weight.grad, linear.weight, atol=1e-6)


def test_the_penalty_of_a_curved_discriminator_is_the_mean_over_clips() -> None:
    x = torch.randn(5, 6, requires_grad=True)
    penalty = gradient_penalty(x.square().sum(1), x)
    assert float(penalty.detach()) == pytest.approx(float(2 * x.square().sum(1).mean().detach()), rel=1e-5)


def test_pooled_l1_ignores_grain_that_is_zero_on_average_in_each_square() -> None:
    generator = torch.Generator().manual_seed(0)
    target = torch.randn(2, 8, 12, generator=generator)
    signs = torch.ones(8, 12)
    signs[::2, ::2] = signs[1::2, 1::2] = -1
    assert float(pooled_l1(target + 0.5 * signs, target, 4)) == pytest.approx(0, abs=1e-6)
    assert float(pooled_l1(target + 0.5 * signs, target, 1)) == pytest.approx(0.5, rel=1e-5)


@pytest.mark.parametrize("size", [1, 2, 4])
def test_pooled_l1_of_a_level_is_the_level(size: int) -> None:
    target = torch.randn(2, 8, 12)
    assert float(pooled_l1(target + 0.25, target, size)) == pytest.approx(0.25, rel=1e-5)


def test_the_hinge_stops_beyond_a_margin_of_one() -> None:
    sure, unsure = torch.tensor([2.0, 3.0]), torch.tensor([0.0])
    assert float(hinge_d(sure, -sure)) == 0
    assert float(hinge_d(unsure, unsure)) == 2
    assert float(hinge_g(sure)) == 0
    assert float(hinge_g(-sure)) == pytest.approx(3.5)


def test_feature_matching_is_relative_to_the_real_activations() -> None:
    real = [torch.ones(2, 3), torch.full((4,), -5.0)]
    fake = [(1.5 * x).requires_grad_() for x in real]
    found = feature_matching(real, fake)
    assert float(found.detach()) == pytest.approx(0.5)
    found.backward()
    assert all(x.grad is not None for x in fake)
    assert float(feature_matching(real, real)) == 0
