"""The table of clips as columns on disk, memory-mapped: ten million clips open instantly."""

import os
import stat
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np

from audio_gen.audio.npy import read_npy_header
from audio_gen.data.checksums import DamagedError
from audio_gen.data.split import Split
from audio_gen.errors import OutputError
from audio_gen.files import MalformedError, read_json, write_json

# Not pandas or Arrow: readers map the columns of ten million clips from disk, and every block has a checksum.
SIDES: tuple[Split, ...] = ("train", "val")
TEXTS_NAME = "texts.json"
UNKNOWN = -1  # class or velocity
# Numbers of each clip; `name_end` and `hash_end` are the ends of its file name and hash in the joined bytes.
NUMBERS = {
    "offset": "<i8", "samples": "<i8", "scale": "<f8", "class_id": "<i4", "pitch": "<f8", "velocity": "<i2",
    "side": "|u1", "reasons_id": "<i4", "name_end": "<i8", "hash_end": "<i8",
}  # fmt: skip
STEREO = {"channels": "|u1", "mono_channel": "|i1", "stereo_hash": "<u8"}  # more numbers, of stereo caches only
BYTES = {"names": "name_end", "hashes": "hash_end"}
SUMS_NAME = "rows.npy"  # checksums of blocks of rows, one column per column of the table
ROWS = 1 << 12  # rows per checksum of a column
IN_MEMORY = 1 << 26  # smaller tables are read, not mapped; truncating a mapped file kills the process
ALL_NUMBERS = NUMBERS | STEREO
MEAN = -1  # mono_channel of clips whose mono is the mean of their channels
FILE_NAMES = (*(f"{name}.npy" for name in (*NUMBERS, *STEREO, *BYTES)), SUMS_NAME, TEXTS_NAME)


