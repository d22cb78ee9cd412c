"""Evaluation over time on sounds whose drift, repetition, beat and copies are known."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from audio_gen.evaluation.drift import ranges, slopes
from audio_gen.evaluation.long_sound import LongSound
from audio_gen.evaluation.passages import Passages, nearest_passages
from audio_gen.evaluation.repetition import copied_passages, repetition
from audio_gen.evaluation.rhythm import rhythm
from audio_gen.evaluation.sequence_verdict import judge_over_time, span
from audio_gen.evaluation.sequences import LongSets, are_long, over_time
from audio_gen.evaluation.strips import Strip, strip_of

RATE = 16000


def piece(seed: int, seconds: float = 40.0) -> np.ndarray:
    """Notes of random pitch, length and loudness over soft noise (T,)."""
    random = np.random.default_rng(seed)
    t = np.arange(round(seconds * RATE)) / RATE
    wav = 0.003 * random.standard_normal(len(t))
    at = 0.0
    while at < seconds:
        rest = np.maximum(t - at, 0)
        f0, amplitude, decay = 110 * 2 ** (random.integers(0, 36) / 12), random.uniform(0.05, 0.2), random.uniform(2, 8)
        wav += (
            (t >= at) * amplitude * np.exp(-decay * rest) * sum(np.sin(2 * np.pi * k * f0 * rest) / k for k in (1, 2))
        )
        at += random.uniform(0.1, 0.6)
    return wav.astype(np.float32)


def sound(wav: np.ndarray, title: str = "sound") -> LongSound:
    return LongSound.of(title, torch.from_numpy(wav.astype(np.float32))[None], RATE)


def strip(wav: np.ndarray, title: str = "sound") -> Strip:
    return strip_of(sound(wav, title))


@pytest.fixture(scope="module")
def pieces() -> list[np.ndarray]:
    return [piece(seed) for seed in range(6)]


def bands(wavs: list[Tensor]) -> Tensor:
    """Log energies of a few bands (N, 8), an embedding that is easy to follow."""
    spectra = [torch.fft.rfft(wav, 1 << 15).abs().square() for wav in wavs]
    return torch.stack([torch.log(s[1:4097].reshape(8, -1).mean(1) + 1e-3) for s in spectra])


def found(generated: list[np.ndarray], real: list[np.ndarray], train: list[np.ndarray] | None = None) -> dict[str, Any]:
    sides = [
        [sound(wav, f"{name} {i}") for i, wav in enumerate(wavs)]
        for name, wavs in (("made", generated), ("real", real), ("train", train or []))
    ]
    return over_time(LongSets(sides[0], sides[1], sides[2] or sides[1], sides[1] if train else None), RATE, bands)


def names(figures: dict[str, Any], alarms: bool = True) -> set[str]:
    return {one.name for one in judge_over_time(figures) if one.alarm or not alarms}


def test_a_fade_has_its_slope_in_db_per_minute() -> None:
    t = np.arange(60 * RATE) / RATE
    faded = np.random.default_rng(0).standard_normal(len(t)) * 0.1 * 10 ** (-6 * t / 60 / 20)
    assert slopes(strip(faded))["level_db_per_minute"] == pytest.approx(-6, abs=0.2)
    assert slopes(strip(faded))["centroid_semitones_per_minute"] == pytest.approx(0, abs=0.2)
    assert np.isnan(slopes(strip(faded[: 10 * RATE]))["level_db_per_minute"])


def test_a_glide_has_its_slope_in_semitones_per_minute() -> None:
    t = np.arange(60 * RATE) / RATE
    phase = 2 * np.pi * np.cumsum(1500 * 2 ** (t / 60)) / RATE
    found = slopes(strip(0.3 * np.sin(phase)))
    assert found["centroid_semitones_per_minute"] == pytest.approx(12, abs=2)
    assert found["level_db_per_minute"] == pytest.approx(0, abs=0.1)


def test_clicks_have_a_beat_and_their_tempo_and_noise_has_none() -> None:
    clicks = 0.001 * np.random.default_rng(0).standard_normal(20 * RATE)
    for at in range(0, len(clicks) - 400, RATE // 2):
        clicks[at : at + 400] += 0.5 * np.random.default_rng(1).standard_normal(400)
    found = rhythm(strip(clicks))
    assert found["beat_strength"] > 0.8 and found["tempo_bpm"] == pytest.approx(120, rel=0.03)
    assert rhythm(strip(np.random.default_rng(0).standard_normal(20 * RATE) * 0.1))["beat_strength"] < 0.2


def test_a_loop_of_two_seconds_stalls_and_repeats_and_a_piece_does_neither(pieces: list[np.ndarray]) -> None:
    looped = repetition(strip(np.tile(pieces[0][: 2 * RATE], 15)))
    assert looped["stalls"] == 1 and looped["repeats"] == 1
    whole = repetition(strip(pieces[0]))
    assert whole["stalls"] < 0.1 and whole["repeats"] < 0.2
    # Of 6.5 s, neighbouring windows differ, and each passage returns.
    longer = repetition(strip(np.tile(pieces[0][: round(6.5 * RATE)], 5)))
    assert longer["stalls"] < 0.2 and longer["repeats"] == 1


def test_a_passage_is_found_at_its_place_at_another_level(pieces: list[np.ndarray]) -> None:
    bank = [strip(wav, str(i)) for i, wav in enumerate(pieces)]
    copy = 0.1 * pieces[3][round(12.3 * RATE) : round(20.3 * RATE)]
    queries = Passages.of([strip(copy)])
    near = nearest_passages(queries, bank)
    assert near.sounds.tolist() == [3] * len(queries)
    assert ((near.starts - queries.starts) / 20).tolist() == pytest.approx([12.3] * len(queries), abs=0.06)
    assert float(near.distance_db.max()) < 2


def test_copies_of_training_passages_are_counted_and_new_pieces_are_not(pieces: list[np.ndarray]) -> None:
    train, held_out = [strip(x, f"t{i}") for i, x in enumerate(pieces[:3])], [strip(x) for x in pieces[3:]]
    new = copied_passages([strip(piece(50))], train, held_out)
    assert new is not None and new["share"] < 0.2 and new["held_out"]
    copied = copied_passages([strip(pieces[1][8000:], "copy")], train, held_out)
    assert copied is not None and copied["share"] > 0.9 and copied["closest"][0]["training"] == "t1"
    assert copied_passages([strip(piece(50))], train[:1]) is None
    among = copied_passages([strip(piece(50))], train)
    assert among is not None and not among["held_out"]


def test_halves_of_pieces_do_not_drift(pieces: list[np.ndarray]) -> None:
    figures = found([piece(s) for s in range(20, 26)], pieces)
    change = figures["drift"]["generated"]
    assert change["change_ci"][0] < 0 < change["change_ci"][1]
    assert [row["generated"]["n"] for row in figures["drift"]["ranges"]] == [30, 60, 30]
    assert not names(figures) & {"drift", "level_drift", "stalls"}


def test_pieces_that_drown_in_noise_drift(pieces: list[np.ndarray]) -> None:
    t = np.linspace(0, 1, 40 * RATE)
    drowned = [(1 - t) * piece(s) + 0.2 * t * np.random.default_rng(s).standard_normal(len(t)) for s in range(20, 26)]
    figures = found(drowned, pieces)
    assert figures["drift"]["generated"]["change"] > 1
    assert {"drift", "brightness_drift"} <= names(figures)


def test_loops_of_two_seconds_are_told(pieces: list[np.ndarray]) -> None:
    figures = found([np.tile(x[: 2 * RATE], 20) for x in pieces], pieces)
    assert {"stalls", "repeats"} <= names(figures)
    assert figures["measures"]["stalls"]["generated"]["mean"] == 1


def test_a_fade_is_told(pieces: list[np.ndarray]) -> None:
    fade = 10 ** (-20 * np.linspace(0, 40 / 60, 40 * RATE) / 20)
    assert "level_drift" in names(found([piece(s) * fade for s in range(20, 26)], pieces))


def test_ranges_of_time_and_their_names() -> None:
    assert ranges(25) == [(0, 10), (10, 30)]
    assert ranges(150)[-2:] == [(60, 120), (120, 180)]
    assert [span(part) for part in ranges(100)] == ["the first 10 s", "10 to 30 s", "30 to 60 s", "minute 2"]
    assert span((0, 60)) == "minute 1"


def test_one_long_sound_is_compared_by_the_minute() -> None:
    figures = found([piece(9, 130)], [piece(s, 60) for s in range(4)])
    assert [row["start_sec"] for row in figures["drift"]["ranges"]] == [0, 60, 120]
    assert figures["drift"]["generated"]["last_sec"] == (60, 120)


def test_blocks_do_not_matter(pieces: list[np.ndarray]) -> None:
    wav = pieces[0]
    whole = strip(wav)
    cut = strip_of(LongSound("cut", RATE, len(wav), lambda: np.array_split(wav, [5, 77777, 300001])))
    assert torch.equal(whole.mel, cut.mel) and torch.equal(whole.power, cut.power)


def test_short_clips_are_not_measured_over_time(pieces: list[np.ndarray]) -> None:
    assert not are_long([sound(pieces[0][: 4 * RATE])]) and not are_long([]) and are_long([sound(pieces[0])])
