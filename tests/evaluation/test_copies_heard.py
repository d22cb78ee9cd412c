"""With the default embedding: a copy is found though it is louder, and another velocity of a note is none."""

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from audio_gen.evaluation.embeddings import load_embedding
from audio_gen.evaluation.novelty import nearness

pytest.importorskip("onnx")
RATE, SEC = 16000, 1.0
INSTRUMENTS = {  # roll-off of the partials, share of even partials, decay per second, attack in seconds
    "organ": (0.6, 1.0, 0.0, 0.05), "clarinet": (0.8, 0.1, 0.5, 0.04), "guitar": (1.2, 1.0, 4.0, 0.004),
    "bell": (0.3, 0.0, 7.0, 0.002), "flute": (2.2, 0.7, 0.2, 0.08), "brass": (0.4, 1.0, 0.8, 0.06),
}  # fmt: skip
PITCHES = range(48, 76, 3)


def note(instrument: str, pitch: int, *, soft: bool, gain_db: float = 0.0) -> Tensor:
    roll_off, even, decay, attack = INSTRUMENTS[instrument]
    t, f0 = np.arange(int(SEC * RATE)) / RATE, 440 * 2 ** ((pitch - 69) / 12)
    x = np.zeros_like(t)
    for k in range(1, int(0.45 * RATE / f0) + 1):
        level = k ** -(roll_off + (0.6 if soft else 0)) * (even if k % 2 == 0 else 1)
        x += level * np.sin(2 * np.pi * k * f0 * t + k) * np.exp(-decay * t * (1 + 0.1 * k))
    x *= np.minimum(1, t / attack) * (0.1 if soft else 0.25) / np.abs(x).max()
    return torch.from_numpy((x * 10 ** (gain_db / 20)).astype(np.float32))


def test_a_louder_copy_is_one_and_another_velocity_is_none() -> None:
    embed = load_embedding()
    every = list(itertools.product(INSTRUMENTS, PITCHES))
    apart = every[::6]  # of these only the loud note is learned from
    learned = [(i, p, False) for i, p in every] + [(i, p, True) for i, p in every if (i, p) not in apart]
    train = embed([note(i, p, soft=soft) for i, p, soft in learned])

    louder = nearness(embed([note(i, p, soft=False, gain_db=1) for i, p in apart]), train)
    assert louder.share == 1.0
    assert all(learned[j][:2] == apart[i] for i, j, _ in louder.closest)

    softer = nearness(embed([note(i, p, soft=True) for i, p in apart]), train)
    assert softer.share <= 0.1
    same = [learned[j][0] == apart[i][0] for i, j, _ in softer.closest]
    assert sum(same) >= 0.8 * len(same)
