"""Sounds and pictures of a run on its way."""

import filecmp
import os
from contextlib import suppress
from pathlib import Path

from audio_gen.audio.io import write_wav
from audio_gen.audio.picture import spectrogram_png
from audio_gen.training.task import Preview


def write_preview(preview: Preview, folder: Path) -> None:
    """Write a WAV of each sound and a PNG of each picture; a sound that an earlier preview has takes no room again.

    Raises:
        OutputError: The disk is full, or the place cannot be written.
    """
    earlier = [other for other in folder.parent.glob("step-*") if other.name < folder.name]
    for name, wav in preview.sounds.items():
        path = folder / f"{name}.wav"
        write_wav(path, wav.cpu(), preview.sample_rate)
        if earlier:
            _link_if_equal(path, max(earlier) / path.name)
    for name, columns in preview.pictures.items():
        spectrogram_png([(title, mel.cpu()) for title, mel in columns], folder / f"{name}.png")


def _link_if_equal(path: Path, earlier: Path) -> None:
    """Make a file a hard link to an earlier one with the same content, where the file system has links."""
    temporary = path.with_name(f".{path.name}")
    with suppress(OSError):
        if filecmp.cmp(path, earlier, shallow=False):
            temporary.unlink(missing_ok=True)
            os.link(earlier, temporary)
            os.replace(temporary, path)
