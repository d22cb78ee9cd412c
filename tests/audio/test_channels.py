"""Channels that cancel: decided on short windows, and by what keeps the sound."""

from pathlib import Path

import numpy as np
import pytest

from audio_gen.audio.io import read_wav
from audio_gen.data.measure import blocks_between, measure
from audio_gen.data.report import decide
from tests import sounds

X = sounds.sine(220, sec=1.0, amplitude=0.4)
A, B = sounds.noise(sec=2.0, seed=1), sounds.noise(sec=2.0, seed=2)


def stereo(*pieces: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    return np.concatenate([np.stack(piece, axis=1) for piece in pieces])


def deep(x: np.ndarray) -> np.ndarray:
    """What lies below some 100 Hz, but for the offset."""
    low = np.convolve(x - x.mean(), np.hanning(400) / 20, "same")
    return low - np.convolve(low, np.full(2001, 1 / 2001), "same")


CANCELS = {
    "wide": (stereo((X, -0.9 * X)), 0, "by 26 dB: only the left channel"),
    "right is louder": (stereo((-0.5 * X, X)), 1, "by 10 dB: only the right channel"),
    "tail": (stereo((X, X), (X, -X)), 0, "dB from 1.00 s on: only the left"),
    "quiet tail": (stereo((X, X), (0.05 * X, -0.05 * X)), 0, "s on: only the left"),
    "attack": (stereo((X[:4410], -X[:4410]), (X, X)), 0, "from 0.00 to 0.20 s: only the left"),
    "middle": (stereo((X, X), (X, -X), (X, X)), 0, "from 1.00 to 2.00 s: only the left"),
    "left is empty at first": (stereo((0 * X, X), (X, -X)), 1, "from 1.00 s on: only the right"),
    "three": (np.stack([X, -X, 0.01 * X], axis=1), 0, "only channel 1"),
}


@pytest.mark.parametrize("name", CANCELS)
def test_the_channel_that_keeps_the_sound_is_used(tmp_path: Path, name: str) -> None:
    x, channel, reason = CANCELS[name]
    path = sounds.write(tmp_path / "a.wav", x, subtype="FLOAT")
    m = measure(path)
    action, reasons = decide("a.wav", m)
    assert action == "repair" and reason in reasons[0], reasons
    assert m.channel == channel
    assert np.array_equal(read_wav(path)[0][0].numpy(), x[:, channel])
    assert np.array_equal(np.concatenate(list(blocks_between(path, m, 0, m.frames))), x[:, channel])


MIXED = {
    "equal": (stereo((X, X)), False),
    "unrelated": (stereo((A, B)), False),
    "deep and unrelated": (stereo((deep(A), deep(B))), None),
    "one side": (stereo((X, 0 * X)), False),
    "panned in turn": (stereo((X, 0 * X), (0 * X, X)), False),
    "somewhat against each other": (stereo((A, B - 0.3 * A)), True),
    "a little against each other": (stereo((A, B - 0.1 * A)), True),
    "silence that cancels": (stereo((X, X), (1e-4 * X, -1e-4 * X)), False),
    "six": (np.stack([sounds.noise(seed=i) for i in range(6)], axis=1), False),
}


@pytest.mark.parametrize("name", MIXED)
def test_what_does_not_cancel_is_mixed(tmp_path: Path, name: str) -> None:
    x, told = MIXED[name]
    path = sounds.write(tmp_path / "a.wav", x.astype(np.float32), subtype="FLOAT")
    m = measure(path)
    assert m.channel is None
    assert told is None or m.loss_excess == told, m.loss_db
    assert np.allclose(read_wav(path)[0][0].numpy(), x.mean(axis=1), atol=1e-6)
    if told:
        assert "partly cancel" in decide("a.wav", m)[1][0]
