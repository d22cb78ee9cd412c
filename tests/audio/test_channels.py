"""Channels: which cancel, decided on short windows and by what keeps the sound; width, stereo and mono."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from audio_gen.audio.channels import WIDTH_DB, fold, mono, width_db
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


def test_width_is_the_side_over_the_mid() -> None:
    assert width_db(np.stack([X, X])) == width_db(X[None]) == width_db(0 * np.stack([X, X])) == -60
    assert width_db(np.stack([X, 0 * X])) == 0
    assert width_db(np.stack([X, -X])) == 60
    assert width_db(np.stack([A, B])) == pytest.approx(0, abs=0.2)
    quieter_by_1_db = np.stack([X, 10 ** (-1 / 20) * X])
    assert WIDTH_DB < width_db(quieter_by_1_db) < WIDTH_DB + 2
    assert width_db(torch.from_numpy(quieter_by_1_db)) == pytest.approx(width_db(quieter_by_1_db), abs=1e-3)


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_mono_is_the_mean_or_the_louder_channel(kind: Any) -> None:
    assert np.array_equal(mono(kind(np.stack([A, B]))), (A + B) / 2)
    assert np.array_equal(mono(kind(np.stack([X, 0 * X]))), X / 2)
    assert np.array_equal(mono(kind(np.stack([-0.9 * X, X]))), X)
    assert np.array_equal(mono(kind(X[None])), X)


def six(x: np.ndarray, channel: int) -> np.ndarray:
    """Six channels (T, 6) of which one sounds."""
    return x[:, None] * (np.arange(6) == channel)


@pytest.mark.parametrize("vorbis", [False, True])
def test_surround_is_folded(vorbis: bool) -> None:
    names = ["L", "C", "R", "Ls", "Rs", "LFE"] if vorbis else ["L", "R", "C", "LFE", "Ls", "Rs"]
    half = 10 ** (-3 / 20)
    gains = {"L": (1, 0), "R": (0, 1), "C": (half, half), "Ls": (half, 0), "Rs": (0, half), "LFE": (0, 0)}
    for channel, name in enumerate(names):
        expected = [gain * X for gain in gains[name]]
        assert np.allclose(fold(six(X, channel).astype(np.float32), vorbis), expected, atol=2e-3), name


def test_reading_in_stereo(tmp_path: Path) -> None:
    pair = np.stack([A, B], axis=1)
    path = sounds.write(tmp_path / "a.wav", pair, subtype="FLOAT")
    assert np.array_equal(read_wav(path, channels=2)[0].numpy(), pair.T)
    assert np.array_equal(read_wav(path, channels=None)[0].numpy(), pair.T)
    wav, rate = read_wav(path, channels=2, sample_rate=16000)
    for row, x in zip(wav, (A, B), strict=True):
        alone = sounds.write(tmp_path / "alone.wav", x, subtype="FLOAT")
        assert rate == 16000 and torch.equal(row, read_wav(alone, sample_rate=16000)[0][0])


@pytest.mark.parametrize("x", [X, np.stack([X, X], axis=1), np.stack([X, A[: len(X)], 0 * X], axis=1)])
def test_one_channel_is_repeated(tmp_path: Path, x: np.ndarray) -> None:
    path = sounds.write(tmp_path / "a.wav", x, subtype="FLOAT")
    one, two, file = (read_wav(path, channels=channels)[0] for channels in (1, 2, None))
    assert one.shape == file.shape == (1, len(X)) and torch.equal(one, file)
    assert torch.equal(two, one.expand(2, -1))


def test_antiphase_and_surround_are_read_as_they_are(tmp_path: Path) -> None:
    antiphase = sounds.write(tmp_path / "a.wav", np.stack([X, -X], axis=1), subtype="FLOAT")
    assert np.array_equal(read_wav(antiphase, channels=2)[0].numpy(), [X, -X])
    surround = sounds.write(tmp_path / "six.wav", six(X, 4), subtype="FLOAT")
    assert np.allclose(read_wav(surround, channels=2)[0].numpy(), [X / 2**0.5, 0 * X], atol=1e-6)
    noise = np.stack([sounds.noise(1.0, 44100, seed=i) for i in range(6)], axis=1)
    vorbis = sounds.write(tmp_path / "six.ogg", noise * (np.arange(6) == 2), 44100)  # its right channel
    assert width_db(read_wav(vorbis, channels=2)[0]) == pytest.approx(0, abs=0.1)
    left, right = read_wav(vorbis, channels=2)[0].square().mean(1).tolist()
    assert left < 1e-3 * right
