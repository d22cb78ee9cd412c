"""Machine code is kept in the user's cache folder; damage, or a place that cannot be used, stops nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import audio_gen

PACKAGE = Path(audio_gen.__file__).parent
CODE = """
import numpy as np
from audio_gen.vocoding.kernels import overlap
out = np.zeros(8, np.float32)
overlap(np.ones((3, 4), np.float32), np.ones(4, np.float32), 2, out)
print(out.tolist(), sum(overlap.stats.cache_hits.values()) if hasattr(overlap, "stats") else 0)
"""
RIGHT = "[1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 1.0, 1.0]"


def run(cache: Path, **more: str) -> tuple[str, bool]:
    """What the loop gives, and whether its machine code came from the disk."""
    environment = {key: value for key, value in os.environ.items() if key != "NUMBA_CACHE_DIR"}
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        capture_output=True,
        text=True,
        env={**environment, "XDG_CACHE_HOME": str(cache), **more},
    )
    assert done.returncode == 0 and not done.stderr, done.stderr
    numbers, hits = done.stdout.strip().rsplit(" ", 1)
    return numbers, hits != "0"


def compiled_files() -> set[Path]:
    return {path for suffix in ("nbi", "nbc") for path in PACKAGE.rglob(f"*.{suffix}")}


def test_damage_is_compiled_again(tmp_path: Path) -> None:
    before = compiled_files()
    assert run(tmp_path) == (RIGHT, False) and run(tmp_path) == (RIGHT, True)
    assert compiled_files() == before
    place = tmp_path / "audio_gen" / "numba"
    assert place.stat().st_mode & 0o777 == 0o700
    (index,), (code,) = (list(place.rglob(f"kernels.overlap-*.{suffix}")) for suffix in ("nbi", "nbc"))
    for file, flipped in ((index, True), (code, True), (code, False)):
        data = bytearray(file.read_bytes())
        data[-20] ^= 1
        file.write_bytes(data if flipped else data[:20])
        assert run(tmp_path) == (RIGHT, False), (file, flipped)
    assert run(tmp_path) == (RIGHT, True)


EVERY = """
from numba.core.registry import CPUDispatcher
from audio_gen.vocoding import kernels
for name, value in vars(kernels).items():
    if isinstance(value, CPUDispatcher):
        print(name, value._cache._cache_path)
"""


def test_every_kernel_is_kept_there(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", EVERY],
        capture_output=True,
        text=True,
        env={**{k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}, "XDG_CACHE_HOME": str(tmp_path)},
    )
    found = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert {"overlap", "again", "turn_and_fit", "corrected", "_bands"} <= set(found), done.stderr
    assert all(Path(place).is_relative_to(tmp_path / "audio_gen" / "numba") for place in found.values())


def test_the_user_s_own_folder_is_used(tmp_path: Path) -> None:
    assert run(tmp_path / "xdg", NUMBA_CACHE_DIR=str(tmp_path / "own")) == (RIGHT, False)
    assert list((tmp_path / "own").rglob("*.nbi")) and not (tmp_path / "xdg").exists()


@pytest.mark.posix
@pytest.mark.parametrize("place", ["shared", "link", "file", "no folder"])
def test_a_place_that_is_not_the_user_s_own_is_not_used(tmp_path: Path, place: str) -> None:
    before, folder = compiled_files(), tmp_path / "audio_gen" / "numba"
    (tmp_path / "audio_gen").mkdir()
    (tmp_path / "foreign").mkdir()
    if place == "shared":
        folder.mkdir()
        folder.chmod(0o777)
    elif place == "link":
        folder.symlink_to(tmp_path / "foreign")
    elif place == "file":
        folder.write_text("in the way")
    else:
        tmp_path = Path("relative")
    assert run(tmp_path) == (RIGHT, False)
    assert compiled_files() == before
    if place != "no folder":
        assert not list(tmp_path.rglob("*.nb?")) and not Path("relative").exists()