@dataclass(frozen=True)
class Clip:
    """A clip of the cache.

    Attributes:
        path: Its file's name within the folder.
        offset: Its first sample in the PCM file.
        samples: Its length in samples; with two channels, the right one follows the left one.
        scale: Stored samples are divided by this.
        class_name: Its class, if known.
        pitch: MIDI note number, if known.
        velocity: MIDI velocity, if known.
        split: Its side.
        content_hash: Equal for sounds with the same mono mix.
        reasons: Notes and repairs.
        channels: 1, or 2 in a stereo cache.
        mono_channel: The channel that its mono is, since its channels cancel each other; None for their mean.
        stereo_hash: Of both channels; 0 for a clip of one channel.
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
    channels: int = 1
    mono_channel: int | None = None
    stereo_hash: int = 0

    @property
    def stored_samples(self) -> int:
        """The number of its samples in the PCM file."""
        return self.channels * self.samples

    @property
    def sound(self) -> str:
        """A key that is equal for equal sounds of equal channels."""
        return sound_key(self.content_hash, self.stereo_hash)


def sound_key(content_hash: str, stereo_hash: int) -> str:
    """A key of a sound from its hashes; that of one channel is the hash of its samples."""
    return f"{stereo_hash:016x}" if stereo_hash else content_hash


class ClipTable(Sequence[Clip]):
    """A sequence of clips, or a selection; a `Clip` is built on access."""

    def __init__(
        self,
        columns: dict[str, np.ndarray],
        texts: dict[str, list[Any]],
        rows: np.ndarray | None = None,
        check: "_Check | None" = None,
    ) -> None:
        """Use `of` or `open`.

        Args:
            columns: By the names in NUMBERS (N,) and BYTES.
            texts: `classes`, which `class_id` counts, and `reasons`, a list of lists.
            rows: The numbers of the selected clips; None for all.
            check: Validates a block of rows before its first use; None if all are valid.
        """
        self._columns, self._texts, self._rows, self._check = columns, texts, rows, check

    @classmethod
    def of(cls, clips: Iterable[Clip], channels: int = 1) -> "ClipTable":
        """A table in memory.

        Args:
            clips: The clips.
            channels: Channels of the cache.
        """
        clips = list(clips)
        classes = sorted({clip.class_name for clip in clips if clip.class_name is not None})
        reasons = sorted({clip.reasons for clip in clips})
        class_ids, reasons_ids = ({value: i for i, value in enumerate(values)} for values in (classes, reasons))
        names, hashes = (
            [text.encode("utf-8", "surrogateescape") for text in texts]
            for texts in ([clip.path for clip in clips], [clip.content_hash for clip in clips])
        )
        numbers: dict[str, Any] = {
            "offset": [clip.offset for clip in clips],
            "samples": [clip.samples for clip in clips],
            "scale": [clip.scale for clip in clips],
            "class_id": [UNKNOWN if clip.class_name is None else class_ids[clip.class_name] for clip in clips],
            "pitch": [np.nan if clip.pitch is None else clip.pitch for clip in clips],
            "velocity": [UNKNOWN if clip.velocity is None else clip.velocity for clip in clips],
            "side": [SIDES.index(clip.split) for clip in clips],
            "reasons_id": [reasons_ids[clip.reasons] for clip in clips],
            "name_end": np.cumsum([len(name) for name in names]),
            "hash_end": np.cumsum([len(text) for text in hashes]),
        }  # fmt: skip
        if channels == 2:
            numbers |= {
                "channels": [clip.channels for clip in clips],
                "mono_channel": [MEAN if clip.mono_channel is None else clip.mono_channel for clip in clips],
                "stereo_hash": [clip.stereo_hash for clip in clips],
            }
        columns = {name: np.asarray(values, ALL_NUMBERS[name]) for name, values in numbers.items()}
        columns |= {"names": np.frombuffer(b"".join(names), "|u1"), "hashes": np.frombuffer(b"".join(hashes), "|u1")}
        return cls(columns, {"classes": list(classes), "reasons": [list(some) for some in reasons]})

    @classmethod
    def open(cls, folder: Path, samples: int, *, summed: bool, channels: int = 1) -> "ClipTable":
        """Open a written table: a small one is read and checked, a large one mapped and checked as it is used.

        Args:
            folder: Its folder.
            samples: Total number of samples.
            summed: Whether it has checksums; tables of earlier versions have none.
            channels: Channels of the cache.

        Raises:
            OSError: A part is missing.
            ValueError: A part is damaged.
        """
        numbers = [*NUMBERS, *(STEREO if channels == 2 else ())]
        paths = {name: folder / f"{name}.npy" for name in (*numbers, *BYTES)}
        mapped = sum(path.stat().st_size for path in paths.values()) > IN_MEMORY
        columns = {name: read_column(path, ALL_NUMBERS.get(name, "|u1"), mapped) for name, path in paths.items()}
        texts = read_json(folder / TEXTS_NAME)
        for key, kind in (("classes", str), ("reasons", list)):
            if not isinstance(texts, dict) or not isinstance(found := texts.get(key), list):
                raise MalformedError(f"{TEXTS_NAME} holds no list of {key}")
            if not all(isinstance(value, kind) for value in found):
                raise MalformedError(f"{TEXTS_NAME} has other {key} than texts")
        if len({len(columns[name]) for name in numbers}) > 1:
            raise MalformedError("its columns do not match")
        count = len(columns["offset"])
        ends = {name: int(columns[end][-1]) if count else 0 for name, end in BYTES.items()}
        if ends != {name: len(columns[name]) for name in BYTES}:
            raise MalformedError("names are missing")
        sums = read_column(folder / SUMS_NAME, "<u4") if summed else None
        if sums is not None and len(sums) != -(-count // ROWS) * len(columns):
            raise MalformedError(f"{SUMS_NAME} has another number of rows")
        check = _Check(folder, columns, texts, samples, sums)
        if mapped:
            return cls(columns, texts, None, check)
        check.all()
        return cls(columns, texts)

    def check(self) -> None:
        """Check all rows that are not checked yet.

        Raises:
            DataError: It is damaged.
        """
        if self._check is not None:
            self._check.all()

    def write(self, folder: Path) -> None:
        """Write all clips.

        Raises:
            OutputError: The folder cannot be written.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, values in self._columns.items():
                np.save(folder / f"{name}.npy", values)
            np.save(folder / SUMS_NAME, _sums_of(self._columns))
        except OSError as e:
            raise OutputError(
                f"{folder}: cannot be written ({e.strerror or e}); free some space or choose another place"
            ) from e
        write_json(folder / TEXTS_NAME, self._texts)

    @property
    def classes(self) -> list[str]:
        """The names of all classes, sorted."""
        return list(self._texts["classes"])

    def column(self, name: str) -> np.ndarray:
        """A column of numbers (N,), by its name in NUMBERS, or in STEREO if the cache is stereo."""
        values = self._columns[name]
        if self._check is not None:
            self._check.column(name)
        return values if self._rows is None else values[self._rows]

    def on_side(self, side: Split) -> np.ndarray:
        """The numbers of the clips on one side (K,), int32."""
        return np.flatnonzero(self.column("side") == SIDES.index(side)).astype(np.int32)

    def only(self, rows: np.ndarray) -> "ClipTable":
        """The clips with these numbers (K,)."""
        return ClipTable(self._columns, self._texts, rows if self._rows is None else self._rows[rows], self._check)

    def __len__(self) -> int:
        """How many clips there are."""
        return len(self._columns["offset"]) if self._rows is None else len(self._rows)

    @overload
    def __getitem__(self, number: int) -> Clip: ...
    @overload
    def __getitem__(self, number: slice) -> list[Clip]: ...
    def __getitem__(self, number: int | slice) -> Clip | list[Clip]:
        """A clip or a list of clips."""
        if isinstance(number, slice):
            return [self[i] for i in range(*number.indices(len(self)))]
        i, columns = self._number(number), self._columns
        if self._check is not None and not self._check.whole[i // ROWS]:
            self._check.block(i // ROWS)
        class_id, velocity, pitch = (columns[name][i].item() for name in ("class_id", "velocity", "pitch"))
        return Clip(
            path=self._text(i, "names", "name_end"),
            offset=columns["offset"][i].item(),
            samples=columns["samples"][i].item(),
            scale=columns["scale"][i].item(),
            class_name=None if class_id == UNKNOWN else self._texts["classes"][class_id],
            pitch=None if pitch != pitch else pitch,
            velocity=None if velocity == UNKNOWN else velocity,
            split=SIDES[columns["side"][i]],
            content_hash=self._text(i, "hashes", "hash_end"),
            reasons=tuple(self._texts["reasons"][columns["reasons_id"][i]]),
            **self._stereo(i),
        )

    def _stereo(self, i: int) -> dict[str, Any]:
        """What only the clips of a stereo cache have."""
        if "channels" not in self._columns:
            return {}
        channels, mono_channel, stereo_hash = (self._columns[name][i].item() for name in STEREO)
        mono_channel = None if mono_channel == MEAN else mono_channel
        return {"channels": channels, "mono_channel": mono_channel, "stereo_hash": stereo_hash}

    def __eq__(self, other: object) -> bool:
        """Whether another sequence has the same clips."""
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(Clip.__eq__, self, other))

    __hash__ = None  # type: ignore[assignment]

    def _number(self, number: int) -> int:
        """The row of a clip number, which may be negative."""
        if not -len(self) <= number < len(self):
            raise IndexError(number)
        number = number % len(self)
        return number if self._rows is None else int(self._rows[number])

    def _text(self, row: int, name: str, end: str) -> str:
        ends = self._columns[end]
        start = int(ends[row - 1]) if row else 0
        return bytes(self._columns[name][start : int(ends[row])]).decode("utf-8", "surrogateescape")


class _Check:
    """Validate rows of an untrusted table, and remember which are valid."""

    def __init__(
        self,
        folder: Path,
        columns: dict[str, np.ndarray],
        texts: dict[str, list[Any]],
        samples: int,
        sums: np.ndarray | None,
    ) -> None:
        count = len(columns["offset"])
        self._folder, self._columns, self._samples = folder, columns, samples
        self._sums = None if sums is None else sums.reshape(-1, len(columns))
        self._ids = {"class_id": (UNKNOWN, texts["classes"]), "reasons_id": (0, texts["reasons"]), "side": (0, SIDES)}
        self.whole = bytearray(-(-count // ROWS))
        self._whole_columns: set[str] = set()

    def all(self) -> None:
        """Check all rows."""
        for block in range(len(self.whole)):
            if not self.whole[block]:
                self.block(block)

    def block(self, block: int) -> None:
        """Check ROWS rows."""
        for i, name in enumerate(self._columns):
            self._compare(name, i, block)
        rows = slice(block * ROWS, (block + 1) * ROWS)
        offset, samples, scale = (self._columns[name][rows] for name in ("offset", "samples", "scale"))
        fits = (offset >= 0) & (samples >= 0) & (samples <= self._samples) & (offset <= self._samples - samples)
        if "channels" in self._columns:
            channels, mono_channel = (self._columns[name][rows] for name in ("channels", "mono_channel"))
            if (channels < 1).any() or (channels > 2).any():
                raise DamagedError(self._file("channels"), "has other numbers of channels than 1 and 2")
            if (mono_channel < MEAN).any() or (mono_channel >= channels.astype(np.int64)).any():
                raise DamagedError(self._file("mono_channel"), "has channels that do not exist")
            fits &= samples <= (self._samples - offset) // channels
        if not fits.all():
            raise DamagedError(self._file("offset"), "lists clips past the end of the samples")
        if not (np.isfinite(scale) & (scale > 0)).all():
            raise DamagedError(self._file("scale"), "has invalid scales")
        for name, (least, values) in self._ids.items():
            ids = self._columns[name][rows]
            if (ids < least).any() or (ids >= len(values)).any():
                raise DamagedError(self._file(name), f"has numbers that are not in {TEXTS_NAME}")
        for name in BYTES.values():
            ends = self._columns[name][max(rows.start - 1, 0) : rows.stop]
            if (ends < 0).any() or (np.diff(ends) < 0).any():
                raise DamagedError(self._file(name), "goes backwards")
        self.whole[block] = 1

    def column(self, name: str) -> None:
        """Check all of a column."""
        if name not in self._whole_columns:
            for block in range(len(self.whole)):
                if not self.whole[block]:
                    self._compare(name, list(self._columns).index(name), block)
            self._whole_columns.add(name)

    def _compare(self, name: str, i: int, block: int) -> None:
        if self._sums is not None and _sum_of(self._columns, name, block) != self._sums[block, i]:
            raise DamagedError(self._file(name), f"is damaged in the rows from {block * ROWS} on")

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.npy"


def _sum_of(columns: dict[str, np.ndarray], name: str, block: int) -> int:
    """The checksum of a column in ROWS rows, and of their texts."""
    first, last = block * ROWS, (block + 1) * ROWS
    if name in ALL_NUMBERS:
        return zlib.crc32(columns[name][first:last].data)
    ends = columns[BYTES[name]]
    start, stop = int(ends[first - 1]) if first else 0, int(ends[min(last, len(ends)) - 1])
    return zlib.crc32(columns[name][max(start, 0) : max(stop, 0)].data)


def _sums_of(columns: dict[str, np.ndarray]) -> np.ndarray:
    """The checksums of a table, block by block (blocks * columns,)."""
    blocks = range(-(-len(columns["offset"]) // ROWS))
    ordered = {name: columns[name] for name in (*ALL_NUMBERS, *BYTES) if name in columns}
    return np.array([_sum_of(ordered, name, block) for block in blocks for name in ordered], "<u4")


def read_column(path: Path, kind: str, mapped: bool = False) -> np.ndarray:
    """Read an array (N,) of a known type; its header is untrusted."""
    if not stat.S_ISREG(path.stat().st_mode):  # a pipe would block
        raise MalformedError(f"{path.name} is not a file")
    with open(path, "rb") as file:
        try:
            shape, _, dtype = read_npy_header(file)
        except MalformedError as e:
            raise MalformedError(f"{path.name} has no header ({e})") from None
        start, size = file.tell(), os.fstat(file.fileno()).st_size
        if dtype != np.dtype(kind) or len(shape) != 1 or size - start != shape[0] * np.dtype(kind).itemsize:
            raise MalformedError(f"{path.name} has another type or size than expected")
        if not mapped or not shape[0]:  # empty files cannot be mapped
            array = np.fromfile(file, kind, shape[0])
            if len(array) < shape[0]:
                raise MalformedError(f"{path.name} was truncated while it was read")
            return array
        # A plain view: numpy.memmap's own indexing is ten times slower.
        return np.memmap(file, kind, "r", start, shape).view(np.ndarray)
