"""Stereo models: clips, edits and directions keep left and right apart, and a gain never pans."""

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch
from torch import Tensor

from audio_gen.audio.channels import width_db
from audio_gen.audio.mel import MelSpec
from audio_gen.audio.onset import loudest, onset
from audio_gen.audio.stereo import FRAMES, Strip, packed, side_share_db, unpacked
from audio_gen.errors import ConfigError
from audio_gen.generation.attack import with_attack_of
from audio_gen.generation.blend import Blend, line
from audio_gen.generation.clip_file import describe, write_clip
from audio_gen.generation.descriptors import DESCRIPTORS, describe_mel
from audio_gen.generation.direction_search import find_directions
from audio_gen.generation.directions import load_directions, save_directions
from audio_gen.generation.finish import Finish, finish
from audio_gen.generation.inputs import encode_file, starting_point
from audio_gen.generation.interpolate import PathBetween, glide, with_attack
from audio_gen.generation.level import limited
from audio_gen.generation.moves import move
from audio_gen.generation.operations.encode import EncodeRequest, reconstruct
from audio_gen.generation.operations.interpolate import InterpolateRequest, interpolate
from audio_gen.generation.operations.sample import SampleRequest, sample
from audio_gen.generation.operations.vary import VaryRequest, vary
from audio_gen.generation.pipeline import Pipeline
from audio_gen.generation.roll import is_percussive, roll
from audio_gen.generation.source import Source
from tests import sounds
from tests.generation.models import FRAMES as CLIP_FRAMES
from tests.generation.models import SPEC, STEREO_SPEC

RATE = SPEC.sample_rate


def pair(left: float = 1.0, right: float = 0.4, sec: float = 0.3) -> Tensor:
    """A hit (2, T) that is louder on one side, with a little noise on the other."""
    hit, hiss = sounds.pluck(220.0, sec), sounds.noise(sec, amplitude=0.02)
    return torch.from_numpy(np.stack([left * hit + hiss, right * hit]).astype(np.float32))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return sounds.write(tmp_path / "hit.wav", pair().T.numpy(), subtype="FLOAT")


def level_difference_db(wav: Tensor) -> float:
    energy = wav.double().square().sum(1)
    return float(10 * (energy[0] / energy[1]).log10())


# Files.


@pytest.mark.parametrize("normalize", ["peak", "lufs", "none"])
def test_both_channels_get_the_same_ends_fades_and_gain(normalize: str) -> None:
    wav = torch.zeros(2, RATE)
    wav[1, 3000:12000] = 0.2 * torch.from_numpy(sounds.sine(sec=1.0))[:9000]
    wav[0, 5000:9000] = 0.1 * torch.from_numpy(sounds.sine(sec=1.0))[:4000]
    done = finish(wav, RATE, Finish(normalize=normalize))  # type: ignore[arg-type]
    alone = finish(wav[1:], RATE, Finish(normalize="none"))  # the longer channel decides on the ends
    assert done.wav.shape == (2, alone.wav.shape[1]) and done.begin_sec == alone.begin_sec
    gain = 10 ** (done.gain_db / 20)
    torch.testing.assert_close(done.wav[1], gain * alone.wav[0])
    begin = round(done.begin_sec * RATE)
    torch.testing.assert_close(done.wav[0, 2500:6000], gain * wav[0, begin + 2500 : begin + 6000])
    assert done.to_json()["channels"] == 2 and "channels" not in alone.to_json()


