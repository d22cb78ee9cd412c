"""Loops of files: known loops are found to the sample, files of any kind end in loops or in one line."""

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from audio_gen.audio.seam import seam
from audio_gen.errors import ConfigError, DataError
from audio_gen.generation.find_loops import FoundLoop, LoopSearch, find_loops, loop_sounds
from audio_gen.generation.loop_cut import Cut, render
from tests import sounds

RATE = sounds.RATE


def bar(bpm: float = 120, beats: int = 4, seed: int = 0, rate: int = RATE) -> np.ndarray:
    """A bar of hits, each of another sound, (T,)."""
    rng = np.random.default_rng(seed)
    samples = round(beats * 60 / bpm * rate)
    x = np.zeros(samples, np.float32)
    time = np.arange(round(0.15 * rate)) / rate
    for beat in range(2 * beats):
        at = round(beat * samples / (2 * beats))
        tone = np.sin(2 * np.pi * rng.uniform(100, 2000) * time) + rng.normal(size=len(time)) * rng.uniform(0, 1)
        hit = (0.6 - 0.3 * (beat % 2)) * tone * np.exp(-time * rng.uniform(15, 40))
        x[at : at + len(hit)] += hit[: samples - at].astype(np.float32)
    return 0.5 * x


def other(sec: float, seed: int, rate: int = RATE) -> np.ndarray:
    """Chords of random notes, each 0.37 s long."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(0.37 * rate)) / rate
    parts = [
        sum(np.sin(2 * np.pi * 110 * 2 ** (rng.integers(0, 36) / 12) * time) for _ in range(3)) * np.exp(-4 * time)
        for _ in range(int(sec / 0.37))
    ]
    return (0.1 * np.concatenate(parts)).astype(np.float32)


def figure(loop: FoundLoop) -> tuple[int, int]:
    return loop.cut.start, loop.cut.end


@pytest.mark.parametrize("times", [2, 3])
def test_a_loop_inside_other_music_is_found_to_the_sample(tmp_path: Path, times: int) -> None:
    inner, before = bar(), other(6, 1)
    file = sounds.write(tmp_path / "a.wav", np.concatenate([before, np.tile(inner, times), other(6, 2)]))
    best = find_loops(file, LoopSearch())[0]
    assert best.samples % len(inner) == 0
    assert best.cut.start >= len(before) - RATE // 20
    assert best.cut.end <= len(before) + times * len(inner) + RATE // 20
    assert best.fit is not None and best.fit > 0.5


def test_bars_and_bpm_give_the_length(tmp_path: Path) -> None:
    file = sounds.write(tmp_path / "a.wav", np.tile(bar(bpm=100), 6))
    for loop in find_loops(file, LoopSearch(bars=2)):
        assert loop.beats == 8 and loop.bpm == pytest.approx(100, rel=1e-3) and loop.length_name == "2bars-100bpm"
    whole = find_loops(file, LoopSearch(bars=2, bpm=100))
    assert {loop.samples for loop in whole} == {round(8 * 0.6 * RATE)}


def test_the_whole_of_a_short_loop_is_one(tmp_path: Path) -> None:
    inner = bar(beats=8)
    file = sounds.write(tmp_path / "a.wav", inner)
    assert (0, len(inner)) in map(figure, find_loops(file, LoopSearch()))


def test_no_two_loops_are_nearly_the_same(tmp_path: Path) -> None:
    file = sounds.write(tmp_path / "a.wav", np.concatenate([bar(seed=seed % 3) for seed in range(12)]))
    found = find_loops(file, LoopSearch(count=16))
    assert len(found) > 2
    for i, one in enumerate(found):
        for two in found[i + 1 :]:
            shared = min(one.cut.end, two.cut.end) - max(one.cut.start, two.cut.start)
            assert shared <= 0.6 * (one.samples + two.samples - shared)


def test_stereo_keeps_both_channels_and_equals_the_file_outside_the_fade(tmp_path: Path) -> None:
    left, right = np.tile(bar(), 4), np.tile(bar(seed=5), 4)
    sf.write(tmp_path / "a.wav", np.stack([left, right], 1), RATE, subtype="FLOAT")
    found = find_loops(tmp_path / "a.wav", LoopSearch(count=3))
    for i, wav in loop_sounds(tmp_path / "a.wav", found):
        cut = found[i].cut
        assert wav.shape == (2, cut.end - cut.start)
        body = slice(0, -cut.fade or None) if not cut.at_start else slice(cut.fade, None)
        np.testing.assert_array_equal(wav[0, body], left[cut.start : cut.end][body])
        np.testing.assert_array_equal(wav[1, body], right[cut.start : cut.end][body])


def test_the_fade_leads_to_the_start_without_a_click() -> None:
    x = np.random.default_rng(0).normal(size=(1, 4000)).astype(np.float32).cumsum(1)
    loop = render(x, Cut(1000, 3000, 400, False, 0.0))
    assert loop.shape == (1, 2000)
    assert abs(loop[0, -1] - x[0, 999]) < 0.02 * np.abs(x).max()  # the sample before the start
    later = render(x, Cut(100, 3000, 400, True, 0.0))
    assert abs(later[0, 0] - x[0, 3000]) < 0.02 * np.abs(x).max()  # the sample after the end


def test_a_fade_of_noise_keeps_its_power() -> None:
    x = np.random.default_rng(1).normal(size=(1, 90000)).astype(np.float32)
    loop = render(x, Cut(30000, 70000, 20000, False, 0.0))
    assert np.sqrt((loop[:, -20000:] ** 2).mean()) == pytest.approx(1, abs=0.03)
    same = np.tile(x[:, :20000], (1, 4))
    np.testing.assert_allclose(render(same, Cut(20000, 60000, 5000, False, 1.0)), same[:, 20000:60000], atol=1e-5)


def test_a_seam_in_a_tone_is_noticed() -> None:
    time = np.arange(2 * RATE) / RATE
    tone = (np.sin(2 * np.pi * 220 * time) * (1 + 0.3 * np.sin(2 * np.pi * 3 * time)))[None].astype(np.float32)
    good, bad = seam(tone, RATE), seam(tone[:, : -RATE // 17], RATE)
    assert abs(good.step_z) < 2 and good.slip < 0.01
    assert bad.step_z > 4 and bad.jump > 3 * good.jump and bad.slip > 0.3


@pytest.mark.parametrize("rate", [8000, 22050, 48000, 96000])
def test_any_rate(tmp_path: Path, rate: int) -> None:
    inner = bar(rate=rate)
    file = sounds.write(tmp_path / "a.wav", np.concatenate([other(4, 1, rate), np.tile(inner, 3)]), rate)
    best = find_loops(file, LoopSearch())[0]
    assert best.sample_rate == rate and best.samples % len(inner) == 0


def test_block_size_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from audio_gen.audio import io

    file = sounds.write(tmp_path / "a.wav", np.concatenate([other(3, 1), np.tile(bar(), 3)]))
    whole = find_loops(file, LoopSearch(count=4))
    monkeypatch.setattr(io.OpenSound.blocks, "__defaults__", (777,))
    assert list(map(figure, find_loops(file, LoopSearch(count=4)))) == list(map(figure, whole))


@pytest.mark.parametrize(
    ("wav", "search", "words"),
    [
        (np.zeros(3 * RATE, np.float32), LoopSearch(), "is silent; choose another file"),
        (bar(beats=1), LoopSearch(), "shorter than --min (0.50 s of 1.00)"),
        (sounds.noise(4), LoopSearch(bars=2), "no steady beat found, so 2 bars have no length; give --bpm"),
        (bar(), LoopSearch(bars=8, bpm=120), "shorter than 8 bars"),
    ],
)
def test_what_cannot_be_done_is_one_line(tmp_path: Path, wav: np.ndarray, search: LoopSearch, words: str) -> None:
    file = sounds.write(tmp_path / "a.wav", wav)
    with pytest.raises(DataError) as e:
        find_loops(file, search)
    assert words in str(e.value) and "a.wav: " in str(e.value) and "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("values", "option"),
    [
        ({"bpm": 0}, "--bpm"), ({"bars": 0}, "--bars"), ({"min_sec": 0}, "--min"), ({"max_sec": 0.5}, "--max"),
        ({"max_sec": float("nan")}, "--max"), ({"min_sec": float("nan")}, "--min"), ({"bpm": float("nan")}, "--bpm"),
        ({"count": 0}, "-n"),
    ],
)  # fmt: skip
def test_wrong_values_name_the_option(values: dict[str, float], option: str) -> None:
    with pytest.raises(ConfigError, match=f"^{option} "):
        LoopSearch(**values)  # type: ignore[arg-type]
