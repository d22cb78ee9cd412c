"""The cache as readers see it: int16 samples, a table of clips, and an index that names both."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from audio_gen.data.shards import OneFile, Samples, Shards
from audio_gen.data.split import Split
from audio_gen.data.table import Clip, ClipTable
from audio_gen.errors import DataError
from audio_gen.files import at_home
from audio_gen.hints import command
from audio_gen.text import one_line

__all__ = ["INDEX_NAME", "REPORT_NAME", "Cache", "Clip"]

INDEX_NAME, REPORT_NAME, FILES_NAME = "index.json", "dataset_report.json", "files.json"
VERSION = 2
VERSION_IN_ONE = 1  # had everything in the index


class Cache:
    """A folder of sounds, ready for training: any part of any clip is read in microseconds."""

    def __init__(self, path: Path, index: dict[str, Any], samples: Samples, clips: ClipTable) -> None:
        """Use `Cache.open`.

        Args:
            path: Folder of the cache.
            index: Content of its index.
            samples: All of them.
            clips: What lies where.
        """
        self.path, self._index, self.stored_samples, self.clips = path, index, samples, clips
        self.sample_rate: int = index["sample_rate"]
        self.classes = clips.classes
        self.notes: list[str] = index["notes"]
        self.pcm_name: str = index["pcm"]
        self.table_name: str = index["table"]

    @classmethod
    def open(cls, path: Path | str) -> "Cache":
        """Open a cache for reading.

        Args:
            path: Folder that `build_cache` made.

        Raises:
            DataError: There is none, or it is damaged.
        """
        path = at_home(path)
        index = load_index(path)
        try:
            if index["version"] == VERSION_IN_ONE:
                clips = ClipTable.of(Clip(**{**clip, "reasons": tuple(clip["reasons"])}) for clip in index["clips"])
                index = {**index, "table": "", "sounds": digest_of(clip.content_hash for clip in clips)}
            else:
                clips = ClipTable.open(path / index["table"])
        except (KeyError, TypeError, ValueError, OSError) as e:
            raise _damaged(path / INDEX_NAME, e) from e
        return cls.of(path, index, clips)

    @classmethod
    def of(cls, path: Path, index: dict[str, Any], clips: ClipTable) -> "Cache":
        """Open the samples that an index describes.

        Raises:
            DataError: The index is damaged, or the samples are not all there.
        """
        try:
            count, shards = index["pcm_samples"], index.get("shards")
            if shards is None:
                return cls(path, index, OneFile(path / index["pcm"], count), clips)
            place = shards["place"] if "://" in shards["place"] else str(path / shards["place"])
            return cls(path, index, Shards(place, count, shards["samples"], index["sounds"]), clips)
        except (KeyError, TypeError, ValueError, OSError) as e:
            raise _damaged(path / INDEX_NAME, e) from e

    @property
    def pitch_range(self) -> tuple[float, float] | None:
        """Lowest and highest MIDI note; None when no clip has a pitch."""
        pitches = self.clips.column("pitch")
        known = pitches[~np.isnan(pitches)]
        return (float(known.min()), float(known.max())) if len(known) else None

    @property
    def sounds(self) -> str:
        """A digest of the sounds in it, whatever their order."""
        return str(self._index["sounds"])

    @cached_property
    def known(self) -> dict[str, Any]:
        """What only the next build wants: what was found out about each of the `files`, and the `auto_pitches`."""
        if self._index["version"] == VERSION_IN_ONE:
            return self._index
        try:
            return json.loads((self.path / self.table_name / FILES_NAME).read_text(encoding="utf-8"))
        except (OSError, ValueError) as e:
            raise _damaged(self.path / self.table_name / FILES_NAME, e) from e

    @cached_property
    def report(self) -> dict[str, Any]:
        """What became of each file of the folder: {"files": [..], "summary": {..}}."""
        try:
            return json.loads((self.path / REPORT_NAME).read_text(encoding="utf-8"))
        except (OSError, ValueError) as e:
            raise _damaged(self.path / REPORT_NAME, e) from e

    def same_sound(self, sample_rate: int, trim_onset: bool) -> bool:
        """Whether its samples are what a build with these settings would store, in a file that can be added to."""
        as_wanted = self.sample_rate == sample_rate and self._index["options"]["trim_onset"] == trim_onset
        return as_wanted and self._index.get("shards") is None

    @property
    def pcm_samples(self) -> int:
        """Length of the file of samples, with what is no longer used."""
        return len(self.stored_samples)

    def stored(self, clip: Clip) -> np.ndarray:
        """The int16 samples of a clip as they are stored."""
        return self.stored_samples.read(clip.offset, clip.samples)

    def numbers(self, split: Split) -> np.ndarray:
        """The numbers of the clips of one side (K,); with too few clips to keep any back, both sides are all clips.

        Copies of a sound with the same class and pitch are one clip, the first of them.
        """
        rows = self.clips.on_side(split)
        rows = rows if len(rows) else np.arange(len(self.clips), dtype=np.int32)
        return rows[first_of_each(self.clips.only(rows), ("offset", "class_id", "pitch"))]

    def split(self, split: Split) -> ClipTable:
        """The clips of one side, see `numbers`."""
        return self.clips.only(self.numbers(split))

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
        stored = self.stored_samples.read(clip.offset + start, there)
        np.multiply(stored, np.float32(1 / clip.scale), out=out[:there])
        return out


def first_of_each(clips: ClipTable, columns: Sequence[str]) -> np.ndarray:
    """Places (K,), ascending, of the first clip with each combination of numbers; equal sounds have one `offset`."""
    offsets = clips.column("offset")
    order = offsets.argsort(kind="stable")  # quick, since sounds are stored in order
    equal = offsets[order][1:] == offsets[order][:-1]
    once = np.ones(len(offsets), dtype=bool)
    shared = np.unique(np.concatenate([order[1:][equal], order[:-1][equal]]))
    if len(shared):
        keys = [np.nan_to_num(clips.column(name)[shared].astype(np.float64), nan=-1) for name in columns]
        once[shared] = False
        once[shared[np.unique(np.stack(keys, axis=1), axis=0, return_index=True)[1]]] = True
    return np.flatnonzero(once)


def load_index(path: Path) -> dict[str, Any]:
    """Read the index of a cache.

    Raises:
        DataError: It is missing, damaged, or of another version.
    """
    file = path / INDEX_NAME
    if not file.is_file():
        raise DataError(f"{one_line(path)}: is no cache ({INDEX_NAME} is missing); make one with {_make(path)}")
    try:
        index = json.loads(file.read_text(encoding="utf-8"))
        version = index["version"]
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise _damaged(file, e) from e
    if version not in (VERSION, VERSION_IN_ONE):
        raise DataError(f"{one_line(file)}: is of version {version}, not {VERSION}; make it again with {_make(path)}")
    return index


def digest_of(content_hashes: Iterable[str]) -> str:
    """What sounds there are, in twelve hex digits."""
    return hashlib.sha256("".join(sorted(content_hashes)).encode()).hexdigest()[:12]


def _damaged(file: Path, error: Exception) -> DataError:
    made = _make(file.parent)
    return DataError(f"{one_line(file)}: is damaged ({type(error).__name__}); make it again with {made}")


def _make(path: Path) -> str:
    """The command that makes a cache of that path."""
    return f"`{command('preprocess', 'FOLDER', '--out', path)}`"
