"""The cache: int16 samples, a table of clips, and an index that names both."""

import hashlib
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from audio_gen.artefacts.folders import CacheFolder
from audio_gen.data.checksums import Checked, DamagedError, build_command, digest, digest_of_file, digest_of_json
from audio_gen.data.shards import OneFile, Shards, allowed_place
from audio_gen.data.split import Split
from audio_gen.data.table import SUMS_NAME, TEXTS_NAME, Clip, ClipTable, read_column
from audio_gen.errors import DataError
from audio_gen.files import MalformedError, at_home, parse_json, read_json, read_regular, write_json
from audio_gen.text import one_line, shortened

__all__ = ["Cache", "Clip"]

FILES_NAME = "files.json"
# Alternating names for updates; an index may name no others.
PCM_NAMES, TABLES = ("pcm.int16", "pcm-2.int16"), ("clips", "clips-2")
BLOCKS_NAME, STAMP_NAME = "blocks.npy", "stamp.json"  # checksums of the samples, and the state of the PCM file then
DIGESTED = (TEXTS_NAME, SUMS_NAME, BLOCKS_NAME, FILES_NAME)  # files of a table with digests in the index
VERSIONS = {1: 3, 2: 4}  # by the channels of the cache: earlier versions of the package refuse a stereo cache
OLD_VERSION = 2  # has no checksums, and one channel
HIGHEST_RATE = 1 << 24
LARGEST_LIST = 1 << 28  # bytes of a JSON with an entry for each file
NO_LIMIT = 1 << 62


