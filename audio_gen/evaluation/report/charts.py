"""Curves, maps and histograms as inline SVG by matplotlib, in the colours of the page around them, light or dark."""

import io
import math
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from audio_gen.models.basis import principal_components
from audio_gen.text import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Points = Sequence[tuple[float, float]]

# Each colour is the light value of a variable of templates/style.css; dark mode has other values.
COLOURS = ("#b0413e", "#2b6c8f", "#6b7f1f", "#8a5a9e", "#b87a14")
SOFT, LINE, CARD = "#66625c", "#ddd9d2", "#ffffff"
VARIABLES = {SOFT: "--soft", LINE: "--line", CARD: "--card", **{c: f"--c{i}" for i, c in enumerate(COLOURS)}}
MAX_POINTS = 400  # of a curve
MAX_DOTS = 2000  # in all groups together
CURVES_SIZE, MAP_SIZE, HISTOGRAM_SIZE = (640, 240), (640, 400), (320, 190)
FONT_SIZE, LEGEND_STEP = 11, 16
MIN_BINS, MAX_BINS = 8, 30
TAIL = 0.005  # share of the values on each side in the outermost bin, so that an outlier does not flatten the rest
SETTINGS: Any = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "audio_gen",  # the same figures give the same bytes
    "text.parse_math": False,
    "font.size": FONT_SIZE,
    "font.sans-serif": ["DejaVu Sans"],  # for the layout; the page sets another font
}


def curves_svg(curves: Mapping[str, Points], x_label: str, y_label: str) -> str:
    """Draw curves.

    Args:
        curves: (x, y) points by name; non-finite ones are skipped, and of many every n-th is drawn.
        x_label: Label of the x axis.
        y_label: Label of the y axis.

    Returns:
        An SVG element, or "" if there is nothing to draw.
    """
    kept = {name: _thinned([p for p in points if all(map(math.isfinite, p))]) for name, points in curves.items()}
    kept = {name: points for name, points in kept.items() if points}

    def draw(axes: "Axes") -> None:
        for colour, points in zip(_colours(kept), kept.values(), strict=True):
            axes.plot(*zip(*points, strict=True), color=colour, linewidth=1.8)
        axes.margins(x=0.01)
        _label(axes, x_label, y_label)
        _legend(axes, list(kept))

    return _svg(CURVES_SIZE, draw, f"{', '.join(kept)} over {x_label}") if kept else ""


def scatter_svg(groups: Mapping[str, Points], title: str) -> str:
    """Draw points as a map: equal scales, no numbers.

    Args:
        groups: (x, y) points by name; non-finite ones are skipped, and of many every n-th is drawn.
        title: Description for screen readers.

    Returns:
        An SVG element, or "" if there is nothing to draw.
    """
    kept = {name: [p for p in points if all(map(math.isfinite, p))] for name, points in groups.items()}
    kept = {name: points for name, points in kept.items() if points}
    step = math.ceil(sum(map(len, kept.values())) / MAX_DOTS)

    def draw(axes: "Axes") -> None:
        for colour, points in zip(_colours(kept), kept.values(), strict=True):
            x, y = zip(*points[::step], strict=True)
            axes.scatter(x, y, s=25, color=colour, alpha=0.55, linewidths=0)
        axes.margins(0.05, 0.12)  # space for the names
        axes.set_aspect("equal", adjustable="datalim")
        axes.set(xticks=[], yticks=[], facecolor=CARD)
        axes.spines[:].set(visible=True, color=LINE)
        axes.figure.subplots_adjust(0.002, 0.003, 0.998, 0.997)
        _legend(axes, [f"{name} ({len(points)})" for name, points in kept.items()])

    return _svg(MAP_SIZE, draw, title) if kept else ""


def histogram_svg(groups: Mapping[str, Sequence[float]], x_label: str) -> str:
    """Draw the distribution of values as an outline for each group, over the same bins.

    Args:
        groups: Values by name; non-finite ones are skipped.
        x_label: Label of the x axis.

    Returns:
        An SVG element, or "" if there is nothing to draw. The outermost bins include outliers, at most 0.5 % of a group
        on a side.
    """
    kept = {name: np.asarray(values, dtype=np.float64) for name, values in groups.items()}
    kept = {name: values[np.isfinite(values)] for name, values in kept.items()}
    kept = {name: values for name, values in kept.items() if len(values)}
    if not kept:
        return ""
    edges = _edges(list(kept.values()))

    def draw(axes: "Axes") -> None:
        shares = [np.histogram(np.clip(v, edges[0], edges[-1]), edges)[0] / len(v) for v in kept.values()]
        for colour, share in zip(_colours(kept), shares, strict=True):
            axes.stairs(share, edges, color=colour, linewidth=1.8)
        # Space above the bins for the names.
        axes.set(xlim=(edges[0], edges[-1]), ylim=(0, (1.05 + 0.1 * len(kept)) * max(map(max, shares))))
        _label(axes, x_label, "share of clips")
        _legend(axes, list(kept))

    return _svg(HISTOGRAM_SIZE, draw, f"{x_label}: {', '.join(kept)}")


