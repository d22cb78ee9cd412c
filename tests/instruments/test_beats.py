"""Beats: exact lengths and grids, tails that go round, styles, and what is learned from loops."""

from pathlib import Path

import numpy as np
import pytest
import torch

from audio_gen.audio.onset import lead_samples
from audio_gen.errors import ConfigError, DataError
from audio_gen.instruments.beat import kind_parts, looped, pattern_score
from audio_gen.instruments.drum_probe import DrumProbe
from audio_gen.instruments.learned_style import hear, learn_style
from audio_gen.instruments.patterns import Pattern, read_styles, step_beats, styled, styles
from audio_gen.instruments.zones import Instrument, Zone
from audio_gen.reporter import SILENT
from tests import sounds

RATE = 22050
KEYS = {"kick": 36, "snare": 38, "hihat": 42}


def voice(kind: str, variant: int = 0, sec: float = 0.35) -> np.ndarray:
    """A drum: a low sine that falls, noise in the middle, or noise at the top."""
    rng, t = np.random.default_rng(variant), np.arange(round(sec * RATE)) / RATE
    if kind == "kick":
        x = np.sin(2 * np.pi * (50 + 5 * variant) * t + 6 * (1 - np.exp(-30 * t))) * np.exp(-14 * t)
    elif kind == "snare":
        x = (0.6 * rng.normal(0, 0.4, len(t)) + 0.5 * np.sin(2 * np.pi * (180 + 9 * variant) * t)) * np.exp(-18 * t)
    else:
        x = np.diff(rng.normal(0, 0.4, len(t) + 2), 2) * np.exp(-50 * t) * 0.3
    return (0.6 * x * np.minimum(t / 0.0005, 1)).astype(np.float32)


def kit(per_class: int = 3) -> Instrument:
    zones = [
        Zone(f"{kind}-{i}", torch.from_numpy(voice(kind, i))[None], RATE, KEYS[kind] + 50 * (i > 0) + i,
             (KEYS[kind] + 50 * (i > 0) + i,) * 2, class_name=kind, pitched=False)
        for kind in KEYS for i in range(per_class)
    ]  # fmt: skip
    return Instrument("kit", tuple(zones), drums=True)


def test_every_style_has_bars_of_its_length() -> None:
    assert {"four", "break", "trap"} <= set(styles())
    for style in styles().values():
        pattern = styled(style, 4, np.random.default_rng(0))
        assert len(pattern.velocities) == 4 * style.steps and pattern.hits()
        assert max(velocity for *_, velocity in pattern.hits()) <= 127


def test_variations_differ_and_a_seed_repeats() -> None:
    one, same, other = (styled(styles()["break"], 4, np.random.default_rng(seed)).velocities for seed in (1, 1, 2))
    assert np.array_equal(one, same) and (one.shape != other.shape or not np.array_equal(one, other))


