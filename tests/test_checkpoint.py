import errno
import json
from pathlib import Path

import pytest
import torch

from audio_gen.checkpoint import load_bundle, load_checkpoint, save_bundle, save_checkpoint
from audio_gen.errors import CheckpointError, OutputError

CONFIG = {"model": "vae", "args": {}, "mel": {}}


def test_a_checkpoint_reads_back(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c.pt", {"step": 3, "w": torch.arange(4.0)})
    state = load_checkpoint(tmp_path / "c.pt")
    assert state["step"] == 3
    assert torch.equal(state["w"], torch.arange(4.0))


@pytest.mark.parametrize("damage", [lambda d: d[: len(d) // 2], lambda d: b"", lambda d: b"junk" * 100])
def test_a_damaged_checkpoint_is_named(tmp_path: Path, damage: object) -> None:
    path = tmp_path / "c.pt"
    save_checkpoint(path, {"w": torch.zeros(1000)})
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(CheckpointError, match=r"c\.pt"):
        load_checkpoint(path)


class Evil:
    def __reduce__(self) -> tuple:
        return (print, ("code ran",))


def test_a_checkpoint_cannot_run_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"x": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(CheckpointError):
        load_checkpoint(tmp_path / "evil.pt")
    assert "code ran" not in capsys.readouterr().out


def test_a_bundle_reads_back_from_its_run(tmp_path: Path) -> None:
    digest = save_bundle(tmp_path / "bundle", CONFIG, {"model.w": torch.ones(3), "density.m": torch.zeros(2)})
    bundle = load_bundle(tmp_path)
    assert bundle.digest == digest
    assert list(bundle.part("density")) == ["m"]


def test_damaged_bundles_are_named(tmp_path: Path) -> None:
    save_bundle(tmp_path, CONFIG, {"model.w": torch.ones(300)})
    weights = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(weights[:-4] + b"\0\0\0\1")
    with pytest.raises(CheckpointError, match=r"not those that config\.json names"):
        load_bundle(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(weights[:100])
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        load_bundle(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"config\.json"):
        load_bundle(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({**CONFIG, "format": 99, "digest": ""}))
    with pytest.raises(CheckpointError, match="bundle format 99"):
        load_bundle(tmp_path)
    with pytest.raises(CheckpointError, match="nowhere: does not exist; give a run's folder"):
        load_bundle(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="holds no trained model"):
        load_bundle(tmp_path / "empty")


def test_a_full_disk_is_told_and_the_old_checkpoint_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c.pt"
    save_checkpoint(path, {"step": 1})

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="No space left on device"):
        save_checkpoint(path, {"step": 2})
    assert load_checkpoint(path)["step"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["c.pt"]
