"""Small disks: what a full one stops is told in one line, and what is on it afterwards is whole."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile as sf

from tests.hostile.conftest import FAST, ROOT, TINY

SIZES_KB = (16, 64, 160, 320, 640, 1280, 2560)  # from no room at all to room for everything

pytestmark = [
    pytest.mark.hostile,
    pytest.mark.skipif(shutil.which("unshare") is None, reason="needs a disk of its own"),
]


def can_mount(folder: Path) -> bool:
    line = f"mount -t tmpfs -o size=16k none '{folder}'"
    return subprocess.run(["unshare", "-rm", "sh", "-c", line], capture_output=True).returncode == 0


@pytest.mark.parametrize("kilobytes", SIZES_KB)
def test_full_disks(trained: Path, tmp_path: Path, kilobytes: int) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if not can_mount(disk):
        pytest.skip("cannot mount")
    child = [sys.executable, "-m", "tests.hostile.test_disk", str(trained), str(disk)]
    script = f"mount -t tmpfs -o size={kilobytes}k none '{disk}' && exec \"$@\""
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, "sh", *child], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert not told["faults"], told
    assert kilobytes < SIZES_KB[-1] or set(told["status"].values()) == {0}, told
    assert kilobytes > SIZES_KB[0] or 0 not in told["status"].values(), told


def _commands(trained: Path) -> dict[str, list[str]]:
    """What writes, each into a folder of its own."""
    run, note = str(trained / "run"), str(trained / "notes" / "note-00.wav")
    notes = str(trained / "notes")
    return {
        "preprocess": ["preprocess", notes, "--out", "cache", "--mel", "22khz_80band_256x"],
        "sample": ["sample", run, "-n", "3", "--out", "clips", *FAST],
        "encode": ["encode", run, note, "--out", "latents", *FAST[:2]],
        "vocode": ["vocode", note, "--out", "vocoded", *FAST],
        "reference": ["evaluate", notes, "--save-reference", "ref.safetensors", "--pitch", "none"],
        "train": ["train", notes, "--run", "run", "--config", str(TINY), "--device", "cpu"],
    }


def _faults(disk: Path) -> list[str]:
    """Files that are half there."""
    found = []
    for path in sorted(disk.rglob("*")):
        try:
            if ".tmp" in path.name:
                found.append(f"{path}: left over")
            elif path.suffix == ".json":
                json.loads(path.read_text())
            elif path.suffix == ".wav":
                sf.read(path)
        except (ValueError, sf.LibsndfileError) as e:
            found.append(f"{path}: {e}")
    return found


def _main(trained: Path, disk: Path) -> None:
    told: dict[str, dict[str, int] | list[str]] = {}
    status: dict[str, int] = {}
    faults: list[str] = []
    os.chdir(disk)
    environment = {**os.environ, "AUDIO_GEN_CACHE": str(disk / "kept"), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    for name, line in _commands(trained).items():
        done = subprocess.run(
            [sys.executable, "-m", "audio_gen", *line], env=environment, capture_output=True, text=True, timeout=120
        )
        status[name] = done.returncode
        last = done.stderr.strip().splitlines()[-1:] or [""]
        full = re.search("full|free some space", last[0])
        if done.returncode not in (0, 2) or "Traceback" in done.stderr or (done.returncode == 2 and not full):
            faults.append(f"{name}: {done.returncode} {done.stderr[-500:]}")
        faults += [f"{name}: {fault}" for fault in _faults(disk)]
        for path in disk.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    told |= {"status": status, "faults": faults}
    print(json.dumps(told))


if __name__ == "__main__":
    _main(Path(sys.argv[1]), Path(sys.argv[2]))
