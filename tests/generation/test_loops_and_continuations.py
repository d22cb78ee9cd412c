"""Loops close without a jump and have an exact length; continuations leave the sound as it is and join its level."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import torch
from torch import Tensor

from audio_gen.audio.mel import MelFrontEnd
from audio_gen.data.generated import generated_by
from audio_gen.errors import AudioFileError, CheckpointError, ConfigError
from audio_gen.generation.continuation import aligned, level_gain_db
from audio_gen.generation.loop import loop_sound
from audio_gen.generation.operations.continuation import ContinueRequest, continue_sounds, read_prompt
from audio_gen.generation.operations.loop import LoopRequest, loop, resampled_circle
from audio_gen.generation.pipeline import Pipeline
from tests.sounds import noise, sine, write

RATE = 22050


def seam_step(wav: np.ndarray) -> tuple[float, float]:
    """The step from the last to the first sample of x (T, C), and the 99th percentile of the steps inside."""
    inside = np.abs(np.diff(wav, axis=0)).max(1)
    return float(np.abs(wav[0] - wav[-1]).max()), float(np.quantile(inside, 0.99))


@pytest.mark.parametrize(("bpm", "rate"), [(174.0, None), (93.7, None), (174.0, 16000), (93.7, 48000)])
def test_loops_are_exact_and_close(sequence: Pipeline, tmp_path: Path, bpm: float, rate: int | None) -> None:
    request = LoopRequest(bars=1, bpm=bpm, count=3, rate=rate)
    for saved in loop(sequence, request).save(tmp_path):
        wav, found = sf.read(saved.path, always_2d=True)
        assert found == (rate or RATE) and len(wav) == round(4 * 60 / bpm * found)
        assert sf.info(saved.path).subtype == "PCM_24"
        assert b"smpl" in saved.path.read_bytes()[-80:] and generated_by(saved.path) == "its comment"
        step, usual = seam_step(wav)
        assert step <= usual and usual > 0


def test_a_stereo_loop_closes(stereo_sequence: Pipeline, tmp_path: Path) -> None:
    (saved,) = loop(stereo_sequence, LoopRequest(bars=1, bpm=150, beats=3, count=1)).save(tmp_path)
    wav, _ = sf.read(saved.path)
    assert wav.shape == (round(3 * 60 / 150 * RATE), 2)
    step, usual = seam_step(wav)
    assert step <= usual
    assert saved.path.name == "loop-1bars-150bpm-0000.wav"
    assert {"kind": "sequence", "bars": 1, "beats": 3, "bpm": 150.0, "seed": 0}.items() <= saved.provenance.items()


def test_a_rotated_circle_sounds_rotated(sequence: Pipeline) -> None:
    """The same latents from another start, but for the grain, which follows the place in the file."""
    generator = torch.Generator().manual_seed(1)
    conditions = sequence.sequence.fill(sequence.vocabulary.requested("bell"), [generator])
    z = sequence.sequence.sample(conditions, [generator], length=32, circular=True)[0]
    samples, k = 32 * sequence.latent_samples, 12
    front_end = MelFrontEnd(sequence.spec)

    def inner(wav: Tensor) -> Tensor:
        return front_end(torch.cat([wav, wav, wav], dim=1)[None])[0][:, 128:256]

    one, other = inner(loop_sound(sequence, z, samples)), inner(loop_sound(sequence, z.roll(-k, 0), samples))
    rotated = float((one.roll(-4 * k, 1) - other).abs().mean())
    assert rotated < 0.5 * float((one - other).abs().mean())


def test_resampling_a_circle_has_no_edge() -> None:
    wave = torch.sin(2 * torch.pi * 5 * torch.arange(1000) / 1000)[None].float()
    expected = torch.sin(2 * torch.pi * 5 * torch.arange(1331) / 1331)[None]
    assert torch.allclose(resampled_circle(wave, 1331), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"bpm": 10.0}, "--bpm 10: must be between 20 and 400"),
        ({"bpm": float("nan")}, "--bpm nan: must be"),
        ({"bars": 1, "beats": 1, "bpm": 300.0}, "are 0.2 s; a loop has 0.5 to 300 s"),
        ({"bars": 1000}, "are 2e[+]03 s; a loop has"),
        ({"class_name": "piano"}, "unknown to"),
    ],
)
def test_loops_that_cannot_be(sequence: Pipeline, options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        loop(sequence, LoopRequest(**options))


def test_a_model_of_clips_has_no_loops_and_continuations(pipeline: Pipeline, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="give a run of --model sequence"):
        loop(pipeline, LoopRequest())
    with pytest.raises(CheckpointError, match="give a run of --model sequence"):
        continue_sounds(pipeline, ContinueRequest(files=[tmp_path / "a.wav"]))


def tone(path: Path, sec: float = 2.0, rate: int = RATE) -> Path:
    write(path, 0.2 * sine(330.0, sec, rate) + 0.05 * noise(sec, rate), rate)
    return path


def test_a_continuation_keeps_the_sound_until_the_join(sequence: Pipeline, tmp_path: Path) -> None:
    prompt = tone(tmp_path / "a.wav")
    request = ContinueRequest(files=[prompt], duration_sec=3.0, count=2, bits="float", class_name="bell")
    first, second = continue_sounds(sequence, request).save(tmp_path / "out")
    wav, source = sf.read(first.path, dtype="float32")[0], sf.read(prompt, dtype="float32")[0]
    assert len(wav) == len(source) + 3 * RATE and wav[-1] == 0
    kept = len(source) - round(0.04 * RATE)
    gain = 10 ** (first.provenance["gain_db"] / 20)
    assert np.allclose(wav[:kept], source[:kept] * gain, atol=1e-5)
    other = sf.read(second.path, dtype="float32")[0]
    assert not np.allclose(wav[-RATE:], other[-RATE:], atol=1e-3)
    assert first.provenance["join_sec"] == pytest.approx(2.0, abs=1e-4)
    assert first.provenance["kind"] == "sequence" and first.provenance["class"] == "bell"
    (again,) = continue_sounds(sequence, request.model_copy(update={"count": 1})).save(tmp_path / "again")
    assert again.path.read_bytes() == first.path.read_bytes()


def test_a_stereo_model_continues_mono_of_another_rate(stereo_sequence: Pipeline, tmp_path: Path) -> None:
    prompt = tone(tmp_path / "a.wav", 1.0, 44100)
    (saved,) = continue_sounds(stereo_sequence, ContinueRequest(files=[prompt], duration_sec=1.0)).save(tmp_path / "o")
    wav, rate = sf.read(saved.path)
    assert rate == RATE and wav.shape == (2 * RATE, 2)


def test_a_prompt_ends_where_its_latents_end(sequence: Pipeline, tmp_path: Path) -> None:
    prompt = read_prompt(sequence, tone(tmp_path / "a.wav", 2.01))
    assert prompt.z.shape == (sequence.sequence.context, sequence.codec.latent.dim)
    # A steady sound has steady latents up to its end, as the end is mirrored, not silent.
    inner, last = prompt.z[:-2].mean(0), prompt.z[-1]
    assert float((last - inner).norm()) < 3 * float((prompt.z[:-2] - inner).norm(dim=1).max())


def test_alignment_and_level_are_found() -> None:
    generator = torch.Generator().manual_seed(0)
    sound = torch.randn(1, 3 * RATE, generator=generator)
    wav, start = sound[:, : 2 * RATE], RATE
    for lag, sign in ((57, 1.0), (-120, -1.0)):
        vocoded = 0.5 * sign * sound[:, RATE - lag : 3 * RATE - lag]
        found, agreement = aligned(wav, vocoded, start, RATE)
        assert found == lag and agreement == pytest.approx(sign, abs=1e-3)
        assert level_gain_db(wav, vocoded, start, RATE) == pytest.approx(6, abs=0.2)
    assert level_gain_db(0 * wav, wav, start, RATE) == 0


@pytest.mark.parametrize(
    ("wav", "told"),
    [
        (np.zeros(2 * RATE, np.float32), "is silent, which nothing continues"),
        (np.r_[np.ones(RATE), np.zeros(RATE)].astype(np.float32), "ends in 0.4 s of silence"),
        (np.ones(500, np.float32), "is 0.023 s long, and the model continues sounds of at least 0.19 s"),
    ],
)
def test_prompts_that_cannot_be_continued(sequence: Pipeline, tmp_path: Path, wav: np.ndarray, told: str) -> None:
    sf.write(tmp_path / "a.wav", wav, RATE, subtype="FLOAT")
    with pytest.raises(AudioFileError, match=told):
        continue_sounds(sequence, ContinueRequest(files=[tmp_path / "a.wav"])).save(tmp_path / "out")
    with pytest.raises(AudioFileError):
        continue_sounds(sequence, ContinueRequest(files=[tmp_path / "missing.wav"]))