def test_a_clip_is_written_in_the_channels_that_are_asked_for(stereo: Pipeline, tmp_path: Path) -> None:
    point = stereo.latents([0])
    wav = stereo.vocode(stereo.decode(point))[0]
    wav = 0.5 * wav / wav.abs().max()
    about = describe(stereo, point, command="x")
    for channels, count in ((None, 2), (2, 2), (1, 1)):
        how = Finish(bits="16", normalize="none", length="model", channels=channels)
        write_clip(tmp_path / "clip.wav", wav, about, how)
        assert sf.info(tmp_path / "clip.wav").channels == count
    mono, _ = sf.read(tmp_path / "clip.wav")
    middle = wav.mean(0).numpy()[100:-1000]
    assert np.abs(mono[100:-1000] - middle).max() < 2 / 2**15
    write_clip(tmp_path / "equal.wav", wav[:1].expand(2, -1), about, Finish(bits="16", length="model"))
    both, _ = sf.read(tmp_path / "equal.wav")
    assert (both[100:, 0] != both[100:, 1]).any()  # each channel has its own dither


def test_stereo_of_a_mono_model_is_refused(pipeline: Pipeline, stereo: Pipeline, file: Path) -> None:
    fix = "--channels 2: .*bundle is mono; train it on stereo sounds with --set data.channels=2"
    requests = [
        (sample, SampleRequest(count=1, channels=2)),
        (interpolate, InterpolateRequest(start="seed:0", end="seed:1", channels=2)),
        (vary, VaryRequest(clip=file, channels=2)),
        (reconstruct, EncodeRequest(files=[file], channels=2)),
    ]
    for operation, request in requests:
        with pytest.raises(ConfigError, match=fix):
            operation(pipeline, request)  # type: ignore[operator]
        one = request.model_copy(update={"channels": 1})
        wavs = [finish(clip.wav, RATE, clip.finish).wav for clip in operation(stereo, one)]  # type: ignore[operator]
        assert wavs and all(len(wav) == 1 for wav in wavs)
        both = [finish(clip.wav, RATE, clip.finish).wav for clip in operation(stereo, request)]  # type: ignore[operator]
        assert all(len(wav) == 2 for wav in both)
    with pytest.raises(ConfigError, match="--channels 3: must be 1"):
        SampleRequest(channels=3)


# A user's sounds.


def test_files_are_read_in_the_channels_of_the_model(pipeline: Pipeline, stereo: Pipeline, file: Path) -> None:
    assert len(encode_file(pipeline, file).wav) == 1
    found = encode_file(stereo, file)
    assert found.wav.shape[0] == 2 and len(found.mel) == STEREO_SPEC.rows
    assert level_difference_db(found.wav) == pytest.approx(level_difference_db(pair()), abs=0.1)
    middle = encode_file(stereo, sounds.write(file.with_name("mono.wav"), sounds.pluck(220.0)))
    assert not middle.mel[SPEC.n_mels :].any()  # a mono file is in the centre
    assert middle.mel[: SPEC.n_mels].equal(encode_file(pipeline, file.with_name("mono.wav")).mel)


def test_a_file_at_amount_0_keeps_its_place(stereo: Pipeline, stereo_gan: Pipeline, file: Path) -> None:
    for model in (stereo, stereo_gan):
        source = starting_point(model, file)
        assert source.residual is not None and torch.equal(source.mel[0], encode_file(model, file).mel)
        back = Blend(model, (source, source)).mel(line(torch.tensor([0.3])))
        torch.testing.assert_close(back, source.mel, atol=1e-3, rtol=0)
        assert source.rendered(model).shape[0] == 2


def test_a_gain_does_not_pan(stereo: Pipeline, file: Path) -> None:
    loud = starting_point(stereo, file)
    quiet = starting_point(stereo, sounds.write(file.with_name("q.wav"), 0.1 * pair().T.numpy(), subtype="FLOAT"))
    assert abs(loud.gain_db - quiet.gain_db) > 3
    ends = torch.cat([loud.mel, quiet.mel])[:, SPEC.n_mels :]
    at = Blend(stereo, (loud, quiet)).mel(line(torch.tensor([0.5])))[:, SPEC.n_mels :]
    torch.testing.assert_close(at, ends.mean(0, keepdim=True), atol=0.05, rtol=0)