class Cache:
    """A folder of sounds, ready for training: any part of any clip is read in microseconds."""

    def __init__(self, path: Path, index: dict[str, Any], samples: Checked, clips: ClipTable) -> None:
        """Use `Cache.open`.

        Args:
            path: Folder of the cache.
            index: Content of its index.
            samples: All samples.
            clips: The table of clips.
        """
        self.path, self._index, self.stored_samples, self.clips = path, index, samples, clips
        self.sample_rate: int = index["sample_rate"]
        self.channels = channels_of(index)
        self.classes = clips.classes
        self.notes: list[str] = index["notes"]
        self.pcm_name: str = index["pcm"]
        self.table_name: str = index["table"]

    @classmethod
    def open(cls, path: Path | str) -> "Cache":
        """Open a cache for reading.

        Args:
            path: Folder of the cache.

        Raises:
            DataError: It is not a cache, or it is damaged.
        """
        path = at_home(path)
        index = load_index(path)
        try:
            summed, folder = index["version"] != OLD_VERSION, path / index["table"]
            clips = ClipTable.open(folder, index["pcm_samples"], summed=summed, channels=channels_of(index))
            if summed:
                _compare_digests(folder, index["digests"], except_of=FILES_NAME)
            return cls.of(path, index, clips, read_column(folder / BLOCKS_NAME, "<u4") if summed else None)
        except OSError as e:
            lost = Path(e.filename) if e.filename else CacheFolder(path).index
            raise DamagedError(lost, f"cannot be read ({e.strerror or e})", _fix(path)) from e
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as e:
            raise _damaged(path / index["table"], path, e) from e

    @classmethod
    def of(cls, path: Path, index: dict[str, Any], clips: ClipTable, sums: np.ndarray | None = None) -> "Cache":
        """Open the samples that an index describes.

        Args:
            path: Folder of the cache.
            index: Its checked index.
            clips: The table of clips.
            sums: Checksums of the blocks of samples.

        Raises:
            DataError: Samples are missing, or their place is not allowed.
        """
        count, shards = index["pcm_samples"], index.get("shards")
        if shards is None:
            try:
                return cls(path, index, Checked(OneFile(path / index["pcm"], count), sums), clips)
            except OSError as e:
                raise DamagedError(path / index["pcm"], f"cannot be read ({e.strerror or e})", _fix(path)) from e
        place = allowed_place(shards["place"], path)
        return cls(path, index, Checked(Shards(place, count, shards["samples"], index["sounds"]), sums), clips)

    @property
    def target(self) -> str | None:
        """The class of the second folder, of a cache of two folders."""
        target = self._index.get("target")
        return target if target in self.classes else None

    @property
    def pitch_range(self) -> tuple[float, float] | None:
        """Lowest and highest MIDI note; None if no clip has a pitch."""
        pitches = self.clips.column("pitch")
        known = pitches[~np.isnan(pitches)]
        return (float(known.min()), float(known.max())) if len(known) else None

    @property
    def velocity_range(self) -> tuple[float, float] | None:
        """Lowest and highest MIDI velocity; None if no clip has one."""
        velocities = self.clips.column("velocity")
        known = velocities[velocities >= 0]
        return (float(known.min()), float(known.max())) if len(known) else None

    @property
    def sounds(self) -> str:
        """A digest of its sounds in any order."""
        return str(self._index["sounds"])

    @cached_property
    def known(self) -> dict[str, Any]:
        """Data for the next build: the inspections of `files`, and the `auto_pitches`."""
        folder = self.path / self.table_name
        try:
            data = read_regular(folder / FILES_NAME, LARGEST_LIST)
            if self._index["version"] != OLD_VERSION and digest(data) != self._index["digests"][FILES_NAME]:
                raise MalformedError("it is not what was written")
            known = parse_json(data)
            pitches = known["auto_pitches"].values()
            if not isinstance(known["files"], list) or not all(isinstance(one, int | float | None) for one in pitches):
                raise MalformedError("its content is invalid")
            return known
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as e:
            raise _damaged(folder / FILES_NAME, self.path, e) from e

    @cached_property
    def report(self) -> dict[str, Any]:
        """The dataset report: {"files": [..], "summary": {..}}."""
        try:
            report = read_json(CacheFolder(self.path).dataset_report, LARGEST_LIST)
            _check_report(report)
            return report
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as e:
            raise _damaged(CacheFolder(self.path).dataset_report, self.path, e) from e

    @property
    def has_sums(self) -> bool:
        """Whether its samples have checksums; caches of earlier versions have none."""
        return self.stored_samples.sums is not None

    def samples_untouched(self) -> bool:
        """Whether the PCM file is unchanged since its checksums were computed."""
        with suppress(OSError, MalformedError):
            stamp = read_json(self.path / self.table_name / STAMP_NAME)
            return stamp == stamp_of((self.path / self.pcm_name).stat())
        return False

    def same_sound(self, sample_rate: int, trim_onset: bool) -> bool:
        """Whether a build with these settings can reuse its samples and append to its file."""
        same = self.sample_rate == sample_rate and self._index["options"]["trim_onset"] == trim_onset
        return same and self._index.get("shards") is None

    @property
    def pcm_samples(self) -> int:
        """Length of the PCM file, including unused samples."""
        return len(self.stored_samples)

    def stored(self, clip: Clip) -> np.ndarray:
        """The stored int16 samples of a clip, its right channel after its left one."""
        return self.stored_samples.read(clip.offset, clip.stored_samples)

    def numbers(self, split: Split) -> np.ndarray:
        """The numbers of the clips of one side (K,); with too few clips for a split, both sides are all clips.

        Of copies of a sound with the same class and pitch only the first is included.
        """
        rows = self.clips.on_side(split)
        rows = rows if len(rows) else np.arange(len(self.clips), dtype=np.int32)
        return rows[first_of_each(self.clips.only(rows), ("offset", "class_id", "pitch"))]

    def split(self, split: Split) -> ClipTable:
        """The clips of one side, see `numbers`."""
        return self.clips.only(self.numbers(split))

    def read(self, clip: Clip, start: int = 0, count: int | None = None) -> np.ndarray:
        """Read a part of a clip in mono.

        Args:
            clip: One of `clips`.
            start: First sample, 0 or more.
            count: Number of samples; None reads to the clip's end.

        Returns:
            (count,) float32 at the amplitude of the source, zero after the end of the clip. Of two channels it is their
            mean, or the louder one if the whole clip's channels cancel each other.
        """
        count = clip.samples - start if count is None else count
        if clip.channels == 1 or clip.mono_channel is not None:
            return self._read(clip, clip.mono_channel or 0, start, count)
        left, right = (self._read(clip, channel, start, count) for channel in (0, 1))
        return (left + right) * np.float32(0.5)

    def read_channels(self, clip: Clip, start: int = 0, count: int | None = None) -> np.ndarray:
        """Read a part of a clip in the channels of the cache; see `read`.

        Returns:
            (C, count) float32; a clip of one channel is repeated.
        """
        count = clip.samples - start if count is None else count
        wav = np.stack([self._read(clip, channel, start, count) for channel in range(clip.channels)])
        return wav if len(wav) == self.channels else wav.repeat(self.channels, 0)

    def _read(self, clip: Clip, channel: int, start: int, count: int) -> np.ndarray:
        """A part (count,) of a stored channel."""
        out = np.zeros(count, np.float32)
        present = max(0, min(count, clip.samples - start))
        stored = self.stored_samples.read(clip.offset + channel * clip.samples + start, present)
        np.multiply(stored, np.float32(1 / clip.scale), out=out[:present])
        return out


def first_of_each(clips: ClipTable, columns: Sequence[str]) -> np.ndarray:
    """Rows (K,), ascending, of the first clip with each combination of values; equal sounds share an `offset`."""
    offsets = clips.column("offset")
    order = offsets.argsort(kind="stable")  # fast, since sounds are stored in order
    equal = offsets[order][1:] == offsets[order][:-1]
    once = np.ones(len(offsets), dtype=bool)
    shared = np.unique(np.concatenate([order[1:][equal], order[:-1][equal]]))
    if len(shared):
        keys = [np.nan_to_num(clips.column(name)[shared].astype(np.float64), nan=-1) for name in columns]
        once[shared] = False
        once[shared[np.unique(np.stack(keys, axis=1), axis=0, return_index=True)[1]]] = True
    return np.flatnonzero(once)


