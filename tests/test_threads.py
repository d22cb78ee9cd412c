"""How torch's threads wait is chosen before torch is imported, and is the user's to choose."""

import os
import subprocess
import sys

import pytest

from audio_gen.threads import CHOICES

TOLD = "; import os; print(os.environ.get('OMP_WAIT_POLICY'), os.environ.get('KMP_BLOCKTIME'))"


def _told(first: str, **chosen: str) -> str:
    environment = {key: value for key, value in os.environ.items() if key not in CHOICES}
    command = [sys.executable, "-c", first + TOLD]
    return subprocess.run(
        command, env={**environment, **chosen}, capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.mark.parametrize("first", ["import audio_gen", "import audio_gen.cli.app", "import audio_gen.audio.mel"])
def test_threads_wait_asleep_however_the_package_is_imported(first: str):
    assert _told(first) == "PASSIVE 0"


@pytest.mark.parametrize(
    "name, value", [("OMP_WAIT_POLICY", "ACTIVE"), ("GOMP_SPINCOUNT", "7"), ("KMP_BLOCKTIME", "9")]
)
def test_what_the_user_chose_stays(name: str, value: str):
    wanted = {"OMP_WAIT_POLICY": "None", "KMP_BLOCKTIME": "None", name: value}
    assert _told("import audio_gen", **{name: value}) == f"{wanted['OMP_WAIT_POLICY']} {wanted['KMP_BLOCKTIME']}"


def test_a_process_that_has_torch_keeps_its_environment():
    assert _told("import sys; sys.modules['torch'] = sys; import audio_gen") == "None None"
