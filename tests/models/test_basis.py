import pytest
import torch
from torch import Tensor

from audio_gen.models.basis import Basis, principal_components


def planted(count: int = 40, rank: int = 3, numbers: int = 50) -> Tensor:
    """Rows (N, F) that vary in `rank` directions, around a mean far from zero."""
    generator = torch.Generator().manual_seed(0)
    size = torch.tensor([9.0, 4.0, 2.0])[:rank]
    directions = torch.linalg.qr(torch.randn(numbers, rank, generator=generator))[0]
    return torch.randn(count, rank, generator=generator) * size @ directions.T + torch.linspace(-5, 3, numbers)


def analysed(basis: Basis, rows: Tensor) -> Tensor:
    return (rows - basis.mean) / basis.scale @ basis.analysis.T


def synthesised(basis: Basis, components: Tensor) -> Tensor:
    return components @ basis.synthesis.T * basis.scale + basis.mean


def test_planted_components_are_recovered_and_white() -> None:
    rows = planted()
    basis = principal_components(rows, 3)
    components = analysed(basis, rows)
    assert torch.allclose(synthesised(basis, components), rows, atol=1e-3)
    assert torch.allclose(components.mean(0), torch.zeros(3), atol=1e-4)
    assert torch.allclose(components.T @ components / len(rows), torch.eye(3), atol=1e-3)
    assert basis.synthesis.norm(dim=0).argsort(descending=True).tolist() == [0, 1, 2]


def test_analysis_is_the_inverse_of_synthesis() -> None:
    basis = principal_components(planted(), 3)
    assert torch.allclose(basis.analysis @ basis.synthesis, torch.eye(3), atol=1e-4)


def test_fewer_components_keep_the_largest() -> None:
    rows = planted()
    whole, one = principal_components(rows, 3), principal_components(rows, 1)
    assert torch.allclose(one.synthesis.abs(), whole.synthesis[:, :1].abs(), atol=1e-3)
    errors = [(synthesised(b, analysed(b, rows)) - rows).norm() for b in (one, principal_components(rows, 2), whole)]
    assert errors[0] > errors[1] > errors[2]


def test_asking_for_more_components_than_there_are_gives_those_there_are() -> None:
    rows = planted()
    basis = principal_components(rows, 12)
    assert basis.analysis.shape == (3, 50)
    assert torch.allclose(synthesised(basis, analysed(basis, rows)), rows, atol=1e-2)


@pytest.mark.parametrize(("count", "rank"), [(1, 0), (2, 1), (3, 2)])
def test_few_rows(count: int, rank: int) -> None:
    rows = planted()[:count]
    basis = principal_components(rows, 8)
    assert basis.analysis.shape == (rank, 50)
    assert torch.allclose(synthesised(basis, analysed(basis, rows)), rows, atol=1e-3)


def test_equal_rows_and_one_number_are_no_division_by_zero() -> None:
    for rows in (torch.full((6, 4), -9.0), torch.zeros(1, 1)):
        basis = principal_components(rows, 3)
        assert all(torch.isfinite(part).all() for part in (basis.scale, basis.analysis, basis.synthesis))
        assert torch.allclose(synthesised(basis, analysed(basis, rows)), rows, atol=1e-4)


def varied(count: int = 20, numbers: int = 3000) -> Tensor:
    """Rows (N, F) without structure, in nats as log-mels are."""
    return 2 * torch.randn(count, numbers, generator=torch.Generator().manual_seed(1)) - 5


def test_a_copy_of_a_row_adds_no_component() -> None:
    rows = varied()
    twice = torch.cat([rows, rows[3:4]])
    basis = principal_components(twice, 64)
    assert len(basis.analysis) == len(rows) - 1
    assert analysed(basis, twice).abs().max() < 8
    assert torch.allclose(synthesised(basis, analysed(basis, twice)), twice, atol=1e-3)


@pytest.mark.parametrize("off", [1e-6, 1e-4, 1e-3, 1e-2, 0.1])
def test_a_near_copy_of_a_row_makes_no_large_component(off: float) -> None:
    """In whitened units neither rows nor others like them are far, however small the difference."""
    rows = varied(40)
    seen, new = rows[:20], rows[20:]
    near = seen[3:4] + off * torch.randn(1, rows.shape[1], generator=torch.Generator().manual_seed(2))
    basis = principal_components(torch.cat([seen, near]), 64)
    assert len(basis.analysis) == len(seen) - (off < 1e-2)
    assert analysed(basis, torch.cat([seen, near])).abs().max() < 8
    assert analysed(basis, new).abs().max() < 8 if off < 1e-2 else True


def test_the_smallest_component_kept_is_a_millionth_of_the_largest() -> None:
    sizes = torch.tensor([1.0, 1e-2, 1.1e-3, 0.9e-3, 1e-5])  # deviations: squares are eigenvalues
    rows = torch.linalg.qr(torch.randn(6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))[0]
    rows = torch.linalg.qr(rows - rows.mean(0))[0] * sizes
    assert len(principal_components((100 * rows).float(), 5).analysis) == 3


def test_a_row_unlike_all_others_is_not_far_in_whitened_units() -> None:
    """It alone makes a component, along which it would be at the square root of their number."""
    rows = varied(400)
    rows[7] = 3
    basis = principal_components(rows, 100)
    components = analysed(basis, rows)
    assert components.abs().max() == pytest.approx(8, abs=1e-3)
    assert float(components[:, 1:].std(0, unbiased=False).min()) == pytest.approx(1, abs=1e-3)
    assert torch.allclose(basis.analysis @ basis.synthesis, torch.eye(100), atol=1e-4)
