"""Distances of sets: closed forms, definitions written out, and what an interval promises."""

import math

import pytest
import torch
from torch import Tensor

from audio_gen.evaluation import pairs
from audio_gen.evaluation.distances import (
    fad,
    fad_infinity,
    frechet,
    kad,
    kad_estimate,
    kad_floor,
    kad_interval,
    median_distance,
)


def gaussian(count: int, dimensions: int, seed: int, shift: float = 0.0) -> Tensor:
    return torch.randn(count, dimensions, generator=torch.Generator().manual_seed(seed)) + shift


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks that cut the sets of a test in several places, none of them even."""
    monkeypatch.setattr(pairs, "BLOCK_ROWS", 7)


def kad_by_definition(reference: Tensor, made: Tensor, bandwidth: float) -> float:
    """Gretton 2012 eq. 3, pair by pair."""

    def kernel(a: Tensor, b: Tensor) -> float:
        return math.exp(-float((a.double() - b.double()).square().sum()) / (2 * bandwidth**2))

    def inside(vectors: Tensor) -> float:
        n = len(vectors)
        return sum(kernel(vectors[i], vectors[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))

    between = sum(kernel(a, b) for a in reference for b in made) / (len(reference) * len(made))
    return 100 * (inside(reference) + inside(made) - 2 * between)


def test_distances_are_those_of_torch(small_blocks: None) -> None:
    rows, columns = gaussian(20, 5, 0).double(), gaussian(33, 5, 1, shift=100.0).double()
    found = torch.cat([block for _, block in pairs.squared_blocks(rows, columns)])
    torch.testing.assert_close(found.sqrt(), torch.cdist(rows, columns))
    assert [first for first, _ in pairs.squared_blocks(rows, columns)] == [0, 7, 14]
    torch.testing.assert_close(pairs.all_distances(columns).sort().values, torch.pdist(columns).float().sort().values)


def test_equal_rows_have_a_distance_of_exactly_zero() -> None:
    vectors = 1e3 + 1e-2 * gaussian(50, 300, 0)
    block = next(pairs.squared_blocks(vectors.double(), vectors.double()))[1]
    assert (block.diagonal() == 0).all()
    assert (block[~torch.eye(50, dtype=torch.bool)] > 0).all()


def test_median_distance() -> None:
    points = torch.tensor([[0.0], [1.0], [3.0]])
    assert median_distance(points) == 2.0
    mostly_equal = torch.cat([torch.zeros(9, 2), torch.tensor([[3.0, 4.0]])])
    assert median_distance(mostly_equal) == pytest.approx(9 * 5 / 45)
    assert median_distance(torch.ones(9, 2)) == 1.0
    assert median_distance(torch.ones(1, 2)) == 1.0


def test_median_distance_of_many_is_that_of_some(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = gaussian(2000, 4, 0)
    exact = median_distance(vectors)
    monkeypatch.setattr(pairs, "MEDIAN_CLIPS", 500)
    found = median_distance(vectors)
    assert found == median_distance(vectors) != exact
    assert found == pytest.approx(exact, rel=0.03)


def test_kad_is_the_definition(small_blocks: None) -> None:
    reference, made = gaussian(23, 6, 0), gaussian(17, 6, 1, shift=0.5)
    assert kad(reference, made, 2.0) == pytest.approx(kad_by_definition(reference, made, 2.0), abs=1e-9)
    bandwidth = median_distance(reference)
    assert kad(reference, made) == pytest.approx(kad_by_definition(reference, made, bandwidth), abs=1e-9)


def test_kad_of_shifted_gaussians_is_the_closed_form() -> None:
    dimensions, shift, squared_bandwidth = 16, 0.5, 32.0
    # The mean of exp(-|d|^2 / 2s) over d ~ N(m, 2 I) is (s / (s + 2))^(D/2) exp(-|m|^2 / (2 (s + 2))).
    near = (squared_bandwidth / (squared_bandwidth + 2)) ** (dimensions / 2)
    far = near * math.exp(-dimensions * shift**2 / (2 * (squared_bandwidth + 2)))
    found = kad(gaussian(1500, dimensions, 0), gaussian(1500, dimensions, 1, shift), math.sqrt(squared_bandwidth))
    assert found == pytest.approx(100 * 2 * (near - far), rel=0.05)


def test_kad_has_no_bias_at_few_clips() -> None:
    values = torch.tensor([kad(gaussian(10, 16, 2 * seed), gaussian(10, 16, 2 * seed + 1)) for seed in range(100)])
    assert abs(float(values.mean())) < 3 * float(values.std()) / 10
    assert float(values.min()) < 0 < float(values.max())


def test_interval_holds_zero_for_two_samples_of_one_gaussian() -> None:
    repetitions, holds, width = 60, 0, 0.0
    for seed in range(repetitions):
        reference, made = gaussian(100, 16, 2 * seed), gaussian(100, 16, 2 * seed + 1)
        value, low, high = kad_estimate(reference, made, seed=seed)
        assert low < value < high
        holds += low <= 0 <= high
        width += (high - low) / repetitions
    assert holds >= 0.9 * repetitions
    assert width < 1.1  # the plain bootstrap's is 1.38


def test_interval_at_half_the_level_misses_zero_often() -> None:
    """The test above can fail: the interval is not wide enough to hold anything."""
    holds = 0
    for seed in range(60):
        low, high = kad_interval(gaussian(100, 16, 2 * seed), gaussian(100, 16, 2 * seed + 1), level=0.5)
        holds += low <= 0 <= high
    assert 20 <= holds <= 48


def test_interval_tells_shifted_gaussians_apart() -> None:
    low, high = kad_interval(gaussian(100, 16, 0), gaussian(100, 16, 1, shift=0.5))
    assert 0 < low < kad(gaussian(100, 16, 0), gaussian(100, 16, 1, shift=0.5)) < high


def test_interval_holds_the_true_value_of_a_small_shift() -> None:
    bandwidth, shift, holds = math.sqrt(32.0), 0.1, 0
    near = (32 / 34) ** 8
    truth = 100 * 2 * near * (1 - math.exp(-16 * shift**2 / 68))
    for seed in range(60):
        reference, made = gaussian(100, 16, 2 * seed), gaussian(100, 16, 2 * seed + 1, shift)
        low, high = kad_interval(reference, made, bandwidth=bandwidth)
        holds += low <= truth <= high
    assert holds >= 51


def test_interval_depends_on_nothing_but_the_seed(small_blocks: None) -> None:
    reference, made = gaussian(30, 4, 0), gaussian(20, 4, 1)
    assert kad_interval(reference, made, seed=3) == kad_interval(reference, made, seed=3)
    assert kad_interval(reference, made, seed=3) != kad_interval(reference, made, seed=4)
    estimate = kad_estimate(reference, made, seed=3)
    assert estimate == (pytest.approx(kad(reference, made)), *kad_interval(reference, made, seed=3))


def test_floor_is_around_zero_and_wider_at_fewer_clips() -> None:
    reference, groups = gaussian(200, 16, 0), [str(i) for i in range(200)]
    all_clips, few = kad_floor(reference, groups), kad_floor(reference, groups, size=20)
    assert (all_clips["n"], few["n"]) == (100, 20)
    assert abs(all_clips["median"]) < all_clips["p95"] < few["p95"]
    assert all_clips == kad_floor(reference, groups)
    assert all_clips["splits"] == 100 and all_clips["grouped"]


def test_floor_keeps_groups_together() -> None:
    """Clips of a group are copies of each other: halves that shared groups would be nearer than groups are."""
    centres = 10 * gaussian(20, 16, 0)
    reference = centres.repeat_interleave(5, dim=0) + 0.01 * gaussian(100, 16, 1)
    by_group = kad_floor(reference, [str(i // 5) for i in range(100)])
    by_clip = kad_floor(reference, [str(i) for i in range(100)])
    assert by_group["median"] > by_clip["p95"]


def test_floor_is_kad_of_the_halves() -> None:
    """Of four clips there are three pairs of halves."""
    reference = gaussian(4, 3, 0)
    halves = [((0, 1), (2, 3)), ((0, 2), (1, 3)), ((0, 3), (1, 2))]
    bandwidth = median_distance(reference)
    values = [kad(reference[list(a)], reference[list(b)], bandwidth) for a, b in halves]
    found = kad_floor(reference, ["a", "b", "c", "d"])
    assert found["n"] == 2
    assert min(abs(found["median"] - value) for value in values) < 1e-9
    assert found["p95"] == pytest.approx(max(values))


@pytest.mark.parametrize("groups", ["aaaaaa", "aaaaab"])
def test_floor_splits_clips_where_groups_are_too_few(groups: str) -> None:
    found = kad_floor(gaussian(6, 3, 0), groups)
    assert not found["grouped"]
    assert found["n"] == 3


def closed_form(mean_a: Tensor, cov_a: Tensor, mean_b: Tensor, cov_b: Tensor) -> float:
    """The textbook formula, by the eigenvalues of the product."""
    roots = torch.linalg.eigvals(cov_a @ cov_b).real.clamp(min=0).sqrt().sum()
    return float((mean_a - mean_b).square().sum() + cov_a.trace() + cov_b.trace() - 2 * roots)


def test_frechet_of_diagonal_gaussians() -> None:
    mean, a, b = torch.tensor([1.0, 2.0]), torch.tensor([4.0, 9.0]), torch.tensor([1.0, 16.0])
    assert frechet(mean, a.diag(), 0 * mean, b.diag()) == pytest.approx(5 + (2 - 1) ** 2 + (3 - 4) ** 2)


@pytest.mark.parametrize(("n", "m"), [(300, 200), (300, 20), (20, 300), (25, 20)])
def test_fad_is_the_closed_form_of_the_moments(n: int, m: int) -> None:
    mix = gaussian(40, 40, 9) / 6
    reference, made = (gaussian(n, 40, 0) @ mix).double(), (1.5 * gaussian(m, 40, 1, shift=0.3)).double()
    moments = [moment for x in (reference, made) for moment in (x.mean(dim=0), x.T.cov())]
    assert fad(reference, made) == pytest.approx(closed_form(*moments), abs=1e-3)
    assert frechet(*moments) == pytest.approx(fad(reference, made), abs=1e-3)


def test_fad_of_many_clips_is_that_of_the_gaussians() -> None:
    reference, made = gaussian(20000, 8, 0), 2 * gaussian(20000, 8, 1) + 1
    assert fad(reference, made) == pytest.approx(8 * (1 + 1), rel=0.02)


@pytest.mark.parametrize("dimensions", [5, 60])
def test_fad_of_a_set_with_itself_is_zero(dimensions: int) -> None:
    vectors = gaussian(30, dimensions, 0)
    assert fad(vectors, vectors.flip(0)) == pytest.approx(0, abs=1e-4)
    assert fad(vectors, vectors + 2) == pytest.approx(4 * dimensions, rel=1e-4)


def test_fad_infinity_takes_the_bias_away() -> None:
    plain = fad(gaussian(1000, 32, 0), gaussian(1000, 32, 1))
    limit = fad_infinity(gaussian(1000, 32, 0), gaussian(1000, 32, 1))
    assert abs(limit) < plain / 4
    assert limit == fad_infinity(gaussian(1000, 32, 0), gaussian(1000, 32, 1))
    shifted = fad_infinity(gaussian(1000, 32, 0), gaussian(1000, 32, 1, shift=1.0))
    assert shifted == pytest.approx(32, rel=0.05)


@pytest.mark.parametrize("count", range(2, 10))
@pytest.mark.parametrize("kind", ["different", "equal", "flat"])
def test_few_clips(count: int, kind: str) -> None:
    reference, made = gaussian(count, 6, 0), gaussian(count, 6, 1)
    if kind == "equal":
        reference, made = torch.full((count, 6), 3.3), torch.full((count, 6), 3.3)
    elif kind == "flat":
        reference[:, 2:], made[:, 2:] = 7.0, 7.0
    values = [kad(reference, made), fad(reference, made), fad_infinity(reference, made)]
    low, high = kad_interval(reference, made)
    if count >= 4:
        values += [low, high, kad_floor(reference, "abcdefghi"[:count])["p95"]]
        assert low <= values[0] <= high
    else:
        assert math.isnan(low) and math.isnan(high)
    assert all(map(math.isfinite, values))
    if kind == "equal":
        assert values == pytest.approx([0.0] * len(values), abs=1e-9)


def test_what_cannot_be_compared_is_refused() -> None:
    broken = gaussian(5, 3, 0)
    broken[2, 1] = math.nan
    with pytest.raises(ValueError, match="1 of 5 vectors are not finite"):
        kad(broken, gaussian(5, 3, 1))
    with pytest.raises(ValueError, match="not finite"):
        fad(gaussian(5, 3, 1), broken)
    with pytest.raises(ValueError, match=r"shape \(1, 3\)"):
        kad(gaussian(1, 3, 0), gaussian(5, 3, 1))
    with pytest.raises(ValueError, match=r"shape \(3, 3\)"):
        kad_floor(gaussian(3, 3, 0), "abc")
