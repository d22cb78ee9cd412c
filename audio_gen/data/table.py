"""The clips of a cache as columns on disk: ten million open at once, and only what is looked at is in memory."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np

from audio_gen.data.split import Split
from audio_gen.errors import OutputError
from audio_gen.files import write_json

SIDES: tuple[Split, ...] = ("train", "val")
TEXTS_NAME = "texts.json"
NOTHING = -1  # of a class or a velocity
# Numbers of each clip; `name_end` and `hash_end` say where its file's name and its hash end in the bytes of all.
NUMBERS = {
    "offset": "<i8", "samples": "<i8", "scale": "<f8", "class_id": "<i4", "pitch": "<f8", "velocity": "<i2",
    "side": "|u1", "reasons_id": "<i4", "name_end": "<i8", "hash_end": "<i8",
}  # fmt: skip
BYTES = ("names", "hashes")


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


class ClipTable(Sequence[Clip]):
    """Clips by number, or some of them; a clip is put together when it is asked for."""

    def __init__(self, columns: dict[str, np.ndarray], texts: dict[str, list[Any]], rows: np.ndarray | None = None):
        """Use `of` or `open`.

        Args:
            columns: By the names in NUMBERS (N,) and BYTES.
            texts: `classes`, which `class_id` counts, and `reasons`, a list of lists.
            rows: The numbers of the clips in it; None for all.
        """
        self._columns, self._texts, self._rows = columns, texts, rows

    @classmethod
    def of(cls, clips: Iterable[Clip]) -> "ClipTable":
        """A table in memory."""
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
            "class_id": [NOTHING if clip.class_name is None else class_ids[clip.class_name] for clip in clips],
            "pitch": [np.nan if clip.pitch is None else clip.pitch for clip in clips],
            "velocity": [NOTHING if clip.velocity is None else clip.velocity for clip in clips],
            "side": [SIDES.index(clip.split) for clip in clips],
            "reasons_id": [reasons_ids[clip.reasons] for clip in clips],
            "name_end": np.cumsum([len(name) for name in names]),
            "hash_end": np.cumsum([len(text) for text in hashes]),
        }  # fmt: skip
        columns = {name: np.asarray(values, NUMBERS[name]) for name, values in numbers.items()}
        columns |= {"names": np.frombuffer(b"".join(names), "|u1"), "hashes": np.frombuffer(b"".join(hashes), "|u1")}
        return cls(columns, {"classes": list(classes), "reasons": [list(some) for some in reasons]})

    @classmethod
    def open(cls, folder: Path) -> "ClipTable":
        """The table that `write` left, mapped into memory.

        Raises:
            OSError: A part is missing.
            ValueError: A part is damaged.
        """
        columns = {name: _mapped(folder / f"{name}.npy") for name in (*NUMBERS, *BYTES)}
        texts = json.loads((folder / TEXTS_NAME).read_text(encoding="utf-8"))
        table = cls(columns, texts)
        lengths = {len(columns[name]) for name in NUMBERS}
        if len(lengths) > 1 or any(columns[name].dtype != np.dtype(kind) for name, kind in NUMBERS.items()):
            raise ValueError("columns do not match")
        ends = [int(columns[name][-1]) if len(table) else 0 for name in ("name_end", "hash_end")]
        if ends != [len(columns[name]) for name in BYTES]:
            raise ValueError("names are missing")
        return table

    def write(self, folder: Path) -> None:
        """Write all clips.

        Raises:
            OutputError: The folder cannot be written.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, values in self._columns.items():
                np.save(folder / f"{name}.npy", values)
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
        """One number of each clip (N,), by its name in NUMBERS."""
        values = self._columns[name]
        return values if self._rows is None else values[self._rows]

    def on_side(self, side: Split) -> np.ndarray:
        """The numbers of the clips on one side (K,), int32."""
        return np.flatnonzero(self.column("side") == SIDES.index(side)).astype(np.int32)

    def only(self, rows: np.ndarray) -> "ClipTable":
        """The clips with these numbers (K,)."""
        return ClipTable(self._columns, self._texts, rows if self._rows is None else self._rows[rows])

    def __len__(self) -> int:
        """How many clips there are."""
        return len(self._columns["offset"]) if self._rows is None else len(self._rows)

    @overload
    def __getitem__(self, number: int) -> Clip: ...
    @overload
    def __getitem__(self, number: slice) -> list[Clip]: ...
    def __getitem__(self, number: int | slice) -> Clip | list[Clip]:
        """A clip, or some."""
        if isinstance(number, slice):
            return [self[i] for i in range(*number.indices(len(self)))]
        i, columns = self._number(number), self._columns
        class_id, velocity, pitch = (columns[name][i].item() for name in ("class_id", "velocity", "pitch"))
        return Clip(
            path=self._text(i, "names", "name_end"),
            offset=columns["offset"][i].item(),
            samples=columns["samples"][i].item(),
            scale=columns["scale"][i].item(),
            class_name=None if class_id == NOTHING else self._texts["classes"][class_id],
            pitch=None if pitch != pitch else pitch,
            velocity=None if velocity == NOTHING else velocity,
            split=SIDES[columns["side"][i]],
            content_hash=self._text(i, "hashes", "hash_end"),
            reasons=tuple(self._texts["reasons"][columns["reasons_id"][i]]),
        )

    def __eq__(self, other: object) -> bool:
        """Whether another sequence holds the same clips."""
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(Clip.__eq__, self, other))

    __hash__ = None  # type: ignore[assignment]

    def _number(self, number: int) -> int:
        """The row of a clip's number, which may be counted from the end."""
        if not -len(self) <= number < len(self):
            raise IndexError(number)
        number = number % len(self)
        return number if self._rows is None else int(self._rows[number])

    def _text(self, row: int, name: str, end: str) -> str:
        ends = self._columns[end]
        start = int(ends[row - 1]) if row else 0
        return bytes(self._columns[name][start : int(ends[row])]).decode("utf-8", "surrogateescape")


def _mapped(path: Path) -> np.ndarray:
    """An array on disk; an empty one cannot be mapped."""
    array = np.load(path, mmap_mode="r") if path.stat().st_size > 128 else np.load(path)
    return array.view(np.ndarray)  # a plain view: numpy.memmap's own indexing is ten times slower
