"""Sounds of any length from a sequence model: prefixes, parts, streams."""

import itertools
from pathlib import Path

import pytest
import torch
from torch import Tensor

from audio_gen.audio.long_mel import of_wav
from audio_gen.errors import CheckpointError
from audio_gen.generation.loop import circular_read, draw_loop, joined_circle, loop_sound, turned, usual_tempo
from audio_gen.generation.operations.sample import SampleRequest, sample
from audio_gen.generation.pipeline import Pipeline
from audio_gen.generation.sequence import (
    draw_latents,
    encode_sound,
    faded,
    generate_long,
    look_ahead_sec,
    sound_blocks,
    stream,
)
from audio_gen.models.codecs.long import encode_blocks
from audio_gen.models.contract import Conditions
from audio_gen.training.tasks.run import train_run
from tests.sounds import noise, sine, write
from tests.training.test_gan_task import CONFIGS


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """A tiny sequence model."""
    folder = tmp_path_factory.mktemp("sequence")
    for i in range(3):
        write(folder / "sounds" / f"tone-{i}.wav", sine(200.0 * (i + 1), 2.5))
        write(folder / "sounds" / f"noise-{i}.wav", noise(2.0, seed=i))
    run = train_run(
        folder / "sounds", folder / "run", model="sequence", config_file=CONFIGS / "sequence" / "tiny.yaml",
        device="cpu",
    )  # fmt: skip
    return Pipeline.load(run, vocoder="griffinlim:2")


def latents(pipeline: Pipeline, count: int, seed: int = 3) -> Tensor:
    parts = draw_latents(pipeline, Conditions(1), torch.Generator().manual_seed(seed), count)
    return torch.cat(list(parts))


def test_a_longer_sound_begins_as_a_shorter_one(pipeline: Pipeline) -> None:
    longer, shorter = latents(pipeline, 90), latents(pipeline, 50)
    assert longer.shape == (90, 8) and torch.equal(longer[:50], shorter)
    assert not torch.equal(latents(pipeline, 50, seed=4), shorter)


def test_it_goes_on_from_a_prompt_only_by_its_context(pipeline: Pipeline) -> None:
    generators = [torch.Generator().manual_seed(1) for _ in range(3)]
    before = torch.randn(40, 8)
    other = before.clone()
    other[: 40 - pipeline.sequence.context] += 1
    one, same, none = (
        torch.cat(list(draw_latents(pipeline, Conditions(1), g, 20, before=b)))
        for g, b in zip(generators, (before, other, None), strict=True)
    )
    assert torch.equal(one, same) and not torch.equal(one, none)


def test_a_sound_has_as_many_samples_as_asked(pipeline: Pipeline) -> None:
    z = latents(pipeline, 60)
    wav = torch.cat(list(sound_blocks(pipeline, iter([z]), 60 * pipeline.latent_samples - 77)), dim=1)
    assert wav.shape == (1, 60 * pipeline.latent_samples - 77) and bool(wav.isfinite().all())
    parts = torch.cat(list(sound_blocks(pipeline, iter(z.split(7)), 60 * pipeline.latent_samples - 77)), dim=1)
    assert torch.equal(wav, parts)  # however the latents come
    assert generate_long(pipeline, 1.5, seed=2).shape == (1, round(1.5 * pipeline.spec.sample_rate))


