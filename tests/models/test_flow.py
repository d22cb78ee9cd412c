"""The flow prior: what it learns, prompts, circles, classes, and results that do not depend on the batch."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from audio_gen.errors import ConfigError
from audio_gen.models.contract import BEAT, CLASS, GAIN, Conditions
from audio_gen.models.priors.flow import FlowPrior, phase_features

DIM = 2


def circle(count: int, length: int, period: float, generator: torch.Generator) -> Tensor:
    """Points that go around, from random starts."""
    start = torch.rand(count, 1, generator=generator) * period
    angle = 2 * math.pi * (start + torch.arange(length)) / period
    return torch.stack([angle.cos(), angle.sin()], dim=2)


def trained(steps: int = 400, period: float = 8.0) -> FlowPrior:
    torch.manual_seed(0)
    prior = FlowPrior(latent_dim=DIM, width=32, depth=2, window=24, context=8)
    generator = torch.Generator().manual_seed(0)
    prior.initialise(circle(64, 24, period, generator).flatten(0, 1))
    optimiser = torch.optim.AdamW(prior.parameters(), lr=3e-3)
    sound = torch.ones(32, 24, dtype=torch.bool)
    for _ in range(steps):
        optimiser.zero_grad()
        prior.loss(circle(32, 24, period, generator), sound, Conditions(32), generator).backward()
        optimiser.step()
    return prior.eval()


def generators(count: int, first: int = 0) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(first + i) for i in range(count)]


@pytest.fixture(scope="module")
def prior() -> FlowPrior:
    return trained()


def turns(z: Tensor) -> Tensor:
    """The angle from each point to the next, in steps of the circle."""
    angle = torch.atan2(z[..., 1], z[..., 0])
    return ((angle[:, 1:] - angle[:, :-1]) % (2 * math.pi)) * 8 / (2 * math.pi)


def test_it_learns_to_go_around(prior: FlowPrior) -> None:
    z = prior.sample(Conditions(16), generators(16), length=24)
    assert z.shape == (16, 24, DIM)
    assert float(z.norm(dim=2).sub(1).abs().mean()) < 0.15
    assert float((turns(z) - 1).abs().mean()) < 0.2
    assert float(z[:, 0].std()) > 0.4  # from many starts


def test_it_goes_on_from_a_prompt(prior: FlowPrior) -> None:
    before = circle(8, 8, 8.0, torch.Generator().manual_seed(5))
    joined = torch.cat([before, prior.sample(Conditions(8), generators(8), length=12, before=before)], dim=1)
    assert float((turns(joined[:, 6:12]) - 1).abs().mean()) < 0.25


def test_known_latents_are_the_same_in_training_and_sampling(prior: FlowPrior) -> None:
    """The network sees them as they are given, at any time between noise and data."""
    seen: list[tuple[Tensor, Tensor, Tensor]] = []
    velocity = prior.velocity

    def spy(x: Tensor, time: Tensor, known: Tensor, *rest: Any, **more: Any) -> Tensor:
        seen.append((x, time, known))
        return velocity(x, time, known, *rest, **more)

    def normal(z: Tensor) -> Tensor:
        return (z - prior.mean) / prior.deviation

    prior.velocity = spy  # type: ignore[method-assign]
    try:
        before = circle(1, 8, 8.0, torch.Generator().manual_seed(6))
        prior.sample(Conditions(1), generators(1), length=8, before=before)
        sampling = list(seen)
        windows = circle(16, 24, 8.0, torch.Generator().manual_seed(7))
        prior.loss(windows, torch.ones(16, 24, dtype=torch.bool), Conditions(16), torch.Generator().manual_seed(0))
    finally:
        prior.velocity = velocity  # type: ignore[method-assign]
    prompted = [(x, known) for x, _, known in sampling if known.any()]
    assert len(prompted) > 20  # the others guide
    assert all(torch.equal(x[known], normal(before)[0]) for x, known in prompted)
    x, time, known = seen[-1]
    error = (x - normal(windows)).square().mean(2).sqrt()
    early = (time < 0.5)[:, None]
    assert float(error[early & known].median()) < 0.5 * float(error[early & ~known].median())


def test_a_circle_closes(prior: FlowPrior) -> None:
    z = prior.sample(Conditions(8), generators(8), length=16, circular=True)
    closed = torch.cat([z, z[:, :1]], dim=1)
    assert float((turns(closed)[:, -1] - 1).abs().mean()) < 0.3
    assert prior.loops


def test_a_clip_does_not_depend_on_its_batch(prior: FlowPrior) -> None:
    together = prior.sample(Conditions(3), generators(3), length=10)
    alone = prior.sample(Conditions(1), generators(1, first=2), length=10)
    assert torch.equal(together[2:], alone)


def test_temperature_0_has_one_result(prior: FlowPrior) -> None:
    z = prior.sample(Conditions(2), generators(2), length=10, temperature=0.0)
    assert torch.allclose(z[0], z[1], atol=1e-5)


@pytest.mark.parametrize(("window", "context"), [(0, 0), (8, 8), (8, 9)])
def test_a_prompt_must_leave_something_to_draw(window: int, context: int) -> None:
    with pytest.raises(ConfigError, match=rf"context \({context}\) must be less than window"):
        FlowPrior(latent_dim=DIM, width=16, depth=1, window=window, context=context)


def test_what_is_past_the_end_of_a_file_is_not_learned() -> None:
    torch.manual_seed(0)
    prior = FlowPrior(latent_dim=DIM, width=16, depth=1, window=8, context=2)
    z, sound = torch.randn(4, 8, DIM), torch.ones(4, 8, dtype=torch.bool)
    sound[:, 5:] = False
    changed = z.clone()
    changed[:, 5:] = 7.0
    with torch.no_grad():
        prior.head.weight.zero_()  # the network sees all, and answers the same
        first, second = (
            prior.loss(one, sound, Conditions(4), torch.Generator().manual_seed(1)) for one in (z, changed)
        )
    assert torch.equal(first, second)


def test_classes_are_drawn_by_their_share() -> None:
    prior = FlowPrior(latent_dim=DIM, n_classes=3, width=16, depth=1)
    prior.initialise(torch.randn(10, DIM), torch.tensor([0.75, 0.25, 0.0]))
    filled = prior.fill(Conditions(400), generators(400)).class_id
    assert [int((filled == i).sum()) for i in (0, 1, 2)] == pytest.approx([300, 100, 0], abs=30)
    asked = Conditions(2, {CLASS: torch.tensor([2, -1])})
    assert int(prior.fill(asked, generators(2)).class_id[0]) == 2


def test_phases_are_features_and_may_be_unknown() -> None:
    x = torch.zeros(1, 3, DIM)
    known = Conditions(1, {BEAT: torch.tensor([[0.0, 0.25, math.nan]])})
    expected = torch.tensor([[[1.0, 0, 1], [0, 1, 1], [0, 0, 0]]])
    assert torch.allclose(phase_features(known, BEAT, x), expected, atol=1e-6)
    assert not phase_features(Conditions(1), BEAT, x).any()
    prior = FlowPrior(latent_dim=DIM, width=16, depth=1, window=8, context=2, beats=True)
    z = torch.randn(1, 3, DIM)
    assert prior.loss(z, torch.ones(1, 3, dtype=torch.bool), known, torch.Generator().manual_seed(0)).isfinite()


def test_importance_decides_the_order_of_drawing() -> None:
    prior = FlowPrior(latent_dim=2, width=16, depth=1)
    z = torch.randn(1000, 2) * torch.tensor([3.0, 3.0])
    prior.initialise(z, None, torch.tensor([1.75, 0.25]))
    normalised = (z - prior.mean) / prior.deviation
    assert normalised.std(0).square() == pytest.approx([1.75, 0.25], rel=0.02)


def test_the_noise_of_latents_makes_them_again(prior: FlowPrior) -> None:
    z = circle(3, 12, 8.0, torch.Generator().manual_seed(3))
    before = circle(3, 20, 8.0, torch.Generator().manual_seed(3))[:, :8]
    after = circle(3, 20, 8.0, torch.Generator().manual_seed(3))[:, 8:]
    for latents, prompt in ((z, None), (after, before)):
        noise = prior.noise_of(latents, Conditions(3), before=prompt)
        again = prior.sample(Conditions(3), generators(3), length=12, before=prompt, noise=noise)
        assert float((again - latents).abs().mean()) < 0.03
    other = prior.sample(Conditions(3), generators(3), length=12)
    assert float((other - z).abs().mean()) > 0.3


def test_changes_of_training_sounds_do_not_leak() -> None:
    """Windows that are louder than usual, and say so, do not make new sounds louder."""
    torch.manual_seed(0)
    prior = FlowPrior(latent_dim=DIM, width=32, depth=2, window=16, context=4)
    generator = torch.Generator().manual_seed(0)
    prior.initialise(torch.randn(256, DIM, generator=generator))
    optimiser = torch.optim.AdamW(prior.parameters(), lr=3e-3)
    sound = torch.ones(32, 16, dtype=torch.bool)
    for _ in range(300):
        gain = 6 * (torch.arange(32) % 2).float()
        z = 0.3 * torch.randn(32, 16, DIM, generator=generator) + gain[:, None, None] / 3
        optimiser.zero_grad()
        prior.loss(z, sound, Conditions(32, {GAIN: gain}), generator).backward()
        optimiser.step()
    prior.eval()
    means = [float(prior.sample(asked, generators(16), length=16).mean()) for asked in (
        Conditions(16), Conditions(16, {GAIN: torch.full((16,), 6.0)})
    )]  # fmt: skip
    assert means[0] == pytest.approx(0, abs=0.3) and means[1] == pytest.approx(2, abs=0.3)


def test_guidance_stresses_conditions() -> None:
    torch.manual_seed(0)
    prior = FlowPrior(latent_dim=DIM, n_classes=2, width=32, depth=2, window=16, context=4)
    generator = torch.Generator().manual_seed(0)
    prior.initialise(torch.randn(256, DIM, generator=generator))
    optimiser = torch.optim.AdamW(prior.parameters(), lr=3e-3)
    classes, sound = torch.arange(32) % 2, torch.ones(32, 16, dtype=torch.bool)
    for _ in range(300):
        place = (classes.float() - 0.5)[:, None, None] + 0.5 * torch.randn(32, 1, 1, generator=generator)
        z = place + 0.3 * torch.randn(32, 16, DIM, generator=generator)
        optimiser.zero_grad()
        prior.loss(z, sound, Conditions(32, {CLASS: classes}), generator).backward()
        optimiser.step()
    prior.eval()
    apart = []
    for guidance in (1.0, 3.0):
        low, high = (
            prior.sample(
                Conditions(24, {CLASS: torch.full((24,), i)}), generators(24), length=16, guidance=guidance
            ).mean()
            for i in (0, 1)
        )
        apart.append(float(high - low))
    assert 0.5 < apart[0] < 1.6 and apart[1] > apart[0] + 0.3
