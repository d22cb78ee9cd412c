"""Starting from a run of another version of the folder: what both have is kept, and what does not fit says how to."""

import re
import unicodedata
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from audio_gen.artefacts.bundle import Bundle, load_bundle
from audio_gen.errors import CheckpointError
from audio_gen.models.codecs.vae import VAE
from audio_gen.models.contract import Conditions
from audio_gen.models.registry import trained_weights
from audio_gen.training.tasks.run import train_run
from audio_gen.training.tasks.start import _rows_by_name, load_some
from tests.sounds import noise, pluck, write

CONFIGS = Path(__file__).parents[2] / "configs"
QUICK = ["train.previews=0", "train.validations=0", "train.steps=1", "train.lr=1e-12", "augment=0"]
ARGS = {
    "n_mels": 16,
    "frames": 8,
    "f_min": 40.0,
    "f_max": 8000.0,
    "latent_dim": 4,
    "channels": (8, 16),
    "blocks": 1,
    "mel_floor": -9.0,
}


def sounds(folder: Path, *names: str, pitched: bool = True) -> Path:
    for number, name in enumerate(names):
        for i in range(4):
            place = folder / (f"{name}-{50 + 4 * i:03d}-100.wav" if pitched else f"{name}/{i}.wav")
            tone = pluck(200.0 + 40 * i, 0.3)
            write(place, tone + 0.1 * number * noise(0.3, seed=i)[: len(tone)])
    return folder


def train(source: Path, run: Path, model: str, *overrides: str, init: Path | None = None) -> dict[str, Tensor]:
    settings = [*QUICK, *overrides]
    how: dict[str, Any] = {"config_file": CONFIGS / model / "tiny.yaml", "overrides": settings, "device": "cpu"}
    train_run(source, run, model=model, init=init, **how)
    return trained_weights(load_bundle(run))


