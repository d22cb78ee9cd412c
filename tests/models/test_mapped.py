import math

import pytest
import torch
from torch import Tensor, nn

from audio_gen.models.contract import Conditions
from audio_gen.models.priors.mapped import MIN_NOISE, MappedPrior, Mapping
from audio_gen.models.priors.neighbours import NeighbourPrior
from tests.given import given

NAN = math.nan
CLASSES = torch.tensor([0, 0, 1, 1, -1])
PITCHES = torch.tensor([40.0, 41, 70, 71, NAN])


ARGS = {"noise_dim": MIN_NOISE, "latent_dim": 4, "anchors": 12, "n_classes": 2, "width": 16, "condition_dim": 4}


class Network(Mapping):
    """w of class 0 is about -5, of class 1 about 5, and the pitch moves the last number by a tenth of it."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__(**ARGS)  # type: ignore[arg-type]
        class_id = torch.arange(12) % 2
        w = torch.randn(12, 4) + 10.0 * class_id[:, None] - 5
        self.initialise(w[:, None], given(class_id, torch.full((12,), NAN)), torch.arange(12))
        nn.init.normal_(self.head.weight, std=0.05)

    def forward(self, z: Tensor, conditions: Conditions) -> Tensor:
        w = super().forward(z, conditions.subset(["class"]))
        last = w[..., 3:] + conditions.pitch.nan_to_num(0)[:, None, None] / 10
        return torch.cat([w[..., :3], last], dim=2)


def fit(classes: Tensor, pitches: Tensor) -> MappedPrior:
    return MappedPrior.fit(Network(), ARGS, given(classes, pitches))


def draw(prior: MappedPrior, seed: int, class_id: int, pitch: float, temperature: float = 1.0) -> Tensor:
    asked = Conditions.one({"class": class_id, "pitch": pitch})
    return prior.sample(asked, [seeded(seed)], temperature=temperature)[0, 0]


def fill(prior: MappedPrior | NeighbourPrior, seed: int, class_id: int, pitch: float) -> tuple[int, float]:
    found = prior.fill(Conditions.one({"class": class_id, "pitch": pitch}), [seeded(seed)])
    return int(found.class_id), float(found.pitch)


@pytest.fixture
def prior() -> MappedPrior:
    return fit(CLASSES, PITCHES)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_temperature_zero_is_the_centre_and_one_the_mapping(prior: MappedPrior) -> None:
    for class_id in (0, 1, -1):
        centre = prior.centres[class_id]
        assert torch.equal(draw(prior, 0, class_id, 50.0, 0.0), centre)
        z = torch.randn(1, MIN_NOISE, generator=seeded())
        drawn = prior.mapping(z, given(torch.tensor([class_id]), torch.tensor([50.0])))[0, 0]
        assert torch.equal(draw(prior, 0, class_id, 50.0), drawn)
        half = draw(prior, 0, class_id, 50.0, 0.5)
        assert torch.allclose(half, (centre + drawn) / 2, atol=1e-6)


def test_the_same_seed_gives_the_same_latent(prior: MappedPrior) -> None:
    assert torch.equal(draw(prior, 3, 1, NAN), draw(prior, 3, 1, NAN))
    assert not torch.equal(draw(prior, 3, 1, NAN), draw(prior, 4, 1, NAN))


def test_centres_are_the_means_of_draws_at_the_clips_own_pitches(prior: MappedPrior) -> None:
    centres = prior.centres
    assert centres.shape == (3, 4)
    assert torch.allclose(centres[:2, :3], torch.tensor([[-5.0], [5.0]]).expand(-1, 3), atol=0.6)
    without = fit(CLASSES, torch.full((5,), NAN)).centres
    moved = centres[:2, 3] - without[:2, 3]
    assert torch.allclose(moved, torch.tensor([4.05, 7.05]), atol=0.01)  # a tenth of each class's mean pitch
    assert torch.allclose(centres[2, :3], torch.zeros(3), atol=0.8)  # two clips of each class and one of none


def test_it_can_be_saved(prior: MappedPrior) -> None:
    again = MappedPrior(**ARGS, clips=5)  # type: ignore[arg-type]
    again.load_state_dict(prior.state_dict())
    again.mapping, saved = prior.mapping, again.mapping
    assert torch.equal(draw(again, 0, 0, NAN, 0.7), draw(prior, 0, 0, NAN, 0.7))
    assert all(torch.equal(value, saved.state_dict()[key]) for key, value in prior.mapping.state_dict().items())


def test_conditions_are_drawn_as_the_density_draws_them(prior: MappedPrior) -> None:
    density = NeighbourPrior.fit(torch.randn(5, 1, 4), given(CLASSES, PITCHES), torch.arange(5))
    for seed in range(20):
        for asked in ((-1, NAN), (0, NAN), (1, NAN), (-1, 70.4), (1, 44.0)):
            mine, theirs = (fill(p, seed, *asked) for p in (prior, density))
            assert str(mine) == str(theirs)  # NaN equals NaN here
    assert fill(prior, 0, -1, 72.0) == (1, 72.0)


def test_no_classes_and_no_pitches() -> None:
    known = given(torch.full((1,), -1), torch.full((1,), NAN))
    prior = MappedPrior.fit(Network(), {**ARGS, "n_classes": 0}, known)
    assert prior.centres.shape == (1, 4)
    assert str(fill(prior, 0, -1, NAN)) == str((-1, NAN))
    assert torch.isfinite(draw(prior, 0, -1, NAN)).all()


def test_a_class_that_no_clip_is_of_has_a_centre_all_the_same() -> None:
    prior = fit(torch.zeros(3, dtype=torch.long), torch.full((3,), NAN))
    assert torch.isfinite(prior.centres).all()
