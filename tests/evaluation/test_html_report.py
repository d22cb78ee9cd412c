"""The report: one valid HTML file, with as many players as sounds, in which no name does harm."""

import base64
import io
from html.parser import HTMLParser
from pathlib import Path

import pytest
import soundfile as sf
import torch

from audio_gen.evaluation.report import Section, Sound, write_report
from audio_gen.evaluation.report.charts import curves_svg
from audio_gen.evaluation.report.document import AudioBudget, section_html

EVIL = '<img src=x onerror="alert(1)">&amp;\n\udcff'
VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Reads a page strictly: every tag that is opened is closed, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


def sound(title: str = "a", peak: float = 0.5) -> Sound:
    return Sound(title, torch.full((1, 100), peak), 22050)


def test_everything_is_in_the_page_and_no_name_does_harm(tmp_path: Path) -> None:
    sections = [
        Section(EVIL, [EVIL], [sound(EVIL), sound("b", 3.0)], b"PNG", EVIL, {EVIL: [(0, 1), (1, 0.5)]}, (EVIL, EVIL)),
        Section("Table", table=[[EVIL, "x"], ["1", EVIL]], commands=["one", EVIL]),
    ]
    write_report(tmp_path / "r.html", title=EVIL, intro=[EVIL], sections=sections)
    page = Page((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert len(page.all("audio")) == 2 and len(page.all("img")) == 1 and len(page.all("svg")) == 1
    assert {key for _, attrs in page.tags for key in attrs if key.startswith("on")} == set()
    assert page.all("script") == [] and page.all("link") == []
    sources = [str(attrs["src"]) for _, attrs in page.tags if "src" in attrs]
    assert all(source.startswith("data:") for source in sources)
    assert 'onerror="alert(1)"' in page.text  # it is shown, as text
    wav, rate = sf.read(io.BytesIO(base64.b64decode(sources[1].split(",")[1])))
    assert rate == 22050 and len(wav) == 100 and float(abs(wav).max()) <= 1
    head, *rows = [tag for tag, _ in page.tags if tag == "tr"]
    assert head and len(rows) == 1


def test_silence_at_the_end_takes_no_room(tmp_path: Path) -> None:
    wav = torch.zeros(1, 22050)
    wav[0, :10] = 0.5
    sounds = [Sound("click", wav, 22050), Sound("silence", 0 * wav, 22050), Sound("nothing", wav[:, :0], 22050)]
    write_report(tmp_path / "r.html", title="x", sections=[Section("s", sounds=sounds)])
    page = Page((tmp_path / "r.html").read_text(encoding="utf-8"))
    lengths = [len(sf.read(io.BytesIO(base64.b64decode(str(a["src"]).split(",")[1])))[0]) for a in page.all("audio")]
    assert lengths == [2215, 1, 0]


def test_players_of_stereo_have_both_channels(tmp_path: Path) -> None:
    wav = torch.zeros(2, 22050)
    wav[0, :10], wav[1, 5000:5010] = 0.5, 0.25
    write_report(tmp_path / "r.html", title="x", sections=[Section("s", sounds=[Sound("pair", wav, 22050)])])
    (audio,) = Page((tmp_path / "r.html").read_text(encoding="utf-8")).all("audio")
    heard, _ = sf.read(io.BytesIO(base64.b64decode(str(audio["src"]).split(",")[1])))
    assert heard.shape == (5010 + 2205, 2)
    assert abs(heard[:10, 0] - 0.5).max() < 1e-3 and abs(heard[5000:5010, 1] - 0.25).max() < 1e-3


def test_a_page_does_not_grow_without_end(tmp_path: Path) -> None:
    sounds = [sound(str(i)) for i in range(10)]
    write_report(tmp_path / "r.html", title="x", sections=[Section("s", sounds=sounds)], max_audio_bytes=1000)
    page = Page((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert len(page.all("audio")) == 3 and page.text.count("this page is full") == 7
    many = Section("t", table=[["h"], *[[str(i)] for i in range(1000)]])
    write_report(tmp_path / "r.html", title="x", sections=[many])
    page = Page((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert len(page.all("tr")) == 201 and "and 800 more" in page.text


@pytest.mark.parametrize(
    "points",
    [[(0.0, 0.0)], [(1.0, 2.0), (1.0, 2.0)], [(i, 1e-9 * i) for i in range(5000)], [(0, float("nan")), (1, 1)],
     [(-3, -2), (5, 1e12)]],
)  # fmt: skip
def test_curves_fit_into_their_frame(points: list[tuple[float, float]]) -> None:
    page = Page(curves_svg({"a": points}, "x", "y"))
    (line,) = [str(path["d"]) for path in page.all("path") if "--c0" in str(path.get("style"))]
    pairs = [tuple(map(float, pair.split())) for pair in line.replace("M", "").replace("L", "").strip().splitlines()]
    assert 0 < len(pairs) <= 501
    assert all(0 <= x <= 640 and 0 <= y <= 240 for x, y in pairs)


def test_a_section_is_a_fragment_and_draws_the_same_twice() -> None:
    section = Section("s", ["text"], [sound()], curves={"a": [(0, 1), (1, 0.5)]}, axes=("x", "y"))
    one, two = (section_html(section, AudioBudget()) for _ in range(2))
    assert one == two and one.startswith("<section>") and one.rstrip().endswith("</section>")
    assert not {"script", "html", "style", "metadata"} & {tag for tag, _ in Page(one).tags}


def test_nothing_to_draw() -> None:
    assert curves_svg({}, "x", "y") == curves_svg({"a": [], "b": [(0, float("inf"))]}, "x", "y") == ""
