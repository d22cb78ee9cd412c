"""Spectrograms of many clips in one picture."""

from collections.abc import Sequence
from pathlib import Path

from audio_gen.audio.picture import spectrogram_png
from audio_gen.generation.latents import Latents
from audio_gen.generation.pipeline import Pipeline

GRID_NAME = "grid.png"
PER_ROW = 8
MAX_CLIPS = 64  # more do not fit a screen, and take minutes to lay out


def write_grid(path: Path, pipeline: Pipeline, points: Latents, seeds: Sequence[int]) -> None:
    """Draw the log-mels of clips in rows of 8, each with its seed, class and pitch as its title.

    Args:
        path: The PNG.
        pipeline: The model.
        points: The clips, B; the first 64 are drawn.
        seeds: Their seeds, B.
    """
    shown = points[:MAX_CLIPS]
    titles = [clip_title(pipeline, shown[i], seed) for i, seed in enumerate(seeds[: len(shown)])]
    mels = pipeline.decode(shown)
    spectrogram_png(list(zip(titles, mels, strict=True)), path, spec=pipeline.spec, per_row=PER_ROW)


def grid_note(count: int) -> str:
    """The picture's name, with the number of clips that it shows if not all."""
    return GRID_NAME if count <= MAX_CLIPS else f"{GRID_NAME} (the first {MAX_CLIPS} of {count} clips)"


def clip_title(pipeline: Pipeline, point: Latents, seed: int) -> str:
    """A title such as "seed 3, bell, pitch 60" of a set of one."""
    labels = pipeline.vocabulary.labels(point.conditions)
    name = labels.pop("class")
    parts = [f"{key} {value:g}" for key, value in labels.items() if value is not None]
    return ", ".join([f"seed {seed}", *([name] if name else []), *parts])
