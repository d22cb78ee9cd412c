"""Read class, pitch and velocity of clips from label files, folders or file names.

The first source with a value wins, for each field separately:
1. `metadata.csv` or `labels.csv` (or .tsv, .jsonl) at the top, in the only folder there, or in the folder of a split,
2. NSynth's `examples.json` there,
3. without these, another table there or in a neighbouring folder, if most of its rows match sounds,
4. the class from the folders (see `audio_gen.data.layout`); pitch and velocity from the file name,
5. the class from the file name (`violin-060-110.flac`; the pattern can be set).
"""

import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from audio_gen.data.label_files import LABEL_FILES, ROW_SUFFIXES, NoLabelsError, Row, midi_number, read_rows
from audio_gen.data.layout import Layout, read_layout, split_folders
from audio_gen.data.names import FileMatch, FileNames, composed, folded
from audio_gen.data.split import Split
from audio_gen.errors import ConfigError, DataError
from audio_gen.files import at_home
from audio_gen.text import one_line, shortened

DEFAULT_PATTERN = r"(?P<class>.+)-(?P<pitch>\d{3})-(?P<velocity>\d{3})$"
SOURCES = ("auto", "none", "folders", "names")
SHOWN = 3
MOST_FOLDERS = 20  # folders without sounds that are searched for tables


@dataclass(frozen=True)
class Label:
    """The labels of a clip.

    Attributes:
        class_name: Its class.
        pitch: MIDI note number, 0 to 127, fractions allowed.
        velocity: MIDI velocity, 0 to 127.
        split: Its side of the split in a label file.
    """

    class_name: str | None = None
    pitch: float | None = None
    velocity: int | None = None
    split: Split | None = None

    def or_else(self, other: "Label") -> "Label":
        """This label, with unknown fields from another."""
        return Label(
            other.class_name if self.class_name is None else self.class_name,
            other.pitch if self.pitch is None else self.pitch,
            other.velocity if self.velocity is None else self.velocity,
            self.split or other.split,
        )


