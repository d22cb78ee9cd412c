"""Pictures of log-mel spectrograms; those of stereo have the level differences and the width below."""

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from audio_gen.audio.mel import MelSpec
from audio_gen.audio.mel_scale import hz_to_mel
from audio_gen.audio.stereo import FRAMES, mel_weights, unpacked
from audio_gen.files import write_atomic
from audio_gen.text import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RANGE_NATS = 10.0  # levels 87 dB below the loudest are black
CELL_INCHES, TITLE_CHARACTERS = (2.4, 1.9), 32
PAN_NATS = 1.4  # 12 dB: a level difference of the full colour
PAN_COLOURS = ("#3fa7ff", "#000000", "#ff8a1f")  # left to right
WIDTH_COLOURS = ("#000000", "#8fd14f")  # mono to wide
STRIP_SHARE, GAP_SHARE = 0.16, 0.03  # of the mel's height: each of the two strips of stereo, and the gap above it
MAX_COLUMNS = 1200  # frames of a sound; a picture has fewer pixels


def spectrogram_png(
    columns: Sequence[tuple[str, Tensor]],
    path: Path | None = None,
    *,
    spec: MelSpec | None = None,
    per_row: int = 6,
) -> bytes:
    """Draw log-mels in a grid on one colour scale.

    Below the mel of a stereo image are two strips, with low bands at the bottom: the level difference (blue: left is
    louder, orange: right, up to 12 dB) and the width (black: mono, green: independent sides).

    Args:
        columns: At least one (title, log-mel (M, L)), or image (rows, L) of a stereo mel.
        path: A file that the picture is also written to.
        spec: Their mel definition, for axes in Hz and seconds; without it axes count bands and frames. Images of a
            stereo mel need it.
        per_row: Pictures in a row.

    Returns:
        A PNG.
    """
    # The pyplot interface would keep figures alive and need a display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    assert columns
    width = min(per_row, len(columns))
    height = -(-len(columns) // width)
    figure = Figure(figsize=(width * CELL_INCHES[0] + 0.9, height * CELL_INCHES[1] + 0.3), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(height, width, squeeze=False)
    n_mels = spec.n_mels if spec else None  # rows of the mel; all without a spec
    high = max(float(mel[:n_mels].max()) for _, mel in columns)
    image = None
    for i, axis in enumerate(axes.flat):
        if i >= len(columns):
            axis.set_visible(False)
            continue
        title, rows = columns[i]
        mel = rows[:n_mels]
        shown = _narrowed(mel.detach().float().cpu())
        extent = (0, _length(mel, spec), -0.5, len(mel) - 0.5)
        image = axis.imshow(
            shown.numpy(), origin="lower", aspect="auto", extent=extent, cmap="magma", vmin=high - RANGE_NATS, vmax=high
        )
        axis.set_title(_plain(title), fontsize=8)
        axis.tick_params(labelsize=6, length=2)
        strips = _draw_strips(axis, rows.detach().float().cpu(), spec, high) if spec and len(rows) > len(mel) else {}
        _label(axis, len(mel), spec, strips, left=i % width == 0, bottom=i + width >= len(columns))
    assert image is not None
    bar = figure.colorbar(image, ax=axes, fraction=0.03, pad=0.01)
    bar.set_label("nats", fontsize=7)
    bar.ax.tick_params(labelsize=6)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    data = buffer.getvalue()
    if path is not None:
        write_atomic(path, lambda p: p.write_bytes(data))
    return data


def _draw_strips(axis: "Axes", image: Tensor, spec: MelSpec, high: float) -> dict[str, float]:
    """Draw the stereo of an image (rows, L) below its mel, black where that is; returns where the labels go."""
    from matplotlib.colors import LinearSegmentedColormap

    n_mels, length = spec.n_mels, _length(image, spec)
    values, weights = unpacked(image[None, n_mels:]), mel_weights(spec)
    power = weights / weights.sum(1, keepdim=True).clamp(min=1e-6) @ (2 * image[:n_mels]).exp()  # (K, L)
    level = torch.nn.functional.max_pool1d(power, FRAMES, ceil_mode=True).log() / 2  # (K, N)
    audible = level > high - RANGE_NATS
    height, gap, top, places = STRIP_SHARE * n_mels, GAP_SHARE * n_mels, -0.5, {}
    for label, shown, limits, colours in (
        ("L / R", -values.difference[0] * audible, (-PAN_NATS, PAN_NATS), PAN_COLOURS),
        ("width", values.angle[0] * audible, (0.0, math.pi / 2), WIDTH_COLOURS),
    ):
        top -= gap
        axis.imshow(
            shown.numpy(), origin="lower", aspect="auto", extent=(0, length, top - height, top), vmin=limits[0],
            vmax=limits[1], cmap=LinearSegmentedColormap.from_list(label, colours), interpolation="nearest",
        )  # fmt: skip
        places[label] = top - height / 2
        top -= height
    axis.set(xlim=(0, length), ylim=(top, n_mels - 0.5))
    return places


def _narrowed(mel: Tensor) -> Tensor:
    """mel (M, L) max-pooled to at most MAX_COLUMNS frames."""
    if mel.shape[1] <= MAX_COLUMNS:
        return mel
    return torch.nn.functional.adaptive_max_pool1d(mel[None], MAX_COLUMNS)[0]


def _plain(title: str) -> str:
    """A title on one short line, with formula signs escaped."""
    line = visible(" ".join(title.split())).replace("$", r"\$")
    return line if len(line) <= TITLE_CHARACTERS else f"{line[: TITLE_CHARACTERS - 1]}…"


def _length(mel: Tensor, spec: MelSpec | None) -> float:
    return mel.shape[1] / spec.frame_rate if spec else float(mel.shape[1])


def _label(
    axis: "Axes", n_mels: int, spec: MelSpec | None, strips: dict[str, float], *, left: bool, bottom: bool
) -> None:
    if spec is not None:
        wanted_hz = [f for f in (100, 300, 1000, 3000, 10000) if spec.f_min < f < (spec.f_max or spec.nyquist)]
        places, labels = _bands(wanted_hz, n_mels, spec), [_short_hz(f) for f in wanted_hz]
        axis.set_yticks([*strips.values(), *places], [*strips, *labels])
    if left:
        axis.set_ylabel("Hz" if spec else "mel band", fontsize=7)
    else:
        axis.set_yticklabels([])
    if bottom:
        axis.set_xlabel("s" if spec else "frame", fontsize=7)


def _bands(frequencies_hz: Sequence[float], n_mels: int, spec: MelSpec) -> list[float]:
    """Fractional band numbers with centres at some frequencies."""
    low, high = hz_to_mel(spec.f_min), hz_to_mel(spec.f_max or spec.nyquist)
    return [(hz_to_mel(hz) - low) / (high - low) * (n_mels + 1) - 1 for hz in frequencies_hz]


def _short_hz(frequency_hz: float) -> str:
    return f"{frequency_hz / 1000:g}k" if frequency_hz >= 1000 else f"{frequency_hz:g}"
