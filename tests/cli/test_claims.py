"""Commands that write several files into a folder: a killed one goes on, a second one keeps away."""

from pathlib import Path

import pytest

from audio_gen.cli import common
from audio_gen.errors import OutputError
from audio_gen.generation.outputs import claimed
from tests import sounds
from tests.cli.conftest import Run
from tests.generation.models import write_bundle

FAST = ["--vocoder", "griffinlim:2", "--device", "cpu"]
COMMANDS = {
    "encode": ["encode", "RUN", "notes", "--steps", "1", *FAST],
    "reconstruct": ["reconstruct", "RUN", "notes", *FAST],
    "interpolate": ["interpolate", "RUN", "--from", "seed:0", "--to", "seed:1", "--steps", "2", "--morph", "1s", *FAST],
    "vocode": ["vocode", "notes", *FAST],
    "find-loops": ["find-loops", "notes", "--min", "0.2", "--max", "0.5"],
    "evaluate": ["evaluate", "notes", "RUN", "-n", "2", "--pitch", "none", *FAST],
}


class KilledError(BaseException):
    """No Exception: nothing that is being tested may catch it."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("model") / "bundle", pitch=False)


def contents(folder: str, suffix: str = ".wav") -> dict[str, bytes]:
    files = sorted(path for path in Path(folder).rglob("*") if path.is_file() and path.suffix == suffix)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_killed_command_goes_on_and_a_second_keeps_away(
    run: Run, bundle: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sounds.write_notes(Path("notes"), count=3)
    line = [str(bundle) if part == "RUN" else part for part in COMMANDS[name]]
    advance = common.Progress.__call__

    def dies(self: common.Progress, amount: float = 1) -> None:
        if contents("a"):
            raise KilledError
        advance(self, amount)

    run(*line, "--out", "whole")
    with monkeypatch.context() as patched:
        patched.setattr(common.Progress, "__call__", dies)
        with pytest.raises(KilledError):
            run(*line, "--out", "a")
    part = contents("a")
    assert part
    with claimed(Path("a"), ["other", *part, "samples"], command="x", bundle="", force=True):
        for more in ([], ["--force"]):
            assert "another command is writing" in run(*line, "--out", "a", *more, status=2)[1]
    other = ["--count", "8"] if name == "find-loops" else ["--device", "cpu"]
    assert "holds" in run(*line, *other, "--out", "a", status=2)[1]  # not the same command
    assert contents("a") == part
    run(*line, "--out", "a")
    assert contents("a") == contents("whole")
    assert not list(Path("a").glob(".*"))
    assert "holds" in run(*line, "--out", "a", status=2)[1]  # it is finished, so nothing is replaced any more
    assert not list(Path("a").glob(".*"))


def test_a_command_that_wrote_nothing_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), claimed(tmp_path, ["a"], command="x", bundle="", force=False):
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())
    (tmp_path / "a").write_text("mine")
    with pytest.raises(OutputError), claimed(tmp_path, ["a"], command="x", bundle="", force=False):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
