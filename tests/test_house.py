"""The rules of the house: what is shipped, how long a module is, and what the bundled samples are."""

import ast
import fnmatch
import re
import tomllib
from pathlib import Path

import pytest
import soundfile
import yaml

import audio_gen
from audio_gen.cli.app import COMMANDS, load_command

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "audio_gen"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
MODULES = sorted(PACKAGE.rglob("*.py"))
MAX_LINES = 400


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def test_the_wheel_holds_the_package_and_all_of_it() -> None:
    tools = PYPROJECT["tool"]["setuptools"]
    assert tools["packages"]["find"] == {"include": ["audio_gen*"]}
    folders = {path.parent for path in MODULES}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []
    patterns = [pattern for group in tools.get("package-data", {}).values() for pattern in group]
    files = [p for p in PACKAGE.rglob("*") if p.is_file() and p.suffix != ".py" and "__pycache__" not in p.parts]
    left_out = [p.name for p in files if not any(fnmatch.fnmatch(p.as_posix(), f"*/{pattern}") for pattern in patterns)]
    assert left_out == [], "name them under [tool.setuptools.package-data]"


def test_licence_is_mit() -> None:
    assert PYPROJECT["project"]["license"] == "MIT"
    assert (ROOT / "LICENSE").read_text(encoding="utf-8").startswith("MIT License")


def test_one_version() -> None:
    assert PYPROJECT["project"]["version"] == audio_gen.__version__


@pytest.mark.parametrize("folder", ["configs", "recipes"])
def test_yaml_files_are_where_tests_look(folder: str) -> None:
    files = [path for path in (ROOT / folder).rglob("*") if path.is_file()]
    found = sorted((ROOT / folder).glob("**/*.yaml"))
    # A config with another suffix, or a folder of something else, would be tested by nobody.
    assert [path for path in files if path.suffix == ".yml"] == []
    assert found or folder == "recipes" or not files
    for path in found:
        assert isinstance(yaml.safe_load(path.read_text(encoding="utf-8")), dict), path


def test_modules_are_short() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert {str(path): count for path, count in lengths.items() if count > MAX_LINES} == {}


def calls_print(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"


def is_bare_except(node: ast.AST) -> bool:
    return isinstance(node, ast.ExceptHandler) and node.type is None


def test_print_only_under_cli() -> None:
    quiet = [path for path in MODULES if path.relative_to(PACKAGE).parts[0] != "cli"]
    assert [str(path) for path in quiet if any(map(calls_print, ast.walk(parse(path))))] == []


def test_no_bare_except() -> None:
    assert [str(path) for path in MODULES if any(map(is_bare_except, ast.walk(parse(path))))] == []


def test_the_last_two_can_fail() -> None:
    assert any(map(calls_print, ast.walk(ast.parse("def f():\n    print(1)"))))
    assert any(map(is_bare_except, ast.walk(ast.parse("try:\n    pass\nexcept:\n    pass"))))


GUARDED = {("json", "load"), ("json", "loads"), ("yaml", "load"), ("yaml", "safe_load"), ("yaml", "full_load")}


def reads_unguarded(node: ast.AST) -> bool:
    called = node.func if isinstance(node, ast.Call) else None
    return (
        isinstance(called, ast.Attribute)
        and isinstance(called.value, ast.Name)
        and (called.value.id, called.attr) in GUARDED
    )


def test_json_and_yaml_are_read_by_the_guarded_reader_alone() -> None:
    found = {p.relative_to(PACKAGE).as_posix() for p in MODULES if any(map(reads_unguarded, ast.walk(parse(p))))}
    assert found == {"files.py"}
    assert reads_unguarded(ast.parse("json.loads(text)").body[0].value)  # type: ignore[attr-defined]


def echoes(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) in ("typer.echo", "click.echo", "rich.print")


def test_commands_print_through_one_function() -> None:
    rest = [p for p in MODULES if p.name != "app.py" or p.parent.name != "cli"]
    assert [str(p) for p in rest if any(map(echoes, ast.walk(parse(p))))] == []
    printing = {p.name for p in MODULES if any(map(calls_print, ast.walk(parse(p))))}
    assert printing == {"app.py", "common.py"}


# Clips under generated/ are made by the models; their own README says how.
SAMPLES = [path for path in sorted((ROOT / "samples").glob("*/*.wav")) if path.parent.name != "generated"]


def test_samples_are_small_and_alike() -> None:
    assert sum(path.stat().st_size for path in SAMPLES) <= 12e6
    for path in SAMPLES:
        info = soundfile.info(path)
        assert (info.samplerate, info.subtype, info.format) == (44100, "PCM_16", "WAV"), path
        assert info.frames > 0


def test_every_class_of_samples_has_four() -> None:
    counts: dict[str, int] = {}
    for path in SAMPLES:
        counts[path.parent.name] = counts.get(path.parent.name, 0) + 1
    assert len(counts) >= 8
    assert {name: count for name, count in counts.items() if count < 4} == {}


def test_every_sample_has_its_source() -> None:
    lines = (ROOT / "samples" / "SOURCES.md").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if ".wav |" in line]
    assert sorted(row[0] for row in rows) == sorted(f"{path.parent.name}/{path.name}" for path in SAMPLES)
    for name, _, seconds, channels, author, page in rows:
        info = soundfile.info(ROOT / "samples" / name)
        assert (float(seconds), int(channels)) == (pytest.approx(info.duration, abs=1e-3), info.channels)
        assert author and page.startswith("<http")


GUIDES = [
    ROOT / "README.md",
    *(p for f in ("audio_gen", "configs", "recipes", "samples") for p in (ROOT / f).rglob("*.md")),
]


def test_commands_and_options_of_guides_and_recipes_exist() -> None:
    pages = [*GUIDES, *(ROOT / "recipes").rglob("*.sh")]
    used = [
        call for page in pages for call in re.findall(r"audio-gen ([a-z]+(?:-[a-z]+)*)([^|`#\n]*)", page.read_text())
    ]
    assert len(used) > 12
    for name, arguments in used:
        assert name in COMMANDS, name
        known = {option for parameter in load_command(name).params for option in parameter.opts}
        unknown = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", arguments)) - known
        assert not unknown, (name, unknown)


def test_paths_that_guides_name_exist() -> None:
    for path in re.findall(r"(?:recipes|samples|configs|\.ci)/[\w./-]+\w", (ROOT / "README.md").read_text()):
        assert (ROOT / path).exists(), path
    links = [(page, link) for page in GUIDES for link in re.findall(r"\]\(([^)#]+)(?:#[\w-]*)?\)", page.read_text())]
    assert len(links) > 60
    missing = [(page, link) for page, link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []
