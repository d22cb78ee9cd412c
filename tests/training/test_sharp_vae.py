"""A VAE whose decoder is also trained by a discriminator."""

from typing import Any

import pytest
import torch

from audio_gen.data.dataset import ClipDataset
from audio_gen.training.task import Loss
from audio_gen.training.tasks.run import TASKS, resolve_config
from audio_gen.training.tasks.source import open_source
from tests.training.test_gan_task import CONFIGS, generator, write_sounds

Ready = tuple[Any, ClipDataset]


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Ready:
    """A task before the first step, and its clips."""
    folder = tmp_path_factory.mktemp("sharp")
    settings = resolve_config(
        folder / "run", "vae", CONFIGS / "vae" / "tiny.yaml",
        ["augment=0", "adversarial.start=0.5", "adversarial.noise=0", "adversarial.reconstruction_pool=2"], {},
    )  # fmt: skip
    cache = open_source(write_sounds(folder / "sounds"), folder / "run", settings, settings.mel, lambda event: None)
    torch.manual_seed(0)
    task = TASKS["vae"][1](settings, settings.mel, cache)
    data = ClipDataset(
        cache, split="train", segment_samples=task.segments[0], seed=0, crop="start", preroll=task.preroll
    )
    task.initialise(data)
    return task, data


def losses(task: Any, data: ClipDataset, done: float) -> dict[str, Loss]:
    """The losses of a step when the run has come to `done`, with new gradients of all."""
    task.progress.value.fill_(done)
    task.modules.zero_grad(set_to_none=True)
    noise = generator()
    shared = task.begin(data.batch(0, 6), noise, 0.5)
    return {phase.name: task.loss(phase.name, shared, noise, done) for phase in task.phases()}


def test_the_discriminator_waits_for_its_start(ready: Ready) -> None:
    task, data = ready
    before, after = losses(task, data, 0.49), losses(task, data, 0.5)
    assert all(before[phase].terms.keys() == after[phase].terms.keys() for phase in ("d", "g"))
    before["d"].total().backward()
    assert all(parameter.grad is None for parameter in task.adversarial.d.parameters())
    # The guard must not take the first step for an explosion.
    assert before["d"].total().item() == pytest.approx(after["d"].total().item(), rel=0.1)
    assert before["g"].terms["adv_g"][0].item() == 0 and after["g"].terms["adv_g"][0].item() > 0
    after["d"].total().backward()
    assert any(parameter.grad is not None for parameter in task.adversarial.d.parameters())


def test_the_encoder_is_fixed_once_the_discriminator_trains(ready: Ready) -> None:
    task, data = ready
    vae = task.vae
    encoder = [*vae.encoder.parameters(), *vae.analysis.parameters(), *vae.class_embedding.parameters()]
    losses(task, data, 0.4)["g"].total().backward()
    assert vae.analysis.weight.grad is not None and vae.encoder.head.weight.grad is not None
    losses(task, data, 0.6)["g"].total().backward()
    assert all(parameter.grad is None for parameter in encoder)
    assert vae.decoder.head.weight.grad is not None and vae.trunk.linear.weight.grad is not None


def test_the_progress_is_in_the_state_of_the_step_after(ready: Ready) -> None:
    task, data = ready
    found = losses(task, data, 0.25)
    statistics = {name: value for loss in found.values() for name, value in loss.statistics.items()}
    task.progress.value.fill_(0.0)
    task.after_step(statistics)
    assert float(task.modules.state_dict()["progress.value"]) == 0.25


def test_images_lie_between_a_clip_and_one_of_its_neighbours(ready: Ready) -> None:
    task, data = ready
    batch = data.batch(0, 8)

    def encoded(one: Any) -> torch.Tensor:
        return task.vae.encode(task.mels.front_end(one.wav), task.mels.conditions(one)).mean

    z = encoded(batch)
    moved = task.blends.latents(task.vae, z, batch.index, generator())
    for i, number in enumerate(batch.index.tolist()):
        row = task.blends.numbers.tolist().index(number)
        others = encoded(data.starts(task.blends.neighbours[row]))[:, 0] - z[i, 0]
        step = moved[i, 0] - z[i, 0]
        share = (others @ step) / others.square().sum(1).clamp(min=1e-9)
        off = (step - share[:, None] * others).norm(dim=1) / step.norm()
        assert off.min().item() < 1e-3 and 0 < share[off.argmin()].item() <= 0.5
        assert all(data.cache.clips[int(n)].class_name == data.cache.clips[number].class_name
                   for n in task.blends.neighbours[row])  # fmt: skip


@torch.no_grad()
def test_validation_changes_nothing_and_measures_the_gap(ready: Ready) -> None:
    task, data = ready
    before = {name: value.clone() for name, value in task.modules.state_dict().items()}
    figures = task.validate(task.vae, list(data.fixed_batches(4)))
    assert {"mel_l1", "logits_gap", "logits_gap_train"} <= figures.keys()
    assert all(torch.equal(value, before[name]) for name, value in task.modules.state_dict().items())
