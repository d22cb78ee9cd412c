"""How near copies by the shipped vocoder come to bundled samples, as golden figures."""

from pathlib import Path

import pytest
import soundfile as sf
import torch

from audio_gen.audio.distance import mrmel
from tests.cli.conftest import Run, run

__all__ = ["run"]  # a fixture

SAMPLES = Path(__file__).parents[2] / "samples"
# Multi-resolution mel distances of copies by `small`. They change with its weights and its renderer only.
GOLDEN = {
    "kick/bd_pure": 0.1539,
    "percussion/elec_triangle": 0.4968,
    "snare/sn_dolf": 0.4385,
    "synth/elec_beep": 0.3183,
}


def distances(run: Run, vocoder: str) -> dict[str, float]:
    """The distance of each sample from its copy."""
    files = [SAMPLES / f"{name}.wav" for name in GOLDEN]
    run("vocode", *files, "--vocoder", vocoder, "--out", "copies", "--device", "cpu", "--force")
    found = {}
    for name in GOLDEN:
        original, rate = sf.read(SAMPLES / f"{name}.wav", dtype="float32", always_2d=True)
        copy, _ = sf.read(Path("copies", f"{Path(name).name}.vocoded.wav"), dtype="float32")
        mono = torch.from_numpy(original.mean(axis=1))
        found[name] = mrmel(mono, torch.from_numpy(copy), rate)
    return found


def test_copies_by_small_are_as_near_as_ever_and_nearer_than_by_griffin_lim(run: Run) -> None:
    found = distances(run, "small")
    assert found == pytest.approx(GOLDEN, rel=0.005)
    assert all(found[name] < value for name, value in distances(run, "griffinlim:8").items())
