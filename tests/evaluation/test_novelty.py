"""Novelty: copies are found, what is only as near as real sounds are is not, and duplicates are counted exactly."""

import math

import pytest
import torch
from torch import Tensor

from audio_gen.evaluation import pairs
from audio_gen.evaluation.novelty import diversity, nearness


def gaussian(count: int, dimensions: int, seed: int, shift: float = 0.0) -> Tensor:
    return torch.randn(count, dimensions, generator=torch.Generator().manual_seed(seed)) + shift


@pytest.mark.parametrize("held_out", [None, gaussian(200, 16, 2)])
def test_near_copies_are_flagged_and_new_clips_are_not(held_out: Tensor | None) -> None:
    train = gaussian(500, 16, 0)
    new = gaussian(97, 16, 1)
    copies = train[[5, 70, 400]] + 0.02 * gaussian(3, 16, 3)
    plain, found = nearness(new, train, held_out), nearness(torch.cat([copies, new]), train, held_out)
    assert found.threshold == plain.threshold
    assert plain.share <= 0.04
    assert found.count == plain.count + 3
    assert found.share == found.count / 100
    assert [pair[:2] for pair in sorted(found.closest[:3])] == [(0, 5), (1, 70), (2, 400)]
    assert found.median_ratio == pytest.approx(1, abs=0.1)
    assert found.nearest.shape == (100,)


def test_the_ten_closest_pairs_ascend() -> None:
    found = nearness(gaussian(50, 4, 1), gaussian(60, 4, 0))
    distances = [distance for _, _, distance in found.closest]
    assert distances == sorted(distances) == found.nearest.sort().values[:10].tolist()
    expected = torch.cdist(gaussian(50, 4, 1).double(), gaussian(60, 4, 0).double())
    assert all(distance == pytest.approx(float(expected[i, j])) for i, j, distance in found.closest)
    assert len(nearness(gaussian(3, 4, 1), gaussian(60, 4, 0)).closest) == 3


def test_what_is_as_near_as_real_clips_are_is_no_copy() -> None:
    """Real clips on a grid of step 1: made ones beside them, at a distance of 1, are as new as any."""
    train = torch.arange(100.0)[:, None] * torch.tensor([[1.0, 0.0]])
    beside = train[::2] + torch.tensor([0.0, 1.0])
    assert nearness(beside, train).count == 0
    assert nearness(train[::2] + torch.tensor([0.0, 0.9]), train).share == 1.0


def test_the_threshold_is_a_quantile_of_real_distances() -> None:
    train, held_out = gaussian(100, 4, 0), gaussian(50, 4, 1)
    real = torch.cdist(held_out.double(), train.double()).min(dim=1).values
    found = nearness(gaussian(20, 4, 2), train, held_out, quantile=0.1)
    assert found.threshold == pytest.approx(float(real.quantile(0.1)))
    assert found.real_share == 0.1
    own = torch.cdist(train.double(), train.double()).fill_diagonal_(math.inf).min(dim=1).values
    assert nearness(train, train, held_out[:19]).threshold == pytest.approx(float(own.quantile(0.01)))
    assert nearness(train, train).real_share is None


def test_duplicates_in_training_data_do_not_hide_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "BLOCK_ROWS", 7)
    train = gaussian(50, 8, 0)
    doubled = torch.cat([train, train[:25]])
    found = nearness(train[:5] + 0.001, doubled)
    assert found.share == 1.0
    assert found.threshold > 0.5


def test_an_exact_copy_counts_even_where_real_clips_are_all_equal() -> None:
    found = nearness(torch.tensor([[1.0, 1.0], [3.0, 1.0]]), torch.ones(30, 2))
    assert (found.count, found.share) == (1, 0.5)
    assert math.isnan(found.median_ratio)


def test_duplicates_are_found_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "BLOCK_ROWS", 7)
    made = gaussian(40, 300, 0, shift=5.0)
    assert diversity(made)["duplicates"] == 0
    made[[11, 30, 31]], made[39] = made[3].clone(), made[38].clone()
    assert diversity(made)["duplicates"] == 4
    assert diversity(made, gaussian(10, 300, 1))["duplicates"] == 4


def test_distances_beside_those_of_real_clips() -> None:
    made, real = gaussian(200, 16, 0), 2 * gaussian(100, 16, 1)
    found = diversity(made, real)
    assert found["mean_distance"] == pytest.approx(float(torch.pdist(made).mean()))
    assert found["real_distance"] == pytest.approx(float(torch.pdist(real).mean()))
    assert found["ratio"] == pytest.approx(0.5, abs=0.02)
    assert found["per_class"] == {}
    alone = diversity(made)
    assert (alone["real_distance"], alone["ratio"]) == (None, None)


def test_diversity_of_classes() -> None:
    made, real = torch.tensor([[0.0], [2.0], [9.0], [5.0]]), torch.tensor([[0.0], [4.0], [7.0]])
    found = diversity(made, real, ["kick", "kick", "snare", None], ["kick", "kick", "hat"])["per_class"]
    assert found == {
        "kick": {"n": 2, "mean_distance": 2.0, "real_distance": 4.0},
        "snare": {"n": 1, "mean_distance": None, "real_distance": None},
    }


@pytest.mark.parametrize("count", range(1, 10))
def test_few_clips(count: int) -> None:
    made, train = gaussian(count, 3, 0), gaussian(count, 3, 1)
    found = nearness(made, train, made)
    assert 0 <= found.share <= 1
    assert math.isfinite(found.threshold)
    assert diversity(made)["duplicates"] == 0
    equal = diversity(torch.ones(count, 3), torch.ones(count, 3))
    assert (equal["duplicates"], equal["ratio"]) == (count - 1, None)
    assert nearness(torch.ones(count, 3), torch.ones(count, 3)).share == 1.0


def test_what_cannot_be_compared_is_refused() -> None:
    broken = torch.full((5, 3), math.inf)
    with pytest.raises(ValueError, match="5 of 5 vectors are not finite"):
        nearness(broken, gaussian(5, 3, 0))
    with pytest.raises(ValueError, match="not finite"):
        nearness(gaussian(5, 3, 0), gaussian(5, 3, 0), broken)
    with pytest.raises(ValueError, match="not finite"):
        diversity(broken)
