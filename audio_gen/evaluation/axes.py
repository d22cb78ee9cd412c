"""A frame with axes, into which curves and histograms are drawn as SVG."""

import math
from dataclasses import dataclass

from audio_gen.evaluation.markup import safe

COLOURS = 5  # classes c0 .. c4 in the report's style
LEGEND_TOP, LEGEND_STEP = 26, 16

Range = tuple[float, float]


@dataclass(frozen=True)
class Frame:
    """A drawing of `width` by `height`, and what of it lies within the axes.

    Attributes:
        x_range: Values at the left and right end.
        y_range: Values at the lower and upper end.
        width: Of the whole drawing, and
        height: in the same units.
        left: Room beside the axes, as are right, top and bottom.
    """

    x_range: Range
    y_range: Range
    width: int = 640
    height: int = 240
    left: int = 56
    right: int = 12
    top: int = 12
    bottom: int = 40

    def x(self, value: float) -> float:
        """Where a value lies, from the left."""
        low, high = self.x_range
        return self.left + (value - low) / (high - low) * (self.width - self.left - self.right)

    def y(self, value: float) -> float:
        """Where a value lies, from the top."""
        low, high = self.y_range
        return self.height - self.bottom - (value - low) / (high - low) * (self.height - self.top - self.bottom)

    def axes(self, x_label: str, y_label: str, ticks: int = 5) -> str:
        """Lines, numbers and labels, with about `ticks` numbers an axis."""
        parts, right, base = [], self.width - self.right, self.height - self.bottom
        for value in round_values(*self.y_range, ticks):
            y = self.y(value)
            parts.append(f'<line x1="{self.left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
            parts.append(f'<text class="y" x="{self.left - 6}" y="{y + 4:.1f}">{value:g}</text>')
        for value in round_values(*self.x_range, ticks):
            parts.append(f'<text class="x" x="{self.x(value):.1f}" y="{base + 16}">{value:g}</text>')
        parts.append(f'<text class="x" x="{(self.left + right) / 2}" y="{self.height - 6}">{safe(x_label)}</text>')
        middle = (self.top + base) / 2
        parts.append(f'<text class="x" transform="translate(12 {middle}) rotate(-90)">{safe(y_label)}</text>')
        return "".join(parts)

    def legend(self, row: int, name: str) -> str:
        """The name of the group number `row`, in its colour, in the upper right corner."""
        x, y = self.width - self.right - 4, LEGEND_TOP + LEGEND_STEP * row
        return f'<text class="c{row % COLOURS}" x="{x}" y="{y}">{safe(name)}</text>'

    def svg(self, parts: list[str], title: str) -> str:
        """The element that holds the parts; the title is for those who do not see it."""
        size = f"0 0 {self.width} {self.height}"
        return f'<svg class="curves" viewBox="{size}" role="img" aria-label="{safe(title)}">{"".join(parts)}</svg>'


def widened(low: float, high: float) -> Range:
    """The range with a margin, so that it is not empty; what starts at 0 goes on doing so."""
    margin = 0.05 * (high - low) or 0.5 * abs(high) or 1.0
    return low - margin if low != 0 else low, high + margin


def round_values(low: float, high: float, count: int = 5) -> list[float]:
    """About `count` round values from low to high."""
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough)
    first = math.ceil(low / step)
    return [round(i * step, 12) for i in range(first, math.floor(high / step) + 1)]