def test_blends_beyond_the_ends_stay_within_the_limits(stereo: Pipeline) -> None:
    ends = [Source.exact(stereo, stereo.latents([seed])) for seed in (0, 1)]
    mel = Blend(stereo, ends).mel(line(torch.tensor([-3.0, 0.5, 4.0])))
    assert torch.equal(mel, limited(mel, stereo.spec, stereo.codec.mel_floor))
    values = unpacked(mel[:, SPEC.n_mels :])
    assert float(values.angle.min()) >= 0 and float(values.angle.max()) <= torch.pi


# Paths.


def test_the_width_moves_along(stereo: Pipeline) -> None:
    shares = {seed: float(side_share_db(stereo.decode(stereo.latents([seed])), STEREO_SPEC)) for seed in range(12)}
    narrow, wide = min(shares, key=lambda seed: shares[seed]), max(shares, key=lambda seed: shares[seed])
    assert shares[wide] > shares[narrow] + 3
    ends = [Source.exact(stereo, stereo.latents([seed])) for seed in (narrow, wide)]
    mel = PathBetween(stereo, *ends).mel(torch.linspace(0, 1, 5))
    found = side_share_db(mel, STEREO_SPEC)
    assert shares[narrow] < float(found[2]) < shares[wide]
    assert bool((found.diff() > 0).all())
    widths = [width_db(wav) for wav in stereo.vocode(mel)]
    assert widths[0] < widths[2] < widths[4]


def strip_of(value: float, groups: int) -> Tensor:
    """Bands that differ: k * value nats in band k, with an angle of 0.1 k, in every group."""
    band = torch.arange(STEREO_SPEC.stereo_bands).float()[None, :, None].expand(1, -1, groups)
    return packed(Strip(value * band, 0.1 * band), FRAMES * groups)