def test_latents_of_a_sound_do_not_depend_on_what_is_far(pipeline: Pipeline) -> None:
    count, beyond = 40, pipeline.sequence_codec.encoder_reach + 1
    wav = 0.1 * torch.randn(1, count * pipeline.latent_samples, generator=torch.Generator().manual_seed(0))
    z = encode_sound(pipeline, wav)
    assert z.shape == (count, 8)
    later = encode_sound(pipeline, wav[:, 4 * pipeline.latent_samples :])
    assert torch.allclose(later[beyond:], z[4 + beyond :], atol=1e-4)
    for samples in (1, pipeline.latent_samples - 1, pipeline.latent_samples + 1):
        assert encode_sound(pipeline, wav[:, :samples]).shape == (-(-samples // pipeline.latent_samples), 8)


def test_the_ends_of_a_sound_that_was_cut_are_not_encoded_as_clicks(pipeline: Pipeline) -> None:
    def plain(wav: Tensor) -> Tensor:
        mel = of_wav(wav, pipeline.spec)
        return torch.cat(list(encode_blocks(pipeline.sequence_codec, mel, mel.frames)))

    step = pipeline.latent_samples
    white = 0.3 * torch.randn(1, 60 * step, generator=torch.Generator().manual_seed(0))
    wav = white + 0.01 * white.cumsum(1)  # a cut of the low part has overtones
    whole = encode_sound(pipeline, wav)[20:]
    away: dict[str, list[float]] = {"mirrored": [], "cut": []}
    for more in (0, 77, step // 2):
        cut = wav[:, 20 * step : 40 * step + more]
        for name, z in (("mirrored", encode_sound(pipeline, cut)), ("cut", plain(cut))):
            away[name] += [float((z[:2] - whole[:2]).norm()), float((z[19:] - whole[19 : len(z)]).norm())]
    assert sum(away["mirrored"]) < 0.5 * sum(away["cut"])


def test_a_stream_is_the_sound_in_blocks(pipeline: Pipeline) -> None:
    with_network = Pipeline.load(pipeline.path, vocoder=tiny_vocoder(pipeline))
    blocks = list(itertools.islice(stream(with_network, seed=5), 4))
    assert all(block.shape[0] == 1 and block.shape[1] % pipeline.spec.hop_length == 0 for block in blocks)
    whole = torch.cat(list(itertools.islice(stream(with_network, seed=5), 6)), dim=1)
    joined = torch.cat(blocks, dim=1)
    assert torch.allclose(whole[:, : joined.shape[1]], joined, atol=1e-4)
    reach = with_network.sequence_codec.reach
    assert look_ahead_sec(with_network, 4) == pytest.approx((4 + 4 * (reach + 1)) * 256 / 16_000)


def tiny_vocoder(pipeline: Pipeline) -> str:
    """The folder of a vocoder network of the model's mel."""
    folder = pipeline.path.parent.parent
    run = folder / "vocoder"
    if not run.exists():
        train_run(
            folder / "sounds", run, model="vocoder", config_file=CONFIGS / "vocoder" / "tiny.yaml", device="cpu",
            overrides=["mel={sample_rate: 16000, n_fft: 512, hop_length: 256, n_mels: 40}"],
        )  # fmt: skip
    return str(run)


def test_fades_are_at_both_ends_only() -> None:
    out = torch.cat(list(faded(iter([torch.ones(1, 3000), torch.ones(1, 5000)]), 8000, 16_000)), dim=1)
    assert float(out[0, 0]) == 0 and float(out[0, -1]) < 1e-4
    assert bool((out[0, 100:7000] == 1).all())


def test_a_model_of_clips_has_no_sequences(tmp_path: Path) -> None:
    for i in range(4):
        write(tmp_path / "sounds" / f"{i}.wav", sine(200.0 * (i + 1), 0.4))
    run = train_run(
        tmp_path / "sounds", tmp_path / "run", model="vae", config_file=CONFIGS / "vae" / "tiny.yaml", device="cpu"
    )
    with pytest.raises(CheckpointError, match=r"is a model of clips of .* give a run of --model sequence"):
        generate_long(Pipeline.load(run), 10)


def test_a_circle_is_read_at_even_steps() -> None:
    image = torch.arange(8.0)[None]
    assert torch.equal(circular_read(image, 8, 24, before=8)[0], torch.arange(8.0).repeat(3))
    read = circular_read(image[:, :], 16, 32, before=0)[0]
    assert torch.equal(read[:16], read[16:]) and float(read[1]) == 0.5


def test_a_periodic_sound_joins_without_a_jump() -> None:
    rate, samples = 16_000, 5333
    time = torch.arange(3 * samples, dtype=torch.float64)
    wav = torch.sin(2 * torch.pi * 40 * time / samples)[None].float()
    loop = joined_circle(wav, samples, samples, rate)
    assert loop.shape == (1, samples)
    assert torch.allclose(loop, wav[:, samples : 2 * samples], atol=1e-3)
    # A sound that agrees with itself a round later in level only is faded.
    rough = torch.randn(1, 3 * samples, generator=torch.Generator().manual_seed(0)).cumsum(1)
    rough = rough - rough.mean()
    loop = joined_circle(rough, samples, samples, rate)
    inner = (loop[:, 1:] - loop[:, :-1]).abs()
    assert float((loop[:, 0] - loop[:, -1]).abs()) <= float(inner.max())


def test_a_loop_starts_at_zero() -> None:
    time = torch.arange(16_000) / 16_000
    wav = torch.sin(2 * torch.pi * 200 * time + 1.3)[None]  # steps of up to 8 % of the peak
    found = turned(wav, 16_000)
    assert float(found[:, [0, -1]].abs().max()) < 0.06 < float(wav[:, 0])
    assert any(torch.equal(found, wav.roll(turn, dims=1)) for turn in range(-80, 81))
    flat = torch.full((1, 100), 0.5)
    assert torch.equal(turned(flat, 16_000), flat)


def test_a_loop_takes_the_nearest_tempo_that_the_model_knows() -> None:
    assert usual_tempo(120, None) == 120
    assert usual_tempo(120, (100, 140)) == 120
    assert usual_tempo(174, (80, 90)) == pytest.approx(174)  # as 87
    assert usual_tempo(60, (110, 130)) == pytest.approx(60)  # as 120
    assert usual_tempo(100, (110, 130)) == pytest.approx(110)


def test_a_loop_is_exact_whatever_its_tempo(pipeline: Pipeline) -> None:
    samples = round(4 * 60 / 174 * 16_000)
    z = draw_loop(pipeline, Conditions(1), torch.Generator().manual_seed(0), samples, 1, 4)
    assert z.shape == (round(samples / pipeline.latent_samples), 8)
    wav = loop_sound(pipeline, z, samples)
    assert wav.shape == (1, samples) and bool(wav.isfinite().all())


def test_a_seed_is_one_sound_also_with_classes(tmp_path: Path) -> None:
    for i in range(3):
        write(tmp_path / "sounds" / "tones" / f"{i}.wav", sine(200.0 * (i + 1), 2.5))
        write(tmp_path / "sounds" / "noises" / f"{i}.wav", noise(2.0, seed=i))
    tiny = CONFIGS / "sequence" / "tiny.yaml"
    run = train_run(tmp_path / "sounds", tmp_path / "run", model="sequence", config_file=tiny, device="cpu")
    pipeline = Pipeline.load(run, vocoder="griffinlim:2")
    clip = next(iter(sample(pipeline, SampleRequest(count=1, seed=5, duration_sec=1.0))))
    assert torch.equal(clip.wav, generate_long(pipeline, 1.0, seed=5))
