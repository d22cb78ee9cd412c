import math

import pytest
import torch
from torch import Tensor

from audio_gen.models.density import LatentDensity

NAN = math.nan


def draw(
    density: LatentDensity, count: int, class_id: int = -1, pitch: float = NAN, temperature: float = 1.0
) -> Tensor:
    seeds = (torch.Generator().manual_seed(i) for i in range(count))
    return torch.stack([density.sample(g, class_id, pitch, temperature) for g in seeds])


def test_it_has_the_mean_and_spread_of_what_it_was_fitted_to() -> None:
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(400, 6, generator=generator) * torch.tensor([3.0, 2, 1, 1, 0.5, 0.1]) + 4
    made = draw(LatentDensity.fit(z, torch.full((400,), -1), torch.full((400,), NAN)), 600)
    assert torch.allclose(made.mean(0), z.mean(0), atol=0.4)
    assert torch.allclose(made.std(0), z.std(0), rtol=0.25, atol=0.1)


def test_classes_stay_apart() -> None:
    z = torch.cat([torch.randn(40, 5) - 6, torch.randn(40, 5) + 6])
    density = LatentDensity.fit(z, torch.tensor([0] * 40 + [1] * 40), torch.full((80,), NAN))
    assert (draw(density, 30, class_id=0).mean(1) < 0).all()
    assert (draw(density, 30, class_id=1).mean(1) > 0).all()


def test_pitch_is_conditioned_on() -> None:
    pitch = torch.linspace(40, 80, 200)
    z = torch.stack([pitch / 10, -pitch / 5], dim=1) + 0.05 * torch.randn(200, 2)
    density = LatentDensity.fit(z, torch.full((200,), -1), pitch)
    made = draw(density, 40, pitch=60.0)
    assert float(made[:, 0].mean()) == pytest.approx(6, abs=0.3)
    assert float(made[:, 1].mean()) == pytest.approx(-12, abs=0.6)


def test_what_is_not_given_is_drawn_jointly() -> None:
    density = LatentDensity.fit(torch.randn(4, 3), torch.tensor([0, 0, 1, 1]), torch.tensor([40.0, 41, 70, 71]))
    for seed in range(20):
        class_id, pitch = density.draw_condition(torch.Generator().manual_seed(seed), -1, NAN)
        assert (class_id == 0) == (pitch < 50)
        assert density.draw_condition(torch.Generator().manual_seed(seed), 1, NAN)[1] >= 70
        assert density.draw_condition(torch.Generator().manual_seed(seed), -1, 72.0) == (1, 72.0)


@pytest.mark.parametrize("count", [1, 2, 5, 20])
def test_few_clips_are_enough(count: int) -> None:
    z = torch.randn(count, 16)
    density = LatentDensity.fit(z, torch.full((count,), -1), torch.full((count,), NAN))
    again = LatentDensity.from_tensors(density.tensors())
    assert torch.isfinite(draw(again, 5)).all()
    assert torch.equal(draw(density, 3), draw(again, 3))


def test_temperature_zero_is_one_point_a_component() -> None:
    z = torch.randn(12, 4)
    made = draw(LatentDensity.fit(z, torch.full((12,), -1), torch.full((12,), NAN)), 5, temperature=0.0)
    assert torch.allclose(made, made[:1].expand(5, -1), atol=1e-5)
