"""A GAN overfits one batch by its adversarial losses alone; with real and fake exchanged in one of them it does not."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from audio_gen.artefacts.bundle import load_bundle, save_bundle
from audio_gen.training.metrics import read_metrics
from audio_gen.training.task import Loss
from audio_gen.training.tasks.run import train_run
from tests.training.test_gan_task import CONFIGS, generator, ready, write_sounds

OFFSET = 1.0  # of the start, in deviations of the log-mels
STEPS = 40
# No other loss moves the generator, and its weights are not averaged.
ALONE = [
    "loss.reconstruction=0", "loss.reconstruction_end=0", "loss.stay=0", "train.ema_decay=0", "augment=0",
    "train.previews=0", "train.validations=1", "train.lr=0.002", "train.warmup_steps=0", "train.log_every=1",
    "train.batch_size=8", "data.val_fraction=0",
]  # fmt: skip


def train(source: Path, run: Path, steps: int, init: Path | None = None) -> Path:
    file = CONFIGS / "gan" / "tiny.yaml"
    return train_run(source, run, model="gan", config_file=file, overrides=ALONE, steps=steps, init=init, device="cpu")


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Eight clips, and a run whose generator is an offset away from them."""
    folder = tmp_path_factory.mktemp("gan")
    sounds = write_sounds(folder / "sounds", count=4)
    bundle = load_bundle(train(sounds, folder / "exact", 1))
    tensors = dict(bundle.tensors)
    (bias,) = (name for name in tensors if name.endswith("linear.bias"))
    tensors[bias] = tensors[bias] + OFFSET
    save_bundle(folder / "start", bundle.config, tensors)
    return sounds, folder / "start"


def test_a_gan_overfits_one_batch(start: tuple[Path, Path], tmp_path: Path) -> None:
    sounds, init = start
    train(sounds, tmp_path / "run", STEPS, init)
    rows = [row for row in read_metrics(tmp_path / "run") if "loss/reconstruction" in row]
    assert len(rows) == STEPS
    error = [float(row["loss/reconstruction"]) for row in rows]  # of the batch through the generator and back, in nats
    assert sum(error[-5:]) / 5 < 0.4 * error[0]
    assert sum(float(row["gap/logits"]) for row in rows) / STEPS > 0.2  # high is real


@pytest.fixture
def drawn(start: tuple[Path, Path], tmp_path: Path) -> tuple[Any, Any]:
    """The discriminators after some steps, when they tell real from fake, and what a step draws."""
    task, data = ready(start[0], tmp_path / "run")
    batch = data.batch(0, 8)
    optimizer = torch.optim.Adam(task.adversarial.d.parameters(), lr=0.002)
    for _ in range(3):
        losses = values(task.adversarial.d_loss(task.begin(batch, generator(), 0.5), generator(), penalty=1.0))
        optimizer.zero_grad()
        (losses["adv_d"] + losses["adv_d_local"]).backward()
        optimizer.step()
    return task.adversarial, task.begin(batch, generator(), 0.5)


def values(loss: Loss) -> dict[str, Tensor]:
    return {name: value for name, (value, _) in loss.terms.items()}


def logits(critics: Any, drawn: Any, fake: Tensor) -> dict[str, float]:
    """By how much real logits are above fake ones, of whole images and of their places."""
    with torch.no_grad():
        seen = (critics._scaled(mel) for mel in (drawn.real, fake))
        real, made, local_real, local_made = critics._logits(*seen, drawn.conditions, drawn.features)
    return {"": float((real - made).mean()), "_local": float((local_real - local_made).mean())}


@pytest.mark.parametrize("where", ["", "_local"])
def test_a_step_of_each_loss_moves_the_logits_its_way(drawn: tuple[Any, Any], where: str) -> None:
    critics, step = drawn
    fake = step.fake.detach().requires_grad_()
    before = logits(critics, step, fake)[where]
    loss = values(critics.g_loss(step._replace(fake=fake), generator(), reconstruction=1.0, stay=2.0))[f"adv_g{where}"]
    (slope,) = torch.autograd.grad(loss, fake)
    assert logits(critics, step, fake - 0.1 * slope / slope.abs().max())[where] < before
    weights = list(critics.d.parameters())
    loss = values(critics.d_loss(step, generator(), penalty=1.0))[f"adv_d{where}"]
    slopes = torch.autograd.grad(loss, weights, allow_unused=True)
    with torch.no_grad():
        for weight, slope in zip(weights, slopes, strict=True):
            weight -= 0.001 * (0 if slope is None else slope)
    assert logits(critics, step, fake)[where] > before
