"""Commands are thin: options in, request, report, exit code. What they do lies below them."""

import ast
from pathlib import Path

from audio_gen import cli

MODULES = sorted(Path(cli.__file__).parent.glob("*.py"))
MOST_LINES, MOST_COMMAND_LINES = 1760, 40


def test_the_command_line_is_small() -> None:
    assert sum(len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES) < MOST_LINES


def test_every_command_is_short() -> None:
    lengths = {
        node.name: (node.end_lineno or 0) - node.lineno + 1
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.endswith("_command")
    }
    assert len(lengths) > 12
    assert {name: count for name, count in lengths.items() if count >= MOST_COMMAND_LINES} == {}
