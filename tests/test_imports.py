"""Imports go downward only: cli -> tasks, generation -> evaluation, engine -> models, data -> audio -> config."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "audio_gen"

BOTTOM = {"errors", "files", "locks", "device", "text", "threads", "hints", "findings"}
BASE = BOTTOM | {"artefacts", "config", "distributed"}
SOUND = BASE | {"audio"}
PARTS = SOUND | {"models", "losses", "data"}
APPLICATIONS = PARTS | {"vocoding", "training", "training.tasks", "generation", "evaluation", "export"}

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
    "config": BOTTOM,
    "distributed": BOTTOM | {"config"},
    "artefacts": BOTTOM | {"config", "distributed"},
    "audio": BASE,
    "models": SOUND,
    "losses": SOUND,
    "data": SOUND,
    "training": SOUND | {"data"},
    "vocoding": PARTS,
    "training.tasks": PARTS | {"vocoding", "training", "evaluation"},
    "generation": PARTS | {"vocoding"},
    "evaluation": SOUND | {"data", "models"},
    "export": PARTS | {"training"},
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
        ("models.vae", "from audio_gen.losses import latent"),
        ("models.vae", "from ..data import index"),
        ("training.engine", "from audio_gen.models.vae import Vae"),
        ("training.engine", "def f():\n    from audio_gen.losses.latent import kl"),
        ("training.engine", "from audio_gen.training import tasks"),
        ("training.engine", "from .tasks.vae import VaeTask"),
        ("generation.sample", "from audio_gen.training.ema import Ema"),
        ("evaluation.report", "from audio_gen import training"),
        ("training.tasks.vae", "from audio_gen.cli.common import say"),
        ("web.app", "from audio_gen.cli.common import say"),
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
        ("training.tasks.vae", "from ..engine import run\nfrom ...models.vae import Vae"),
        ("training.engine", "from .ema import Ema\nfrom audio_gen.data.dataset import Crops"),
    ],
)
def test_a_right_import_passes(module: str, source: str) -> None:
    assert not violations(module, source)


def test_a_package_reads_its_own_modules() -> None:
    assert imports_of("training", "from .engine import run", is_package=True) == {"training.engine"}
