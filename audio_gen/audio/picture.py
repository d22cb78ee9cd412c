"""Pictures of log-mel spectrograms."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from audio_gen.audio.mel import MelSpec
from audio_gen.audio.mel_scale import hz_to_mel
from audio_gen.files import write_atomic
from audio_gen.text import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RANGE_NATS = 10.0  # levels 87 dB below the loudest are black
CELL_INCHES, TITLE_CHARACTERS = (2.4, 1.9), 32
MAX_COLUMNS = 1200  # frames of a sound; a picture has fewer pixels


def spectrogram_png(
    columns: Sequence[tuple[str, Tensor]],
    path: Path | None = None,
    *,
    spec: MelSpec | None = None,
    per_row: int = 6,
) -> bytes:
    """Draw log-mels in a grid on one colour scale.

    Args:
        columns: At least one (title, log-mel (M, L)).
        path: A file that the picture is also written to.
        spec: Their mel definition, for axes in Hz and seconds; without it axes count bands and frames.
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
    high = max(float(mel.max()) for _, mel in columns)
    image = None
    for i, axis in enumerate(axes.flat):
        if i >= len(columns):
            axis.set_visible(False)
            continue
        title, mel = columns[i]
        shown = _narrowed(mel.detach().float().cpu())
        extent = (0, _length(mel, spec), -0.5, len(mel) - 0.5)
        image = axis.imshow(
            shown.numpy(), origin="lower", aspect="auto", extent=extent, cmap="magma", vmin=high - RANGE_NATS, vmax=high
        )
        axis.set_title(_plain(title), fontsize=8)
        axis.tick_params(labelsize=6, length=2)
        _label(axis, len(mel), spec, left=i % width == 0, bottom=i + width >= len(columns))
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


def _label(axis: "Axes", n_mels: int, spec: MelSpec | None, *, left: bool, bottom: bool) -> None:
    if spec is not None:
        wanted_hz = [f for f in (100, 300, 1000, 3000, 10000) if spec.f_min < f < (spec.f_max or spec.nyquist)]
        axis.set_yticks(_bands(wanted_hz, n_mels, spec), [_short_hz(f) for f in wanted_hz])
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
