"""Sounds and pictures of a run on its way."""

from pathlib import Path

from audio_gen.audio.io import write_wav
from audio_gen.audio.picture import spectrogram_png
from audio_gen.training.task import Preview


def write_preview(preview: Preview, folder: Path) -> None:
    """Write a WAV of each sound and a PNG of each picture.

    Raises:
        OutputError: The disk is full, or the place cannot be written.
    """
    for name, wav in preview.sounds.items():
        write_wav(folder / f"{name}.wav", wav.cpu(), preview.sample_rate)
    for name, columns in preview.pictures.items():
        spectrogram_png([(title, mel.cpu()) for title, mel in columns], folder / f"{name}.png")
