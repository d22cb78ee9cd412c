"""Imports go downward only: cli -> tasks, generation -> evaluation, engine -> models, data -> audio -> config."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "audio_gen"

BOTTOM = {"errors", "files", "locks", "device", "text", "threads", "hints", "findings", "reporter"}
BASE = BOTTOM | {"artefacts", "config", "request", "distributed"}
SOUND = BASE | {"audio"}
PARTS = SOUND | {"models", "losses", "data"}
APPLICATIONS = PARTS | {
    "vocoding",
    "training",
    "training.tasks",
    "generation",
    "evaluation",
    "export",
    "studio",
    "instruments",
    "midi",
}

# Who may import whom, beside itself. A module belongs to the longest name here that it starts with.
MAY_IMPORT = {
    "errors": set(),
    "files": {"errors", "text"},
    "locks": {"files"},
    "text": set(),
    "device": {"errors"},
    "threads": set(),
    "hints": set(),
    "findings": set(),
    "reporter": set(),
    "request": {"config", "errors", "files"},
    "config": BOTTOM,
    "distributed": BOTTOM | {"config"},
    "artefacts": BOTTOM | {"config", "distributed"},
    "audio": BASE,
    "midi": SOUND,
    "models": SOUND,
    "losses": SOUND,
    "data": SOUND | {"midi"},
    "training": SOUND | {"data"},
    "vocoding": PARTS,
    "training.tasks": PARTS | {"vocoding", "training", "generation", "evaluation"},
    "generation": PARTS | {"vocoding"},
    "evaluation": PARTS | {"vocoding", "training", "generation"},
    "export": PARTS | {"training"},
    "instruments": PARTS | {"vocoding", "generation", "evaluation", "midi"},
    "studio": APPLICATIONS - {"export"},
    "api": APPLICATIONS,
    "cli": APPLICATIONS | {"web"},
    "web": APPLICATIONS,
    "__main__": {"cli"},
}


def group_of(module: str) -> str:
    """The group in the table that `module` (without "audio_gen.") belongs to; its own name where there is none."""
    parts = module.split(".")
    names = [".".join(parts[:n]) for n in range(len(parts), 0, -1)]
    return next((name for name in names if name in MAY_IMPORT), module)


def imports_of(module: str, source: str, is_package: bool = False) -> set[str]:
    """Modules of the package that `source` imports anywhere, without "audio_gen."."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = ["audio_gen", *module.split(".")]
                parts = parts[: len(parts) - node.level + is_package]
                base = ".".join([*parts, base]).rstrip(".")
            # What comes from the package's top is a module, or the version.
            found |= {f"{base}.{alias.name}" for alias in node.names} if base == "audio_gen" else {base}
            if base == "audio_gen.training":
                found |= {f"{base}.tasks" for alias in node.names if alias.name == "tasks"}
    inside = {name.removeprefix("audio_gen.") for name in found if name.startswith("audio_gen.")}
    return inside - {"__version__"}


def violations(module: str, source: str, is_package: bool = False) -> list[str]:
    """Every import of `module` that the table does not allow."""
    group = group_of(module)
    if group not in MAY_IMPORT:
        return [f"{module} has no place in the table of layers"]
    allowed = MAY_IMPORT[group] | {group}
    wrong = sorted(name for name in imports_of(module, source, is_package) if group_of(name) not in allowed)
    return [f"{module} must not import {name}" for name in wrong]


def modules() -> list[tuple[str, Path]]:
    files = [path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"]
    return [
        (".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"), path) for path in files
    ]


