"""GANs in the pipeline: the same promises as a VAE's, and latents for each layer."""

from pathlib import Path

import pytest
import torch

from audio_gen.artefacts.bundle import load_bundle
from audio_gen.artefacts.sidecar import read_sidecar
from audio_gen.errors import ConfigError
from audio_gen.generation.clip_file import describe, write_clip
from audio_gen.generation.interpolate import PathBetween, between, decode_between, glide
from audio_gen.generation.latents import Latents
from audio_gen.generation.level import level_db, set_level
from audio_gen.generation.pipeline import Pipeline
from audio_gen.generation.source import Source
from audio_gen.generation.vary import vary
from tests.generation.models import GAN_LAYERS, LATENT_DIM, write_gan_bundle
from tests.given import one

POSITIONS = torch.linspace(0, 1, 5)


@pytest.fixture
def layered(gan: Pipeline) -> tuple[Latents, Latents]:
    """Two points of different class and pitch with a latent for each layer."""
    z = torch.randn(2, GAN_LAYERS, LATENT_DIM, generator=torch.Generator().manual_seed(0))
    return Latents.one(z[0], one(0, 50.0)), Latents.one(z[1], one(2, 70.0))


def test_a_seed_gives_the_same_clip_in_any_batch(gan: Pipeline) -> None:
    together = gan.sample(5, seed=3, batch=16)
    assert torch.equal(together, gan.sample(5, seed=3, batch=1))
    assert torch.equal(together[2:3], gan.sample(1, seed=5))
    assert not torch.allclose(together[0], together[1])


def test_kinds_and_layers(pipeline: Pipeline, gan: Pipeline) -> None:
    assert [p.kind for p in (pipeline, gan)] == ["vae", "gan"]
    assert [p.codec.latent.style_layers for p in (pipeline, gan)] == [1, GAN_LAYERS]


def test_temperature_zero_is_the_centre_of_the_class(gan: Pipeline) -> None:
    centres = load_bundle(gan.path).tensors["prior.centres"]
    for name, row in [("bell", 0), ("flute", 2)]:
        points = gan.latents(range(3), class_name=name, pitch=60, temperature=0)
        assert torch.equal(points.z[:, 0], centres[row].expand(3, -1))
        assert torch.equal(gan.decode(points)[2:], gan.decode(Latents.one(centres[row][None], one(row, 60.0))))
    spread = [gan.latents(range(8), class_name="bell", temperature=t).z.std(0).mean() for t in (0.3, 0.7, 1.0)]
    assert spread == sorted(spread) and spread[0] > 0


def test_what_a_gan_was_not_trained_on_is_refused(gan: Pipeline, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="it knows drum, bell, flute"):
        gan.sample(1, class_name="drun")
    with pytest.raises(ConfigError, match="MIDI 48 to 72; try 60"):
        gan.sample(1, pitch=90)
    plain = Pipeline.load(write_gan_bundle(tmp_path, classes=False, pitch=False), device="cpu")
    assert bool(plain.decode(plain.latents([0])).isfinite().all())
    with pytest.raises(ConfigError, match="without pitches"):
        plain.latents([0], pitch=60)


def test_one_latent_for_all_layers_is_the_same_latent_for_each(gan: Pipeline) -> None:
    points = gan.latents(range(3))
    layered = points.with_z(gan.codec.latent.per_layer(points.z))
    assert layered.z.shape == (3, GAN_LAYERS, LATENT_DIM)
    assert torch.equal(gan.codec.latent.per_layer(layered.z), layered.z)
    joined = Latents.join([points[0], layered[1]])
    assert joined.z.shape == (2, GAN_LAYERS, LATENT_DIM)
    assert torch.equal(gan.decode(joined), gan.decode(points[:2]))
    assert torch.equal(gan.decode(layered), gan.decode(points))


def test_ends_are_exactly_the_clips(gan: Pipeline, layered: tuple[Latents, Latents]) -> None:
    for start, end in [layered, (layered[0], gan.latents([3])), (gan.latents([3]), layered[1])]:
        mel = decode_between(gan, start, end, POSITIONS)
        assert torch.equal(mel[:1], gan.decode(start)) and torch.equal(mel[-1:], gan.decode(end))
        assert between(start, end, POSITIONS).z.shape == (5, GAN_LAYERS, LATENT_DIM)
    ends = Source.exact(gan, layered[0]), Source.exact(gan, layered[1])
    assert bool(glide(PathBetween(gan, *ends), 0.3).isfinite().all())


def test_variations_of_a_layered_clip(gan: Pipeline, layered: tuple[Latents, Latents]) -> None:
    clip = Source.exact(gan, layered[0])
    same = vary(gan, clip, 0.0, range(2))
    assert all(torch.equal(one.latents.z, layered[0].z) for one in same)
    (near,) = vary(gan, clip, 0.2, [7])
    (draw,) = gan.prior.sample(one(0, 50.0), [torch.Generator().manual_seed(7)])
    torch.testing.assert_close(near.latents.z, torch.lerp(layered[0].z, draw[None], near.position))
    expected = set_level(gan.decode(near.latents), level_db(clip.mel), gan.codec.mel_floor)
    torch.testing.assert_close(near.mel, expected, atol=1e-4, rtol=0)
    assert 0 < near.position < 1.5


def test_a_layered_clip_is_made_again_from_its_sidecar(
    gan: Pipeline, layered: tuple[Latents, Latents], tmp_path: Path
) -> None:
    wav = gan.vocode(gan.decode(layered[0]))[0]
    about = describe(gan, layered[0], command="test")
    assert about["model"] == "gan" and len(about["z"]) == GAN_LAYERS
    write_clip(tmp_path / "a.wav", wav, about)
    found = read_sidecar(tmp_path / "a.wav")
    assert found is not None and torch.equal(found.z, layered[0].z[0])
    again = Latents.one(found.z, gan.vocabulary.requested(found.class_name, found.pitch))
    assert torch.equal(gan.vocode(gan.decode(again))[0], wav)
