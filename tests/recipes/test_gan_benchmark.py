"""What the scripts of recipes/gan_benchmark compute by themselves; what they measure is the package's."""

import importlib
import math
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

FOLDER = Path(__file__).parents[2] / "recipes" / "gan_benchmark"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(FOLDER))

    def load(name: str) -> ModuleType:
        return importlib.import_module(name)

    return load  # type: ignore[return-value]


def test_a_straight_even_way_has_length_and_roughness_one(script: Any) -> None:
    points = torch.linspace(0, 1, 16)[:, None] * torch.randn(1, 8, generator=torch.Generator().manual_seed(0))
    found = script("walks").path_figures(points)
    assert found["length"] == pytest.approx(1, abs=1e-5)
    assert found["roughness"] == pytest.approx(1, abs=1e-5)
    assert found["longest_step"] == pytest.approx(1, abs=1e-4)


def test_a_detour_is_as_long_as_its_sides(script: Any) -> None:
    found = script("walks").path_figures(torch.tensor([[0.0, 0.0], [3.0, 0.0], [3.0, 4.0]]))
    assert found["length"] == pytest.approx(7 / 5)
    assert found["squared_steps"] == pytest.approx(4 * (9 + 16) / 2)


def test_an_uneven_way_is_rough_and_no_longer(script: Any) -> None:
    found = script("walks").path_figures(torch.tensor([[0.0], [0.1], [1.0]]))
    assert found["length"] == pytest.approx(1)
    assert found["roughness"] == pytest.approx(2 * (0.01 + 0.81))


def test_ends_at_one_point_have_no_finite_length(script: Any) -> None:
    assert script("walks").path_figures(torch.tensor([[0.0], [1.0], [0.0]]))["length"] == math.inf


def test_slerp_keeps_the_norm_and_the_ends(script: Any) -> None:
    start, end = torch.tensor([2.0, 0.0, 0.0]), torch.tensor([0.0, 2.0, 0.0])
    points = script("walks").slerp(start, end, torch.linspace(0, 1, 5))
    assert torch.allclose(points[[0, -1]], torch.stack([start, end]), atol=1e-6)
    assert torch.allclose(points.norm(dim=1), torch.full((5,), 2.0), atol=1e-6)
    assert torch.allclose(points[2], torch.tensor([1.0, 1.0, 0.0]) * 2**0.5, atol=1e-6)
    assert torch.allclose(script("walks").slerp(start, 2 * start, torch.tensor([0.5])), 1.5 * start[None])


def test_drift_is_from_the_first_point_that_is_heard(script: Any) -> None:
    pitch_figures = script("walks").pitch_figures
    assert pitch_figures([None, 10.0, -20.0, 15.0]) == {"drift_cents": 30.0, "off_cents": 20.0, "voiced": 0.75}
    assert pitch_figures([None, 3.0])["drift_cents"] is None
    assert pitch_figures([None, None]) == {"drift_cents": None, "off_cents": None, "voiced": 0.0}


def test_smaller_parts_of_a_folder_lie_within_larger_ones(script: Any) -> None:
    subset, names = script("stability").subset, [f"{i:03d}.wav" for i in range(40)]
    assert subset(names, 40) == names
    assert set(subset(names, 5)) < set(subset(names, 20))
    assert subset(names, 5) == subset(names[::-1], 5) != names[:5]


def test_collapsed_and_diverged_runs_are_called_so(script: Any) -> None:
    verdict_of = script("stability").verdict_of
    rows = [{"step": 9, "eval/kad": kad, "eval/diversity": 0.1, "eval/coverage": 0.1, "eval/n": 64} for kad in (2, 3)]
    found = verdict_of(rows, None)
    assert found["verdict"] == ["collapsed"]
    assert (found["eval/kad"], found["lowest_kad"], found["gap/logits"]) == (3, 2, None)
    assert verdict_of([{**row, "eval/diversity": 0.9} for row in rows], None)["verdict"] == ["healthy"]
    assert verdict_of([], None)["verdict"] == ["no alarm, not evaluated"]
    assert verdict_of([], "adv_d became NaN or infinite at step 3")["verdict"] == ["diverged"]


def evaluation() -> dict[str, Any]:
    near = {"precision": 0.7, "recall": 0.6, "density": 0.9, "coverage": 0.5}
    return {
        "n": {"generated": 60, "left_out_generated": 4}, "kad": {"value": 0.6, "ci": [0.4, 0.8], "floor": 0.2}, **near,
        "left_out": {"generated": [["a", "silent (softer than -70 LUFS)"]] * 3 + [["b", "not finite"]]},
        "memorised": {"share": 0.01, "real_share": 0.02},
        "classes": {"accuracy": 0.6, "real_accuracy": 0.8, "copy_accuracy": 0.7},
        "pitch": {"generated": {"accuracy": 0.9}, "real": {"accuracy": 0.95}, "copy_synthesis": {"accuracy": 0.94}},
        "signal": {"loudness_lufs": {"real": {"median": -20.0}, "generated": {"median": -23.0}}},
        "real_vs_real": {"n": 50, "kad": -0.1, "kad_ci": None, **near},
        "copy_synthesis": {"n": 50, "kad": 0.1, "kad_ci": [0.0, 0.2], **near}, "white_noise": None,
    }  # fmt: skip


def test_a_row_has_the_figures_of_an_evaluation(script: Any) -> None:
    figures = script("figures")
    row = dict(zip(figures.HEAD, figures.row_of("GAN", figures.summary(evaluation())), strict=True))
    assert row["KAD (95 %)"] == "0.60 (0.40 .. 0.80)"
    assert row["KAD / floor"] == "3.0"
    assert row["memorised (real)"] == "1.0% (2.0%)"
    assert row["class accuracy (real)"] == "0.60 (0.80)"
    assert row["within 50 cents (real)"] == "0.90 (0.95)"
    assert row["silent"] == "4.7%"
    assert row["loudness, dB from real"] == "-3.0"


def test_figures_that_are_missing_are_empty_cells(script: Any) -> None:
    figures = script("figures")
    bare = evaluation() | {
        "pitch": None,
        "classes": None,
        "signal": {},
        "kad": {"value": None, "ci": None, "floor": None},
    }
    row = dict(zip(figures.HEAD, figures.row_of("GAN", figures.summary(bare)), strict=True))
    assert {row[key] for key in figures.HEAD[2:5]} == {""}
    assert {row[key] for key in ("class accuracy (real)", "within 50 cents (real)", "loudness, dB from real")} == {""}


def test_sets_for_the_scale_come_after_the_models(script: Any) -> None:
    figures = script("figures")
    rows = figures.scale_rows(evaluation())
    assert [row[0] for row in rows] == ["real against real", "copy-synthesis"]
    assert rows[1][figures.HEAD.index("within 50 cents (real)")] == "0.94 (0.95)"
    assert [row[figures.HEAD.index("class accuracy (real)")] for row in rows] == ["", "0.70 (0.80)"]
    assert figures.markdown([["a", "b"], ["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"
