"""Standard streams that are closed, full, without a reader or a lost terminal: an exit status, and no traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sounds import write_notes

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")

FULL = Path("/dev/full")


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_notes(tmp_path_factory.mktemp("nötes"), count=2)


def shell(line: str, *args: str | Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run a line in which "$@" is `audio-gen ARGS`."""
    command = ["bash", "-c", line, "bash", sys.executable, "-m", "audio_gen", *map(str, args)]
    return subprocess.run(command, capture_output=True, timeout=60, env={**os.environ, **environment})


@pytest.mark.parametrize(
    ("line", "place", "status"),
    [
        ('"$@" >&-', True, 0),
        ('"$@" 2>&-', True, 0),
        ('"$@" <&- >&- 2>&-', True, 0),
        ('"$@" >&-', False, 2),
        ('"$@" 2>&-', False, 2),
        ('"$@" 2>&1 | true; exit ${PIPESTATUS[0]}', False, 2),
        ('"$@" | true; exit ${PIPESTATUS[0]}', True, 141),
    ],
)
def test_closed_streams(notes: Path, line: str, place: bool, status: int) -> None:
    done = shell(line, "inspect", notes if place else notes / "nowhere")
    assert done.returncode == status
    assert b"Traceback" not in done.stderr and b"Exception ignored" not in done.stderr


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
@pytest.mark.parametrize("line", ['"$@" >/dev/full', '"$@" >/dev/full 2>/dev/full', '"$@" --json >/dev/full'])
def test_a_full_disk_under_the_output_is_an_error(notes: Path, line: str) -> None:
    done = shell(line, "inspect", notes)
    assert done.returncode == 2
    assert done.stderr.count(b"\n") == (0 if "2>" in line else 1)


def test_closed_streams_take_no_file_for_output(notes: Path, tmp_path: Path) -> None:
    done = shell('"$@" >&- 2>&- <&-', "preprocess", notes, "--out", tmp_path / "cache")
    assert done.returncode == 0
    assert not [p for p in (tmp_path / "cache").rglob("*") if p.is_file() and b"clips" in p.read_bytes()[:80]]


@pytest.mark.parametrize("environment", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}])
def test_names_on_a_terminal_that_has_no_letters_for_them(notes: Path, environment: dict[str, str]) -> None:
    done = shell('"$@"', "inspect", notes / "größe", **environment, PYTHONCOERCECLOCALE="0")
    assert done.returncode == 2 and done.stderr.count(b"\n") == 1


def test_a_terminal_that_is_closed_ends_nothing(tmp_path: Path) -> None:
    code = (
        "import os, sys, types; from audio_gen.cli import app\n"
        "def demo_command():\n"
        "    print('ready'); sys.stdin.readline(); print('lost'); print('lost', file=sys.stderr)\n"
        f"    open({str(tmp_path / 'end')!r}, 'w')\n"
        "sys.modules['audio_gen.cli.demo'] = types.SimpleNamespace(demo_command=demo_command)\n"
        "app.COMMANDS['demo'] = ''; sys.argv = ['audio-gen', 'demo']; app.main()"
    )
    ours, theirs = os.openpty()
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=theirs, stderr=theirs)
    os.close(theirs)
    assert os.read(ours, 5) == b"ready"
    os.close(ours)
    process.communicate(b"\n", timeout=60)
    assert process.returncode == 0 and (tmp_path / "end").exists()


def test_what_a_library_prints_goes_to_standard_error() -> None:
    script = (
        "import os; from audio_gen.cli.streams import prepare_streams; prepare_streams();"
        "os.write(1, b'from C'); os.system('echo from a child'); print('ours')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60)
    assert done.stdout == b"ours\n" and b"from C" in done.stderr and b"from a child" in done.stderr
