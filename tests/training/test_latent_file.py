"""Latents beside a cache: used again by a run that goes on, never if anything differs or the file is damaged."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from audio_gen.errors import OutputError
from audio_gen.models.codecs.local import LocalCodec
from audio_gen.training.tasks.latent_file import key_of, latents_in

SHAPE = (6, 3)


class Source:
    """Blocks of latents that count how often they were asked for."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> Iterator[np.ndarray]:
        self.calls += 1
        z = np.arange(18, dtype=np.float32).reshape(SHAPE)
        yield from (z[:4], z[4:])


def test_the_same_key_computes_once(tmp_path: Path) -> None:
    source = Source()
    first = latents_in(tmp_path, "train", "a", SHAPE, source)
    assert np.array_equal(first, np.arange(18).reshape(SHAPE))
    again = latents_in(tmp_path, "train", "a", SHAPE, source)
    assert np.array_equal(first, again) and source.calls == 1


def test_a_damaged_file_is_computed_again(tmp_path: Path) -> None:
    source = Source()
    latents_in(tmp_path, "train", "a", SHAPE, source)
    (path,) = tmp_path.iterdir()
    data = bytearray(path.read_bytes())
    for changed in (data[:-1], data[:5] + b"x" + data[6:]):
        path.write_bytes(changed)
        assert np.array_equal(latents_in(tmp_path, "train", "a", SHAPE, source), np.arange(18).reshape(SHAPE))
    assert source.calls == 3


def test_one_file_of_each_side_stays(tmp_path: Path) -> None:
    for side in ("train", "val"):
        for key in ("a", "b"):
            latents_in(tmp_path, side, key, SHAPE, Source())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latents-train-b.f16", "latents-val-b.f16"]


def test_a_folder_that_cannot_be_written_is_no_fault(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("mine")
    z = latents_in(in_the_way / "cache", "train", "a", SHAPE, Source())
    assert np.array_equal(z, np.arange(18).reshape(SHAPE))
    assert in_the_way.read_text() == "mine"


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    def full() -> Iterator[np.ndarray]:
        raise OSError(28, "No space left on device")
        yield

    with pytest.raises(OutputError, match="no room for the latents"):
        latents_in(tmp_path, "train", "a", SHAPE, full)
    assert not list(tmp_path.iterdir())


def test_a_key_depends_on_weights_and_sounds() -> None:
    codecs = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        codecs.append(LocalCodec(n_mels=40, latent_dim=8, width=16))
    assert key_of(codecs[0], "x") == key_of(codecs[1], "x")
    assert len({key_of(codecs[0], "x"), key_of(codecs[2], "x"), key_of(codecs[0], "y")}) == 3
