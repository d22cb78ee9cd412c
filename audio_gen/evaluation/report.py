"""A report as one HTML file: it opens from disk, works without JavaScript and the net, and can be sent to others."""

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import soundfile as sf
import torch
from torch import Tensor

from audio_gen import __version__
from audio_gen.evaluation.curves import Points, curves_svg
from audio_gen.evaluation.markup import safe
from audio_gen.files import write_text

MAX_AUDIO_BYTES = 10_000_000  # of base64; browsers grow slow on much more
MAX_ROWS = 200
SILENCE, KEPT_SILENCE_SEC = 1e-3, 0.1

STYLE = """
:root { color-scheme: light dark; --ink: #1c1b1a; --soft: #66625c; --page: #faf9f7; --card: #fff; --line: #ddd9d2;
  --c0: #b0413e; --c1: #2b6c8f; --c2: #6b7f1f; --c3: #8a5a9e; --c4: #b87a14; }
@media (prefers-color-scheme: dark) { :root { --ink: #eae7e2; --soft: #a19c94; --page: #181716; --card: #22201e;
  --line: #3a3733; --c0: #e58a86; --c1: #7dbbdd; --c2: #b5c95a; --c3: #c79bdb; --c4: #e3b25b; } }
body { margin: 0 auto; padding: 2rem 1rem 4rem; max-width: 62rem; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .5rem; } h2 { font-size: 1.15rem; margin: 2.5rem 0 .5rem; }
p { margin: .4rem 0; } .soft { color: var(--soft); font-size: .9rem; }
.clips { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: .75rem; margin: 1rem 0; }
figure { margin: 0; padding: .6rem .75rem; background: var(--card); border: 1px solid var(--line); border-radius: 8px; }
figcaption { font-size: .85rem; overflow-wrap: anywhere; margin-bottom: .35rem; } audio { width: 100%; height: 2.2rem; }
img, svg.curves { display: block; max-width: 100%; height: auto; margin: 1rem 0; border-radius: 8px; }
svg.curves { width: 40rem; fill: none; font-size: 11px; }
svg.curves line { stroke: var(--line); } svg.curves polyline { stroke-width: 1.8; stroke-linejoin: round; }
svg.curves text { fill: var(--soft); text-anchor: end; } svg.curves text.x { text-anchor: middle; }
polyline.c0 { stroke: var(--c0); } svg.curves text.c0 { fill: var(--c0); }
polyline.c1 { stroke: var(--c1); } svg.curves text.c1 { fill: var(--c1); }
polyline.c2 { stroke: var(--c2); } svg.curves text.c2 { fill: var(--c2); }
polyline.c3 { stroke: var(--c3); } svg.curves text.c3 { fill: var(--c3); }
polyline.c4 { stroke: var(--c4); } svg.curves text.c4 { fill: var(--c4); }
svg.curves rect { fill: var(--card); stroke: var(--line); }
svg.curves path.dots { stroke-linecap: round; opacity: .55; }
path.c0 { stroke: var(--c0); } path.c1 { stroke: var(--c1); } path.c2 { stroke: var(--c2); }
path.c3 { stroke: var(--c3); } path.c4 { stroke: var(--c4); }
.drawings { display: grid; grid-template-columns: repeat(auto-fit, minmax(17rem, 1fr)); gap: .25rem 1rem; }
.drawings svg.curves { width: 100%; max-width: 40rem; margin: .5rem 0; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: .9rem; }
th, td { text-align: left; vertical-align: top; padding: .25rem .9rem .25rem 0; border-bottom: 1px solid var(--line);
  overflow-wrap: anywhere; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: .75rem; overflow-x: auto; }
"""


@dataclass(frozen=True)
class Sound:
    """A sound with a player: its title and wav (1, T) at `sample_rate` Hz."""

    title: str
    wav: Tensor
    sample_rate: int


