"""Many clips as one picture."""

import struct
from pathlib import Path

from audio_gen.audio.picture import CELL_INCHES
from audio_gen.generation.grid import MAX_CLIPS, clip_title, write_grid
from audio_gen.generation.pipeline import Pipeline


def size_of(path: Path) -> tuple[int, int]:
    """Width and height that a PNG tells."""
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", data[16:24])


def test_rows_of_eight(gan: Pipeline, tmp_path: Path) -> None:
    for count in (8, 9):
        write_grid(tmp_path / f"{count}.png", gan, gan.latents(range(count)), range(count))
    one, two = size_of(tmp_path / "8.png"), size_of(tmp_path / "9.png")
    assert one[0] == two[0] and two[1] - one[1] == int(110 * CELL_INCHES[1])
    assert MAX_CLIPS % 8 == 0


def test_titles(gan: Pipeline, plain: Pipeline) -> None:
    assert clip_title(gan, gan.latents([3], class_name="bell", pitch=60), 3) == "seed 3, bell, pitch 60"
    assert clip_title(plain, plain.latents([0]), 0) == "seed 0"
