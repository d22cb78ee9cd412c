"""Ten thousand damaged sound files: each is read, or refused in one line; quickly, and in little memory."""

import contextlib
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from audio_gen.audio.io import read_wav
from audio_gen.cli.streams import prepare_streams
from audio_gen.data.measure import measure
from audio_gen.data.report import decide
from audio_gen.errors import AudioFileError
from tests.hostile.mutate import CONTAINERS, mutated, sound, suffix

pytestmark = [pytest.mark.hostile, pytest.mark.skipif(os.name == "nt", reason="limits memory as POSIX does")]

ROOT = Path(__file__).parents[2]
EACH = 625  # 10,000 over all containers
SLOWEST_SEC, LARGEST_BYTES = 10.0, 1 << 30


@pytest.mark.parametrize(("container", "subtype"), CONTAINERS)
def test_damaged_files(container: str, subtype: str) -> None:
    # A process of its own: a crash in a decoder fails this test alone, and names the file.
    command = [sys.executable, "-m", "tests.hostile.test_audio", container, subtype]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SLOWEST_SEC * 30)
    assert done.returncode == 0, f"after file {done.stdout[-200:]}: {done.stderr[-2000:]}"
    read, refused = map(int, done.stdout.splitlines()[-1].split())
    assert read + refused == EACH and refused > 20, "the damage must be worth its name"
    assert done.stdout.count("\n") == EACH + 1, "a decoder printed on standard output"


def _try_one(path: Path) -> bool:
    """Whether a file is read; what is refused must be refused in one line that names it."""
    try:
        measurement = measure(path)
        decide(path.name, measurement)
        if measurement.frames:
            wav, _ = read_wav(path)
            assert bool(wav.isfinite().all()) and wav.shape[-1] > 0
        return True
    except AudioFileError as e:
        line = str(e)
        assert line.isprintable() and path.name in line and len(line) < 1000, line
        return False


def _main(container: str, subtype: str) -> None:
    prepare_streams()  # as each command does: a decoder of ALAC prints on standard output
    data, read, names = sound(container, subtype), 0, f"x.{suffix(container)}"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / names
        for seed in range(EACH):
            print(seed, flush=True)
            path.write_bytes(mutated(data, seed))
            started = time.monotonic()
            read += _try_one(path)
            assert time.monotonic() - started < SLOWEST_SEC, f"seed {seed} took too long"
            peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            assert peak < LARGEST_BYTES, f"seed {seed}: {peak / 1e6:.0f} MB"
    print(read, EACH - read)


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        _main(*sys.argv[1:])
