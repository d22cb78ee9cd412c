"""Maps and histograms: everything lies in its frame, nothing is dropped unsaid, and no name does harm."""

import math
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
import torch

from audio_gen.evaluation import report
from audio_gen.evaluation.report import Section, write_report
from audio_gen.evaluation.report.charts import MAX_DOTS, VARIABLES, histogram_svg, map_points, scatter_svg

EVIL = '<img src=x onerror="alert(1)">&amp;\n\udcff'
Points = list[tuple[float, float]]


def numbers(text: str) -> list[float]:
    return [float(n) for n in re.findall(r"-?[\d.]+", text)]


def size_of(svg: ET.Element) -> tuple[float, float]:
    _, _, width, height = numbers(svg.attrib["viewBox"])
    return width, height


def elements(svg: ET.Element, tag: str, colour: int) -> list[ET.Element]:
    return [part for part in svg.findall(f".//{{*}}{tag}") if f"var(--c{colour}," in part.get("style", "")]


def dots(svg: ET.Element, colour: int) -> np.ndarray:
    return np.array([(float(use.attrib["x"]), float(use.attrib["y"])) for use in elements(svg, "use", colour)])


def texts(svg: ET.Element) -> list[str | None]:
    return [text.text for text in svg.findall(".//{*}text")]


def outline(svg: ET.Element, colour: int) -> np.ndarray:
    (line,) = elements(svg, "path", colour)
    return np.array(numbers(line.attrib["d"])).reshape(-1, 2)


def circle(count: int) -> Points:
    return [(math.cos(2 * math.pi * i / count), 5 + math.sin(2 * math.pi * i / count)) for i in range(count)]


@pytest.mark.parametrize(
    "points", [[(0.0, 0.0)], [(1.0, 2.0)] * 3, [(i, 1e-9 * i) for i in range(50)], [(-3, -2), (5, 1e12)], circle(20)]
)
def test_dots_fit_into_their_frame(points: Points) -> None:
    svg = ET.fromstring(scatter_svg({"a": points, "b": [(math.nan, 1.0), points[0]]}, "map"))
    width, height = size_of(svg)
    first, second = dots(svg, 0), dots(svg, 1)
    assert len(first) == len(points) and len(second) == 1
    assert (first >= 0).all() and (first <= (width, height)).all()


def test_a_map_has_one_scale_and_no_numbers() -> None:
    svg = ET.fromstring(scatter_svg({"a": circle(100), "b": [(3.0, 5.0)]}, "map"))
    found = dots(svg, 0)
    assert np.ptp(found[:, 0]) == pytest.approx(np.ptp(found[:, 1]), abs=0.3)
    assert found[25, 1] < found[0, 1]  # what is larger lies higher
    assert texts(svg) == ["a (100)", "b (1)"]
    assert svg.attrib["aria-label"] == "map"


def test_many_points_are_thinned_alike() -> None:
    svg = ET.fromstring(scatter_svg({"a": circle(9000), "b": circle(900)}, "map"))
    counts = [len(dots(svg, colour)) for colour in (0, 1)]
    assert sum(counts) <= MAX_DOTS + 2 and counts[0] == pytest.approx(10 * counts[1], rel=0.05)


def test_histograms_share_their_bins_and_show_shares() -> None:
    rng = np.random.default_rng(0)
    groups = {"a": [*rng.normal(size=400), math.nan, math.inf], "b": list(rng.normal(2, 1, size=100))}
    svg = ET.fromstring(histogram_svg(groups, "loudness"))
    a, b = outline(svg, 0), outline(svg, 1)
    np.testing.assert_allclose(a[:, 0], b[:, 0])
    base = a[0, 1]
    areas = [float((np.diff(line[:, 0]) * (base - line[:-1, 1])).sum()) for line in (a, b)]
    assert areas[0] == pytest.approx(areas[1], rel=0.03) and areas[0] > 0
    assert [line[0, 1] for line in (a, b)] == [line[-1, 1] for line in (a, b)] == [base, base]
    width, height = size_of(svg)
    assert a.min() >= 0 and a[:, 0].max() <= width and a[:, 1].max() <= height