@pytest.fixture(scope="module", params=["vae", "gan"])
def first(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A run of two classes."""
    folder = tmp_path_factory.mktemp(request.param)
    train(sounds(folder / "sounds", "bell", "drum"), folder / "run", request.param)
    return request.param, folder / "run"


@pytest.mark.parametrize("names", [("bell", "drum", "cello"), ("drum", "harp"), ("a", "drum", "bell"), ("x", "y")])
def test_classes_are_matched_by_name(first: tuple[str, Path], tmp_path: Path, names: tuple[str, ...]) -> None:
    model, run = first
    theirs = trained_weights(load_bundle(run))
    mine = train(sounds(tmp_path / "sounds", *names), tmp_path / "run", model, init=run)
    for key in [key for key in mine if key.endswith("class_embedding.weight")]:
        rows = {None: theirs[key][0], "bell": theirs[key][1], "drum": theirs[key][2]}
        wanted = [rows.get(name, theirs[key][1:].mean(0)) for name in (None, *sorted(names))]
        assert torch.allclose(mine[key], torch.stack(wanted), atol=1e-6)
    linear = "codec.trunk.linear.weight" if model == "gan" else "trunk.linear.weight"
    assert torch.allclose(mine[linear], theirs[linear], atol=1e-6)


def test_classes_are_matched_however_they_are_spelled() -> None:
    rows = torch.arange(5.0)[:, None]
    known = [unicodedata.normalize("NFD", "Café"), "kick", "Tom", "tom"]
    mean = float(rows[1:].mean())
    wanted = {"Café": 1.0, "CAFÉ": 1.0, "Kick": 2.0, "kick": 2.0, "tom": 4.0, "TOM": mean, "new": mean}
    found = _rows_by_name(rows, known, list(wanted))
    assert found[:, 0].tolist() == [0.0, *wanted.values()]


@pytest.mark.parametrize(("then", "now"), [(("bell", "drum"), ("bell",)), (("bell",), ("bell", "drum"))])
def test_classes_come_and_go(tmp_path: Path, then: tuple[str, ...], now: tuple[str, ...]) -> None:
    for model in ("vae", "gan"):
        train(sounds(tmp_path / f"{model}-then", *then), tmp_path / model, model)
        train(sounds(tmp_path / f"{model}-now", *now), tmp_path / f"{model}-new", model, init=tmp_path / model)


@pytest.mark.parametrize(
    ("setting", "there"),
    [("data.segment_sec=0.3", "frames"), ("net.latent_dim=5", "latent_dim"), ("net.channels=[16,24,8]", "channels"),
     ("net.use_pitch=false", "pitches")],
)  # fmt: skip
def test_what_does_not_fit_names_a_fix_that_works(
    first: tuple[str, Path], tmp_path: Path, setting: str, there: str
) -> None:
    model, run = first
    source = sounds(tmp_path / "sounds", "bell", "drum")
    with pytest.raises(CheckpointError, match=there) as error:
        train(source, tmp_path / "new", model, setting, init=run)
    assert "\n" not in str(error.value)
    fixes = re.findall(r"--set (\S+)", str(error.value))
    assert fixes
    if there != "pitches":
        train(source, tmp_path / "again", model, setting, *fixes, init=run)


def test_a_run_without_pitches_goes_on_without_them(tmp_path: Path) -> None:
    train(sounds(tmp_path / "then", "bell", "drum", pitched=False), tmp_path / "run", "vae")
    now = sounds(tmp_path / "now", "bell", "drum")
    with pytest.raises(CheckpointError, match=r"net\.use_pitch=false"):
        train(now, tmp_path / "new", "vae", init=tmp_path / "run")
    train(now, tmp_path / "new2", "vae", "net.use_pitch=false", init=tmp_path / "run")


def bundle(args: dict[str, Any], classes: list[str]) -> tuple[VAE, Bundle]:
    """A VAE in which everything is random, and its bundle."""
    vae = VAE(**args, n_classes=len(classes))
    generator = torch.Generator().manual_seed(1)
    for value in vae.state_dict().values():
        value.copy_(0.3 * torch.randn(value.shape, generator=generator))
    vae.trunk.scale.fill_(1.0)
    about = {"kind": "vae", "args": {**args, "n_classes": len(classes)}}
    config = {"format": 2, "codec": about, "prior": {"kind": "neighbours", "args": {}}, "classes": classes}
    return vae, Bundle(Path("old"), config, {f"codec.{k}": v for k, v in vae.state_dict().items()}, "")


def moved(given: Bundle, args: dict[str, Any], classes: list[str]) -> VAE:
    vae = VAE(**args, n_classes=len(classes))
    load_some(vae, given, Path("old"), kind="vae", args=args, classes=classes)
    return vae


@pytest.mark.parametrize("grain", [False, True])
@pytest.mark.parametrize(("then", "now"), [([], ["a", "b"]), (["a", "b"], [])])
def test_a_vae_that_gains_or_loses_classes_does_what_it_did(then: list[str], now: list[str], grain: bool) -> None:
    args = {**ARGS, "grain": grain}
    old, given = bundle(args, then)
    new = moved(given, args, now)
    if then:  # without classes it is as at their mean
        for embedding in (old.class_embedding, old.decoder_class_embedding)[: 1 + grain]:
            embedding.weight.data[1] = embedding.weight[1:].mean(0)
    mel, z = torch.randn(3, 16, 8), torch.randn(3, 1, 4)
    at = Conditions(3, {"class": torch.zeros(3, dtype=torch.long)})
    assert torch.allclose(old.decode_raw(z, at), new.decode_raw(z, at), atol=1e-4)
    theirs, mine = old.encode(mel, at), new.encode(mel, at)
    assert theirs.logvar is not None and mine.logvar is not None
    assert torch.allclose(theirs.mean, mine.mean, atol=1e-4)
    assert torch.allclose(theirs.logvar, mine.logvar, atol=1e-4)


def test_another_range_of_pitches_keeps_the_spectra() -> None:
    pitches, low = {"pitch_low": 40.0, "pitch_high": 80.0}, 43.0
    args = {**ARGS, "n_mels": 64}
    old, given = bundle({**args, **pitches}, [])
    trunk = old.trunk
    assert trunk.axis is not None
    smooth = torch.linspace(0, 6, trunk.axis.rows).sin()
    for value in (trunk.mean, trunk.linear.bias.view(trunk.mean.shape)):
        value.data.copy_(smooth[:, None].expand(-1, 8))
    trunk.linear.weight.data.zero_()
    given.tensors.update({f"codec.{key}": value for key, value in old.state_dict().items()})
    new = moved(given, {**args, **pitches, "pitch_low": low}, [])
    for value in (old, new):  # only the linear path
        value.decoder.head.weight.data.zero_()
        value.decoder.head.bias.data.zero_()
    z, at = torch.zeros(1, 1, 4), Conditions.one({"pitch": 60.0})
    theirs, mine = (one.decode_raw(z, at).detach() for one in (old, new))
    assert float((theirs - mine).abs().max()) < 0.05 < float(theirs.std())
    kept = VAE(**{**args, **pitches, "pitch_low": low})
    kept.trunk.mean.copy_(trunk.mean)
    kept.trunk.linear.load_state_dict(trunk.linear.state_dict())
    assert float((theirs - kept.decode_raw(z, at)).abs().max()) > 0.1
