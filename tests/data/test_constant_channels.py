"""Stereo files of two constants, whose energies without their offsets are rounding."""

from pathlib import Path

import numpy as np
import pytest

from audio_gen.audio.channels import cancelled_channel
from audio_gen.data.measure import measure
from tests.sounds import write


@pytest.mark.parametrize(("values", "frames"), [((0.33, 0.77), 22050), ((0.7, 0.1), 8000), ((0.2, -0.2), 100)])
def test_two_constants_are_measured(tmp_path: Path, values: tuple[float, float], frames: int) -> None:
    file = write(tmp_path / "a.wav", np.tile(np.float32(values), (frames, 1)), 44100, subtype="FLOAT")
    found = measure(file)
    assert (found.channels, found.frames) == (2, frames)


def test_energies_that_are_no_numbers_choose_the_first_channel() -> None:
    assert cancelled_channel(np.full((2, 2), np.nan)) == 0
    assert cancelled_channel(np.array([[-1e-9, 0.0], [0.0, -1e-9]])) == 0
