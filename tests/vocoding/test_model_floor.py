import math

import pytest
import torch

from audio_gen.audio.mel import LOG_FLOOR
from audio_gen.vocoding.silence import subtract_floor

FLOOR = -9.0


def test_floor_and_below_is_silence() -> None:
    mel = torch.tensor([FLOOR, FLOOR - 1, LOG_FLOOR, -torch.inf])
    assert subtract_floor(mel, FLOOR).tolist() == pytest.approx([LOG_FLOOR] * 4)


def test_amplitude_is_less_by_the_floors() -> None:
    mel = torch.linspace(FLOOR + 0.2, 2, 50)
    amplitude = subtract_floor(mel, FLOOR).exp()
    torch.testing.assert_close(amplitude, mel.exp() - math.exp(FLOOR), rtol=1e-4, atol=0)


def test_little_above_floor_is_hardly_heard() -> None:
    """An error of a hundredth of a nat in a silent place must not switch on a hiss 22 dB above silence."""
    assert subtract_floor(torch.tensor(FLOOR + 0.01), FLOOR) == pytest.approx(LOG_FLOOR)
    assert subtract_floor(torch.tensor(FLOOR + 0.1), FLOOR) < LOG_FLOOR + 0.5


def test_loud_stays_and_order_holds() -> None:
    mel = torch.linspace(FLOOR - 1, 3, 400)
    clean = subtract_floor(mel, FLOOR)
    assert bool((clean.diff() >= 0).all())
    assert float((clean - mel)[mel > -4].abs().max()) < 0.01
