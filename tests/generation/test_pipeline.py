"""Seeds, conditions and batches: the same clip, whatever is around it."""

import dataclasses
import math
from pathlib import Path

import pytest
import torch

import audio_gen
from audio_gen.artefacts.bundle import save_bundle
from audio_gen.audio.mel import MelFrontEnd
from audio_gen.errors import CheckpointError, ConfigError
from audio_gen.generation.latents import Latents
from audio_gen.generation.pipeline import Pipeline
from tests.generation.models import FRAMES, SPEC
from tests.given import one


def test_the_package_offers_the_pipeline(bundle: Path) -> None:
    wav = audio_gen.Pipeline.load(bundle, vocoder="griffinlim:1", device="cpu").sample(2)
    assert wav.shape == (2, 1, FRAMES * SPEC.hop_length) and bool(wav.isfinite().all())
    with pytest.raises(AttributeError, match="nothing"):
        _ = audio_gen.nothing


def test_a_seed_gives_the_same_clip_in_any_batch(pipeline: Pipeline) -> None:
    together = pipeline.sample(5, seed=3, batch=16)
    assert torch.equal(together, pipeline.sample(5, seed=3, batch=1))
    assert torch.equal(together[2:3], pipeline.sample(1, seed=5))
    assert not torch.allclose(together[0], together[1])


def test_a_clip_is_the_same_on_any_number_of_cores(pipeline: Pipeline) -> None:
    before, made = torch.get_num_threads(), []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        try:
            made += [pipeline.sample(1, seed=4), pipeline.sample(3, seed=4)[:1]]
            assert torch.get_num_threads() == threads
        finally:
            torch.set_num_threads(before)
    assert all(torch.equal(one, made[0]) for one in made)


def test_asked_for_class_and_pitch_are_used(pipeline: Pipeline) -> None:
    latents = pipeline.latents(range(4), class_name="drum", pitch=60)
    assert latents.conditions.same(one(1, 60.0).repeat(4))
    free = pipeline.latents(range(40))
    assert set(free.conditions.class_id.tolist()) == {0, 1, 2}
    assert bool(((free.conditions.pitch >= 48) & (free.conditions.pitch <= 72)).all())


