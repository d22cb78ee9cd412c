"""What files and people write, as a terminal gets it; the guarded reader of JSON and YAML."""

import os
from pathlib import Path

import pytest

from audio_gen.files import MalformedError, parse_json, parse_yaml, read_json
from audio_gen.text import distinct_sounds, one_line, shortened, visible


def test_what_could_steer_a_terminal_is_made_visible() -> None:
    assert visible("kick \x1b[2J‮wav") == r"kick \x1b[2J\u202ewav"
    assert visible("a\nb\tc", keep="\n\t") == "a\nb\tc"
    assert one_line(Path(os.fsdecode(b"Tr\xf6mmel\n.wav"))) == r"Tr\xf6mmel\n.wav"
    assert one_line("Trömmel 太鼓.wav") == "Trömmel 太鼓.wav"


@pytest.mark.parametrize(
    "value",
    ["x" * 10**6, pytest.param(10**5000, id="digits"), list(range(10**5)), {"a": "b" * 999}, "\x1b]0;\x07" * 99],
    ids=range(5),
)
def test_no_message_shows_a_whole_value(value: object) -> None:
    shown = shortened(value)
    assert len(shown) <= 120 and shown.isprintable()


def test_short_values_are_shown_as_they_are() -> None:
    assert [shortened(v) for v in (3, "kick", [1, 2])] == ["3", "'kick'", "[1, 2]"]


@pytest.mark.parametrize("text", ["[" * 10**5, "1" * 5000, '{"a": NaN}', "{", "", b"\xff\xfe{}"])
def test_hostile_json_is_refused(text: str | bytes) -> None:
    with pytest.raises(MalformedError):
        parse_json(text)


@pytest.mark.parametrize(
    "text", ["[" * 10**4, "a: &x [1]\nb: [*x, *x]", "train: {until: 2026-02-30}", "a: [", "- " * 10**4, "x" * 2**21]
)
def test_hostile_yaml_is_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        parse_yaml(text)


def test_a_byte_order_mark_is_no_matter(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json(tmp_path / "a.json") == {"a": 1} and parse_yaml(b"\xef\xbb\xbfa: 1") == {"a": 1}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.json")
    with pytest.raises(MalformedError, match="pipe"):
        read_json(tmp_path / "a.json")


def test_one_sound_is_not_several() -> None:
    assert [distinct_sounds(count) for count in (0, 1, 2)] == ["0 different sounds", "1 sound", "2 different sounds"]
