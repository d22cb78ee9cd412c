"""Measures of transferred sounds, on sounds whose figures are known."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from audio_gen.errors import DataError
from audio_gen.evaluation import transfer as measures
from tests.sounds import noise, write

RATE = measures.RATE


def hits(*times: float, sec: float = 3.0) -> torch.Tensor:
    x = np.zeros(round(sec * RATE), np.float32)
    for i, time in enumerate(times):
        at = round(time * RATE)
        x[at : at + 4000] += noise(4000 / RATE, RATE, seed=i)[:4000] * np.exp(-np.arange(4000) / 600)
    return torch.from_numpy(x)


def notes(*pitches: float, octave: float = 0) -> torch.Tensor:
    time = torch.arange(RATE // 2) / RATE
    parts = []
    for pitch in pitches:
        hz = 440 * 2 ** ((pitch + 12 * octave - 69) / 12)
        parts.append(sum(torch.sin(2 * torch.pi * hz * k * time) / k for k in range(1, 6)) * torch.exp(-2 * time))
    return 0.2 * torch.cat(parts)


def test_times_match_once_and_within_50_ms() -> None:
    assert measures._f1([1.0, 2.0], [1.04, 2.0]) == 1
    assert measures._f1([1.0, 2.0], [1.06, 2.0]) == 0.5
    assert measures._f1([1.0], [1.0, 1.01]) == pytest.approx(2 / 3)
    assert math.isnan(measures._f1([], []))


def test_hits_are_found() -> None:
    found = measures._onsets(hits(0.5, 1.0, 1.75, 2.5))
    assert measures._f1(found, [0.5, 1.0, 1.75, 2.5]) == 1


def test_levels_differ_by_a_gain() -> None:
    x = torch.from_numpy(noise(2.0, RATE))
    assert measures._level_difference_db(x, 0.5 * x) == pytest.approx(6.02, abs=0.01)
    assert measures._level_difference_db(x, x) == 0


def test_pitches_count_up_to_octaves() -> None:
    wav = notes(60, 64, 67, 72)
    assert measures._salience_f1(wav, wav)[:2] == (1.0, 0)
    f1, octaves, voices = measures._salience_f1(wav, notes(60, 64, 67, 72, octave=-1))
    assert f1 > 0.7 and octaves == -1
    assert 1 <= voices < measures.MOST_VOICES
    other, _, _ = measures._salience_f1(wav, notes(62, 65.5, 69, 73.5))
    assert other < 0.4
    near, both, voiced, heard = measures._pitch_matches(wav, notes(60, 64, 67, 72, octave=-1))
    assert near > 0.8 * both and voiced > 0.5 * heard
    near, both, _, _ = measures._pitch_matches(wav, notes(61, 65, 68, 73))
    assert near < 0.2 * both


def test_chords_have_several_pitches_at_a_time() -> None:
    chords = notes(60, 62) + notes(64, 65) + notes(67, 69)
    assert measures._salience_f1(chords, chords)[2] > measures.MOST_VOICES


def test_noise_has_no_pitches_to_compare() -> None:
    x = torch.from_numpy(noise(2.0, RATE))
    assert math.isnan(measures._salience_f1(x, x)[0])


def test_an_output_without_a_source_is_named(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a.wav", noise()), write(tmp_path / "b.wav", noise())
    assert measures._pairs([a], [a]) == [(a, a)]
    with pytest.raises(DataError, match=r"b\.wav: comes from b\.wav, which is not among the sources"):
        measures._pairs([a], [b])


def test_a_copy_of_the_target_has_gone_the_whole_way() -> None:
    generator = torch.Generator().manual_seed(0)
    source, target, same = (torch.randn(40, 8, generator=generator) + shift for shift in (3.0, 0.0, 0.0))
    sides = [measures._Side([], one, [str(i // 4) for i in range(40)]) for one in (source, same, target)]
    way = measures._distances(*sides, 0)["way"]
    assert way["share"] == pytest.approx(1, abs=0.05)
    way = measures._distances(sides[0], sides[0], sides[2], 0)["way"]
    assert way["share"] == 0
