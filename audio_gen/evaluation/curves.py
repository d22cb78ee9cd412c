"""Curves as inline SVG: sharp at any size, and in the colours of the page around them."""

import math
from collections.abc import Mapping, Sequence

from audio_gen.evaluation.markup import safe

WIDTH, HEIGHT = 640, 240
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 12, 40
MAX_POINTS = 400
COLOURS = 5  # classes c0 .. c4 in the report's style

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
    x_range, y_range = _widened(min(xs), max(xs)), _widened(min(ys), max(ys))
    parts = [_axes(x_range, y_range, x_label, y_label)]
    for i, (name, points) in enumerate(kept.items()):
        way = " ".join(f"{_x(x, x_range):.1f},{_y(y, y_range):.1f}" for x, y in points)
        parts.append(f'<polyline class="c{i % COLOURS}" points="{way}"/>')
        parts.append(
            f'<text class="c{i % COLOURS}" x="{WIDTH - RIGHT - 4}" y="{TOP + 14 + 16 * i}">{safe(name)}</text>'
        )
    title = safe(f"{', '.join(kept)} over {x_label}")
    return f'<svg class="curves" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">{"".join(parts)}</svg>'


def _axes(x_range: tuple[float, float], y_range: tuple[float, float], x_label: str, y_label: str) -> str:
    parts = []
    for value in _ticks(*y_range):
        y = _y(value, y_range)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="y" x="{LEFT - 6}" y="{y + 4:.1f}">{value:g}</text>')
    for value in _ticks(*x_range):
        parts.append(f'<text class="x" x="{_x(value, x_range):.1f}" y="{HEIGHT - BOTTOM + 16}">{value:g}</text>')
    parts.append(f'<text class="x" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}">{safe(x_label)}</text>')
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(f'<text class="x" transform="translate(12 {middle}) rotate(-90)">{safe(y_label)}</text>')
    return "".join(parts)


def _ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About `count` round values from low to high."""
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough)
    first = math.ceil(low / step)
    return [round(i * step, 12) for i in range(first, math.floor(high / step) + 1)]


def _widened(low: float, high: float) -> tuple[float, float]:
    margin = 0.05 * (high - low) or 0.5 * abs(high) or 1.0
    return low - margin if low != 0 else low, high + margin


def _thinned(points: Points) -> Points:
    """Every n-th point and the last, MAX_POINTS or so at most."""
    step = max(1, len(points) // MAX_POINTS)
    return [*points[:-1:step], points[-1]] if points else []


def _x(value: float, x_range: tuple[float, float]) -> float:
    return LEFT + (value - x_range[0]) / (x_range[1] - x_range[0]) * (WIDTH - LEFT - RIGHT)


def _y(value: float, y_range: tuple[float, float]) -> float:
    return HEIGHT - BOTTOM - (value - y_range[0]) / (y_range[1] - y_range[0]) * (HEIGHT - TOP - BOTTOM)
