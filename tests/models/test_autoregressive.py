"""Autoregressive priors: what they draw, what they learn, and how their networks go on."""

import math

import pytest
import torch
from torch import Tensor

from audio_gen.errors import ConfigError
from audio_gen.models.contract import CLASS, Conditions
from audio_gen.models.priors import autoregressive
from audio_gen.models.priors.autoregressive import AttentionPrior, AutoregressivePrior, LSTMPrior
from audio_gen.models.priors.causal import LSTM, CausalNetwork, CausalTransformer, Memory
from audio_gen.models.priors.energy import SampleHead, energy_score
from audio_gen.models.registry import check_arguments, check_size

KINDS = [LSTMPrior, AttentionPrior]
TURN = 12  # latents of a round of the circle


def small(kind: type[LSTMPrior] | type[AttentionPrior], **changes: int) -> AutoregressivePrior:
    args = {"latent_dim": 6, "width": 32, "layers": 2, "head_width": 32, "head_blocks": 2, "block": 2, **changes}
    if kind is AttentionPrior:
        args["heads"] = 2
    torch.manual_seed(0)
    return kind(**{"window": 32, "context": 16, **args}).eval()


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def whole(z: Tensor) -> Tensor:
    return torch.ones(z.shape[:2], dtype=torch.bool)


def circle(count: int, length: int, generator: torch.Generator) -> Tensor:
    """Points (B, N, 2) that go round a circle, from any place."""
    turn = torch.rand(count, 1, generator=generator) + torch.arange(length) / TURN
    return torch.stack([(math.tau * turn).cos(), (math.tau * turn).sin()], dim=2)


