"""Curves as inline SVG: sharp at any size, and in the colours of the page around them."""

import math
from collections.abc import Mapping, Sequence

from audio_gen.evaluation.axes import COLOURS, Frame, widened

MAX_POINTS = 400

Points = Sequence[tuple[float, float]]


def curves_svg(curves: Mapping[str, Points], x_label: str, y_label: str) -> str:
    """Draw curves into one SVG element.

    Args:
        curves: (x, y) points by name; what is not finite is left out.
        x_label: What runs to the right.
        y_label: What runs upwards.

    Returns:
        The element, or "" where there is nothing to draw.
    """
    kept = {name: _thinned([p for p in points if all(map(math.isfinite, p))]) for name, points in curves.items()}
    kept = {name: points for name, points in kept.items() if points}
    if not kept:
        return ""
    xs, ys = ([p[i] for points in kept.values() for p in points] for i in (0, 1))
    frame = Frame(widened(min(xs), max(xs)), widened(min(ys), max(ys)))
    parts = [frame.axes(x_label, y_label)]
    for i, (name, points) in enumerate(kept.items()):
        way = " ".join(f"{frame.x(x):.1f},{frame.y(y):.1f}" for x, y in points)
        parts.append(f'<polyline class="c{i % COLOURS}" points="{way}"/>')
        parts.append(frame.legend(i, name))
    return frame.svg(parts, f"{', '.join(kept)} over {x_label}")


def _thinned(points: Points) -> Points:
    """Every n-th point and the last, MAX_POINTS or so at most."""
    step = max(1, len(points) // MAX_POINTS)
    return [*points[:-1:step], points[-1]] if points else []
