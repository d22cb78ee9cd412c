"""Every file name of an artefact stands in one module: `audio_gen.artefacts` says where each file lies."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from audio_gen.artefacts import folders

PACKAGE = Path(__file__).parents[2] / "audio_gen"
FILE = re.compile(r"[\w.-]*\.(jsonl?|ya?ml|npy|pt|safetensors|html|csv)")
# Other files of these names: that of BigVGAN, the samples of the repository, a name that is proposed, a template.
OTHERS = {
    "config.json": {"bigvgan.py"}, "samples": {"quickstart.py"},
    "run": {"source.py"}, "report.html": {"document.py"},
}  # fmt: skip
JOINING = {"joinpath", "with_name", "with_suffix", "glob", "rglob"}


def artefact_names() -> set[str]:
    """The names of all files and folders that the classes of `folders` place, as on disk."""
    found = set()
    for kind in vars(folders).values():
        if isinstance(kind, type) and kind.__module__ == folders.__name__:
            place = kind(Path("place"))  # type: ignore[call-arg]
            found |= {getattr(place, n).name for n, v in vars(kind).items() if isinstance(v, property)}
    return found


def texts(tree: ast.AST) -> Iterator[tuple[int, str, bool]]:
    """Line and value of each string, and whether it is joined to a path; docstrings are left out."""
    joined = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            node.value.value = None
        parts: list[ast.expr] = []
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            parts = [node.left, node.right]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in JOINING:
            parts = node.args
        joined |= {id(inner) for part in parts for inner in ast.walk(part)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value, id(node) in joined


def written_again(source: str, names: set[str]) -> list[str]:
    """The places in a module that name a file of an artefact."""
    wrong = []
    for line, text, joined in texts(ast.parse(source)):
        parts = set(text.split("/"))
        if joined and (text == ".json" or parts & names or "step-*.pt" in parts):
            wrong.append(f"{line}: {text!r} is joined to a path")
        elif parts & {name for name in names if FILE.fullmatch(name)}:
            wrong.append(f"{line}: {text!r}")
    return wrong


def test_names_of_artefacts_stand_in_artefacts_alone() -> None:
    names = artefact_names()
    assert {"config.yaml", "bundle", "checkpoints", "model.safetensors", "index.json", "report.html"} <= names
    wrong = [
        f"{path.relative_to(PACKAGE)}:{place}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.parent.name != "artefacts"
        for place in written_again(
            path.read_text(encoding="utf-8"), names - {n for n, files in OTHERS.items() if path.name in files}
        )
    ]
    assert not wrong, "\n".join(wrong)


def test_within_artefacts_each_file_name_stands_once() -> None:
    places: dict[str, list[str]] = {}
    for path in sorted((PACKAGE / "artefacts").glob("*.py")):
        for _, text, _ in texts(ast.parse(path.read_text(encoding="utf-8"))):
            if FILE.fullmatch(text) and not text.startswith("."):
                places.setdefault(text, []).append(path.name)
    assert len(places) >= 12
    # A report is the page of a quickstart and of an evaluation, two folders of one module.
    twice = {name: files for name, files in places.items() if len(files) > 1 and name != "report.html"}
    assert not twice


@pytest.mark.parametrize(
    "source",
    [
        'path = run / "bundle"',
        'path = run / "checkpoints" / name',
        'path = run / f"previews/step-{step}"',
        'paths = run.glob("bundle/config.json")',
        'SETTINGS_NAME = "config.yaml"',
        'found = (run / "cache").is_dir()',
        'place = wav.with_suffix(".json")',
        'paths = run.glob("checkpoints/step-*.pt")',
        'names = ["metrics.jsonl", "x"]',
    ],
)
def test_a_name_elsewhere_is_found(source: str) -> None:
    assert written_again(source, artefact_names())


@pytest.mark.parametrize(
    "source", ['told = {"bundle": digest, "cache": 1}', '"""Reads config.yaml."""', 'say("no bundle yet")', "a / b"]
)
def test_words_and_keys_are_no_names(source: str) -> None:
    assert not written_again(source, artefact_names())