def test_a_glide_keeps_bands_of_stereo_apart(stereo: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its columns hold several bands each, so that reading it between columns would mix them."""

    def mel(self: PathBetween, positions: Tensor, batch: int = 16) -> Tensor:
        mel = torch.linspace(0, -8, CLIP_FRAMES).expand(len(positions), SPEC.n_mels, -1)
        strips = [strip_of(0.1 * at, -(-CLIP_FRAMES // FRAMES))[..., :CLIP_FRAMES] for at in positions.tolist()]
        return torch.cat([mel, torch.cat(strips)], dim=1)

    monkeypatch.setattr(PathBetween, "mel", mel)
    end = Source.exact(stereo, stereo.latents([0]))
    image = glide(PathBetween(stereo, end, end), 0.71)
    frames = round(0.71 * SPEC.frame_rate)
    assert frames % FRAMES and image.shape == (STEREO_SPEC.rows, frames)
    values = unpacked(image[None, SPEC.n_mels :, : frames // FRAMES * FRAMES])
    band = torch.arange(STEREO_SPEC.stereo_bands).float()
    slopes = values.difference[0] / band.clamp(min=1)[:, None]
    torch.testing.assert_close(values.angle[0], (0.1 * band)[:, None].expand_as(slopes))
    torch.testing.assert_close(slopes[1:], slopes[1:2].expand(len(slopes) - 1, -1))
    assert bool((slopes[1].diff() > 0).all()) and float(slopes[1, 0]) < 0.01 and float(slopes[1, -1]) > 0.09


def test_an_attack_that_is_kept_keeps_bands_apart() -> None:
    groups = CLIP_FRAMES // FRAMES
    first, last = (torch.cat([torch.zeros(1, SPEC.n_mels, CLIP_FRAMES), strip_of(x, groups)], 1) for x in (0.0, 0.05))
    values = unpacked(with_attack(first, last, 5.0, 8.0, SPEC.n_mels)[:, SPEC.n_mels :]).difference[0]
    shares = values[1:] / (0.05 * torch.arange(1, STEREO_SPEC.stereo_bands)[:, None])
    torch.testing.assert_close(shares, shares[:1].expand_as(shares))
    assert float(shares[0, 0]) == 0 and float(shares[0, -1]) == 1 and 0 < float(shares[0, 2]) < 1


# Sounds.


def test_an_attack_is_kept_on_both_sides() -> None:
    source, other = pair(), 0.5 * pair(0.4, 1.0)
    mixed = with_attack_of(other, source, RATE, 0.015)
    assert mixed.shape == other.shape
    at = onset(loudest(source.numpy()), RATE)
    start = slice(at, at + round(0.012 * RATE))
    gain = float(mixed[0, start].norm() / source[0, start].norm())
    torch.testing.assert_close(mixed[:, start], gain * source[:, start], atol=1e-4, rtol=0)
    assert level_difference_db(mixed[:, -2000:]) == pytest.approx(level_difference_db(other[:, -2000:]), abs=0.5)


def test_a_roll_keeps_the_sides_of_its_hits() -> None:
    hits = [pair(1.0, 0.2), pair(0.2, 1.0)]
    rolled = roll(hits, 0.5, RATE)
    assert is_percussive(hits[0], RATE) and rolled.shape[0] == 2
    assert level_difference_db(rolled[:, : RATE // 2]) > 10 and level_difference_db(rolled[:, RATE // 2 :]) < -10


# Directions.


def test_width_is_a_descriptor_of_stereo_only() -> None:
    wide = torch.cat(
        [torch.zeros(1, SPEC.n_mels, CLIP_FRAMES), torch.zeros(1, STEREO_SPEC.rows - SPEC.n_mels, CLIP_FRAMES)], 1
    )
    angle = torch.full((1, STEREO_SPEC.stereo_bands, CLIP_FRAMES // FRAMES), torch.pi / 2)
    wide[:, SPEC.n_mels :] = packed(Strip(torch.zeros_like(angle), angle), CLIP_FRAMES)
    narrow = wide.clone()
    narrow[:, SPEC.n_mels :] = 0
    table = describe_mel(torch.cat([wide, narrow]), STEREO_SPEC, -9.0)
    assert table.shape == (2, len(DESCRIPTORS)) and list(DESCRIPTORS)[-1] == "width"
    torch.testing.assert_close(table[:, -1], torch.tensor([0.0, -30.0]), atol=0.01, rtol=0)
    mono = describe_mel(wide[:, : SPEC.n_mels], SPEC, -9.0)
    assert torch.equal(mono[0], table[0, :-1])


def test_the_width_of_an_image_is_that_of_its_sound() -> None:
    from audio_gen.audio.mel import MelFrontEnd

    spec = MelSpec.preset("22khz_80band_256x").with_stereo(24)
    for share in (0.1, 0.5, 1.0):
        wav = torch.randn(2, RATE, generator=torch.Generator().manual_seed(1))
        wav[1] = (1 - share) * wav[0] + share * wav[1]
        found = float(side_share_db(MelFrontEnd(spec)(wav[None]), spec))
        assert found == pytest.approx(width_db(wav), abs=0.3)


def test_width_is_a_direction_of_stereo_models(stereo: Pipeline, pipeline: Pipeline, tmp_path: Path) -> None:
    found = find_directions(stereo, 128, 0)
    assert found.descriptors == list(DESCRIPTORS)
    save_directions(tmp_path / "d.safetensors", found)
    loaded = load_directions(stereo, tmp_path / "d.safetensors")
    assert loaded.facts == found.facts
    points = stereo.latents(range(8))
    moved = move(stereo, points, loaded, {"width": 1.0})
    gain_db = moved.after[:, -1] - moved.before[:, -1]
    assert float(gain_db.median()) > 1.5
    before, after = (side_share_db(stereo.decode(x), STEREO_SPEC) for x in (points, moved.points))
    assert float((after - before).median()) > 1.5
    with pytest.raises(ConfigError, match=r"width.* unknown"):
        find_directions(pipeline, 64, 0).index("width")
