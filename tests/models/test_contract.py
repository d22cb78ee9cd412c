"""Every registered codec and prior keeps what `contract` says."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from audio_gen.models.codecs.gan import GANCodec
from audio_gen.models.codecs.vae import VAE
from audio_gen.models.contract import CLASS, PITCH, VELOCITY, Conditions, LatentShape, Posterior
from audio_gen.models.priors.mapped import MappedPrior, Mapping
from audio_gen.models.priors.neighbours import NeighbourPrior
from audio_gen.models.registry import KINDS
from tests.models.toys import ToyCodec, ToyPrior

BANDS, FRAMES, DIM, CLIPS = 20, 13, 6, 12
SIZES = {"n_mels": BANDS, "frames": FRAMES}
MEL = {**SIZES, "f_min": 0.0, "f_max": 8000.0, "latent_dim": DIM, "channels": (8, 8), "blocks": 1, "mel_floor": -9.0}
CONDITIONED = {"n_classes": 2, "pitch_low": 40.0, "pitch_high": 70.0, "velocity": True, "condition_dim": 4}
MAPPING = {"noise_dim": 7, "latent_dim": DIM, "anchors": CLIPS, "n_classes": 2, "width": 8, "velocity": True}


class Case(NamedTuple):
    """How to build a codec, and one without conditions."""

    full: Callable[[], Any]
    bare: Callable[[], Any]


CODECS = {
    "vae": Case(lambda: VAE(**MEL, **CONDITIONED), lambda: VAE(**MEL)),
    "vae with grain": Case(lambda: VAE(**MEL, **CONDITIONED, grain=True), lambda: VAE(**MEL, grain=True)),
    "gan": Case(lambda: GANCodec(**MEL, **CONDITIONED), lambda: GANCodec(**MEL)),
    "toy": Case(lambda: ToyCodec(**SIZES, n_classes=2), lambda: ToyCodec(**SIZES)),
}


def known(count: int = CLIPS) -> Conditions:
    rows = torch.arange(count)
    return Conditions(count, {CLASS: rows % 2, PITCH: 40.0 + rows * 2.5, VELOCITY: 20.0 + rows * 8})


def latents() -> Tensor:
    return torch.randn(CLIPS, 1, DIM, generator=torch.Generator().manual_seed(0)) + known().class_id[:, None, None]


def mapped() -> MappedPrior:
    mapping = Mapping(**MAPPING)  # type: ignore[arg-type]
    mapping.initialise(latents(), known(), torch.arange(CLIPS))
    nn.init.normal_(mapping.head.weight, std=0.1)
    return MappedPrior.fit(mapping, MAPPING, known())


PRIORS: dict[str, Callable[[], Any]] = {
    "neighbours": lambda: NeighbourPrior.fit(latents(), known(), torch.arange(CLIPS)),
    "lines": lambda: NeighbourPrior.fit(latents(), known(), torch.arange(CLIPS), line_noise=0.3),
    "mapped": mapped,
    "toy": lambda: ToyPrior(latent_dim=DIM, n_classes=2),
}


def disturbed(model: nn.Module) -> Any:
    """Nothing is zero any more, so that all conditions count."""
    for parameter in model.parameters():
        parameter.data.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return model.eval().requires_grad_(False)


def seeded(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def test_every_registered_kind_is_tried() -> None:
    # Sequences have tests of their own: test_local_codec, test_flow, test_autoregressive.
    assert KINDS["codec"].keys() - {"local"} <= CODECS.keys()
    assert KINDS["prior"].keys() - {"flow", "lstm", "attention"} <= PRIORS.keys()


@pytest.mark.parametrize("kind", CODECS)
def test_a_codecs_shapes(kind: str) -> None:
    codec, mel = disturbed(CODECS[kind].full()), torch.randn(4, BANDS, FRAMES) - 4
    shape: LatentShape = codec.latent
    posterior: Posterior = codec.encode(mel, known(4))
    count = 1 if shape.stride is None else -(-FRAMES // shape.stride)
    assert posterior.mean.shape == (4, count, shape.dim)
    assert posterior.logvar is None or posterior.logvar.shape == posterior.mean.shape
    assert codec.frames in (None, FRAMES) and isinstance(codec.has_encoder, bool)
    decoded = codec.decode(posterior.mean, known(4))
    assert decoded.shape == mel.shape and bool(decoded.isfinite().all()) and decoded.min() >= codec.mel_floor
    if shape.style_layers > 1:
        layered = shape.per_layer(posterior.mean)
        assert layered.shape == (4, shape.style_layers, shape.dim)
        assert torch.equal(codec.decode(layered, known(4)), decoded)


@pytest.mark.parametrize("kind", CODECS)
def test_a_codec_takes_the_conditions_that_it_names_and_ignores_others(kind: str) -> None:
    z = torch.randn(4, 1, CODECS[kind].full().latent.dim)
    for codec in (disturbed(CODECS[kind].full()), disturbed(CODECS[kind].bare())):
        decoded = codec.decode_raw(z, known(4))
        assert torch.equal(codec.decode_raw(z, known(4).subset(codec.conditions)), decoded)
        unknown = codec.decode_raw(z, Conditions(4))
        assert bool(unknown.isfinite().all())
        for name in (CLASS, PITCH, VELOCITY):
            value = torch.full((4,), -1) if name == CLASS else torch.full((4,), math.nan)
            without = codec.decode_raw(z, known(4).replaced(name, value))
            assert torch.equal(without, decoded) == (name not in codec.conditions)
    assert not CODECS[kind].bare().conditions


@pytest.mark.parametrize("kind", CODECS)
def test_a_codec_has_a_gradient_everywhere(kind: str) -> None:
    codec = disturbed(CODECS[kind].full())
    z = (50 * torch.randn(2, 1, codec.latent.dim)).requires_grad_()
    codec.decode_raw(z, known(2)).sum().backward()
    assert z.grad is not None and bool((z.grad != 0).any(2).all())


@pytest.mark.parametrize("kind", PRIORS)
def test_a_seed_gives_the_same_draw_whatever_the_batch(kind: str) -> None:
    prior = PRIORS[kind]()
    asked = Conditions(3, {CLASS: torch.tensor([0, -1, 1])})

    def drawn(asked: Conditions, *seeds: int) -> tuple[Conditions, Tensor]:
        generators = seeded(*seeds)
        filled = prior.fill(asked, generators)
        return filled, prior.sample(filled, generators)

    filled, z = drawn(asked, 3, 4, 5)
    assert z.shape == (3, 1, DIM) and z.dtype == torch.float32 and len(z.unique(dim=0)) == 3
    for i, seed in enumerate((3, 4, 5)):
        alone, point = drawn(asked[i], seed)
        assert torch.equal(point[0], z[i]) and alone.same(filled[i])


@pytest.mark.parametrize("kind", PRIORS)
def test_a_prior_fills_in_what_it_is_not_asked_for(kind: str) -> None:
    prior = PRIORS[kind]()
    assert prior.fill(Conditions(2), seeded(1, 2)).subset(prior.conditions).values.keys() == set(prior.conditions)
    for name in prior.conditions:
        value = known(1).get(name).repeat(2)
        assert torch.equal(prior.fill(Conditions(2, {name: value}), seeded(1, 2)).get(name), value)
    for filled in (Conditions(2), known(2).subset([PITCH]), known(2).replaced(CLASS, torch.tensor([-1, 1]))):
        assert bool(prior.sample(filled, seeded(1, 2)).isfinite().all())


@pytest.mark.parametrize("kind", PRIORS)
def test_temperature_zero_varies_less(kind: str) -> None:
    prior = PRIORS[kind]()
    asked = known(1).subset([CLASS]).repeat(20)
    spread = [prior.sample(asked, seeded(*range(20)), temperature=t).std(0).mean() for t in (0.0, 0.5, 1.0)]
    assert spread[0] < spread[1] < spread[2]


def test_conditions_join_slice_and_repeat() -> None:
    some, more = Conditions.one({CLASS: 2, PITCH: None}), Conditions(2, {VELOCITY: torch.tensor([5.0, 6.0])})
    both = Conditions.join([some, more])
    assert len(both) == 3 and both.class_id.tolist() == [2, -1, -1]
    assert both.velocity.nan_to_num(0).tolist() == [0, 5, 6] and PITCH not in both.values
    assert bool(both.pitch.isnan().all()) and both.pitch.dtype == torch.float32
    assert both[-1].velocity.tolist() == [6] and both[1:].class_id.tolist() == [-1, -1]
    assert both[torch.tensor([2, 0])].class_id.tolist() == [-1, 2]
    assert both[torch.tensor([True, False, True])].same(Conditions.join([both[0], both[2]]))
    assert some.repeat(2).class_id.tolist() == [2, 2] and len(some.repeat(2)) == 2
    assert both.same(both.replaced(PITCH, torch.full((3,), math.nan))) and not both.same(both.repeat(1).subset([CLASS]))
