"""From a sound back to a latent: clips of the GAN itself are found again."""

import math

import torch

from audio_gen.generation.inversion import Adam, invert, log_mel_l1
from audio_gen.generation.pipeline import Pipeline
from audio_gen.models.contract import Conditions
from tests.generation.models import GAN_LAYERS, LATENT_DIM
from tests.given import one


def test_a_clip_of_the_model_is_found_again(gan: Pipeline) -> None:
    point = gan.latents([4], class_name="drum", pitch=60)
    mel = gan.decode(point)[0]
    found = invert(gan, mel, one(1, 60.0))
    assert found.mel_l1 < 0.5 * found.mel_l1_start and 0 < found.steps <= 200
    assert found.latents.z.shape == (1, GAN_LAYERS, LATENT_DIM)
    assert found.latents.conditions.same(one(1, 60.0))
    assert found.mel_l1 == log_mel_l1(mel, gan.decode(found.latents)[0], mel.shape[1])


def test_the_search_is_deterministic_and_leaves_no_gradients(gan: Pipeline) -> None:
    mel = gan.decode(gan.latents([4]))[0]
    torch.manual_seed(1)
    first = invert(gan, mel, Conditions(1), steps=10)
    torch.manual_seed(2)
    second = invert(gan, mel, Conditions(1), steps=10)
    assert torch.equal(first.latents.z, second.latents.z) and first.steps == 10
    assert all(parameter.grad is None for parameter in gan.parts["codec"].parameters())


def test_no_steps_is_the_models_own_guess(gan: Pipeline) -> None:
    mel = gan.decode(gan.latents([4]))[0]
    found = invert(gan, mel, one(0, 60.0), steps=0)
    assert torch.equal(found.latents.z, gan.encode(mel, one(0, 60.0)).z)
    assert found.mel_l1 == found.mel_l1_start and found.steps == 0


def test_silence_and_what_no_clip_is_like(gan: Pipeline) -> None:
    for mel in (torch.full((40, 24), gan.codec.mel_floor), 3 * torch.randn(40, 24)):
        found = invert(gan, mel, one(0, 60.0), steps=20, frames=5)
        assert math.isfinite(found.mel_l1) and found.mel_l1 <= found.mel_l1_start


def test_l1_counts_frames_of_sound_only() -> None:
    made = torch.cat([torch.ones(3, 2), torch.full((3, 2), 9.0)], dim=1)
    assert log_mel_l1(torch.zeros(3, 4), made, 2) == 1


def test_adam_takes_the_steps_of_torch() -> None:
    ours, theirs = torch.zeros(3, 5), torch.zeros(3, 5, requires_grad=True)
    adam, known = Adam(ours), torch.optim.Adam([theirs], lr=1.0)
    generator = torch.Generator().manual_seed(0)
    for step in range(20):
        gradient = torch.randn(3, 5, generator=generator)
        theirs.grad, known.param_groups[0]["lr"] = gradient, 0.1 / (step + 1)
        adam.step(gradient, 0.1 / (step + 1))
        known.step()
        assert torch.equal(ours, theirs.detach())


def test_the_search_does_not_mind_that_gradients_are_off(gan: Pipeline) -> None:
    mel = gan.decode(gan.latents([3]))[0]
    on = invert(gan, mel, Conditions(1), steps=3)
    with torch.no_grad():
        off = invert(gan, mel, Conditions(1), steps=3)
    assert torch.equal(on.latents.z, off.latents.z) and off.steps == 3