def test_an_outlier_goes_into_the_outermost_bin() -> None:
    svg = ET.fromstring(histogram_svg({"a": [*np.linspace(0, 1, 1000), 1e9]}, "x"))
    line = outline(svg, 0)
    heights = line[0, 1] - line[1:-1:2, 1]
    assert heights.min() > 0.8 * heights.max()


@pytest.mark.parametrize("values", [[0.0], [2.0] * 50, [-1e9, 1e9], [1e-12, 2e-12]])
def test_histograms_of_few_or_equal_values(values: list[float]) -> None:
    line = outline(ET.fromstring(histogram_svg({"a": values}, "x")), 0)
    assert np.isfinite(line).all()


def test_nothing_to_plot() -> None:
    assert scatter_svg({}, "x") == scatter_svg({"a": [], "b": [(0, math.inf)]}, "x") == ""
    assert histogram_svg({}, "x") == histogram_svg({"a": [], "b": [math.nan]}, "x") == ""


def test_no_name_does_harm() -> None:
    for drawing in (scatter_svg({EVIL: [(0, 1)]}, EVIL), histogram_svg({EVIL: [1.0, 2.0]}, EVIL)):
        svg = ET.fromstring(drawing)
        assert svg.findall(".//{*}img") == [] and 'onerror="alert(1)"' in svg.attrib["aria-label"]
        assert any('onerror="alert(1)"' in str(text) for text in texts(svg))
        assert not any(key.startswith("on") for part in svg.iter() for key in part.attrib)


def test_a_report_holds_the_charts_as_they_are(tmp_path: Path) -> None:
    charts = [scatter_svg({"a": circle(5)}, "map"), "", histogram_svg({"a": [1.0, 2.0]}, "x")]
    write_report(tmp_path / "r.html", title="x", sections=[Section("s", charts=charts), Section("t", charts=[""])])
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert all(chart in page for chart in charts) and page.count('<div class="charts">') == 1


def test_every_colour_has_a_value_in_light_and_in_dark() -> None:
    style = (Path(report.__file__).parent / "templates/style.css").read_text(encoding="utf-8")
    svg = scatter_svg({str(i): [(float(i), 0.0)] for i in range(7)}, "x")
    for colour, variable in VARIABLES.items():
        assert len(re.findall(rf"{variable}: #", style)) == 2, variable
        assert svg.count(colour) == svg.count(f"var({variable}, {colour})"), colour


def test_names_are_shown_as_they_are() -> None:
    for name in ("$x$ _", "_hidden", "日本", "#b0413e"):
        assert name in texts(ET.fromstring(histogram_svg({name: [1.0, 2.0]}, "x")))


@pytest.mark.parametrize("count", [10, 500])  # fewer and more vectors than dimensions
def test_the_map_is_that_of_the_principal_components(count: int) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(count, 40, generator=generator) * torch.linspace(3, 0.1, 40)
    (found,) = map_points(x, [x])
    centred = (x - x.mean(0)).double()
    u, s, _ = torch.linalg.svd(centred, full_matrices=False)
    assert found.shape == (count, 2)
    torch.testing.assert_close(found.abs(), (u * s)[:, :2].abs(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.mean(0), torch.zeros(2, dtype=torch.float64), atol=1e-5, rtol=0)
    again, part = map_points(x.flip(0), [x, x[:3]])
    torch.testing.assert_close(again, found, atol=1e-4, rtol=1e-4)  # the signs too
    torch.testing.assert_close(part, found[:3], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("shape", [(1, 5), (2, 5), (5, 1), (3, 2)])
def test_maps_of_little(shape: tuple[int, int]) -> None:
    x = torch.arange(shape[0] * shape[1], dtype=torch.float32).reshape(shape)
    (found,) = map_points(x, [x + 1])
    assert found.shape == (shape[0], 2) and bool(torch.isfinite(found).all())
