"""The cache as readers see it: one file of int16 samples and an index that says what lies where."""

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from audio_gen.audio.io import one_line
from audio_gen.data.split import Split
from audio_gen.errors import DataError

INDEX_NAME, REPORT_NAME = "index.json", "dataset_report.json"
VERSION = 1


@dataclass(frozen=True)
class Clip:
    """One sound of the cache.

    Attributes:
        path: Its file's name within the folder.
        offset: Where its samples begin.
        samples: Its length at the rate of the cache.
        scale: Stored samples are divided by this.
        class_name: Its class, if it has one.
        pitch: MIDI note number, if known.
        velocity: MIDI velocity, if known.
        split: The side that it is on.
        content_hash: Equal for equal sounds.
        reasons: What was noted or repaired.
    """

    path: str
    offset: int
    samples: int
    scale: float
    class_name: str | None
    pitch: float | None
    velocity: int | None
    split: Split
    content_hash: str
    reasons: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The form in the index."""
        return {**asdict(self), "reasons": list(self.reasons)}


class Cache:
    """A folder of sounds, ready for training: any part of any clip is read in microseconds."""

    def __init__(self, path: Path, index: dict[str, Any], pcm: np.ndarray) -> None:
        """Use `Cache.open`.

        Args:
            path: Folder of the cache.
            index: Content of its index.
            pcm: All samples, int16 (T,).
        """
        self.path, self._index, self._pcm = path, index, pcm
        self.sample_rate: int = index["sample_rate"]
        self.clips = [Clip(**{**clip, "reasons": tuple(clip["reasons"])}) for clip in index["clips"]]
        self.classes: list[str] = sorted({c.class_name for c in self.clips if c.class_name is not None})
        self.notes: list[str] = index["notes"]
        self.files: list[dict[str, Any]] = index["files"]
        self.auto_pitches: dict[str, float | None] = index["auto_pitches"]
        self.pcm_name: str = index["pcm"]

    @classmethod
    def open(cls, path: Path | str) -> "Cache":
        """Open a cache for reading.

        Args:
            path: Folder that `build_cache` made.

        Raises:
            DataError: There is none, or it is damaged.
        """
        path = Path(path)
        return cls.from_index(path, load_index(path))

    @classmethod
    def from_index(cls, path: Path, index: dict[str, Any]) -> "Cache":
        """Open the samples that an index describes.

        Raises:
            DataError: The index is damaged, or the samples are not all there.
        """
        try:
            pcm_path, count = path / index["pcm"], index["pcm_samples"]
            size = pcm_path.stat().st_size if pcm_path.is_file() else 0
            if size < 2 * count:
                raise DataError(
                    f"{one_line(pcm_path)}: holds {size} of {2 * count} bytes; run `audio-gen preprocess` again"
                )
            return cls(path, index, np.memmap(pcm_path, dtype="<i2", mode="r", shape=(count,)))
        except (KeyError, TypeError, ValueError, OSError) as e:
            raise _damaged(path / INDEX_NAME, e) from e

    @property
    def pitch_range(self) -> tuple[float, float] | None:
        """Lowest and highest MIDI note; None when no clip has a pitch."""
        pitches = [c.pitch for c in self.clips if c.pitch is not None]
        return (min(pitches), max(pitches)) if pitches else None

    @cached_property
    def report(self) -> dict[str, Any]:
        """What became of each file of the folder: {"files": [..], "summary": {..}}."""
        try:
            return json.loads((self.path / REPORT_NAME).read_text(encoding="utf-8"))
        except (OSError, ValueError) as e:
            raise _damaged(self.path / REPORT_NAME, e) from e

    def same_sound(self, sample_rate: int, trim_onset: bool) -> bool:
        """Whether its samples are what a build with these settings would store."""
        return self.sample_rate == sample_rate and self._index["options"]["trim_onset"] == trim_onset

    @property
    def pcm_samples(self) -> int:
        """Length of the file of samples, with what is no longer used."""
        return len(self._pcm)

    def stored(self, clip: Clip) -> np.ndarray:
        """The int16 samples of a clip as they are stored, not copied."""
        return self._pcm[clip.offset : clip.offset + clip.samples]

    def split(self, split: Split) -> list[Clip]:
        """The clips of one side; with too few clips to keep any back, both sides are all clips."""
        chosen = [c for c in self.clips if c.split == split]
        return chosen or list(self.clips)

    def read(self, clip: Clip, start: int = 0, count: int | None = None) -> np.ndarray:
        """Read a part of a clip.

        Args:
            clip: One of `clips`.
            start: First sample, 0 or more.
            count: Number of samples; None reads to the clip's end.

        Returns:
            (count,) float32 at the amplitude of the source, zero beyond the end of the clip.
        """
        count = clip.samples - start if count is None else count
        out = np.zeros(count, np.float32)
        there = max(0, min(count, clip.samples - start))
        first = clip.offset + start
        np.multiply(self._pcm[first : first + there], np.float32(1 / clip.scale), out=out[:there])
        return out


def load_index(path: Path) -> dict[str, Any]:
    """Read the index of a cache.

    Raises:
        DataError: It is missing, damaged, or of another version.
    """
    file = path / INDEX_NAME
    if not file.is_file():
        raise DataError(
            f"{one_line(path)}: is no cache ({INDEX_NAME} is missing); run `audio-gen preprocess FOLDER --out` it"
        )
    try:
        index = json.loads(file.read_text(encoding="utf-8"))
        version = index["version"]
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise _damaged(file, e) from e
    if version != VERSION:
        raise DataError(f"{one_line(file)}: is of version {version}, not {VERSION}; run `audio-gen preprocess` again")
    return index


def _damaged(file: Path, error: Exception) -> DataError:
    return DataError(f"{one_line(file)}: is damaged ({type(error).__name__}); run `audio-gen preprocess` again")
