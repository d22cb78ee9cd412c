"""Maps and histograms as inline SVG, in the style of the curves."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from audio_gen.evaluation.axes import COLOURS, LEGEND_STEP, Frame

MAX_DOTS = 2000  # in all groups together
DOT_RADIUS = 2.5
MAP_WIDTH, MAP_HEIGHT, MAP_EDGE = 640, 400, 12
HISTOGRAM_WIDTH, HISTOGRAM_HEIGHT = 320, 190
MIN_BINS, MAX_BINS = 8, 30
TAIL = 0.005  # of the values on each side go into the outermost bin, or one outlier would flatten the rest


def scatter_svg(groups: Mapping[str, Sequence[tuple[float, float]]], title: str) -> str:
    """Draw points as a map: both directions have one scale, and no numbers.

    Args:
        groups: (x, y) points by name; what is not finite is left out, and of many points every n-th is drawn.
        title: What is shown, for those who do not see it.

    Returns:
        The element, or "" where there is nothing to draw.
    """
    kept = {name: [p for p in points if all(map(math.isfinite, p))] for name, points in groups.items()}
    kept = {name: points for name, points in kept.items() if points}
    if not kept:
        return ""
    step = math.ceil(sum(map(len, kept.values())) / MAX_DOTS)
    place = _map_frame([p for points in kept.values() for p in points], LEGEND_STEP * len(kept))
    size = f'width="{MAP_WIDTH - 1}" height="{place.height - 1}"'
    parts = [f'<rect x="0.5" y="0.5" {size} rx="8"/>']
    for i, points in enumerate(kept.values()):
        # One path for a group: a dot is a line of no length with round ends, in a few bytes.
        dots = "".join(f"M{place.x(x):.1f} {place.y(y):.1f}h0" for x, y in points[::step])
        parts.append(f'<path class="dots c{i % COLOURS}" stroke-width="{2 * DOT_RADIUS}" d="{dots}"/>')
    parts += [place.legend(i, f"{name} ({len(points)})") for i, (name, points) in enumerate(kept.items())]
    return place.svg(parts, title)


def histogram_svg(groups: Mapping[str, Sequence[float]], x_label: str) -> str:
    """Draw how values are distributed, as an outline for each group, all over the same bins.

    Args:
        groups: Values by name; what is not finite is left out.
        x_label: What the values are.

    Returns:
        The element, or "" where there is nothing to draw. The outermost bins hold whatever lies beyond, which is at
        most 0.5 % of a group on a side.
    """
    kept = {name: np.asarray(values, dtype=np.float64) for name, values in groups.items()}
    kept = {name: values[np.isfinite(values)] for name, values in kept.items()}
    kept = {name: values for name, values in kept.items() if len(values)}
    if not kept:
        return ""
    edges = _edges(list(kept.values()))
    shares = {name: _shares(values, edges) for name, values in kept.items()}
    top = max(float(share.max()) for share in shares.values())
    # Room above the bins for the names.
    head = 1.05 + 0.1 * len(kept)
    frame = Frame((edges[0], edges[-1]), (0.0, head * top), HISTOGRAM_WIDTH, HISTOGRAM_HEIGHT, left=54)
    parts = [frame.axes(x_label, "share of clips", ticks=4)]
    for i, share in enumerate(shares.values()):
        parts.append(f'<polyline class="c{i % COLOURS}" points="{_steps(share, edges, frame)}"/>')
    parts += [frame.legend(i, name) for i, name in enumerate(shares)]
    return frame.svg(parts, f"{x_label}: {', '.join(shares)}")


def map_points(reference: Tensor, others: Sequence[Tensor]) -> list[Tensor]:
    """Lay vectors out in the two directions in which the reference varies most, its first principal components.

    Args:
        reference: (N, D), N at least 1; give it among the others too if it is to be drawn.
        others: (K, D) each.

    Returns:
        (K, 2) float64 for each of the others, 0 where the reference's mean lies. The largest weight of a component is
        positive, so that a map does not turn over from one run to the next.
    """
    x = reference.double()
    centre = x.mean(0)
    x = x - centre
    # The smaller of the two products has the same spectrum; a full decomposition of (N, D) would take minutes.
    if len(x) >= x.shape[1]:
        directions = torch.linalg.eigh(x.T @ x).eigenvectors.flip(1)[:, :2]  # (D, 2)
    else:
        directions = x.T @ torch.linalg.eigh(x @ x.T).eigenvectors.flip(1)[:, :2]
        directions = directions / directions.norm(dim=0).clamp(min=1e-12)
    largest = directions.gather(0, directions.abs().argmax(0, keepdim=True))
    directions = directions * torch.where(largest < 0, -1.0, 1.0)
    directions = torch.nn.functional.pad(directions, (0, 2 - directions.shape[1]))  # one clip has one direction
    return [(other.double() - centre) @ directions for other in others]


def _map_frame(points: Sequence[tuple[float, float]], head: int) -> Frame:
    """A frame that holds all points in one scale for both directions, with `head` kept free above them."""
    spans, middles = [], []
    for values in zip(*points, strict=True):
        spans.append(max(values) - min(values) or 1e-9)
        middles.append((max(values) + min(values)) / 2)
    inner = MAP_WIDTH - 2 * MAP_EDGE, MAP_HEIGHT - 2 * MAP_EDGE
    unit = max(span / room for span, room in zip(spans, inner, strict=True))
    x_range, y_range = ((m - unit * room / 2, m + unit * room / 2) for m, room in zip(middles, inner, strict=True))
    edge = MAP_EDGE
    return Frame(x_range, y_range, MAP_WIDTH, MAP_HEIGHT + head, edge, edge, edge + head, edge)


def _edges(values: Sequence[np.ndarray]) -> np.ndarray:
    low = min(float(np.quantile(some, TAIL)) for some in values)
    high = max(float(np.quantile(some, 1 - TAIL)) for some in values)
    if not high > low:
        low, high = low - (0.5 * abs(low) or 0.5), high + (0.5 * abs(high) or 0.5)
    bins = int(np.clip(np.sqrt(max(map(len, values))), MIN_BINS, MAX_BINS))
    return np.linspace(low, high, bins + 1)


def _shares(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0] / len(values)


def _steps(shares: np.ndarray, edges: np.ndarray, frame: Frame) -> str:
    """Corners of the outline, from the base and back to it."""
    xs, ys = np.repeat(edges, 2), np.concatenate([[0.0], np.repeat(shares, 2), [0.0]])
    return " ".join(f"{frame.x(x):.1f},{frame.y(y):.1f}" for x, y in zip(xs, ys, strict=True))
