"""Headers of .npy files: what NumPy writes is read, and every damage is one kind of error."""

import io
import tokenize
from pathlib import Path

import numpy as np
import pytest
import torch

from audio_gen.audio import npy
from audio_gen.audio.mel import MelSpec
from audio_gen.audio.npy import read_npy_header
from audio_gen.data.table import read_column
from audio_gen.errors import DataError
from audio_gen.files import MalformedError
from audio_gen.generation.mel_sources import MelFile


def written(header: str, version: bytes = b"\x01\x00") -> bytes:
    return b"\x93NUMPY" + version + len(header).to_bytes(2, "little") + header.encode("latin-1")


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
def test_what_numpy_writes_is_read(version: tuple[int, int], order: str) -> None:
    array = np.arange(6, dtype="<f4").reshape(2, 3).copy(order)  # type: ignore[arg-type]
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version)
    file.seek(0)
    assert read_npy_header(file) == ((2, 3), order == "F", np.dtype("<f4"))
    assert np.frombuffer(file.read(), "<f4").tolist() == array.ravel("K").tolist()


DAMAGED = [
    b"", b"\x93NUMPY", b"RIFF....WAVE", written("", b"\x07\x00"), written("{'descr': '<f4'"), written("\x00" * 20),
    written("{'descr': (((((((((((((('"), written("'" * 3),
    written("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}"),
    written("{'descr': '<q9', 'fortran_order': False, 'shape': (1,)}"), written("(" * 5000), written("\\"),
]  # fmt: skip


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_header_is_one_line(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "a.npy"
    file.write_bytes(content)
    with open(file, "rb") as opened, pytest.raises(MalformedError):
        read_npy_header(opened)
    with pytest.raises(MalformedError, match=r"a\.npy"):
        read_column(file, "<f4")
    with pytest.raises(DataError, match=r"a\.npy: cannot be read as an \.npy array"):
        MelFile(file, MelSpec.preset("22khz_80band_256x"), torch.device("cpu"))


@pytest.mark.parametrize("error", [SyntaxError, RecursionError, MemoryError, TypeError, tokenize.TokenError])
def test_whatever_the_parser_raises(monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    def fail(file: object) -> None:
        raise error("x")

    monkeypatch.setitem(npy.READERS, (1, 0), fail)
    with pytest.raises(MalformedError, match=error.__name__):
        read_npy_header(io.BytesIO(written("")))


def test_a_file_shorter_than_its_header_says(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((4, 8), np.float32))
    (tmp_path / "a.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:-8])
    with pytest.raises(DataError, match="cannot be read"):
        MelFile(tmp_path / "a.npy", MelSpec.preset("22khz_80band_256x"), torch.device("cpu"))
