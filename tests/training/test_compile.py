"""torch.compile by choice: what is compiled, that files know nothing of it, and who refuses."""

from pathlib import Path

import pytest
from torch import nn

from audio_gen.artefacts.bundle import load_bundle
from audio_gen.errors import ConfigError
from audio_gen.training.metrics import read_metrics
from audio_gen.training.tasks.run import train_run
from tests.sounds import write_notes

CONFIGS = Path(__file__).parents[2] / "configs"
FEW = ["train.steps=2", "train.previews=0", "train.validations=0", "train.compile=true"]


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[nn.Module]:
    """What would be compiled, which takes a minute each."""
    parts: list[nn.Module] = []
    monkeypatch.setattr(nn.Module, "compile", lambda part: parts.append(part))
    return parts


@pytest.mark.parametrize(("model", "kind"), [("vocoder", "Backbone"), ("gan", "Synthesis")])
def test_what_is_compiled(compiled: list[nn.Module], tmp_path: Path, model: str, kind: str) -> None:
    notes = write_notes(tmp_path / "notes", count=12)
    train_run(
        notes, tmp_path / "r", model=model, config_file=CONFIGS / model / "tiny.yaml", overrides=FEW, device="cpu"
    )
    assert [type(part).__name__ for part in compiled] == [kind]


def test_a_model_without_such_parts_says_so(compiled: list[nn.Module], tmp_path: Path) -> None:
    notes = write_notes(tmp_path / "notes", count=12)
    with pytest.raises(ConfigError, match=r"train\.compile: torch\.compile supports no part of this model"):
        train_run(
            notes, tmp_path / "r", model="vae", config_file=CONFIGS / "vae" / "tiny.yaml", overrides=FEW, device="cpu"
        )  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("model", ["vocoder", "gan"])
def test_a_compiled_run_learns_what_a_plain_one_does(tmp_path: Path, model: str) -> None:
    notes, runs = write_notes(tmp_path / "notes", count=12), []
    for choice in ("true", "false"):
        run = train_run(
            notes, tmp_path / choice, model=model, config_file=CONFIGS / model / "tiny.yaml", device="cpu",
            overrides=[*FEW, "train.log_every=1", f"train.compile={choice}"],
        )  # fmt: skip
        runs.append((load_bundle(run).tensors.keys(), read_metrics(run)))
    (names, compiled_rows), (plain_names, rows) = runs
    assert names == plain_names  # no prefix of a wrapper
    losses = [[(key, x) for key, x in row.items() if key.startswith("loss/")] for row in rows]
    assert len(losses) == 2 and all(losses)
    for row, expected in zip(compiled_rows, losses, strict=True):
        for key, value in expected:
            assert row[key] == pytest.approx(value, rel=1e-3, abs=1e-5), key
