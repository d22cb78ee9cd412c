import math

import pytest
import torch
from torch import Tensor, nn

from audio_gen.models.density import LatentDensity
from audio_gen.models.mapped import MappedPrior
from audio_gen.models.mapping import MIN_NOISE, Mapping

NAN = math.nan
CLASSES = torch.tensor([0, 0, 1, 1, -1])
PITCHES = torch.tensor([40.0, 41, 70, 71, NAN])


class Network(nn.Module):
    """A GAN but for its images: w of class 0 is about -5, of class 1 about 5, and the pitch moves the last one."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.noise_dim = MIN_NOISE
        self.mapping = Mapping(
            noise_dim=MIN_NOISE, latent_dim=4, anchors=12, n_classes=2, width=16, condition_dim=4
        )  # fmt: skip
        class_id = torch.arange(12) % 2
        w = torch.randn(12, 4) + 10.0 * class_id[:, None] - 5
        self.mapping.initialise(w, class_id, torch.full((12,), NAN), torch.arange(12))
        nn.init.normal_(self.mapping.head.weight, std=0.05)

    def map(self, z: Tensor, class_id: Tensor, pitch: Tensor) -> Tensor:
        w = self.mapping(z, class_id, torch.full_like(pitch, NAN))
        return torch.cat([w[:, :3], w[:, 3:] + pitch.nan_to_num(0)[:, None] / 10], dim=1)


@pytest.fixture
def prior() -> MappedPrior:
    return MappedPrior.fit(Network(), CLASSES, PITCHES, 2)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_temperature_zero_is_the_centre_and_one_the_mapping(prior: MappedPrior) -> None:
    for class_id in (0, 1, -1):
        centre = prior.values["centres"][class_id]
        assert torch.equal(prior.sample(seeded(), class_id, 50.0, 0.0), centre)
        z = torch.randn(1, MIN_NOISE, generator=seeded())
        drawn = prior.model.map(z, torch.tensor([class_id]), torch.tensor([50.0]))[0]
        assert torch.equal(prior.sample(seeded(), class_id, 50.0), drawn)
        half = prior.sample(seeded(), class_id, 50.0, 0.5)
        assert torch.allclose(half, (centre + drawn) / 2, atol=1e-6)


def test_the_same_seed_gives_the_same_latent(prior: MappedPrior) -> None:
    assert torch.equal(prior.sample(seeded(3), 1, NAN), prior.sample(seeded(3), 1, NAN))
    assert not torch.equal(prior.sample(seeded(3), 1, NAN), prior.sample(seeded(4), 1, NAN))


def test_centres_are_the_means_of_draws_at_the_clips_own_pitches(prior: MappedPrior) -> None:
    centres = prior.values["centres"]
    assert centres.shape == (3, 4)
    assert torch.allclose(centres[:2, :3], torch.tensor([[-5.0], [5.0]]).expand(-1, 3), atol=0.6)
    without = MappedPrior.fit(prior.model, CLASSES, torch.full((5,), NAN), 2).values["centres"]
    moved = centres[:2, 3] - without[:2, 3]
    assert torch.allclose(moved, torch.tensor([4.05, 7.05]), atol=0.01)  # a tenth of each class's mean pitch
    assert torch.allclose(centres[2, :3], torch.zeros(3), atol=0.8)  # two clips of each class and one of none


def test_it_can_be_saved(prior: MappedPrior) -> None:
    again = MappedPrior(prior.model, prior.tensors())
    assert torch.equal(again.sample(seeded(), 0, NAN, 0.7), prior.sample(seeded(), 0, NAN, 0.7))


def test_conditions_are_drawn_as_the_density_draws_them(prior: MappedPrior) -> None:
    density = LatentDensity.fit(torch.randn(5, 4), CLASSES, PITCHES, torch.arange(5))
    for seed in range(20):
        for given in ((-1, NAN), (0, NAN), (1, NAN), (-1, 70.4), (1, 44.0)):
            mine, theirs = (p.draw_condition(seeded(seed), *given) for p in (prior, density))
            assert str(mine) == str(theirs)  # NaN equals NaN here
    assert prior.draw_condition(seeded(), -1, 72.0) == (1, 72.0)


def test_no_classes_and_no_pitches() -> None:
    model = Network()
    prior = MappedPrior.fit(model, torch.full((1,), -1), torch.full((1,), NAN), 0)
    assert prior.values["centres"].shape == (1, 4)
    assert str(prior.draw_condition(seeded(), -1, NAN)) == str((-1, NAN))
    assert torch.isfinite(prior.sample(seeded(), -1, NAN)).all()


def test_a_class_that_no_clip_is_of_has_a_centre_all_the_same() -> None:
    prior = MappedPrior.fit(Network(), torch.zeros(3, dtype=torch.long), torch.full((3,), NAN), 2)
    assert torch.isfinite(prior.values["centres"]).all()
