"""Every script of the recipes starts, and what it imports of the package is there."""

import ast
import importlib
import runpy
import sys
from pathlib import Path

import pytest

RECIPES = Path(__file__).parents[2] / "recipes"
SCRIPTS = sorted(RECIPES.rglob("*.py"))
COMMANDS = [path for path in SCRIPTS if "__main__" in path.read_text(encoding="utf-8")]


def name_of(path: Path) -> str:
    return path.relative_to(RECIPES).as_posix()


def missing(source: str) -> list[str]:
    """The imports from the package, at the top or inside functions, that lead nowhere."""
    lost = []
    for node in ast.walk(ast.parse(source)):
        wanted: list[tuple[str, str | None]] = []
        if isinstance(node, ast.Import):
            wanted = [(alias.name, None) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            wanted = [(node.module or "", alias.name) for alias in node.names]
        for module, name in wanted:
            if module.split(".")[0] != "audio_gen":
                continue
            try:
                found = importlib.import_module(module)
                if name is not None and not hasattr(found, name):
                    importlib.import_module(f"{module}.{name}")
            except ImportError:
                lost.append(module if name is None else f"{module}.{name}")
    return lost


def test_there_are_scripts() -> None:
    assert len(COMMANDS) > 20


@pytest.mark.parametrize("path", SCRIPTS, ids=name_of)
def test_what_a_script_imports_of_the_package_is_there(path: Path) -> None:
    assert missing(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", COMMANDS, ids=name_of)
def test_a_script_explains_itself(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)  # a script that takes --help for a folder writes there
    monkeypatch.syspath_prepend(str(path.parent))
    monkeypatch.setattr(sys, "argv", [path.name, "--help"])
    before = set(sys.modules)
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(path), run_name="__main__")
    for name in set(sys.modules) - before:  # scripts of other recipes have the same names
        file = getattr(sys.modules[name], "__file__", None)
        if file and RECIPES in Path(file).parents:
            del sys.modules[name]
    assert ended.value.code == 0
    assert "usage:" in capsys.readouterr().out


def test_a_lost_import_is_found() -> None:
    source = "import audio_gen.text\nfrom audio_gen import cli\ndef f():\n    from audio_gen.text import nothing\n"
    assert missing(source + "import audio_gen.nowhere") == ["audio_gen.nowhere", "audio_gen.text.nothing"]
