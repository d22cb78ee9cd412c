"""Tempo and beats: clicks of known tempo, loops of known length, and sounds without a beat."""

from pathlib import Path

import numpy as np
import pytest

from audio_gen.audio.music_features import music_features
from audio_gen.data.cache import build_cache
from audio_gen.data.tempo import beats_of, clip_beats, find_beats
from tests import sounds

RATE = 44100


def clicks(bpm: float, sec: float, first_sec: float = 0.1, rate: int = RATE, accent: bool = False) -> np.ndarray:
    """Clicks at a tempo; with `accent`, a low thump on every fourth."""
    x = np.zeros(round(sec * rate), np.float32)
    click = np.random.default_rng(0).normal(size=rate // 100) * np.exp(-np.arange(rate // 100) / (rate / 500))
    time = np.arange(rate // 10) / rate
    thump = np.sin(2 * np.pi * 60 * time) * np.exp(-30 * time)
    for beat, at in enumerate(np.arange(first_sec, sec - 0.1, 60 / bpm)):
        start = round(at * rate)
        x[start : start + len(click)] += 0.2 * click[: len(x) - start].astype(np.float32)
        if accent and beat % 4 == 0:
            x[start : start + len(thump)] += 0.5 * thump[: len(x) - start].astype(np.float32)
    return x


@pytest.mark.parametrize("bpm", [63.0, 80.0, 97.3, 120.0, 139.9, 174.3])
@pytest.mark.parametrize("rate", [22050, 44100, 48000])
def test_clicks(bpm: float, rate: int) -> None:
    beats = find_beats([clicks(bpm, 40, rate=rate)], rate)
    assert beats.bpm == pytest.approx(bpm, rel=0.005)
    assert beats.steady and beats.loop_beats is None
    at = np.arange(0.1, 39.9, 60 / bpm) * rate
    nearest = np.abs(beats.positions[:, None] - at).min(1)
    assert np.median(nearest) < 0.006 * rate and np.mean(nearest < 0.02 * rate) > 0.95


def test_a_tempo_that_changes_is_followed() -> None:
    beats = find_beats([np.concatenate([clicks(100, 60), clicks(125, 60)])], RATE)
    tempo, _, _ = beats.phases(np.array([30, 90]) * RATE)
    np.testing.assert_allclose(60 * RATE * tempo, [100, 125], rtol=0.03)


def test_bars_start_where_the_bass_is() -> None:
    beats = find_beats([clicks(110, 60, accent=True)], RATE)
    downbeats = beats.positions[beats.downbeat :: 4] / RATE
    late = np.abs((downbeats - 0.1) / (4 * 60 / 110) - np.round((downbeats - 0.1) / (4 * 60 / 110)))
    assert np.median(late) < 0.02
    tempo, beat, bar = beats.phases(beats.positions[beats.downbeat :: 4])
    np.testing.assert_allclose(beat, 0, atol=1e-9)
    np.testing.assert_allclose(bar, 0, atol=1e-9)
    assert 60 * RATE * np.median(tempo) == pytest.approx(110, rel=0.02)


def test_phases_go_on_outside_the_beats() -> None:
    beats = find_beats([clicks(120, 30)], RATE)
    at = np.arange(0, 30 * RATE, 512)
    tempo, beat, bar = beats.phases(at)
    assert np.isfinite(tempo).all() and ((beat >= 0) & (beat < 1) & (bar >= 0) & (bar < 1)).all()
    turns = np.unwrap(2 * np.pi * beat) / (2 * np.pi)
    assert turns[-1] - turns[0] == pytest.approx(60, abs=0.3)


@pytest.mark.parametrize(("bpm", "n_beats"), [(90, 8), (120, 16), (128, 4), (174, 8), (140, 12)])
def test_a_short_file_of_whole_beats_is_a_loop_and_its_tempo_is_exact(bpm: float, n_beats: int) -> None:
    samples = round(n_beats * 60 / bpm * RATE)
    x = clicks(bpm, 60, first_sec=0)[:samples]
    beats = find_beats([x], RATE)
    assert beats.loop_beats in (n_beats, n_beats // 2)  # of equal clicks, half the tempo is as good
    assert beats.bpm == pytest.approx(60 * beats.loop_beats * RATE / samples, rel=1e-9)
    assert beats.positions[0] == 0 and len(beats.positions) == beats.loop_beats
    longer = find_beats([clicks(bpm, 60, first_sec=0)[: samples + round(0.4 * 60 / bpm * RATE)]], RATE)
    assert longer.loop_beats is None


@pytest.mark.parametrize("sec", [0.01, 0.3, 3, 40])
def test_noise_and_silence_have_no_beat(sec: float) -> None:
    for x in (sounds.noise(sec, RATE), np.zeros(round(sec * RATE), np.float32)):
        beats = find_beats([x], RATE)
        assert not beats.steady and beats.loop_beats is None
    tempo, beat, bar = find_beats([np.zeros(RATE, np.float32)], RATE).phases(np.arange(3))
    assert np.isnan([tempo, beat, bar]).all()


def test_blocks_do_not_matter() -> None:
    x = clicks(97, 20)
    whole, parts = find_beats([x], RATE), find_beats(np.array_split(x, 77), RATE)
    np.testing.assert_array_equal(whole.positions, parts.positions)
    assert whole.bpm == parts.bpm


def test_the_clip_of_a_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from audio_gen.data import tempo

    monkeypatch.setattr(tempo, "READ_SAMPLES", 50_000)
    sounds.write(tmp_path / "in" / "a.wav", clicks(100, 30), RATE)
    cache = build_cache(tmp_path / "in", tmp_path / "cache", sample_rate=RATE)
    assert clip_beats(cache, cache.clips[0]).bpm == pytest.approx(100, rel=0.005)


@pytest.mark.parametrize("bpm", [40, 60, 120, 240])
def test_a_given_tempo_is_kept(bpm: float) -> None:
    features = music_features([clicks(120, 40)], RATE)
    assert beats_of(features, bpm).bpm == pytest.approx(bpm, rel=0.01)
