"""Neighbours: by brute force, against the authors' own package, and what chance gives."""

import math

import pytest
import torch
from torch import Tensor

from audio_gen.evaluation import pairs
from audio_gen.evaluation.neighbours import ndb, nearest, prdc


def gaussian(count: int, dimensions: int, seed: int, shift: float = 0.0) -> Tensor:
    return torch.randn(count, dimensions, generator=torch.Generator().manual_seed(seed)) + shift


def shares(found: dict) -> list[float]:
    return [found[name] for name in ("precision", "recall", "density", "coverage")]


def test_nearest_is_the_smallest_of_all_distances(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "BLOCK_ROWS", 7)
    points, bank = gaussian(30, 4, 0), gaussian(50, 4, 1)
    distances, indices = nearest(points, bank, 3)
    expected = torch.cdist(points.double(), bank.double()).sort(dim=1)
    torch.testing.assert_close(distances, expected.values[:, :3])
    assert torch.equal(indices, expected.indices[:, :3])


def test_nearest_of_a_copy_is_itself_at_zero() -> None:
    bank = gaussian(50, 300, 0, shift=20.0)
    distances, indices = nearest(bank[[7, 30]], bank)
    assert distances.tolist() == [[0.0], [0.0]]
    assert indices.tolist() == [[7], [30]]


def test_prdc_on_a_line() -> None:
    """Balls to the first neighbour have the radii 1, 1 and 9, and 29.5, 1 and 1; the rim is outside."""
    reference, made = torch.tensor([[0.0], [1.0], [10.0]]), torch.tensor([[0.5], [30.0], [31.0]])
    found = prdc(reference, made, k=1)
    # Made: 0.5 is in the balls of 0 and 1, 30 and 31 are in none. Its own ball, of radius 29.5, holds all real ones.
    assert found == {"precision": 1 / 3, "recall": 1.0, "density": 2 / 3, "coverage": 2 / 3, "k": 1}


@pytest.mark.parametrize("blocks", [7, 512])
@pytest.mark.parametrize(("n", "m", "shift"), [(200, 150, 0.0), (150, 200, 0.4), (60, 60, 2.0)])
def test_prdc_is_that_of_its_authors(
    n: int, m: int, shift: float, blocks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = pytest.importorskip("prdc")
    monkeypatch.setattr(pairs, "BLOCK_ROWS", blocks)
    reference, made = gaussian(n, 8, 0), gaussian(m, 8, 1, shift)
    expected = package.compute_prdc(reference.double().numpy(), made.double().numpy(), nearest_k=5)
    assert shares(prdc(reference, made)) == pytest.approx(shares(expected), abs=1e-12)


@pytest.mark.long
def test_prdc_has_the_values_that_were_published() -> None:
    """The toy of Naeem 2020's code: 10,000 and 10,000 of one Gaussian in 1,000 dimensions."""
    found = prdc(gaussian(10000, 1000, 0), gaussian(10000, 1000, 1))
    # In so many dimensions few clips are neighbours of most: over six seeds density ran from 0.95 to 1.13.
    assert found.pop("density") == pytest.approx(1.0555, abs=0.15)
    assert found == pytest.approx({"precision": 0.477, "recall": 0.4705, "coverage": 0.9735, "k": 5}, abs=0.02)


def test_coverage_of_one_gaussian_is_what_chance_gives() -> None:
    found = prdc(gaussian(1000, 16, 0), gaussian(1000, 16, 1))
    assert found["coverage"] == pytest.approx(1 - 2**-5, abs=0.015)
    assert found["density"] == pytest.approx(1, abs=0.1)


def test_a_set_with_itself_is_perfect() -> None:
    vectors = gaussian(100, 8, 0)
    assert shares(prdc(vectors, vectors)) == [1.0] * 4


def test_a_collapsed_set_is_precise_and_covers_little() -> None:
    reference = gaussian(200, 8, 0)
    centre = reference.mean(dim=0)
    found = prdc(reference, centre + 0.01 * gaussian(200, 8, 1))
    assert found["precision"] > 0.95
    assert found["recall"] == 0.0
    assert found["coverage"] < 0.5


@pytest.mark.parametrize("count", range(2, 10))
def test_few_clips(count: int) -> None:
    found = prdc(gaussian(count, 3, 0), gaussian(count, 3, 1))
    assert found["k"] == min(5, count - 1)
    assert all(map(math.isfinite, shares(found)))
    equal = prdc(torch.ones(count, 3), torch.ones(count, 3))
    assert (equal["precision"], equal["recall"], equal["coverage"]) == (1.0, 1.0, 1.0)
    assert math.isnan(ndb(gaussian(count, 3, 0), gaussian(count, 3, 1)))


def test_ndb_of_one_gaussian_is_about_the_level_of_its_test() -> None:
    values = [ndb(gaussian(500, 4, 2 * seed), gaussian(500, 4, 2 * seed + 1)) for seed in range(4)]
    assert sum(values) / len(values) < 0.15
    assert ndb(gaussian(500, 4, 0), gaussian(500, 4, 1)) == values[0]


def test_ndb_counts_the_bins_that_are_left_out_and_overfull() -> None:
    """Four far clusters of the same size; the made clips are in two of them."""
    centres = 100 * torch.eye(4)
    reference = centres.repeat_interleave(50, dim=0) + gaussian(200, 4, 0)
    made = centres[:2].repeat_interleave(100, dim=0) + gaussian(200, 4, 1)
    assert ndb(reference, made, bins=4) == 1.0
    assert ndb(reference, reference, bins=4) == 0.0


def test_ndb_of_equal_clips_has_no_bins() -> None:
    assert math.isnan(ndb(torch.ones(100, 3), gaussian(100, 3, 0)))
    two_kinds = torch.eye(2).repeat(50, 1)
    assert ndb(two_kinds, two_kinds) == 0.0
    assert ndb(two_kinds, two_kinds[:1].repeat(100, 1)) == 1.0


def test_what_cannot_be_compared_is_refused() -> None:
    broken = torch.full((5, 3), math.nan)
    for measure in (prdc, ndb, nearest):
        with pytest.raises(ValueError, match="5 of 5 vectors are not finite"):
            measure(gaussian(5, 3, 0), broken)
    with pytest.raises(ValueError, match=r"shape \(2, 3\)"):
        nearest(gaussian(5, 3, 0), gaussian(2, 3, 1), count=3)