def fit(prior: AutoregressivePrior, batches: list[Tensor], steps: int) -> None:
    optimiser = torch.optim.Adam(prior.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(1)
    prior.train()
    for step in range(steps):
        z = batches[step % len(batches)]
        loss = prior.loss(z, whole(z), Conditions(len(z)), generator)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    prior.eval()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("length", [1, 7, 40])
def test_latents_are_finite_and_as_many_as_asked(kind: type, length: int) -> None:
    prior = small(kind, n_classes=3)
    conditions = Conditions(2, {CLASS: torch.tensor([0, -1])})
    before = torch.randn(2, 5, 6)
    for prompt in (None, before, before[:, :1], before[:, :0]):
        z = prior.sample(conditions, generators(1, 2), length=length, before=prompt)
        assert z.shape == (2, length, 6) and z.isfinite().all() and z.dtype == torch.float32


@pytest.mark.parametrize("kind", KINDS)
def test_a_clip_does_not_depend_on_its_batch(kind: type) -> None:
    prior, before = small(kind, n_classes=2), torch.randn(3, 9, 6)
    conditions = Conditions(3, {CLASS: torch.tensor([0, 1, 1])})
    together = prior.sample(conditions, generators(1, 2, 3), length=20, before=before)
    alone = prior.sample(conditions[2], generators(3), length=20, before=before[2:])
    assert torch.equal(together[2:], alone) and not torch.equal(together[0], together[1])


@pytest.mark.parametrize("kind", KINDS)
def test_prompt_class_seed_and_temperature_matter(kind: type) -> None:
    prior, before = small(kind, n_classes=2), torch.randn(1, 9, 6)

    def draw(class_id: int = 0, seed: int = 1, temperature: float = 1.0, prompt: Tensor | None = before) -> Tensor:
        conditions = Conditions.one({CLASS: class_id})
        return prior.sample(conditions, generators(seed), length=8, temperature=temperature, before=prompt)

    others = [draw(class_id=1), draw(seed=2), draw(temperature=0.5), draw(prompt=before + 1), draw(prompt=None)]
    assert torch.equal(draw(), draw())
    assert all(not torch.allclose(draw(), other, atol=1e-4) for other in others)


def test_a_prompt_counts_as_far_back_as_the_context() -> None:
    prior, before = small(LSTMPrior), torch.randn(1, 30, 6)
    far, near = before.clone(), before.clone()
    far[:, 13] += 1  # the 17th from the end; the context is 16
    near[:, 14] += 1
    first, second, third = (
        prior.sample(Conditions(1), generators(1), length=4, before=prompt) for prompt in (before, far, near)
    )
    assert torch.equal(first, second) and not torch.equal(first, third)


@pytest.mark.parametrize("network", [LSTM(width=16, layers=2), CausalTransformer(width=16, layers=3, heads=2, reach=7)])
def test_one_token_at_a_time_is_the_whole_at_once(network: CausalNetwork) -> None:
    x = torch.randn(2, 20, 16, generator=torch.Generator().manual_seed(0))
    at_once, _ = network(x, Memory())
    y, memory = network(x[:, :5], Memory())
    parts = [y]
    for i in range(5, 20):
        y, memory = network(x[:, i : i + 1], memory)
        parts.append(y)
    assert memory.length == 20
    assert torch.allclose(torch.cat(parts, dim=1), at_once, atol=1e-5)


def test_attention_sees_as_many_tokens_as_its_reach() -> None:
    network = CausalTransformer(width=16, layers=1, heads=2, reach=4)
    x = torch.randn(1, 10, 16, generator=torch.Generator().manual_seed(0))
    changed = x.clone()
    changed[:, 3, 0] += 1
    moved = (network(x, Memory())[0] - network(changed, Memory())[0]).abs().amax((0, 2)) > 1e-6
    assert moved.tolist() == [False] * 3 + [True] * 4 + [False] * 3
    memory = network(x, Memory())[1]
    assert all(tensor.shape[2] == 4 for tensor in memory.tensors), "the cache stays as small as the reach"


def test_attention_goes_by_relative_positions() -> None:
    network = CausalTransformer(width=16, layers=2, heads=2, reach=64)
    x = torch.randn(1, 6, 16, generator=torch.Generator().manual_seed(0))
    network.layers.double()
    bias = torch.full((6, 6), -torch.inf, dtype=torch.float64).triu(1)
    layer, x = network.layers[0], x.double()
    near, far = (layer(x, torch.arange(6) + start, bias, ())[0] for start in (0, 100))
    assert torch.allclose(near, far, atol=1e-5)
    assert not torch.allclose(near, layer(x, 2 * torch.arange(6), bias, ())[0], atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_loss_ignores_what_is_past_the_end(kind: type) -> None:
    prior = small(kind)
    z = torch.randn(2, 12, 6, generator=torch.Generator().manual_seed(0))
    sound = whole(z)
    sound[1, 7:] = False  # the token of latents 6 and 7 is not whole

    def loss(changed: Tensor) -> float:
        return prior.loss(changed, sound, Conditions(2), generators(5)[0]).item()

    past, inside = z.clone(), z.clone()
    past[1, 6:] += 3
    inside[1, 5] += 3
    assert loss(past) == pytest.approx(loss(z), abs=1e-6)
    assert loss(inside) != pytest.approx(loss(z), abs=1e-2)


@pytest.mark.parametrize("kind", KINDS)
def test_overfits_one_batch(kind: type) -> None:
    z = torch.randn(2, 16, 6, generator=torch.Generator().manual_seed(0))
    prior = small(kind, width=64)
    prior.initialise(z.flatten(0, 1))
    first = prior.loss(z, whole(z), Conditions(2), generators(5)[0]).item()
    fit(prior, [z], 250)
    last = prior.loss(z, whole(z), Conditions(2), generators(5)[0]).item()
    assert last < 0.35 * first


@pytest.mark.parametrize("kind", KINDS)
def test_continues_a_circle_and_stays_on_it(kind: type) -> None:
    generator = torch.Generator().manual_seed(0)
    prior = small(kind, latent_dim=2, layers=1, block=1, window=36, context=TURN)
    batches = [circle(8, 36, generator) for _ in range(20)]
    prior.initialise(torch.cat(batches).flatten(0, 1))
    fit(prior, batches, 250)
    truth = circle(4, 3 * TURN, generator)
    drawn = prior.sample(Conditions(4), generators(1, 2, 3, 4), length=2 * TURN, before=truth[:, :TURN])
    assert (drawn - truth[:, TURN:]).norm(dim=2).mean() < 0.35  # another place is sqrt(2) away on average
    assert (drawn.norm(dim=2) - 1).abs().mean() < 0.15


def test_energy_score_is_least_at_the_distribution_of_the_truth() -> None:
    generator = torch.Generator().manual_seed(0)
    truth = 2 + 0.5 * torch.randn(20000, 1, generator=generator)
    noise = torch.randn(4, 20000, 1, generator=generator)
    scores = {
        (mean, deviation): float(energy_score(truth, mean + deviation * noise, (1,)).mean())
        for mean in (1.7, 2.0, 2.3)
        for deviation in (0.0, 0.25, 0.5, 0.75, 1.0)
    }
    assert min(scores, key=lambda key: scores[key]) == (2.0, 0.5)
    # E|X - X'| / 2 of a Gaussian is its deviation / sqrt(pi)
    assert scores[2.0, 0.5] == pytest.approx(0.5 / math.sqrt(math.pi), rel=0.02)


def test_energy_score_of_a_group_sees_what_goes_together() -> None:
    generator = torch.Generator().manual_seed(0)
    truth = torch.randn(20000, 1, generator=generator).expand(-1, 2)
    together = torch.randn(4, 20000, 1, generator=generator).expand(-1, -1, 2)
    apart = torch.randn(4, 20000, 2, generator=generator)
    both, each = ([float(energy_score(truth, draws, (size,)).mean()) for draws in (together, apart)] for size in (2, 1))
    assert both[0] < both[1] - 0.02
    assert each[0] == pytest.approx(each[1], abs=0.02)


def test_head_learns_two_peaks() -> None:
    torch.manual_seed(0)
    head = SampleHead(context_dim=4, out_dim=1, width=32, noise_dim=4, blocks=2)
    optimiser = torch.optim.Adam(head.parameters(), lr=3e-3)
    generator, context = torch.Generator().manual_seed(0), torch.zeros(256, 4)
    for _ in range(300):
        truth = torch.randint(2, (256, 1), generator=generator) * 2.0 - 1.0
        loss = energy_score(truth, head(context, torch.randn(4, 256, 4, generator=generator)), (1,)).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    drawn = head(context, torch.randn(256, 4, generator=generator))
    assert ((drawn.abs() - 1).abs() < 0.3).float().mean() > 0.75  # a Gaussian of their mean and deviation: 0.28
    assert 0.35 < (drawn > 0).float().mean() < 0.65


@pytest.mark.parametrize("kind", KINDS)
def test_a_loop_names_the_prior_that_can(kind: type) -> None:
    prior = small(kind)
    assert not prior.loops
    with pytest.raises(ConfigError, match=r"prior\.kind=flow"):
        prior.sample(Conditions(1), generators(1), length=8, circular=True)


def test_unknown_classes_come_by_their_shares() -> None:
    prior = small(LSTMPrior, n_classes=3)
    assert prior.conditions == (CLASS,) and small(LSTMPrior).conditions == ()
    prior.initialise(torch.randn(40, 6), torch.tensor([0.25, 0.0, 0.75]))
    asked = Conditions(201, {CLASS: torch.tensor([1] + [-1] * 200)})
    filled = prior.fill(asked, generators(*range(201))).class_id
    assert filled[0] == 1 and set(filled[1:].tolist()) == {0, 2}
    assert 0.6 < (filled[1:] == 2).float().mean() < 0.9
    assert small(LSTMPrior).fill(Conditions(2), generators(1, 2)).same(Conditions(2))


def test_initialise_whitens_each_number() -> None:
    prior, z = small(AttentionPrior), torch.randn(500, 6) * torch.arange(1, 7) + 3
    prior.initialise(z)
    assert torch.allclose(prior.mean, z.mean(0)) and torch.allclose(prior.deviation, z.std(0, unbiased=False))


@pytest.mark.parametrize(
    "changes", [{"block": 0}, {"block": 64}, {"context": 64, "window": 32}, {"context": 32, "window": 32}]
)
def test_sizes_that_do_not_fit_are_refused(changes: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=next(iter(changes))):
        small(LSTMPrior, **changes)


def test_heads_must_fit_the_width() -> None:
    with pytest.raises(ConfigError, match="heads"):
        AttentionPrior(latent_dim=4, width=30, heads=4)


@pytest.mark.parametrize("kind", KINDS)
def test_no_clip_is_longer_than_a_training_window_to_the_network(kind: type) -> None:
    prior, lengths = small(kind), []
    forward = prior.network.forward

    def recorded(x: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        y, memory = forward(x, memory)
        lengths.append(memory.length)
        return y, memory

    prior.network.forward = recorded  # type: ignore[method-assign]
    z = prior.sample(Conditions(1), generators(1), length=100, before=torch.randn(1, 16, 6))
    assert z.shape == (1, 100, 6)
    assert max(lengths) == 32 // 2, "tokens of a window"
    assert min(lengths) == 1 + 16 // 2, "the start token and the context, after each restart"


@pytest.mark.parametrize("kind", KINDS)
def test_arguments_and_weights_of_a_bundle_give_the_same_prior(kind: type) -> None:
    args = {"latent_dim": 6, "n_classes": 2, "width": 32, "layers": 1, "head_width": 32, "window": 32, "context": 8}
    torch.manual_seed(0)
    first = kind(**args).eval()
    first.initialise(torch.randn(50, 6) + 2, torch.tensor([0.2, 0.8]))
    tensors = first.state_dict()
    check_arguments(kind, args, tensors)
    check_size(lambda: kind(**args), tensors)
    again = kind(**args).eval()
    again.load_state_dict(tensors)
    z, copied = (prior.sample(Conditions(1), generators(1), length=9) for prior in (first, again))
    assert torch.equal(z, copied)


def test_noise_on_inputs_is_within_what_training_covers() -> None:
    assert 0 < autoregressive.SAMPLE_NOISE < autoregressive.MOST_NOISE
