"""Commands in messages can be pasted: names are quoted, and what needs --out has it."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from audio_gen.hints import command, next_command

PACKAGE = Path(__file__).parents[1] / "audio_gen"
NEEDS_OUT = {
    "sample",
    "vary",
    "interpolate",
    "encode",
    "reconstruct",
    "vocode",
    "preprocess",
    "find-loops",
    "continue",
    "loop",
    "transfer",
}
ELSEWHERE = {"training/tasks/bundles.py"}  # a README, with words in capitals for what is elsewhere


def _trees() -> Iterator[tuple[str, ast.AST]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if name not in ELSEWHERE:
            yield name, ast.parse(path.read_text(encoding="utf-8"))


def test_commands_with_names_in_them_are_quoted():
    wrong, seen = [], 0
    for name, tree in _trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                seen += 1
                text = "".join(
                    part.value if isinstance(part, ast.Constant) else "\0"
                    for part in node.values  # type: ignore[misc]
                )
                wrong += [f"{name}:{node.lineno}" for _ in re.findall(r"audio-gen [a-z-]+ [^`;\n]*\0", text)]
    assert seen > 300 and not wrong, "use hints.command in " + ", ".join(wrong)


def test_commands_that_write_say_where():
    calls, wrong = [], []
    for name, tree in _trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "command" and node.args:
                words = [arg.value for arg in ast.walk(node) if isinstance(arg, ast.Constant)]
                calls.append(words[0])
                starred = any(isinstance(arg, ast.Starred) for arg in node.args)
                if words[0] in NEEDS_OUT and "--out" not in words and not starred:
                    wrong.append(f"{name}:{node.lineno}")
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                # A command with arguments; a bare name such as `audio-gen train` is no command to paste.
                for said, rest in re.findall(r"audio-gen ([a-z-]+)( [A-Z-][^`;\n]*)", node.value):
                    if said in NEEDS_OUT and "--out" not in rest:
                        wrong.append(f"{name}:{node.lineno}")
    assert {"sample", "vary", "interpolate", "inspect", "preprocess"} <= set(calls)
    assert not wrong, "without --out: " + ", ".join(wrong)


@pytest.mark.parametrize("name", ["plain", "my run", "it's", "a;b $HOME"])
def test_a_command_comes_back_as_its_words(name: str):
    assert shlex.split(command("sample", Path(name), "-n", 4)) == ["audio-gen", "sample", name, "-n", "4"]


def test_what_to_try_first_names_a_sound_that_is_there(tmp_path: Path):
    (tmp_path / "b.wav").touch()
    (tmp_path / "a b.wav").touch()
    words = shlex.split(next_command(Path("my run"), tmp_path, "vocoder"))
    assert words[1:] == ["vocode", str(tmp_path / "a b.wav"), "--vocoder", "my run", "--out", "copies"]
    assert shlex.split(next_command(Path("my run"), tmp_path, "gan"))[:3] == ["audio-gen", "sample", "my run"]
    assert "--duration" in shlex.split(next_command(Path("my run"), tmp_path, "sequence"))