def map_points(reference: Tensor, others: Sequence[Tensor]) -> list[Tensor]:
    """Project vectors on the first two principal components of a reference.

    Args:
        reference: (N, D), N at least 1, a few hundred at most; repeat it in `others` to draw it.
        others: (K, D) each.

    Returns:
        (K, 2) float64 for each of the others, 0 at the reference's mean. The largest weight of a component is positive,
        so that maps of two runs have the same orientation.
    """
    basis = principal_components(reference.double(), 2)
    directions = torch.nn.functional.normalize(basis.synthesis, dim=0)  # (D, R), R at most 2
    largest = directions.gather(0, directions.abs().argmax(0, keepdim=True))
    directions = directions * torch.where(largest < 0, -1.0, 1.0)
    directions = torch.nn.functional.pad(directions, (0, 2 - directions.shape[1]))
    return [(other.double() - basis.mean) @ directions for other in others]


def _svg(size: tuple[int, int], draw: Callable[["Axes"], None], title: str) -> str:
    """Draw one pair of axes as an SVG element, with the same bytes in every run."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    buffer = io.StringIO()
    with rc_context(SETTINGS), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # the browser has the font, not matplotlib
        figure = Figure(figsize=(size[0] / 72, size[1] / 72), facecolor="none")
        axes = figure.subplots()
        figure.subplots_adjust(56 / size[0], 40 / size[1], 1 - 12 / size[0], 1 - 12 / size[1])
        axes.set_facecolor("none")
        axes.spines[:].set_visible(False)
        draw(axes)
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    inner = buffer.getvalue().partition("<svg")[2].partition(">")[2]
    inner = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>|<metadata>.*?</metadata>", "", inner, flags=re.DOTALL)
    inner = re.sub(r'<g id="[^"]*"', "<g", inner)  # ids would repeat in every chart of a page
    inner = re.sub(rf"(?<=: )({'|'.join(VARIABLES)})", lambda m: f"var({VARIABLES[m[0]]}, {m[0]})", inner)
    space = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    box, label = f"0 0 {size[0]} {size[1]}", escape(one_line(title))
    return f'<svg {space} class="chart" viewBox="{box}" role="img" aria-label="{label}">{inner.strip()}'


def _label(axes: "Axes", x_label: str, y_label: str) -> None:
    axes.set_xlabel(one_line(x_label), color=SOFT)
    axes.set_ylabel(one_line(y_label), color=SOFT)
    axes.tick_params(length=0, labelcolor=SOFT)
    axes.locator_params(nbins=5)
    axes.grid(axis="y", color=LINE, linewidth=1)
    axes.set_axisbelow(True)


def _legend(axes: "Axes", names: Sequence[str]) -> None:
    """The names in the upper right corner, each in the colour of its group."""
    for row, (name, colour) in enumerate(zip(names, _colours(names), strict=True)):
        axes.annotate(
            one_line(name), (1, 1), xycoords="axes fraction", xytext=(-6, -6 - LEGEND_STEP * row),
            textcoords="offset points", ha="right", va="top", color=colour,
        )  # fmt: skip


def _colours(groups: Sequence[str] | Mapping[str, object]) -> list[str]:
    return [COLOURS[i % len(COLOURS)] for i in range(len(groups))]


def _thinned(points: Points) -> Points:
    """Every n-th point and the last, MAX_POINTS or so at most."""
    step = max(1, len(points) // MAX_POINTS)
    return [*points[:-1:step], points[-1]] if points else []


def _edges(values: Sequence[np.ndarray]) -> np.ndarray:
    low = min(float(np.quantile(some, TAIL)) for some in values)
    high = max(float(np.quantile(some, 1 - TAIL)) for some in values)
    if not high > low:
        low, high = low - (0.5 * abs(low) or 0.5), high + (0.5 * abs(high) or 0.5)
    bins = int(np.clip(np.sqrt(max(map(len, values))), MIN_BINS, MAX_BINS))
    return np.linspace(low, high, bins + 1)