def test_temperature_zero_has_no_spread_within_a_component(pipeline: Pipeline) -> None:
    """One component for each of the 11 bells that the density was fitted to."""
    counts = [
        len(pipeline.latents(range(60), class_name="bell", pitch=60, temperature=t).z.unique(dim=0)) for t in (0.0, 1.0)
    ]
    assert counts[0] <= 11
    assert counts[1] == 60


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"n": 0}, r"n \(0\) must be at least 1"),
        ({"n": 1, "batch": 0}, r"batch \(0\)"),
        ({"n": 1, "seed": -1}, r"seeds \(-1 to -1\) must be between 0"),
        ({"n": 2, "seed": 2**63 - 1}, r"2\^63"),
        ({"n": 1, "temperature": -0.5}, r"temperature \(-0.5\) must be between 0 and 100"),
        ({"n": 1, "temperature": 100.5}, r"temperature \(100.5\) must be between 0 and 100"),
        ({"n": 1, "temperature": 1e39}, r"temperature \(1e\+39\) must be between 0 and 100"),
        ({"n": 1, "temperature": 1e308}, r"temperature \(1e\+308\) must be between 0 and 100"),
        ({"n": 1, "temperature": math.inf}, "temperature"),
        ({"n": 1, "class_name": "drun"}, r"class \(drun\) is unknown .*; it knows drum, bell, flute$"),
        ({"n": 1, "pitch": 90}, r"pitch \(90\) must be in the trained range, MIDI 48 to 72; try 60"),
        ({"n": 1, "pitch": math.nan}, "trained range"),
    ],
)
def test_what_cannot_be_is_told(pipeline: Pipeline, asked: dict, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        pipeline.sample(**asked)


def test_a_model_without_conditions_says_so(plain: Pipeline) -> None:
    for asked, told in [({"class_name": "drum"}, "without classes"), ({"pitch": 60}, "without pitches")]:
        with pytest.raises(ConfigError, match=told):
            plain.sample(1, **asked)
    assert plain.sample(1).shape[0] == 1


def test_encode_and_decode_are_the_networks_own(pipeline: Pipeline) -> None:
    wav = torch.sin(torch.arange(9000) / 20)[None]
    mel = pipeline.mel(wav)
    padded = torch.nn.functional.pad(wav[:, : pipeline.samples], (0, max(0, pipeline.samples - 9000)))
    assert torch.equal(mel, MelFrontEnd(SPEC)(padded[None])[0].clamp(min=-9.0))
    point = pipeline.encode(mel, one(1, 60.0))
    with torch.no_grad():
        mu = pipeline.codec.encode(mel[None], one(1, 60.0)).mean
    assert torch.equal(point.z, mu) and pipeline.decode(point).shape == (1, SPEC.n_mels, FRAMES)


def test_length_notes(pipeline: Pipeline) -> None:
    assert pipeline.length_note("a", pipeline.samples) is None
    assert "only its first 0.28 s" in str(pipeline.length_note("a", 2 * pipeline.samples))
    assert "silence is added" in str(pipeline.length_note("a", 100))


def test_silence_stays_silent(pipeline: Pipeline) -> None:
    wav = pipeline.vocode(torch.full((1, SPEC.n_mels, FRAMES), pipeline.codec.mel_floor))
    assert float(wav.abs().max()) < 1e-4


def test_nan_never_leaves_the_model(pipeline: Pipeline) -> None:
    broken = dataclasses.replace(pipeline, vocoder=lambda mel, onset: mel[:, :1] * math.nan)
    with pytest.raises(CheckpointError, match="generated a sound with NaN"):
        broken.sample(1)


def test_a_vocoder_will_not_do(tmp_path: Path) -> None:
    config = {"vocoder": {"kind": "vocoder", "args": {}}, "mel": SPEC.to_dict()}
    save_bundle(tmp_path, config, {"vocoder.x": torch.zeros(1)})
    pipeline = Pipeline.load(tmp_path, device="cpu")
    with pytest.raises(CheckpointError, match="is a vocoder, which generates no clips; give a run of --model vae"):
        pipeline.require("sample")
    for use in (lambda: pipeline.sample(1), lambda: pipeline.codec, lambda: pipeline.require("encode")):
        with pytest.raises(CheckpointError, match="is a vocoder"):
            use()
    with pytest.raises(CheckpointError):
        Pipeline.load(tmp_path / "nothing", device="cpu")


def test_velocity_is_a_condition(struck: Pipeline, pipeline: Pipeline) -> None:
    soft, loud = (struck.latents(range(4), class_name="bell", pitch=60, velocity=v) for v in (30, 110))
    assert soft.conditions.velocity.tolist() == [30.0] * 4
    same_z = [struck.decode(Latents(soft.z, points.conditions)) for points in (soft, loud)]
    assert not torch.allclose(*same_z)
    drawn = struck.latents(range(20)).conditions.velocity
    assert bool(((drawn >= 20) & (drawn <= 120)).all()) and len(drawn.unique()) > 5
    assert struck.sample(1, velocity=64).shape == (1, 1, struck.samples)
    with pytest.raises(ConfigError, match="without velocities"):
        pipeline.sample(1, velocity=64)


def test_a_pitch_outside_the_range_is_folded_where_that_is_asked_for(pipeline: Pipeline) -> None:
    folded = pipeline.latents([1], pitch=90, outside="fold")
    assert folded.conditions.pitch.tolist() == [66.0]
    assert torch.equal(pipeline.sample(1, 1, pitch=90, outside="fold"), pipeline.sample(1, 1, pitch=66))
