"""What the guides tell a reader to type works."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile as sf

from audio_gen.cli.app import COMMANDS, load_command
from tests.generation.models import write_bundle

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
GUIDES = sorted(path for path in ROOT.rglob("*.md") if not any(part.startswith(".") for part in path.parts[1:]))
HOUR = 3600


def options_of(name: str) -> set[str]:
    """All options of a command."""
    return {
        option for parameter in load_command(name).params for option in (*parameter.opts, *parameter.secondary_opts)
    }


def commands(text: str) -> list[tuple[str, set[str]]]:
    """The name and the long options of each `audio-gen NAME ..` in a guide; a backslash continues a line."""
    found = []
    for line in re.sub(r"\\\n", " ", text).splitlines():
        for name, rest in re.findall(r"audio-gen ([a-z]+(?:-[a-z]+)*)\b([^`|&#;]*)", line):
            found.append((name, set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", rest))))
    return found


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_commands_in_guides_have_the_options_that_they_name(guide: Path) -> None:
    for name, options in commands(guide.read_text(encoding="utf-8")):
        if name in COMMANDS:
            assert options - {"--help"} <= options_of(name), name


def test_the_readme_names_commands_that_exist() -> None:
    found = commands(README.read_text(encoding="utf-8"))
    assert len(found) >= 5 and {name for name, _ in found} <= set(COMMANDS)


def test_a_wrong_option_is_found() -> None:
    ((name, options),) = commands("    audio-gen sample RUN --count 3 \\\n    --nothing   text")
    assert (name, options) == ("sample", {"--count", "--nothing"}) and options - options_of(name) == {"--nothing"}


def test_the_readmes_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    write_bundle(tmp_path / "quickstart-out/run/bundle")
    monkeypatch.chdir(tmp_path)
    for block in blocks:
        exec(compile(block, README.name, "exec"), {})
    written = list(tmp_path.rglob("*.wav"))
    assert len(written) > 1 and all(sf.info(path).frames > 0 for path in written)


def start_commands() -> list[str]:
    """The blocks of the README that install the package and then run something."""
    blocks = re.findall(r"(?:^ {4}.*\n?)+", README.read_text(encoding="utf-8"), re.MULTILINE)
    starts = [block.replace("\n    ", "\n").strip() for block in blocks if "python -m venv" in block]
    return [start for start in starts if "--index-url" not in start]  # another source of torch


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A copy of the files under version control."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (tmp_path / "clone" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / "clone" / name)
    return tmp_path / "clone"


def test_the_readme_has_two_commands_to_start_with() -> None:
    quickstart, develop = start_commands()
    assert "audio-gen quickstart" in quickstart and "pytest" in develop


@pytest.mark.long
@pytest.mark.parametrize("number", [0, 1], ids=["quickstart", "develop"])
def test_the_readmes_commands_run_in_a_clone(clone: Path, number: int) -> None:
    """Installs 6 GB twice, trains for seven minutes and runs all other tests."""
    command = start_commands()[number]
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), env["PATH"]])
    ended = subprocess.run(["bash", "-ec", command], cwd=clone, env=env, capture_output=True, text=True, timeout=HOUR)
    assert ended.returncode == 0, f"{ended.stdout[-3000:]}\n{ended.stderr[-3000:]}"
    if number == 0:
        out = shlex.split(command)[-1]
        assert (clone / out / "report.html").stat().st_size > 10_000
    else:
        assert "passed" in ended.stdout and "failed" not in ended.stdout
