"""Class, pitch and velocity of clips, from whatever the folder offers.

For each field the first source that knows it wins:
1. `metadata.csv` or `labels.csv` at the top (columns file, class or instrument, pitch, velocity),
2. NSynth's `examples.json` at the top,
3. the class from the first-level sub-folder, where there are at least two; pitch and velocity from the file name,
4. the class from the file name (`violin-060-110.flac`; the pattern can be set).
"""

import csv
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from audio_gen.errors import ConfigError, DataError
from audio_gen.files import at_home
from audio_gen.text import one_line

DEFAULT_PATTERN = r"(?P<class>.+)-(?P<pitch>\d{3})-(?P<velocity>\d{3})$"
CSV_NAMES = ("metadata.csv", "labels.csv")
NSYNTH_NAME = "examples.json"
FILE_COLUMNS = ("file", "file_name")
CLASS_COLUMNS = ("class", "instrument")
SOURCES = ("auto", "none", "folders", "names")


@dataclass(frozen=True)
class Label:
    """What is known about a clip.

    Attributes:
        class_name: Its class.
        pitch: MIDI note number, 0 to 127, fractions allowed.
        velocity: MIDI velocity, 0 to 127.
    """

    class_name: str | None = None
    pitch: float | None = None
    velocity: int | None = None

    def or_else(self, other: "Label") -> "Label":
        """This label, with what it does not know taken from another."""
        return Label(
            other.class_name if self.class_name is None else self.class_name,
            other.pitch if self.pitch is None else self.pitch,
            other.velocity if self.velocity is None else self.velocity,
        )


def read_labels(
    folder: Path, names: Iterable[str], *, source: str = "auto", pattern: str = DEFAULT_PATTERN
) -> tuple[dict[str, Label], list[str]]:
    """Label the files of a folder.

    Args:
        folder: The folder.
        names: Paths of its files within it, with "/" between the parts.
        source: "auto" for all sources in the order above, "folders", "names", "none", or the path of a CSV or of a JSON
            file in NSynth's form.
        pattern: Regular expression searched in a file's name without its suffix; its groups `class`, `pitch` and
            `velocity` are used where it has them.

    Returns:
        A label for each name, and notes for the user.

    Raises:
        DataError: A label file is damaged, lacks its columns, or holds an impossible value.
    """
    names = list(names)
    labels, notes = {name: Label() for name in names}, []
    for found in _sources(folder, names, source, compile_pattern(pattern)):
        for name, label in found.labels.items():
            labels[name] = labels[name].or_else(label)
        notes += found.notes
    return labels, notes


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Compile a regular expression that a user gave.

    Raises:
        ConfigError: It is not valid.
    """
    try:
        return re.compile(pattern)
    except re.error as e:
        raise ConfigError(f"pattern ({pattern}) is no regular expression: {e}; try {DEFAULT_PATTERN}") from e


@dataclass(frozen=True)
class _Found:
    labels: dict[str, Label]
    notes: list[str]


def _sources(folder: Path, names: list[str], source: str, pattern: re.Pattern[str]) -> list[_Found]:
    if source == "none":
        return []
    if source == "folders":
        return [_from_folders(names)]
    if source == "names":
        return [_from_names(names, pattern)]
    if source != "auto":
        return [_from_file(at_home(source), names)]
    files = [folder / name for name in (*CSV_NAMES, NSYNTH_NAME) if (folder / name).is_file()]
    return [*(_from_file(file, names) for file in files), _from_folders(names), _from_names(names, pattern)]


def _from_folders(names: list[str]) -> _Found:
    folders = {name: name.split("/")[0] for name in names if "/" in name}
    several = len(set(folders.values())) > 1
    return _Found({name: Label(class_name=top) for name, top in folders.items()} if several else {}, [])


def _from_names(names: list[str], pattern: re.Pattern[str]) -> _Found:
    labels = {}
    for name in names:
        if match := pattern.search(_stem(name)):
            label = _label(match.groupdict())
            if isinstance(label, Label):  # impossible numbers mean that the name is of another kind
                labels[name] = label
    return _Found(labels, [])


def _from_file(file: Path, names: list[str]) -> _Found:
    try:
        rows = _read_nsynth(file) if file.suffix.lower() == ".json" else _read_csv(file)
    except (OSError, UnicodeDecodeError, csv.Error, json.JSONDecodeError) as e:
        raise DataError(f"{one_line(file)}: cannot be read as labels ({e}); correct it or move it away") from e
    lookup, labels, unknown = _lookup(names), {}, []
    for where, key, values in rows:
        label = _label(values)
        if isinstance(label, str):
            raise DataError(f"{one_line(file)}, {where}: {label}; correct the row")
        matches = lookup.get(key, [])
        labels.update(dict.fromkeys(matches, label))
        if not matches:
            unknown.append(key)
    note = (
        f"{file.name}: {len(unknown)} of {len(rows)} rows name no usable file here, such as {one_line(unknown[0])}"
        if unknown
        else ""
    )
    return _Found(labels, [note] if note else [])


def _read_csv(file: Path) -> list[tuple[str, str, Mapping[str, Any]]]:
    with open(file, newline="", encoding="utf-8-sig") as f:
        reader = csv.DictReader(f)
        reader.fieldnames = [column.strip().lower() for column in reader.fieldnames or ()]
        column = next((c for c in FILE_COLUMNS if c in reader.fieldnames), None)
        if column is None:
            raise DataError(
                f"{one_line(file)}: has no column 'file' but {', '.join(reader.fieldnames) or 'none'}; "
                "name the column of file names 'file', or rename the CSV if it holds no labels"
            )
        return [(f"line {reader.line_num}", (row[column] or "").strip(), row) for row in reader]


def _read_nsynth(file: Path) -> list[tuple[str, str, Mapping[str, Any]]]:
    examples = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(examples, dict) or not all(isinstance(e, dict) for e in examples.values()):
        raise DataError(f"{one_line(file)}: is not in NSynth's form, a map from names to their fields; move it away")
    return [
        (key, key, {"class": e.get("instrument_family_str"), "pitch": e.get("pitch"), "velocity": e.get("velocity")})
        for key, e in examples.items()
    ]


def _lookup(names: list[str]) -> dict[str, list[str]]:
    """Names by the ways a label file may write them: the path, the file name, each with or without its suffix."""
    lookup: dict[str, list[str]] = {}
    forms = (str, lambda n: str(PurePosixPath(n).with_suffix("")), lambda n: PurePosixPath(n).name, _stem)
    for form in forms:
        more: dict[str, list[str]] = {}
        for name in names:
            more.setdefault(form(name), []).append(name)
        lookup = {**more, **lookup}
    return lookup


def _stem(name: str) -> str:
    return PurePosixPath(name).stem


def _label(values: Mapping[str, Any]) -> Label | str:
    """A label from raw fields, or what is wrong with them."""
    class_name = next((str(values[c]).strip() for c in CLASS_COLUMNS if values.get(c) not in (None, "")), None)
    numbers: dict[str, float | None] = {}
    for key in ("pitch", "velocity"):
        text = values.get(key)
        try:
            numbers[key] = None if text is None or str(text).strip() == "" else float(text)
        except (TypeError, ValueError):
            return f"{key} ({text}) is no number"
        number = numbers[key]
        if number is not None and not (math.isfinite(number) and 0 <= number <= 127):
            return f"{key} ({text}) is outside 0 to 127"
    velocity = numbers["velocity"]
    return Label(class_name or None, numbers["pitch"], None if velocity is None else round(velocity))