@dataclass(frozen=True)
class Section:
    """A part of a report; whatever is given is shown, in this order.

    Attributes:
        title: Its heading.
        text: Paragraphs.
        sounds: Sounds to play.
        picture: A PNG.
        picture_text: What the picture shows, for those who do not see it.
        curves: (x, y) points by name.
        axes: What the curves' x and y are.
        drawings: SVG elements made by `evaluation.plots`, several side by side; put in as they are, without escaping.
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
    drawings: Sequence[str] = ()
    table: Sequence[Sequence[str]] = ()
    commands: Sequence[str] = ()


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
        path: Where the HTML is wanted.
        title: Its title.
        intro: Paragraphs below the title.
        sections: Its parts, in order.
        max_audio_bytes: Sounds beyond this are named without a player.

    Raises:
        OutputError: It cannot be written.
    """
    room = _Room(max_audio_bytes)
    body = "".join(_section(section, room) for section in sections)
    write_text(
        path,
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{safe(title)}</title><style>{STYLE}</style></head><body>"
        f"<h1>{safe(title)}</h1>{_paragraphs(intro)}{body}"
        f'<p class="soft">Made with audio_gen {safe(__version__)}.</p></body></html>\n',
    )


@dataclass
class _Room:
    """Bytes of audio that may still be put into the page."""

    left: int

    def take(self, size: int) -> bool:
        if size > self.left:
            return False
        self.left -= size
        return True


def _section(section: Section, room: _Room) -> str:
    parts = [f"<h2>{safe(section.title)}</h2>", _paragraphs(section.text)]
    if section.sounds:
        parts.append(f'<div class="clips">{"".join(_player(sound, room) for sound in section.sounds)}</div>')
    if section.picture is not None:
        data = base64.b64encode(section.picture).decode()
        parts.append(f'<img src="data:image/png;base64,{data}" alt="{safe(section.picture_text)}">')
    if section.curves:
        parts.append(curves_svg(section.curves, *section.axes))
    if any(section.drawings):
        parts.append(f'<div class="drawings">{"".join(section.drawings)}</div>')
    if section.table:
        parts.append(_table(section.table))
    if section.commands:
        parts.append(f"<pre>{chr(10).join(map(safe, section.commands))}</pre>")
    return f"<section>{''.join(parts)}</section>"


def _player(sound: Sound, room: _Room) -> str:
    data = base64.b64encode(_wav_bytes(sound)).decode()
    title = safe(sound.title)
    if not room.take(len(data)):
        where = '<span class="soft">(only in the folder: this page is full)</span>'
        return f"<figure><figcaption>{title} {where}</figcaption></figure>"
    player = f'<audio controls preload="metadata" src="data:audio/wav;base64,{data}" aria-label="{title}"></audio>'
    return f"<figure><figcaption>{title}</figcaption>{player}</figure>"


def _wav_bytes(sound: Sound) -> bytes:
    """16-bit WAV; what is beyond full scale is turned down, and silence at its end left out."""
    wav = sound.wav.detach().float().cpu()
    heard = torch.nonzero(wav[0].abs() > SILENCE)
    wav = wav[:, : int(heard[-1]) + 1 + int(KEPT_SILENCE_SEC * sound.sample_rate) if len(heard) else 1]
    wav = wav / wav.abs().max().clamp(min=1.0) if wav.numel() else wav
    buffer = io.BytesIO()
    sf.write(buffer, wav.T.numpy(), sound.sample_rate, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def _table(rows: Sequence[Sequence[str]]) -> str:
    head, *body = rows
    lines = [f"<tr>{''.join(f'<th>{safe(cell)}</th>' for cell in head)}</tr>"]
    lines += [f"<tr>{''.join(f'<td>{safe(cell)}</td>' for cell in row)}</tr>" for row in body[:MAX_ROWS]]
    more = f'<p class="soft">and {len(body) - MAX_ROWS} more</p>' if len(body) > MAX_ROWS else ""
    return f'<div class="scroll"><table>{"".join(lines)}</table></div>{more}'


def _paragraphs(texts: Iterable[str]) -> str:
    return "".join(f"<p>{safe(text)}</p>" for text in texts)
