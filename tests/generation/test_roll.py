"""Morphs of one-shots as rolls, and which sounds become one."""

from pathlib import Path

import numpy as np
import pytest
import torch

from audio_gen.audio.onset import lead_samples, onset
from audio_gen.errors import ConfigError
from audio_gen.generation.operations.interpolate import InterpolateRequest, interpolate
from audio_gen.generation.pipeline import Pipeline
from audio_gen.generation.roll import count_hits, is_percussive, parse_hits, roll
from tests import sounds

RATE = 22050


def wav(x: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(x.astype(np.float32))[None]


@pytest.mark.parametrize(
    ("text", "bpm", "sec"),
    [("1/16", 120, 0.125), ("1/4", 60, 1.0), (" 1 / 24 ", 100, 0.1), ("3/16", 120, 0.375), ("8", 120, 0.125),
     ("8/s", 60, 0.125), ("2.5", 90, 0.4)],
)  # fmt: skip
def test_distances_of_hits(text: str, bpm: float, sec: float) -> None:
    assert parse_hits(text, bpm) == pytest.approx(sec)


@pytest.mark.parametrize("text", ["", "1/0", "0/16", "often", "1/16/2", "0", "-8", "1000", "1/999", "nan", "9" * 400])
def test_wrong_hits(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--hits .*: must be a note value or a number per second, .*; try 1/16 or 8"):
        parse_hits(text, 300)


@pytest.mark.parametrize("bpm", [0, -120, 19.9, 1000, float("nan"), float("inf")])
def test_wrong_tempos(bpm: float) -> None:
    with pytest.raises(ConfigError, match=r"--bpm .*: must be between 20 and 999; try 120"):
        parse_hits("1/16", bpm)


def test_number_of_hits() -> None:
    assert [count_hits(sec, 0.125) for sec in (4.0, 0.125, 0.1, 0.374)] == [32, 1, 0, 2]
    with pytest.raises(ConfigError, match="a roll of 2400 hits; at most 512"):
        count_hits(300.0, 0.125)


def test_onsets_lie_on_the_grid_and_nothing_clicks() -> None:
    click = np.concatenate([np.zeros(300), np.exp(-np.arange(2000) / 150) * np.sin(np.arange(2000) / 3)])
    mixed = roll((wav(click * level) for level in (0.5, 1.0, 0.7)), 0.25, RATE)[0]
    lead = lead_samples(RATE)
    for i in range(3):
        first = round(0.25 * i * RATE)
        part = mixed[first : first + round(0.2 * RATE)].numpy()
        assert abs(onset(part, RATE) - lead) <= 2
    assert float(mixed[0]) == float(mixed[-1]) == 0
    assert float(mixed.diff().abs().max()) <= 1.01 * float(np.abs(np.diff(click)).max())


def test_hits_ring_out_under_the_next_and_the_level_is_limited() -> None:
    long = wav(sounds.sine(200.0, 0.5))
    mixed = roll([long] * 10, 0.05, RATE)
    assert mixed.shape[-1] == pytest.approx(0.95 * RATE, abs=0.01 * RATE)
    assert float(mixed.abs().max()) == pytest.approx(0.5, abs=1e-3)
    single = roll([long], 0.05, RATE)
    two = roll([long, torch.zeros(1, 100)], 0.05, RATE)
    assert torch.equal(two[:, : single.shape[-1]], single)
    assert float(roll([torch.zeros(1, 100)] * 3, 0.05, RATE).abs().max()) == 0


def test_which_sounds_are_percussive() -> None:
    decay = np.exp(-np.arange(RATE) / 2000)
    assert is_percussive(wav(sounds.noise(1.0) * decay), RATE) and is_percussive(wav(sounds.pluck(220.0, 1.0)), RATE)
    assert not is_percussive(wav(sounds.sine(220.0, 1.0)), RATE)  # held
    assert not is_percussive(wav(sounds.noise(1.0) * decay[::-1]), RATE)  # a swell
    assert not is_percussive(torch.zeros(1, 100), RATE) and not is_percussive(torch.zeros(1, 0), RATE)


@pytest.fixture
def hits(tmp_path: Path) -> list[str]:
    x = [
        np.exp(-np.arange(4000) / 400) * sounds.noise(4000 / RATE, amplitude=a, seed=i)
        for i, a in enumerate((0.5, 0.3))
    ]
    return [str(sounds.write(tmp_path / f"drum-060-10{i}.wav", one)) for i, one in enumerate(x)]


def test_percussion_rolls_and_a_held_sound_glides(pipeline: Pipeline, hits: list[str], tmp_path: Path) -> None:
    clips = interpolate(pipeline, InterpolateRequest(start=hits[0], end=hits[1], steps=0, morph="1s", hits="4"))
    assert clips.notes[-1] == "morph: a roll of 4 hits, 4 a second"
    (morph,) = clips
    assert morph.provenance["morph_kind"] == "roll" and morph.provenance["hits"] == 4
    assert 0.75 * RATE < morph.wav.shape[-1] < 1.1 * RATE and morph.provenance["edited"] is True
    held = str(sounds.write(tmp_path / "held.wav", sounds.sine(sec=0.28)))
    request = InterpolateRequest(start=hits[0], end=held, steps=0, morph="1s", hits="4")
    (glide,) = interpolate(pipeline, request)
    assert glide.provenance["morph_kind"] == "glide" and "hits" not in glide.provenance
    (forced,) = interpolate(pipeline, request.model_copy(update={"morph_kind": "roll"}))
    assert forced.provenance["morph_kind"] == "roll"
    short = InterpolateRequest(start=hits[0], end=hits[1], steps=0, morph="200ms")
    assert next(iter(interpolate(pipeline, short))).provenance["morph_kind"] == "glide"  # one hit is no roll


def test_hits_of_a_roll_are_equally_spaced_steps(pipeline: Pipeline, hits: list[str]) -> None:
    ends = {"start": hits[0], "end": hits[1]}
    steps = list(interpolate(pipeline, InterpolateRequest(**ends, steps=3)))  # type: ignore[arg-type]
    (morph,) = interpolate(pipeline, InterpolateRequest(**ends, steps=0, morph="1.5s", hits="2"))  # type: ignore[arg-type]
    expected = roll((step.wav for step in steps), 0.5, RATE)
    torch.testing.assert_close(morph.wav, expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"morph": "1s", "morph_kind": "wash"}, "--morph-kind wash: unknown; use auto, roll, glide"),
        ({"morph": "0.1s", "morph_kind": "roll"}, "--morph 0.1s: too short for a roll of 2 hits"),
        ({"morph": "1s", "hits": "x"}, "--hits x: must be"),
        ({"morph": "1s", "bpm": 5}, "--bpm 5: must be"),
    ],
)
def test_wrong_rolls(options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        InterpolateRequest(start="seed:1", end="seed:2", **options)


def test_a_long_glide_is_no_roll() -> None:
    asked = InterpolateRequest(start="seed:1", end="seed:2", morph="100s", morph_kind="glide")
    assert asked.morph_sec == 100
    with pytest.raises(ConfigError, match="a roll of 800 hits"):
        InterpolateRequest(start="seed:1", end="seed:2", morph="100s", morph_kind="roll")