def read_labels(
    folder: Path, names: Iterable[str], *, source: str = "auto", pattern: str = DEFAULT_PATTERN,
    unusable: Iterable[str] = (), layout: Layout | None = None, links: Mapping[str, str] | None = None,
) -> tuple[dict[str, Label], list[str]]:  # fmt: skip
    """Label the files of a folder.

    Args:
        folder: The folder.
        names: Paths of its files within it, with "/" between the parts.
        source: "auto" for all sources in the order above, "folders", "names", "none", or the path of a CSV or an NSynth
            JSON file.
        pattern: Regular expression searched in a file's name without its suffix; its groups may be `class`, `pitch` and
            `velocity`.
        unusable: Other audio files of the folder, which a label file may also name.
        layout: The layout of the folder; None reads it from `names`.
        links: Targets of the `unusable` files that are links.

    Returns:
        A label for each name, and notes for the user.

    Raises:
        DataError: A label file cannot be read or holds an invalid value, or the file `source` lacks its columns.
    """
    names = list(names)
    compiled, layout = compile_pattern(pattern), layout or read_layout(names)
    labels, notes, in_files = {name: Label() for name in names}, list[str](), set[str]()
    for found in _sources(folder, names, _Others(list(unusable), links or {}), source, compiled, layout):
        if any(labels[name].class_name is None for name in found.labels):
            notes += found.class_notes
        for name, label in found.labels.items():
            if found.rows and label.class_name is not None:
                in_files.add(name)
            labels[name] = labels[name].or_else(label)
        notes += found.notes
    custom = pattern != DEFAULT_PATTERN and source in ("auto", "names")
    if custom and names and not any(compiled.search(_stem(name)) for name in names):
        notes.append(f"pattern ({shortened(pattern)[1:-1]}) matches no file name, such as {one_line(_stem(names[0]))}")
    return labels, [*notes, *_left_to_folders(labels, in_files), *_unite_classes(labels, layout)]


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Compile a user's regular expression.

    Raises:
        ConfigError: It is not valid.
    """
    try:
        return re.compile(pattern)
    except re.error as e:
        raise ConfigError(f"pattern ({pattern}) is not a regular expression: {e}; try {DEFAULT_PATTERN}") from e


@dataclass(frozen=True)
class _Others:
    """Audio files without a label, and the targets of links."""

    names: list[str]
    links: Mapping[str, str]

    def resolved(self, match: FileMatch) -> FileMatch:
        """A match with links replaced by their targets."""
        names = tuple(dict.fromkeys(self.links.get(name, name) for name in match.names))
        return replace(match, names=names, ambiguous=match.ambiguous and len(names) > 1)


@dataclass(frozen=True)
class _Found:
    labels: dict[str, Label]
    notes: list[str] = field(default_factory=list)
    class_notes: list[str] = field(default_factory=list)  # shown if a class is used
    rows: int = 0


def _sources(
    folder: Path, names: list[str], others: _Others, source: str, pattern: re.Pattern[str], layout: Layout
) -> list[_Found]:
    by_folder, by_name = _Found(_classes(layout), class_notes=layout.class_notes), _Found(_from_names(names, pattern))
    if source in SOURCES and source != "auto":
        return {"none": [], "folders": [by_folder], "names": [by_name]}[source]
    if source != "auto":
        return [_from_file(*_named_file(folder, source), names, others, named=True)]
    files = [(folder / place / file, place) for place in layout.places for file in _label_files(folder / place)]
    files.sort(key=lambda entry: LABEL_FILES.index(entry[0].name.lower()))
    tables = [_from_file(*file, names, others) for file in files]
    if not any(table.labels for table in tables):
        tables += _from_other_tables(folder, layout.places, names, others)
    return [*tables, by_folder, by_name]


def _from_other_tables(folder: Path, places: list[str], names: list[str], others: _Others) -> list[_Found]:
    """Labels of tables with other names, such as `meta/esc50.csv`, if most of their rows label files here."""
    holding = {name.rpartition("/")[0] for name in (*names, *others.names)}
    holding |= {"/".join(parts[:i]) for parts in [path.split("/") for path in holding] for i in range(len(parts))}
    found = []
    for place in places:
        neighbours = [f"{place}/{name}".lstrip("/") for name in _listing(folder / place)]
        without_sounds = [other for other in neighbours if other not in holding and (folder / other).is_dir()]
        for where in [place, *without_sounds[:MOST_FOLDERS]]:
            for name in _listing(folder / where):
                file = folder / where / name
                if file.suffix.lower() not in ROW_SUFFIXES or name.startswith(".") or not file.is_file():
                    continue
                with suppress(DataError):  # a table for another purpose
                    table = _from_file(file, place, names, others)
                    known = [label for label in table.labels.values() if label.class_name or label.pitch is not None]
                    if known and 2 * len(known) >= table.rows:
                        title = one_line(f"{where}/{name}".lstrip("/"))
                        found.append(replace(table, notes=[f"labels are read from {title}", *table.notes]))
    return found


def _label_files(folder: Path) -> list[str]:
    return [name for name in _listing(folder) if name.lower() in LABEL_FILES and (folder / name).is_file()]


def _listing(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:  # a name with bytes that are not UTF-8, or a missing folder
        return []


def _named_file(folder: Path, source: str) -> tuple[Path, str]:
    """The label file that a user named, and its folder relative to that of the sounds."""
    file = at_home(source)
    if not file.exists() and (folder / file).exists():
        file = folder / file
    if not file.exists():
        raise DataError(
            f"{one_line(file)}: no such label file; give auto, folders, names, none, or a CSV or NSynth JSON"
        )
    place = os.path.relpath(os.path.realpath(file.parent), os.path.realpath(folder)).replace(os.sep, "/")
    return file, "" if place == "." or place.startswith("..") else place


def _classes(layout: Layout) -> dict[str, Label]:
    return {name: Label(class_name=top) for name, top in layout.classes.items()}


def _from_names(names: list[str], pattern: re.Pattern[str]) -> dict[str, Label]:
    labels = {}
    for name in names:
        if match := pattern.search(_stem(name)):
            values = match.groupdict()
            label = _label(values.get("class"), values.get("pitch"), values.get("velocity"))
            if isinstance(label, Label):  # invalid numbers: the name follows another pattern
                labels[name] = label
    return labels


def _from_file(file: Path, place: str, names: list[str], others: _Others, *, named: bool = False) -> _Found:
    """The labels of a file in the folder `place`; its keys are paths from there, or from the top."""
    title = one_line(f"{place}/{file.name}" if place else file.name)
    try:
        rows, notes = read_rows(file)
    except NoLabelsError as e:
        if named:
            raise
        return _Found({}, [f"{title}{str(e).removeprefix(one_line(file))}"])
    sides = split_folders({row.split for row in rows if row.split})
    parsed = [(row, _parsed(file, row, sides.get(row.split))) for row in rows]
    matches = _matches(place, [row.key for row in rows], [*names, *others.names])
    matches = {key: others.resolved(match) for key, match in matches.items()}
    labels, more = _joined(parsed, matches, frozenset(names))
    if labels and not notes and not any(label != Label() for label in labels.values()):
        more.append(f"gives no class, pitch or velocity to any of the {len(labels)} files in it")
    return _Found(labels, [f"{title}: {note}" for note in [*notes, *more]], rows=len(rows))


def _left_to_folders(labels: Mapping[str, Label], in_files: set[str]) -> list[str]:
    """A note if only some classes are from label files: often one class has two spellings."""
    left = [name for name, label in labels.items() if label.class_name is not None and name not in in_files]
    if not in_files or not left:
        return []
    label = one_line(labels[left[0]].class_name or "")
    return [
        f"no label file gives a class to {_files(len(left))} of {len(labels)}, such as {one_line(left[0])}: the folder "
        f"or the name does ({label})"
    ]


def _matches(place: str, keys: list[str], names: list[str]) -> dict[str, FileMatch]:
    before = f"{place}/" if place else ""
    if below := [name.removeprefix(before) for name in names if name.startswith(before)]:
        found = FileNames(below).match(keys)
        if not place or any(match.names for match in found.values()):
            return {k: replace(m, names=tuple(before + name for name in m.names)) for k, m in found.items()}
    return FileNames(names).match(keys)


def _parsed(file: Path, row: Row, side: Split | None) -> Label:
    label = _label(row.class_name, row.pitch, row.velocity)
    if isinstance(label, str):
        raise DataError(f"{one_line(file)}, {row.where}: {label}; correct the row")
    return replace(label, split=side)


def _joined(
    rows: list[tuple[Row, Label]], matches: Mapping[str, FileMatch], usable: frozenset[str]
) -> tuple[dict[str, Label], list[str]]:
    """The labels of files from rows, and notes about faulty rows."""
    by_file: dict[str, list[tuple[Row, Label]]] = {}
    nearest: dict[str, tuple[int, bool, int]] = {}
    for row, label in rows:
        match = matches[row.key]
        for name in () if match.ambiguous else match.names:
            by_file.setdefault(name, []).append((row, label))
            nearest[name] = min(nearest.get(name, match.rank), match.rank)
    labels, conflicts, taken = {}, list[str](), set[str]()
    for name, entries in by_file.items():
        # A row that matches this file less closely is for another file, which is missing.
        closest = [(row, label) for row, label in entries if matches[row.key].rank == nearest[name]]
        taken |= {row.key for row, _ in closest} if name in usable else set()
        stated = [label for _, label in closest]
        agreed = _agreed(stated)
        if agreed is None:
            conflicts.append(f"{one_line(name)} ({' or '.join(dict.fromkeys(_shown(label) for label in stated))})")
            agreed = (
                stated[-1].or_else(_agreed(stated[:1]) or Label())
                if len({row.key for row, _ in closest}) == 1
                else Label()
            )
        if name in usable:
            labels[name] = agreed
    ambiguous = {row.key: matches[row.key].names for row, _ in rows if matches[row.key].ambiguous}
    unknown = [row.key for row, _ in rows if row.key not in taken and row.key not in ambiguous]
    notes = []
    if unknown:
        notes.append(f"{len(unknown)} of {len(rows)} rows match no usable file, such as {one_line(unknown[0])}")
    if ambiguous:
        key, names = next(iter(ambiguous.items()))
        which = f"{one_line(key)} ({_some(names)})"
        notes.append(f"{_keys(len(ambiguous))} several files and labels none, such as {which}; give a longer path")
    if conflicts:
        notes.append(f"rows contradict each other for {_files(len(conflicts))}: {_some(conflicts)}; correct them")
    return labels, notes


def _agreed(labels: list[Label]) -> Label | None:
    """The union of labels; None if they contradict each other."""
    together = Label()
    for label in labels:
        joint, other = together.or_else(label), label.or_else(together)
        if folded(joint.class_name or "") != folded(other.class_name or "") or joint.pitch != other.pitch:
            return None
        if joint.velocity != other.velocity:
            return None
        together = joint
    return together


def _shown(label: Label) -> str:
    fields = {"class": label.class_name, "pitch": label.pitch, "velocity": label.velocity}
    return one_line(
        ", ".join(f"{k} {v}" if isinstance(v, str) else f"{k} {v:g}" for k, v in fields.items() if v is not None)
    )


def _some(texts: Iterable[str]) -> str:
    shown = [one_line(text) for text in texts]
    return ", ".join(shown[:SHOWN]) + (f" and {len(shown) - SHOWN} more" if shown[SHOWN:] else "")


def _keys(count: int) -> str:
    return "1 name can mean" if count == 1 else f"{count} names can each mean"


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"


def _unite_classes(labels: dict[str, Label], layout: Layout) -> list[str]:
    """Merge classes whose names differ only in case or composition; sibling folders stay separate."""
    counts = Counter(label.class_name for label in labels.values() if label.class_name is not None)
    spellings: dict[str, list[str]] = {}
    for name in sorted(counts, key=lambda name: (-counts[name], name)):
        spellings.setdefault(folded(name), []).append(name)
    neighbours = set[str]() if layout.splits else {composed(name) for name in layout.classes.values()}
    becomes, notes = dict[str, str](), list[str]()
    for several in spellings.values():
        variants = {composed(name) for name in several}
        separate = len(variants & neighbours) > 1
        becomes |= {name: composed(name if separate else several[0]) for name in several}
        if separate:
            notes.append(
                f"the classes {_some(sorted(variants))} differ only in upper and lower case; they stay separate classes"
            )
        if len(several) > (len(variants) if separate else 1):
            spelled = (
                _some(sorted(set(map(shortened, several))))
                if len(variants) > 1
                else "with and without combining accents"
            )
            notes.append(
                f"class {one_line(composed(several[0]))} is spelled in {len(several)} ways ({spelled}): one class"
            )
    for name, label in labels.items():
        if label.class_name is not None and becomes[label.class_name] != label.class_name:
            labels[name] = replace(label, class_name=becomes[label.class_name])
    return notes


def _stem(name: str) -> str:
    return PurePosixPath(name).stem


def _label(class_name: str | None, pitch: Any, velocity: Any) -> Label | str:
    """A label from raw fields, or a description of the fault."""
    numbers: dict[str, float | None] = {}
    for key, value in (("pitch", pitch), ("velocity", velocity)):
        if value is None or (isinstance(value, str) and not value.strip()):
            numbers[key] = None
            continue
        number = midi_number(value)
        shown = shortened(value).strip("'\"")
        if number is None:
            return f"{key} ({shown}) is not a number" + (" or a note such as C#4" if key == "pitch" else "")
        if not (math.isfinite(number) and 0 <= number <= 127):
            return f"{key} ({shown}) is outside 0 to 127"
        numbers[key] = number
    known_velocity = numbers["velocity"]
    return Label(
        (class_name or "").strip() or None, numbers["pitch"], None if known_velocity is None else round(known_velocity)
    )
