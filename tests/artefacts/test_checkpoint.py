import errno
import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors.torch import save as safetensors_bytes

from audio_gen.artefacts.bundle import load_bundle, save_bundle
from audio_gen.artefacts.checkpoint import load_checkpoint, save_checkpoint
from audio_gen.artefacts.tensors import halved
from audio_gen.errors import CheckpointError, OutputError

CONFIG = {"codec": {"kind": "vae", "args": {}}, "mel": {}}


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
    with pytest.raises(CheckpointError, match=r"not those of its config\.json"):
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


def test_a_reader_never_sees_half_a_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill between the two files leaves the new weights beside the old config.json."""
    old = save_bundle(tmp_path, {**CONFIG, "training": {"steps": 1}}, {"model.w": torch.ones(3)})
    about = (tmp_path / "config.json").read_bytes()
    new = save_bundle(tmp_path, {**CONFIG, "training": {"steps": 2}}, {"model.w": torch.zeros(3)})
    (tmp_path / "config.json").write_bytes(about)
    bundle = load_bundle(tmp_path)
    assert bundle.digest == bundle.config["digest"] == new != old
    assert bundle.config["training"] == {"steps": 2}
    assert not bundle.tensors["model.w"].any()


def test_the_digest_is_that_of_the_weights(tmp_path: Path) -> None:
    weights = {"a": torch.arange(4.0), "b": torch.ones(2)}
    one, same = (save_bundle(tmp_path / str(i), {**CONFIG, "training": i}, weights) for i in range(2))
    assert one == same
    assert save_bundle(tmp_path / "c", CONFIG, {"a": weights["a"], "c": weights["b"]}) != one


def test_a_bundle_of_an_earlier_version_loads(tmp_path: Path) -> None:
    data = safetensors_bytes({"model.w": torch.ones(3)})
    (tmp_path / "model.safetensors").write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()[:12]
    (tmp_path / "config.json").write_text(
        json.dumps({"model": "vae", "args": {}, "mel": {}, "format": 1, "digest": digest})
    )
    assert load_bundle(tmp_path).digest == digest


def test_large_tensors_are_halved_and_come_back_in_fp32(tmp_path: Path) -> None:
    weights = {"model.w": torch.randn(300, 300), "model.b": torch.randn(300), "model.huge": torch.full((1 << 16,), 1e9)}
    save_bundle(tmp_path, CONFIG, halved(weights))
    size = (tmp_path / "model.safetensors").stat().st_size
    assert 2 * 90_000 + 4 * (300 + 65_536) <= size < 2 * 90_000 + 4 * (300 + 65_536) + 2000
    found = load_bundle(tmp_path).tensors
    assert {value.dtype for value in found.values()} == {torch.float32}
    assert torch.equal(found["model.b"], weights["model.b"]) and torch.equal(found["model.huge"], weights["model.huge"])
    error = (found["model.w"] - weights["model.w"]).abs() / weights["model.w"].abs().clamp(min=1e-4)
    assert 0 < float(error.max()) <= 2**-11


def test_what_two_bundles_share_is_written_once(tmp_path: Path) -> None:
    fixed, small = torch.randn(1 << 16), torch.ones(4)
    save_bundle(tmp_path / "bundle", CONFIG, {"model.fixed": fixed, "model.w": torch.zeros(3), "model.small": small})
    weights = {"model.fixed": fixed, "model.w": torch.ones(3), "model.small": small}
    save_bundle(tmp_path / "bundle-last", CONFIG, weights, beside=tmp_path / "bundle")
    assert (tmp_path / "bundle-last/model.safetensors").stat().st_size < 2000
    found = load_bundle(tmp_path / "bundle-last").tensors
    assert found.keys() == weights.keys() and all(torch.equal(found[key], weights[key]) for key in weights)
    (tmp_path / "bundle").rename(tmp_path / "gone")
    with pytest.raises(CheckpointError, match=r"shares model\.fixed with .*copy both folders together"):
        load_bundle(tmp_path / "bundle-last")


def test_reading_while_another_writes_finds_one_or_the_other(tmp_path: Path) -> None:
    def write(i: int) -> None:
        save_bundle(tmp_path, {**CONFIG, "training": i}, {"model.w": torch.full((1000,), float(i))})

    write(0)
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(lambda: [write(i) for i in range(1, 100)])
        while not writing.done():
            bundle = load_bundle(tmp_path)
            assert set(bundle.tensors["model.w"].tolist()) == {bundle.config["training"]}
        writing.result()
