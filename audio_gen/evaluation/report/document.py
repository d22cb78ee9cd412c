"""Write a report as one HTML file that needs no JavaScript and no network.

Templates escape all text. A section has its own template, so that the web page can show it alone.
"""

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import soundfile as sf
import torch
from torch import Tensor

from audio_gen import __version__
from audio_gen.evaluation.report.charts import Points, curves_svg
from audio_gen.files import write_text
from audio_gen.text import one_line

if TYPE_CHECKING:
    from jinja2 import Environment

MAX_AUDIO_BYTES = 10_000_000  # of base64; browsers grow slow on much more
MAX_ROWS = 200
SILENCE, KEPT_SILENCE_SEC = 1e-3, 0.1


@dataclass(frozen=True)
class Sound:
    """A sound with a player: its title and wav (C, T) at `sample_rate` Hz."""

    title: str
    wav: Tensor
    sample_rate: int


@dataclass(frozen=True)
class Section:
    """A section of a report; its parts are shown in this order.

    Attributes:
        title: Its heading.
        text: Paragraphs.
        sounds: Sounds to play.
        picture: A PNG.
        picture_text: Description of the picture for screen readers.
        curves: (x, y) points by name.
        axes: Labels of the curves' x and y axes.
        charts: SVG elements of `report.charts`, side by side; inserted without escaping.
        table: Rows of cells; the first is the head.
        commands: Lines for a terminal.
    """

    title: str
    text: Sequence[str] = ()
    sounds: Sequence[Sound] = ()
    picture: bytes | None = None
    picture_text: str = ""
    curves: Mapping[str, Points] | None = None
    axes: tuple[str, str] = ("", "")
    charts: Sequence[str] = ()
    table: Sequence[Sequence[str]] = ()
    commands: Sequence[str] = ()


@dataclass
class AudioBudget:
    """Bytes of audio that a page may still hold."""

    left: int = MAX_AUDIO_BYTES

    def take(self, size: int) -> bool:
        """Take `size` bytes if they fit; returns whether they do."""
        if size > self.left:
            return False
        self.left -= size
        return True


def write_report(
    path: Path,
    *,
    title: str,
    intro: Sequence[str] = (),
    sections: Iterable[Section] = (),
    max_audio_bytes: int = MAX_AUDIO_BYTES,
) -> None:
    """Write a report.

    Args:
        path: The HTML file.
        title: Its title.
        intro: Paragraphs below the title.
        sections: Its sections, in order.
        max_audio_bytes: Sounds above this total are listed without a player.

    Raises:
        OutputError: It cannot be written.
    """
    budget = AudioBudget(max_audio_bytes)
    parts = [section_html(section, budget) for section in sections]
    page = _templates().get_template("report.html")
    write_text(path, page.render(title=title, intro=intro, sections=parts, version=__version__))


def number(value: float | None) -> str:
    """A figure for a table: three digits, "" for None."""
    return "" if value is None else f"{value:.3g}" if abs(value) >= 0.01 else f"{value:.1g}"


def section_html(section: Section, budget: AudioBudget) -> str:
    """A section as an HTML fragment, safe to insert (`Markup`)."""
    from markupsafe import Markup

    curves = [curves_svg(section.curves, *section.axes)] if section.curves else []
    head, *rows = section.table or [()]
    text = _templates().get_template("section.html").render(
        section=section,
        players=[(sound.title, _player(sound, budget)) for sound in section.sounds],
        picture=None if section.picture is None else Markup(base64.b64encode(section.picture).decode()),
        charts=[Markup(svg) for svg in (*curves, *section.charts) if svg],
        head=head,
        rows=rows[:MAX_ROWS],
        more=max(0, len(rows) - MAX_ROWS),
    )  # fmt: skip
    return Markup(text)


@cache
def _templates() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader(__package__), autoescape=True, finalize=_printable, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip


def _printable(value: Any) -> Any:
    """Text on one line, with control and undecodable characters escaped, before HTML is escaped."""
    return value if hasattr(value, "__html__") else one_line(str(value))


def _player(sound: Sound, budget: AudioBudget) -> str | None:
    """The sound as base64, safe to insert; None if the page is full."""
    from markupsafe import Markup

    data = base64.b64encode(_wav_bytes(sound)).decode()
    return Markup(data) if budget.take(len(data)) else None


def _wav_bytes(sound: Sound) -> bytes:
    """16-bit WAV; peaks above full scale are scaled down, and silence at the end is cut."""
    wav = sound.wav.detach().float().cpu()
    audible = torch.nonzero(wav.abs().amax(0) > SILENCE)
    wav = wav[:, : int(audible[-1]) + 1 + int(KEPT_SILENCE_SEC * sound.sample_rate) if len(audible) else 1]
    wav = wav / wav.abs().max().clamp(min=1.0) if wav.numel() else wav
    buffer = io.BytesIO()
    sf.write(buffer, wav.T.numpy(), sound.sample_rate, format="WAV", subtype="PCM_16")
    return buffer.getvalue()