@pytest.mark.parametrize(
    ("text", "told"),
    [("a: [1]", "a"), ("a:\n  bars: [{kick: 'X...'}]", "16 steps"), ("a:\n  bars: [{kik: 'X...'}]", "no kind of drum"),
     ("a:\n  bars: [{kick: 'Q...............'}]", "signs are"), ("[]", "no styles"),
     ("a: {bars: [{}], swing: 0.9}", "swing")],
)  # fmt: skip
def test_a_wrong_style_is_told(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(ConfigError, match=told):
        read_styles(tmp_path / "s.yaml")


def test_swing_moves_every_second_16th() -> None:
    assert [step_beats(i, 0.5) for i in range(4)] == [0, 0.25, 0.5, 0.75]
    assert [step_beats(i, 2 / 3) for i in range(4)] == pytest.approx([0, 1 / 3, 0.5, 5 / 6])


@pytest.mark.parametrize(("bpm", "swing"), [(123.7, 0.5), (87.0, 0.62), (174.0, 0.5)])
def test_a_loop_is_exact_and_its_onsets_are_on_the_grid(bpm: float, swing: float) -> None:
    pattern = styled(styles()["four"], 2, np.random.default_rng(0))
    score = pattern_score(pattern, bpm, swing)
    samples = round(2 * 4 * 60 / bpm * RATE)
    part = kind_parts(score.notes, pattern.kinds, kit())["kick"]
    wav = looped(score, [part], RATE, samples).numpy()
    assert wav.shape == (2, samples)
    for note in part.notes:
        at = round(note.start_sec * RATE)
        near = np.abs(np.take(wav[0], np.arange(at - 200, at + 200), mode="wrap"))
        onset = at - 200 + int(np.argmax(near > 0.02 * near.max()))
        assert abs(onset - at) <= 0.001 * RATE + 1


def test_what_rings_at_the_end_goes_on_at_the_start() -> None:
    """A loop equals the middle of three repetitions, so that it has no seam."""
    grid = np.zeros((16, 1))
    grid[[0, 15], 0] = 100
    pattern = Pattern(["kick"], grid)
    score, long_kit = pattern_score(pattern, 120.0, 0.5), kit(1)
    samples = 2 * RATE
    part = kind_parts(score.notes, pattern.kinds, long_kit)["kick"]
    once = looped(score, [part], RATE, samples)
    three = np.tile(once.numpy(), 3)
    tail = voice("kick")
    at = round(15 / 16 * samples) + samples
    level = (100 / 127) ** 2
    expected = level * tail[: samples // 16]  # until the next kick begins
    assert np.abs(three[0, at - lead_samples(RATE) : at - lead_samples(RATE) + len(expected)] - expected).max() < 1e-4
    assert np.abs(np.diff(three[0])).max() < 1.05 * max(np.abs(np.diff(once[0].numpy())).max(), 1e-6)


def loop_of(pattern: Pattern, bpm: float, variant: int) -> np.ndarray:
    """A loop of a pattern with other sounds than those of the kit."""
    samples = round(len(pattern.velocities) / 4 * 60 / bpm * RATE)
    out = np.zeros(samples, np.float32)
    for step, kind, velocity in pattern.hits():
        x = voice(kind, variant) * velocity / 127
        places = (round(step / 4 * 60 / bpm * RATE) + np.arange(len(x))) % samples
        np.add.at(out, places, x)
    return out


ROCK = {"kick": "X.......X.x.....", "snare": "....X.......X...", "hihat": "x.x.x.x.x.x.x.x."}


def rock(bars: int = 2) -> Pattern:
    grid = np.array([[{"X": 118, "x": 98, ".": 0}[sign] for sign in row] for row in ROCK.values()]).T
    return Pattern(list(ROCK), np.tile(grid, (bars, 1)).astype(float))


def test_a_loop_is_heard_as_its_grid(tmp_path: Path) -> None:
    probe = DrumProbe(kit())
    assert probe.kinds == ["kick", "snare", "hihat"]
    sounds.write(tmp_path / "a.wav", loop_of(rock(), 110.0, variant=11), RATE)
    found = hear(tmp_path / "a.wav", probe)
    assert found is not None and found.bpm == pytest.approx(110, rel=0.01)
    wanted, heard = rock().velocities > 0, found.velocities > 0
    assert heard.shape == wanted.shape
    hits = (wanted & heard).sum()
    assert 2 * hits / (wanted.sum() + heard.sum()) > 0.85


def test_a_learned_style_plays_like_its_loops(tmp_path: Path) -> None:
    for i in range(5):
        sounds.write(tmp_path / f"{i}.wav", loop_of(rock(), 108.0 + i, variant=10 + i), RATE)
    style = learn_style(tmp_path, kit(), SILENT)
    assert style.bpm == pytest.approx(110, abs=1) and style.swing == pytest.approx(0.5, abs=0.04)
    pattern = style.sample(4, seed=0)
    assert pattern.velocities.shape == (64, 3)
    wanted, drawn = rock(4).velocities > 0, pattern.velocities > 0
    assert 2 * (wanted & drawn).sum() / (wanted.sum() + drawn.sum()) > 0.7
    assert np.array_equal(style.sample(4, seed=0).velocities, pattern.velocities)


def test_folders_without_a_beat_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no folder"):
        learn_style(tmp_path / "none", kit(), SILENT)
    sounds.write(tmp_path / "a.wav", sounds.noise(3.0), RATE)
    with pytest.raises(DataError, match="steady beat"):
        learn_style(tmp_path, kit(), SILENT)
