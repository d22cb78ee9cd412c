"""A latent far out is a broken model: its bundle is not written, and a run that starts from an old one drops it."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from audio_gen.artefacts.bundle import load_bundle, save_bundle
from audio_gen.errors import OutputError
from audio_gen.models.codecs.gan import GANCodec
from audio_gen.models.contract import Conditions
from audio_gen.training.events import Event, Note
from audio_gen.training.tasks.outliers import MOST_DEVIATIONS, check_reach, reach
from audio_gen.training.tasks.run import train_run
from tests.sounds import noise, pluck, write

CONFIGS = Path(__file__).parents[2] / "configs"
QUICK = ["train.previews=0", "train.validations=0", "train.steps=2", "augment=0"]
MODELS = ["gan", "vae"]
FAR = 5600.0


def write_hits(folder: Path, count: int = 8) -> Path:
    for i in range(count):
        write(folder / f"{i}.wav", pluck(90.0 + 35 * i, 0.3) + 0.1 * noise(0.3, seed=i))
    return folder


def train(source: Path, run: Path, model: str, *overrides: str, **how: Any) -> list[str]:
    """Train two steps; the notes that were told."""
    notes: list[str] = []

    def tell(event: Event) -> None:
        if isinstance(event, Note):
            notes.append(event.text)

    file = CONFIGS / model / "tiny.yaml"
    train_run(source, run, model=model, config_file=file, overrides=[*QUICK, *overrides], device="cpu", on_event=tell,
              **how)  # fmt: skip
    return notes


@pytest.fixture(scope="module")
def hits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_hits(tmp_path_factory.mktemp("hits"))


@pytest.fixture(scope="module", params=MODELS)
def trained(request: pytest.FixtureRequest, hits: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A model's name, and a run of it."""
    run = tmp_path_factory.mktemp(request.param) / "run"
    train(hits, run, request.param)
    return request.param, run


def broken(model: str, run: Path, folder: Path) -> Path:
    """The run's bundle as an earlier version made it from copies: one component is whitened rounding."""
    bundle = load_bundle(run)
    tensors = dict(bundle.tensors)
    layer = "codec.trunk.linear.weight"
    analysis = "codec.analysis" if model == "gan" else "codec.analysis.weight"
    tensors[layer], tensors[analysis] = tensors[layer].clone(), tensors[analysis].clone()
    tensors[layer][:, 2] /= FAR
    tensors[analysis][2] *= FAR
    corners = "prior.mapping.corners" if model == "gan" else "prior.corners"
    tensors[corners] = tensors[corners].clone()
    tensors[corners][..., 2] *= FAR
    save_bundle(folder, {k: v for k, v in bundle.config.items() if k not in ("format", "digest")}, tensors)
    return folder


@pytest.mark.parametrize("name", ["prior.corners", "prior.mapping.corners", "prior.centres", "prior.reach"])
def test_the_farthest_component_of_any_part_is_found(name: str) -> None:
    shape = {"prior.centres": (3, 4), "prior.reach": (4,)}.get(name, (6, 5, 5))
    values = torch.ones(shape)
    values.view(-1, shape[-1])[-1, 2] = -30
    if shape[-1] == 5:
        values[..., 4] = 1000  # the pitch
    found = reach({name: values, "vocoder.weight": torch.full((4,), 99.0)})
    assert found is not None
    assert found.tolist() == [1, 1, 30, 1]


def test_a_model_without_latents_has_no_reach(tmp_path: Path) -> None:
    assert reach({"vocoder.weight": torch.full((4,), 99.0)}) is None
    check_reach({"vocoder.weight": torch.full((4,), 99.0)}, tmp_path)


@pytest.mark.parametrize("far", [MOST_DEVIATIONS + 0.1, torch.inf, torch.nan])
def test_a_bundle_with_a_latent_far_out_is_refused_in_one_line(far: float, tmp_path: Path) -> None:
    values = torch.zeros(5)
    values[3] = far
    with pytest.raises(OutputError, match="component 3 of the latent") as error:
        check_reach({"prior.reach": values}, tmp_path)
    assert "\n" not in str(error.value)
    assert "the earlier one is kept" in str(error.value)
    check_reach({"prior.reach": values.fill_(MOST_DEVIATIONS)}, tmp_path)


def test_a_refused_bundle_leaves_the_one_before(
    trained: tuple[str, Path], hits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, run = trained
    kept = shutil.copytree(run, tmp_path / "run")
    before = load_bundle(kept).digest
    monkeypatch.setattr("audio_gen.training.tasks.outliers.MOST_DEVIATIONS", 0.01)
    with pytest.raises(OutputError, match="not written"):
        train(hits, kept, model, "train.steps=3")
    assert load_bundle(kept).digest == before
    assert (kept / "checkpoints" / "step-00000003.pt").is_file()  # the training itself is not lost


def test_a_run_from_a_broken_bundle_drops_the_component(trained: tuple[str, Path], hits: Path, tmp_path: Path) -> None:
    model, run = trained
    notes = train(hits, tmp_path / "new", model, init=broken(model, run, tmp_path / "old"))
    assert [note for note in notes if "1 of its" in note and "are dropped" in note]
    bundle = load_bundle(tmp_path / "new")
    found = reach(bundle.tensors)
    assert found is not None
    assert float(found.max()) < 8
    again = train(hits, tmp_path / "again", model, init=tmp_path / "new")
    assert not [note for note in again if "dropped" in note]


def test_a_run_from_a_sound_bundle_drops_nothing(trained: tuple[str, Path], hits: Path, tmp_path: Path) -> None:
    model, run = trained
    assert not [note for note in train(hits, tmp_path / "new", model, init=run) if "dropped" in note]


def test_what_is_dropped_from_a_gan_changes_no_other_component() -> None:
    torch.manual_seed(0)
    gan = GANCodec(n_mels=16, frames=12, f_min=0, f_max=8000, latent_dim=6, channels=(8, 8), blocks=1, mel_floor=-9)
    mel, nothing = torch.randn(20, 16, 12), Conditions(20)
    gan.initialise(mel, nothing)
    before = gan.encode(mel, nothing).mean[:, 0]
    which = torch.tensor([False, True, False, False, True, False])
    gan.drop_components(which)
    after = gan.encode(mel, nothing).mean[:, 0]
    assert torch.equal(after[:, ~which], before[:, ~which])
    assert not after[:, which].any()
    w = after.detach().clone().requires_grad_()
    gan.trunk.linear(w).sum().backward()
    assert w.grad is not None
    assert not w.grad[:, which].any()
