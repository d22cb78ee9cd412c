import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from audio_gen.losses.adversarial import gradient_penalty, relativistic_d, relativistic_g
from audio_gen.models.contract import Conditions
from audio_gen.models.discriminators.mel import MelDiscriminator
from audio_gen.models.priors.mapped import Mapping
from tests.given import given

UNKNOWN = Conditions(6)


def of_mels(**changes: object) -> MelDiscriminator:
    torch.manual_seed(0)
    args = {"n_mels": 20, "frames": 13, "channels": (8, 16), "n_classes": 2, "dim": 16}
    return MelDiscriminator(**{**args, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("features", [0, 4])
@pytest.mark.parametrize(("n_mels", "frames"), [(20, 1), (33, 13), (40, 31), (32, 32)])
def test_a_logit_for_each_image_and_its_places_of_any_size(n_mels: int, frames: int, features: int) -> None:
    model = of_mels(n_mels=n_mels, frames=frames, features=features, channels=(8, 12, 16))
    bands = torch.randn(6, features, n_mels) if features else None
    whole, local = model(torch.randn(6, n_mels, frames), bands, UNKNOWN)
    assert whole.shape == (6,)
    assert local.ndim == 2
    assert len(local) == 6
    assert torch.isfinite(whole).all()
    assert torch.isfinite(local).all()


def test_clips_are_judged_one_by_one() -> None:
    """No statistics of a batch: each logit depends on its own clip alone."""
    mel, class_id, pitch = torch.randn(6, 20, 13), torch.arange(6) % 2, torch.linspace(40, 70, 6)
    known = given(class_id, pitch)
    together = of_mels()(mel, None, known)
    alone = of_mels()(mel[2:3], None, known[2])
    assert all(torch.allclose(a, b[2:3], atol=1e-5) for a, b in zip(alone, together, strict=True))


def test_places_are_judged_by_what_is_around_them() -> None:
    """A change in one corner moves the logits of places there, and none far away."""
    model, mel = of_mels(n_mels=64, frames=64, channels=(8, 8, 8)), torch.zeros(1, 64, 64)
    before = model(mel, None, UNKNOWN[0])[1]
    mel[:, :4, :4] = 1
    moved = (model(mel, None, UNKNOWN[0])[1] - before).abs() > 1e-7
    assert moved.any()
    assert not moved[0, -1]


def test_conditions_change_logits() -> None:
    model, mel, bands = of_mels(features=4, velocity=True), torch.randn(1, 20, 13), torch.zeros(1, 4, 20)
    asked = [
        {"class": c, "pitch": p, "velocity": v}
        for c in (-1, 0, 1) for p in (math.nan, 45.0, 60.0) for v in (math.nan, 20.0, 120.0)
    ]  # fmt: skip
    logits = [float(model(mel, bands, Conditions.one(one))[0].detach()) for one in asked]
    assert len(set(logits)) == 27


def test_features_of_bands_change_logits() -> None:
    model, mel = of_mels(features=4), torch.randn(6, 20, 13)
    without, with_them = (model(mel, bands, UNKNOWN) for bands in (torch.zeros(6, 4, 20), torch.ones(6, 4, 20)))
    assert not torch.allclose(without[0], with_them[0])
    assert not torch.allclose(without[1], with_them[1])


def told_apart(judge: Callable[[Tensor], Tensor], model: nn.Module, shape: tuple[int, ...], steps: int) -> float:
    """The loss after training on what differs by its level; high logits are those of real ones then."""
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    for step in range(steps):
        torch.manual_seed(step)
        real, fake = (judge(torch.randn(32, *shape) + level) for level in (0.5, -0.5))
        loss = relativistic_d(real, fake)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert real.mean() > fake.mean() + 1
    return float(loss.detach())


def test_high_is_real_after_a_few_steps() -> None:
    mels, none = of_mels(), Conditions(32)
    for part in (0, 1):  # whole images, places in them
        assert told_apart(lambda x: mels(x, None, none)[part], mels, (20, 13), 25) < 0.5 * math.log(2)  # noqa: B023


def test_the_class_is_judged_too() -> None:
    """The same images, only paired with the wrong class: a projection tells them apart."""
    model = of_mels()
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    for step in range(80):
        torch.manual_seed(step)
        class_id = torch.randint(2, (64,))
        mel = torch.randn(64, 20, 13) + 2.0 * (2 * class_id[:, None, None] - 1)
        logits = [model(mel, None, Conditions(64, {"class": c}))[0] for c in (class_id, 1 - class_id)]
        loss = relativistic_d(*logits)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert ((logits[0] - logits[1]) > 0).float().mean() > 0.9


class OfPoints(nn.Module):
    """A small discriminator of points in the plane."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(2, 48), nn.SiLU(), nn.Linear(48, 48), nn.SiLU(), nn.Linear(48, 48), nn.SiLU(), nn.Linear(48, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)[:, 0]


def test_the_recipe_finds_all_of_a_ring_of_eight_gaussians(noise_dim: int = 4) -> None:
    """What GANs without a gradient penalty on both sides fail at: the mapping starts from every other mode only."""
    torch.manual_seed(0)
    angle = torch.arange(8) * math.pi / 4
    modes = 2 * torch.stack([angle.cos(), angle.sin()], dim=1)
    g, d = Mapping(noise_dim=noise_dim, latent_dim=2, anchors=4, width=48), OfPoints()
    g.initialise(modes[::2, None], Conditions(4), torch.arange(4))
    optimisers = [torch.optim.Adam(m.parameters(), 4e-3, betas=(0.0, 0.99)) for m in (d, g)]
    start = near_modes(g, modes)
    for _ in range(300):
        real = (modes[torch.randint(8, (64,))] + 0.05 * torch.randn(64, 2)).requires_grad_()
        made = g(torch.randn(64, noise_dim), Conditions(64))[:, 0]
        fake = made.detach().requires_grad_()
        logits = [d(x) for x in (real, fake)]
        loss_d = relativistic_d(*logits) + 0.1 * gradient_penalty(logits[0] + logits[1], real, fake)
        loss_g = relativistic_g(d(real.detach()), d(made))
        for loss, network in ((loss_d, d), (loss_g, g)):
            gradients = torch.autograd.grad(loss, list(network.parameters()), allow_unused=True)
            for parameter, gradient in zip(network.parameters(), gradients, strict=True):
                parameter.grad = gradient
        for optimiser in optimisers:
            optimiser.step()
    assert (start[1::2] == 0).all()
    assert (near_modes(g, modes) >= 0.01).sum() >= 7  # all eight with most seeds


@torch.no_grad()
def near_modes(g: Mapping, modes: Tensor) -> Tensor:
    """Shares of draws that lie within a quarter of the radius of each mode (8,)."""
    z = torch.randn(2000, g.noise_dim, generator=torch.Generator().manual_seed(0))
    distance, nearest = torch.cdist(g(z, Conditions(2000))[:, 0], modes).min(1)
    return torch.bincount(nearest[distance < 0.5], minlength=8) / len(z)
