"""Sounds as the start of edits: what the model cannot express of them is kept."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from audio_gen.artefacts.sidecar import read_sidecar
from audio_gen.errors import AudioFileError
from audio_gen.generation.blend import Blend, bilinear, line
from audio_gen.generation.clip_file import describe, write_clip
from audio_gen.generation.inputs import starting_point
from audio_gen.generation.level import shift_level
from audio_gen.generation.operations.encode import EncodeRequest, reconstruct
from audio_gen.generation.operations.interpolate import InterpolateRequest, interpolate
from audio_gen.generation.operations.vary import VaryRequest, vary
from audio_gen.generation.pipeline import Pipeline
from audio_gen.generation.source import Source
from tests import sounds


def a_file(tmp_path: Path, name: str = "drum-060-100.wav") -> Path:
    return sounds.write(tmp_path / name, sounds.pluck(261.63, 0.2) + sounds.noise(0.2, amplitude=0.05))


def test_a_file_starts_as_it_is(pipeline: Pipeline, gan: Pipeline, tmp_path: Path) -> None:
    path = a_file(tmp_path)
    for model in (pipeline, gan):
        source = starting_point(model, path)
        wav = torch.from_numpy(sounds.pluck(261.63, 0.2) + sounds.noise(0.2, amplitude=0.05))[None]
        torch.testing.assert_close(source.mel[0], model.mel(wav), atol=0.05, rtol=0)  # 16 bits
        assert source.residual is not None
        whole = shift_level(model.decode(source.latents) + source.residual, torch.tensor([source.gain_db]), -9.0)
        heard = source.mel > source.mel.max() - 6
        torch.testing.assert_close(whole[heard], source.mel[heard])
        silent = -(-wav.shape[-1] // model.spec.hop_length) + 2
        assert bool((source.mel[..., silent:] == model.codec.mel_floor).all())


def test_a_clip_of_the_model_has_no_residual(pipeline: Pipeline, tmp_path: Path) -> None:
    point = pipeline.latents([3])
    write_clip(tmp_path / "a.wav", pipeline.vocode(pipeline.decode(point))[0], describe(pipeline, point, command="t"))
    source = starting_point(pipeline, tmp_path / "a.wav")
    assert source.residual is None and torch.equal(source.latents.z, point.z)
    assert torch.equal(source.mel, pipeline.decode(point))


def test_edits_start_from_the_edited_sound(pipeline: Pipeline, tmp_path: Path) -> None:
    request = VaryRequest(clip=a_file(tmp_path), amount=0.3, count=1)
    (saved,) = vary(pipeline, request).save(tmp_path / "out")
    sidecar = read_sidecar(saved.path)
    assert sidecar is not None and sidecar.edited
    again = starting_point(pipeline, saved.path)
    assert torch.equal(again.latents.z, sidecar.z[None]) and again.residual is not None
    (same,) = vary(pipeline, VaryRequest(clip=saved.path, amount=0, count=1))
    copy = pipeline.vocode(again.mel)[0]
    assert torch.equal(same.wav, copy)


def test_amount_zero_is_copy_synthesis_at_the_level_of_the_file(pipeline: Pipeline, tmp_path: Path) -> None:
    path = a_file(tmp_path)
    (same,) = vary(pipeline, VaryRequest(clip=path, amount=0, count=1))
    assert torch.equal(same.wav, pipeline.vocode(starting_point(pipeline, path).mel)[0])
    assert (same.finish.normalize, same.finish.tail_db) == ("none", 90.0)
    (other,) = vary(pipeline, VaryRequest(clip=path, amount=0.1, count=1))
    assert (other.finish.normalize, other.finish.tail_db) == ("none", 60.0)
    assert same.provenance["edited"] is True
    (loud,) = vary(pipeline, VaryRequest(clip=path, amount=0, normalize="lufs", count=1))
    assert loud.finish.normalize == "lufs"


def test_reconstruct_with_the_residual_is_copy_synthesis(gan: Pipeline, tmp_path: Path) -> None:
    request = EncodeRequest(files=[a_file(tmp_path)], steps=3, keep_residual=True, copy_synthesis=True)
    whole, copy = reconstruct(gan, request)
    assert torch.equal(whole.wav, copy.wav) and whole.provenance["edited"] is True
    plain, _ = reconstruct(gan, request.model_copy(update={"keep_residual": False}))
    assert not torch.equal(plain.wav, copy.wav) and "edited" not in plain.provenance


def test_interpolation_ends_at_the_files(pipeline: Pipeline, tmp_path: Path) -> None:
    start = a_file(tmp_path)
    end = sounds.write(tmp_path / "bell-067-100.wav", sounds.sine(392.0, 0.15, 48000), 48000)  # another rate
    steps = list(interpolate(pipeline, InterpolateRequest(start=str(start), end=str(end), steps=3)))
    for step, path in ((steps[0], start), (steps[2], end)):
        assert torch.equal(step.wav, pipeline.vocode(starting_point(pipeline, path).mel)[0])
    assert all(step.provenance["edited"] is True for step in steps)


def test_residuals_fade_from_their_ends(pipeline: Pipeline) -> None:
    points = [pipeline.latents([seed], class_name="drum", pitch=60) for seed in (1, 2)]
    mels = [pipeline.decode(point) for point in points]
    low = torch.arange(mels[0].shape[1])[:, None] < 20  # bands that have a residual
    residuals = [torch.where(low, offset, 0.0).expand_as(mels[0]) for offset in (0.5, -0.25)]
    ends = [Source(*one) for one in zip(points, [mel + 1 for mel in mels], residuals, strict=True)]
    blend = Blend(pipeline, (ends[0], ends[1]))
    weights = line(torch.tensor([0.0, 0.25, 1.0]))
    plain = pipeline.decode(blend.points(weights))
    mel = blend.mel(weights)
    moved = (mel[1] - plain[1])[:20].mean() - (mel[1] - plain[1])[20:].mean()  # the level moves all bands
    torch.testing.assert_close(moved, torch.tensor(0.75 * 0.5 - 0.25 * 0.25), atol=1e-3, rtol=0)
    assert torch.equal(mel[0], ends[0].mel[0]) and torch.equal(mel[2], ends[1].mel[0])


def test_another_pitch_moves_the_residual(pipeline: Pipeline) -> None:
    """A residual that is a partial stays one: at a pitch an octave higher it lies an octave higher."""
    point = pipeline.latents([1], class_name="drum", pitch=50)
    residual = torch.zeros(1, 40, 24)
    residual[:, 10] = 1.0
    source = Source(point, pipeline.decode(point) + residual, residual)
    same, higher = source.with_pitch(pipeline, 50), source.with_pitch(pipeline, 62)
    assert same.residual is not None and torch.equal(same.residual, residual)
    assert higher.residual is not None and float(higher.residual.sum(2).argmax()) > 14


def test_weights_of_corners() -> None:
    weights = bilinear(torch.tensor([0.0, 0.0, 1.0, 0.5]), torch.tensor([0.0, 1.0, 1.0, 0.25]))
    assert weights[:3].tolist() == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]
    assert weights[3].tolist() == [0.375, 0.125, 0.375, 0.125]


@pytest.mark.parametrize("samples", [100, 9000])
def test_a_silent_end_is_told(pipeline: Pipeline, tmp_path: Path, samples: int) -> None:
    silent = sounds.write(tmp_path / "silent.wav", np.zeros(samples, np.float32))
    with pytest.raises(AudioFileError, match=r"silent\.wav: is silent; give a file with sound"):
        interpolate(pipeline, InterpolateRequest(start="seed:1", end=str(silent)))
    with pytest.raises(AudioFileError, match="is silent"):
        vary(pipeline, VaryRequest(clip=silent))


def test_an_end_longer_than_the_clip_is_cropped_with_a_note(pipeline: Pipeline, tmp_path: Path) -> None:
    long = sounds.write(tmp_path / "flute-060-100.wav", sounds.sine(sec=3))
    clips = interpolate(pipeline, InterpolateRequest(start="seed:1", end=str(long), steps=2))
    assert any("only its first 0.28 s are used" in note for note in clips.notes)
    assert list(clips)[1].wav.shape[-1] == pipeline.samples


def test_a_sidecar_without_the_mark_is_exact(pipeline: Pipeline, tmp_path: Path) -> None:
    (saved,) = vary(pipeline, VaryRequest(clip=a_file(tmp_path), amount=0.2, count=1)).save(tmp_path / "out")
    sidecar = saved.path.with_suffix(".json")
    values = json.loads(sidecar.read_text())
    del values["edited"]
    sidecar.write_text(json.dumps(values))
    assert starting_point(pipeline, saved.path).residual is None


def test_after_the_end_of_a_decay_the_residual_stays(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise what a model decodes after a file has ended would be heard."""

    def carry(image: torch.Tensor, *_: object) -> torch.Tensor:
        return torch.cat([image[..., :10] * 2, torch.zeros_like(image[..., 10:])], dim=2)

    monkeypatch.setattr(pipeline.codec, "carry", carry)
    point = pipeline.latents([1])
    residual = torch.full((1, 40, 24), -0.5)
    carried = Source(point, pipeline.decode(point) + residual, residual).carried(pipeline, point)
    assert carried is not None and bool((carried[..., :10] == -1).all()) and bool((carried[..., 10:] == -0.5).all())
