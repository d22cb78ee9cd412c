import math

import pytest
import torch
from torch import Tensor

from audio_gen.models.contract import Conditions
from audio_gen.models.priors.neighbours import OWN_SPREAD, NeighbourPrior
from tests.given import given

NAN = math.nan


def fit(z: Tensor, class_id: Tensor, pitch: Tensor) -> NeighbourPrior:
    return NeighbourPrior.fit(z[:, None], given(class_id, pitch), torch.arange(len(z)))


def draw(
    density: NeighbourPrior, count: int, class_id: int = -1, pitch: float = NAN, temperature: float = 1.0
) -> Tensor:
    seeds = [torch.Generator().manual_seed(i) for i in range(count)]
    asked = Conditions.one({"class": class_id, "pitch": pitch}).repeat(count)
    return density.sample(asked, seeds, temperature=temperature)[:, 0]


def fill(prior: NeighbourPrior, seed: int, class_id: int = -1, pitch: float = NAN) -> tuple[int, float]:
    """Class and pitch that are drawn for one clip."""
    asked = Conditions.one({"class": class_id, "pitch": pitch})
    found = prior.fill(asked, [torch.Generator().manual_seed(seed)])
    return int(found.class_id), float(found.pitch)


def test_it_has_the_mean_and_spread_of_what_it_was_fitted_to() -> None:
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(400, 6, generator=generator) * torch.tensor([3.0, 2, 1, 1, 0.5, 0.1]) + 4
    made = draw(fit(z, torch.full((400,), -1), torch.full((400,), NAN)), 600)
    assert torch.allclose(made.mean(0), z.mean(0), atol=0.4)
    assert torch.allclose(made.std(0), z.std(0), rtol=0.25, atol=0.1)


def test_classes_stay_apart() -> None:
    z = torch.cat([torch.randn(40, 5) - 6, torch.randn(40, 5) + 6])
    density = fit(z, torch.tensor([0] * 40 + [1] * 40), torch.full((80,), NAN))
    assert (draw(density, 30, class_id=0).mean(1) < 0).all()
    assert (draw(density, 30, class_id=1).mean(1) > 0).all()


def test_pitch_is_conditioned_on() -> None:
    pitch = torch.linspace(40, 80, 200)
    z = torch.stack([pitch / 10, -pitch / 5], dim=1) + 0.05 * torch.randn(200, 2)
    density = fit(z, torch.full((200,), -1), pitch)
    made = draw(density, 40, pitch=60.0)
    assert float(made[:, 0].mean()) == pytest.approx(6, abs=0.3)
    assert float(made[:, 1].mean()) == pytest.approx(-12, abs=0.6)


def test_what_is_not_given_is_drawn_jointly() -> None:
    density = fit(torch.randn(4, 3), torch.tensor([0, 0, 1, 1]), torch.tensor([40.0, 41, 70, 71]))
    for seed in range(20):
        class_id, pitch = fill(density, seed)
        assert (class_id == 0) == (pitch < 50)
        assert fill(density, seed, 1)[1] >= 70
        assert fill(density, seed, pitch=72.0) == (1, 72.0)


@pytest.mark.parametrize("count", [1, 2, 5, 20])
def test_few_clips_are_enough(count: int) -> None:
    z = torch.randn(count, 16)
    density = fit(z, torch.full((count,), -1), torch.full((count,), NAN))
    again = NeighbourPrior(**density.args)
    again.load_state_dict(density.state_dict())
    assert torch.isfinite(draw(again, 5)).all()
    assert torch.equal(draw(density, 3), draw(again, 3))


def test_temperature_zero_gives_the_centres() -> None:
    z = torch.randn(3, 4)
    made = draw(fit(z, torch.full((3,), -1), torch.full((3,), NAN)), 30, temperature=0.0)
    assert len(made.unique(dim=0)) == 3


def test_it_stays_where_the_clips_are() -> None:
    """Clips on a circle: one wide Gaussian would fill it, this density leaves the middle empty."""
    angle = torch.linspace(0, 2 * math.pi, 61)[:-1]
    z = 10 * torch.stack([angle.cos(), angle.sin()], dim=1)
    made = draw(fit(z, torch.full((60,), -1), torch.full((60,), NAN)), 300)
    assert made.norm(dim=1).min() > 8
    assert len(made.unique(dim=0)) == 300


def test_augmented_copies_are_one_clip_with_half_their_spread() -> None:
    clip = torch.arange(3).repeat_interleave(50)
    z = 30.0 * clip[:, None] * torch.ones(2) + torch.randn(150, 2, generator=torch.Generator().manual_seed(0))
    density = NeighbourPrior.fit(z[:, None], given(clip, torch.full((150,), NAN)), clip)
    assert len(density.corners) == 3
    made = draw(density, 300, class_id=1)
    assert torch.allclose(made.std(0), torch.full((2,), OWN_SPREAD), atol=0.15)
    assert torch.allclose(made.mean(0), torch.full((2,), 30.0), atol=0.25)


def test_lines_lead_from_a_clip_to_one_neighbour() -> None:
    """With three clips at the corners of a triangle, points lie on its sides, never inside."""
    z = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])
    prior = NeighbourPrior.fit(z[:, None], Conditions(3), torch.arange(3), line_noise=0.0)
    made = draw(prior, 60)
    on_side = torch.stack([made[:, 0].abs(), made[:, 1].abs(), (made.sum(1) - 4).abs()]).amin(0)
    assert float(on_side.max()) < 1e-4
    assert float(draw(fit(z, torch.full((3,), -1), torch.full((3,), NAN)), 60).amin(1).max()) > 0.1  # blends are inside


def test_noise_on_lines_has_a_share_of_the_deviations() -> None:
    z = torch.randn(50, 4, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 2.0, 4.0, 0.0])
    priors = [NeighbourPrior.fit(z[:, None], Conditions(50), torch.arange(50), line_noise=n) for n in (0.0, 0.5)]
    noise = draw(priors[1], 400) - draw(priors[0], 400)
    assert torch.allclose(noise.std(0), 0.5 * z.std(0, unbiased=False), rtol=0.15, atol=1e-6)