def test_imports_go_downward() -> None:
    found = modules()
    assert {"errors", "cli.app"} <= {name for name, _ in found}
    wrong = []
    for name, path in found:
        wrong += violations(name, path.read_text(encoding="utf-8"), path.name == "__init__.py")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("errors", "from audio_gen.config import Config"),
        ("audio.io", "import audio_gen.data.index"),
        ("models.codecs.vae", "from audio_gen.losses import latent"),
        ("models.codecs.vae", "from ...data import index"),
        ("training.engine", "from audio_gen.models.codecs.vae import VAE"),
        ("training.engine", "def f():\n    from audio_gen.losses.latent import kl"),
        ("training.engine", "from audio_gen.training import tasks"),
        ("training.engine", "from .tasks.vae import VaeTask"),
        ("generation.sample", "from audio_gen.training.ema import Ema"),
        ("evaluation.report", "from audio_gen.training.tasks import train_run"),
        ("training.tasks.vae", "from audio_gen.cli.common import say"),
        ("web.app", "from audio_gen.cli.common import say"),
        ("studio.quickstart", "from audio_gen.cli.common import say"),
        ("generation.operations.sample", "from audio_gen.evaluation.copies import duplicates"),
        ("surprise", ""),
    ],
)
def test_a_wrong_import_is_found(module: str, source: str) -> None:
    assert violations(module, source)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("cli.sample", "from audio_gen.generation.pipeline import load\nfrom .common import say"),
        ("cli.app", "from audio_gen import __version__\nimport torch"),
        ("training.tasks.vae", "from ..engine import run\nfrom ...models.codecs.vae import VAE"),
        ("training.engine", "from .ema import Ema\nfrom audio_gen.data.dataset import Crops"),
    ],
)
def test_a_right_import_passes(module: str, source: str) -> None:
    assert not violations(module, source)


def test_a_package_reads_its_own_modules() -> None:
    assert imports_of("training", "from .engine import run", is_package=True) == {"training.engine"}


# Cycles that are allowed for a while. Imports inside functions count, those for type checkers do not.
CYCLES: list[set[str]] = []


def import_graph(sources: dict[str, tuple[str, bool]]) -> dict[str, set[str]]:
    """The modules that each module imports, at its top or in its functions; a package as such only if it is named."""
    graph = {}
    for module, (source, is_package) in sources.items():
        tree = ast.parse(source)
        typing_only = {
            id(inner)
            for node in ast.walk(tree)
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
            for inner in ast.walk(node)
        }
        found = set()
        for node in ast.walk(tree):
            if id(node) in typing_only or not isinstance(node, ast.Import | ast.ImportFrom):
                continue
            base = "" if isinstance(node, ast.Import) else node.module or ""
            if isinstance(node, ast.ImportFrom) and node.level:
                parts = ["audio_gen", *module.split(".")]
                base = ".".join([*parts[: len(parts) - node.level + is_package], base]).rstrip(".")
            for alias in node.names:
                names = [f"{base}.{alias.name}".lstrip("."), base]
                inside = [name.removeprefix("audio_gen.") for name in names if name.startswith("audio_gen.")]
                found |= {next((name for name in inside if name in sources), module)}
        graph[module] = found - {module}
    return graph


def cycles(graph: dict[str, set[str]]) -> list[set[str]]:
    """Groups of modules that each import the others, by whatever way."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            new = graph[waiting.pop()] - seen
            seen |= new
            waiting += new
        return seen

    reach = {module: reached(module) for module in graph}
    groups = {frozenset(other for other in reach[module] if module in reach[other]) for module in graph}
    return [set(group) for group in groups if group]


def test_no_module_imports_itself_by_way_of_others() -> None:
    sources = {name: (path.read_text(encoding="utf-8"), path.name == "__init__.py") for name, path in modules()}
    found = cycles(import_graph(sources))
    assert [group for group in found if group not in CYCLES] == []
    assert [group for group in CYCLES if group not in found] == [], "is no cycle any more: take it off the list"


def test_a_cycle_is_found() -> None:
    sources = {
        "a": ("from audio_gen import b", False),
        "b": ("def f():\n    from .c.d import x", False),
        "c.d": ("from typing import TYPE_CHECKING\nfrom audio_gen.a import y", False),
        "c": ("from .d import x", True),
        "e": ("import audio_gen.a\nif TYPE_CHECKING:\n    from audio_gen.f import z", False),
        "f": ("import audio_gen.e", False),
    }
    assert cycles(import_graph(sources)) == [{"a", "b", "c.d"}]