def load_index(path: Path) -> dict[str, Any]:
    """Read and check the index of a cache.

    Raises:
        DataError: It is missing, damaged, or of another version.
    """
    file = CacheFolder(path).index
    if not file.is_file():
        raise DataError(
            f"{one_line(path)}: is not a cache ({file.name} is missing); make one with {build_command(path)}"
        )
    try:
        index = read_json(file)
        version = index["version"]
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise _damaged(file, path, e) from e
    if type(version) is int and version not in (OLD_VERSION, *VERSIONS.values()):
        raise DamagedError(file, f"is of version {shortened(version)}, not {VERSIONS[1]}", _fix(path))
    try:
        _check_index(index)
    except (KeyError, TypeError, ValueError) as e:
        raise _damaged(file, path, e) from e
    return index


def _check_index(index: dict[str, Any]) -> None:
    """Check all fields; file names must be from fixed lists.

    Raises:
        KeyError: A field is missing.
        ValueError: A field is invalid.
    """
    version, shards = index["version"], index.get("shards")
    right = {
        "version": type(version) is int,
        "sample_rate": type(index["sample_rate"]) is int and 0 < index["sample_rate"] <= HIGHEST_RATE,
        "options": isinstance(index["options"], dict) and "trim_onset" in index["options"],
        "pcm": index["pcm"] in PCM_NAMES,
        "pcm_samples": type(index["pcm_samples"]) is int and 0 <= index["pcm_samples"] < 1 << 62,
        "notes": isinstance(index["notes"], list) and all(isinstance(note, str) for note in index["notes"]),
        "shards": shards is None or (type(shards["samples"]) is int and 0 < shards["samples"] < 1 << 62),
        "table": index["table"] in TABLES,
        "sounds": isinstance(index["sounds"], str),
    }  # fmt: skip
    if version != OLD_VERSION:
        right["version"] &= version == VERSIONS.get(channels_of(index))
        right["digests"] = isinstance(index["digests"], dict)
        right["digest"] = index["digest"] == digest_of_json(index, without=("digest",))
    else:
        right["version"] &= (
            "digest" not in index and channels_of(index) == 1
        )  # a flipped bit can turn this version into an older one
    if wrong := [key for key, fits in right.items() if not fits]:
        raise MalformedError(f"{', '.join(wrong)}: not what was written")


def channels_of(index: dict[str, Any]) -> Literal[1, 2]:
    """The channels of a cache; only a stereo cache's index states them."""
    return 2 if index.get("channels") == 2 else 1


def publish(path: Path, index: dict[str, Any], samples: Path | None = None) -> None:
    """Write the index of a cache, with digests of its other files, which must exist.

    Args:
        path: Folder of the cache.
        index: Its content.
        samples: The PCM file, if there is one; its checksums must be right.
    """
    folder = path / index["table"]
    if samples is not None:
        write_json(folder / STAMP_NAME, stamp_of(samples.stat()))
    digests = {name: digest_of_file(folder / name, NO_LIMIT) for name in DIGESTED}
    index = {**index, "version": VERSIONS[channels_of(index)], "digests": digests}
    write_json(CacheFolder(path).index, {**index, "digest": digest_of_json(index, without=("digest",))})


def stamp_of(about: os.stat_result) -> list[int]:
    """Values that change when a file is written."""
    return [about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino]


def write_sums(folder: Path, sums: np.ndarray) -> None:
    """Write the checksums of all samples into the folder of a table."""
    np.save(folder / BLOCKS_NAME, sums.astype("<u4"))


def _compare_digests(folder: Path, digests: dict[str, Any], except_of: str) -> None:
    for name in DIGESTED:
        if name != except_of and digest_of_file(folder / name, NO_LIMIT) != digests[name]:
            raise MalformedError(f"{name} is not what was written")


def digest_of(content_hashes: Iterable[str]) -> str:
    """A digest of a set of sounds, twelve hex digits."""
    return hashlib.sha256("".join(sorted(content_hashes)).encode()).hexdigest()[:12]


def _damaged(file: Path, cache: Path, error: Exception) -> DataError:
    if isinstance(error, DamagedError):
        return error
    reason = str(error) if isinstance(error, MalformedError) else type(error).__name__
    return DamagedError(file, f"is damaged ({reason})", _fix(cache))


def _fix(cache: Path) -> str:
    return f"rebuild it with {build_command(cache)}"


def _check_report(report: Any) -> None:
    """Check the shown fields of a report, which has no checksum and is untrusted.

    Raises:
        MalformedError: A field is invalid.
        KeyError: A field is missing.
        TypeError: It is not a table.
    """
    summary, notes = report["summary"], report["summary"].get("notes", [])
    counts = [summary[key] for key in ("files", "use", "repair", "leave_out", "clips", "duration_sec")]
    counts += [summary.get(key, 0) for key in ("train_clips", "val_clips")]
    if not all(type(count) in (int, float) and count >= 0 for count in counts):
        raise MalformedError("its counts are invalid")
    for file in report["files"]:
        texts = [file["path"], *file["reasons"]]
        if file["action"] not in ("use", "repair", "leave_out") or not all(isinstance(one, str) for one in texts):
            raise MalformedError("its list of files is invalid")
    if not isinstance(notes, list) or not all(isinstance(note, str) for note in notes):
        raise MalformedError("its notes are invalid")
