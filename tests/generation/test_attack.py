"""The attack of a file in front of a generated sound."""

from pathlib import Path

import numpy as np
import pytest
import torch

from audio_gen.audio.onset import onset
from audio_gen.errors import AudioFileError, ConfigError
from audio_gen.generation.attack import check_attack, parse_attack, with_attack_of
from audio_gen.generation.operations.interpolate import InterpolateRequest, interpolate
from audio_gen.generation.operations.vary import VaryRequest, vary
from audio_gen.generation.pipeline import Pipeline
from tests import sounds

RATE = 22050
ATTACK, FADE = round(0.015 * RATE), round(0.005 * RATE)


def hit(seed: int, before: int = 0, f0_hz: float = 300.0) -> torch.Tensor:
    """Noise that decays to a tone (1, T)."""
    x = sounds.pluck(f0_hz, 0.3) + sounds.noise(0.3, seed=seed) * np.exp(-np.arange(round(0.3 * RATE)) / 200)
    return torch.from_numpy(np.concatenate([np.zeros(before), x]).astype(np.float32))[None]


def test_a_sound_with_its_own_attack_is_itself() -> None:
    x = hit(0, before=22)
    torch.testing.assert_close(with_attack_of(x, x, RATE, 0.015), x)
    torch.testing.assert_close(with_attack_of(-x, x, RATE, 0.015), x)  # the phase of a vocoder is free


def test_the_attack_is_of_the_file_and_the_rest_of_the_other() -> None:
    source, other = hit(0, before=22), hit(1, before=30, f0_hz=310.0)
    mixed = with_attack_of(other, source, RATE, 0.015)
    assert mixed.shape == other.shape
    at, start = onset(other[0].numpy(), RATE), onset(source[0].numpy(), RATE)
    kept, of_file = mixed[0, at : at + ATTACK], source[0, start : start + ATTACK]
    gain = float(kept @ of_file / (of_file @ of_file))
    torch.testing.assert_close(kept, gain * of_file, atol=1e-5, rtol=0)
    ratio = other[0, at : at + ATTACK + FADE].norm() / source[0, start : start + ATTACK + FADE].norm()
    assert gain == pytest.approx(float(ratio), rel=0.05)
    tail, wanted = mixed[0, at + ATTACK + FADE : -200].numpy(), other[0].numpy()
    shifts = np.correlate(wanted, tail, "valid") / (np.linalg.norm(tail) * np.linalg.norm(wanted[-len(tail) :]))
    assert np.abs(shifts).max() > 0.98


def test_no_click_and_no_hole_in_the_crossfade() -> None:
    source, other = hit(0, before=22), hit(1, before=22, f0_hz=290.0)
    mixed = with_attack_of(other, source, RATE, 0.015)[0]
    whole = torch.cat([source[0], other[0]]).diff().abs().max()
    assert float(mixed.diff().abs().max()) <= 1.1 * float(whole)
    level = mixed.unfold(0, FADE, FADE // 4).square().mean(1).sqrt()
    faded = level[(22 + ATTACK) // (FADE // 4) - 2 : (22 + ATTACK + FADE) // (FADE // 4) + 2]
    assert float(faded.max() / faded.min()) < 2.5  # of a decaying sound


def test_a_short_generated_sound_keeps_its_length() -> None:
    other = hit(1)[:, : ATTACK // 2]
    mixed = with_attack_of(other, hit(0), RATE, 0.015)
    assert mixed.shape == other.shape and bool(mixed.isfinite().all())
    silent = with_attack_of(torch.zeros(1, 4000), hit(0), RATE, 0.015)
    assert bool(silent.isfinite().all()) and float(silent.abs().max()) < float(hit(0).abs().max()) / 3


@pytest.mark.parametrize("text", ["200ms", "1s", "0.101", "abc", "0ms", "-5ms"])
def test_a_long_attack_is_refused(text: str, tmp_path: Path) -> None:
    for request in (lambda: VaryRequest(clip=tmp_path, keep_attack=text),
                    lambda: InterpolateRequest(start="seed:1", end="seed:2", keep_attack=text)):  # fmt: skip
        with pytest.raises(ConfigError, match="must be a duration of at most 100 ms; try 15ms"):
            request()
    assert parse_attack("15ms") == 0.015 and parse_attack(None) == 0


def test_an_attack_longer_than_the_sound_is_refused(pipeline: Pipeline, tmp_path: Path) -> None:
    click = sounds.write(tmp_path / "click.wav", sounds.noise(0.015))
    with pytest.raises(AudioFileError, match=r"--keep-attack 20ms: .*click.wav is only 15 ms long; try \d+ms"):
        vary(pipeline, VaryRequest(clip=click, keep_attack="20ms"))
    with pytest.raises(AudioFileError, match="only 15 ms long"):
        interpolate(pipeline, InterpolateRequest(start="seed:1", end=str(click), keep_attack="20ms"))


def test_a_sound_without_an_onset_is_refused(pipeline: Pipeline, tmp_path: Path) -> None:
    swell = sounds.sine(sec=0.25) * np.linspace(0, 1, round(0.25 * RATE)) ** 3
    path = sounds.write(tmp_path / "swell.wav", swell.astype(np.float32))
    with pytest.raises(AudioFileError, match=r"swell\.wav: has no onset, so there is no attack to keep"):
        vary(pipeline, VaryRequest(clip=path, keep_attack="15ms"))
    with pytest.raises(AudioFileError, match="no onset"):
        check_attack(torch.zeros(1, 100), RATE, 0.015, "silence")


def test_variations_and_steps_keep_the_attack_of_a_file(gan: Pipeline, tmp_path: Path) -> None:
    path = sounds.write(tmp_path / "drum-060-100.wav", hit(0)[0, :4000].numpy(), subtype="FLOAT")
    start = hit(0)[0, :ATTACK]
    varied = list(vary(gan, VaryRequest(clip=path, amount=0.4, count=2, keep_attack="15ms")))
    request = InterpolateRequest(start=str(path), end="seed:3", steps=3, keep_attack="15ms")
    steps = list(interpolate(gan, request))
    for clip in (*varied, steps[0]):
        at = onset(clip.wav[0].numpy(), RATE)
        alike = torch.cosine_similarity(
            clip.wav[0, at : at + ATTACK], start[onset(start.numpy(), RATE) :][:ATTACK], dim=0
        )
        assert float(alike) > 0.999
        assert clip.provenance["edited"] is True
    assert varied[0].provenance["kept_attack_sec"] == steps[0].provenance["kept_attack_sec"] == 0.015
