"""Read label files: CSV from spreadsheets and data sets, JSON Lines, and NSynth's JSON."""

import codecs
import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audio_gen.errors import DataError
from audio_gen.files import MalformedError, parse_json, read_json, read_regular
from audio_gen.text import one_line, shortened

LABEL_FILES = (  # in any case
    "metadata.csv", "labels.csv", "metadata.tsv", "labels.tsv", "metadata.jsonl", "labels.jsonl", "examples.json",
)  # fmt: skip
ROW_SUFFIXES = (".csv", ".tsv", ".jsonl")
FILE_COLUMNS = (
    "file", "filename", "path", "audio", "filepath", "audiofile", "audiopath", "fname", "wav", "sample",
    "audiofilename", "slicefilename", "samplename", "wavfile",
)  # fmt: skip
CLASS_COLUMNS = ("class", "classname", "label", "category", "instrument")
PITCH_COLUMNS, VELOCITY_COLUMNS = ("pitch", "midinote", "midipitch"), ("velocity",)
SPLIT_COLUMNS = ("split", "subset", "partition")
MOST_TITLES = 10  # lines before the header of a table
SEPARATORS = ",;\t|"
SHOWN_COLUMNS = 12
BOMS = {
    codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32", codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16",
}  # fmt: skip # UTF-32 goes first: it begins as UTF-16 does


class NoLabelsError(DataError):
    """A file with the name of a label file holds no labels."""


@dataclass(frozen=True)
class Row:
    """The raw labels of one file.

    Attributes:
        where: The line or key, for messages.
        key: The name or path of the file.
        class_name: Its class; "" if unknown.
        pitch: A number or note name.
        velocity: A number.
        split: Its side of the split, such as "test"; "" if unknown.
    """

    where: str
    key: str
    class_name: str
    pitch: Any
    velocity: Any
    split: str = ""


def read_rows(file: Path) -> tuple[list[Row], list[str]]:
    """Read a label file.

    Args:
        file: A JSON in NSynth's form, or a CSV with a header: separated by comma, semicolon, tab or bar, in UTF-8,
            UTF-16 or Windows-1252. Its columns, in any case, are one of FILE_COLUMNS, and any of CLASS_COLUMNS,
            PITCH_COLUMNS, VELOCITY_COLUMNS and SPLIT_COLUMNS. Or JSON Lines: one object per line with such keys.

    Returns:
        Its rows, and notes for the user without the file name.

    Raises:
        NoLabelsError: It is not a label file.
        DataError: It cannot be read.
    """
    read = {".json": _read_nsynth, ".jsonl": _read_lines}.get(file.suffix.lower(), _read_csv)
    try:
        return read(file)
    except (MalformedError, csv.Error) as e:
        raise NoLabelsError(f"{one_line(file)}: cannot be read as labels ({e}); correct it or move it away") from e
    except OSError as e:
        reason = e.strerror or type(e).__name__
        raise DataError(f"{one_line(file)}: cannot be read as labels ({reason}); correct it or move it away") from e


def _read_nsynth(file: Path) -> tuple[list[Row], list[str]]:
    examples = read_json(file)
    if not isinstance(examples, dict) or not all(isinstance(e, dict) for e in examples.values()):
        raise NoLabelsError(
            f"{one_line(file)}: is not in NSynth's form, a map from names to their fields; move it away"
        )
    rows = []
    for key, e in examples.items():
        class_name = e.get("instrument_family_str")
        if class_name is not None and not isinstance(class_name, str):
            where = f"{one_line(file)}, {shortened(key)}"
            raise DataError(f"{where}: instrument_family_str ({shortened(class_name)}) is not a text; correct it")
        rows.append(Row(shortened(key), key.strip(), (class_name or "").strip(), e.get("pitch"), e.get("velocity")))
    return rows, [] if rows else ["holds no entries"]


def _read_csv(file: Path) -> tuple[list[Row], list[str]]:
    text, notes = _decoded(read_regular(file))
    skipped, separator = 0, None
    if header := re.match(r"\s*\"?sep=(.)\"?[ \t]*(\r\n|\r|\n)", text):  # Excel's line with the separator
        skipped, separator, text = header[0].count("\n") or 1, header[1], text[header.end() :]
    lines = list(io.StringIO(text, newline=""))
    full = [number for number, line in enumerate(lines) if line.strip(f"{SEPARATORS} \r\n\"'")]
    if not full:
        raise NoLabelsError(f"{one_line(file)}: is empty; name the files and their classes in it, or move it away")
    choices = separator or SEPARATORS
    fits = {
        number: max(_fitness(next(csv.reader([lines[number]], delimiter=s))) for s in choices)
        for number in full[:MOST_TITLES]
    }
    titled = next((number for number, (known, count) in fits.items() if known and count > 1), full[0])
    separator = max(choices, key=lambda s: _fitness(next(csv.reader([lines[titled]], delimiter=s))))
    reader = csv.reader(iter(lines[titled:]), delimiter=separator, skipinitialspace=True)
    columns = next(row for row in reader if any(cell.strip("\"' ") for cell in row))
    skipped += titled
    if titled > full[0]:
        notes.append("lines before the column names are ignored")
    body = [(reader.line_num + skipped, [cell.strip() for cell in row]) for row in reader]
    rows, more = _rows_of(file, columns, [(number, row) for number, row in body if any(row)])
    return rows, [*notes, *more]


def _read_lines(file: Path) -> tuple[list[Row], list[str]]:
    text, notes = _decoded(read_regular(file))
    objects: list[tuple[int, dict[str, Any]]] = []
    for number, line in enumerate(text.split("\n"), 1):
        try:
            value = parse_json(line) if line.strip() else {}
        except MalformedError as e:
            raise MalformedError(f"line {number}: {e}") from None
        if not isinstance(value, dict):
            raise MalformedError(f"line {number}: it is not an object with field names")
        objects += [(number, value)] if value else []
    if not objects:
        raise NoLabelsError(f"{one_line(file)}: is empty; name the files and their classes in it, or move it away")
    columns = list(dict.fromkeys(key for _, value in objects for key in value))
    cells = [(number, [_scalar(value.get(key)) for key in columns]) for number, value in objects]
    rows, more = _rows_of(file, columns, cells)
    return rows, [*notes, *more]


def _scalar(value: Any) -> str:
    """A field as text; empty for lists and objects."""
    return str(value).strip() if isinstance(value, str | int | float) else ""


def _rows_of(file: Path, columns: Sequence[str], cells: Sequence[tuple[int, list[str]]]) -> tuple[list[Row], list[str]]:
    """The rows of a table, and notes; `cells` holds the number and the cells of each line."""
    notes = []
    named = [_column(cell) for cell in columns]
    at = next((named.index(c) for c in FILE_COLUMNS if c in named), None)
    shown = [shortened(cell.strip())[1:-1] for cell in columns]
    has = ", ".join(shown[:SHOWN_COLUMNS]) + (", .." if shown[SHOWN_COLUMNS:] else "")
    if at is None:
        raise NoLabelsError(
            f"{one_line(file)}: has no column 'file' but {has}; name the column of file names 'file', or rename the "
            "CSV if it holds no labels"
        )
    classes, pitch, velocity, split = (
        _places(named, wanted, at) for wanted in (CLASS_COLUMNS, PITCH_COLUMNS, VELOCITY_COLUMNS, SPLIT_COLUMNS)
    )
    if not (classes or pitch or velocity):
        what = f"has no column 'class', 'pitch' or 'velocity' but {has}; rename the right column"
        if not split:
            raise NoLabelsError(f"{one_line(file)}: {what}")
        notes.append(what)
    # Prefer a column of class names to one of class numbers.
    classes.sort(key=lambda place: all(_cell(row, [place]).isdigit() for _, row in cells if _cell(row, [place])))
    fields = ([at], classes, pitch, velocity, split)
    rows = [Row(f"line {number}", *(_cell(row, places) for places in fields)) for number, row in cells]
    rows = [row for row in rows if row.key]
    if len(rows) < len(cells):
        notes.append(f"{len(cells) - len(rows)} of {len(cells)} rows name no file")
    if not cells:
        notes.append("holds no rows")
    return rows, notes


def _decoded(data: bytes) -> tuple[str, list[str]]:
    """The text of a file in any encoding, with a note if the encoding is a guess."""
    encoding = next((name for bom, name in BOMS.items() if data.startswith(bom)), None)
    if encoding is None and b"\0" in data[:1000]:  # in UTF-16 every second byte of most letters is zero
        encoding = "utf-16-le" if data[1:1000:2].count(0) > data[:1000:2].count(0) else "utf-16-be"
    try:
        return data.decode(encoding or "utf-8"), []
    except UnicodeDecodeError:
        if encoding is not None:
            raise MalformedError(f"it is not in {encoding.upper()}, as its first bytes say") from None
    note = "is not in UTF-8, and is read as Windows-1252; if names with accents are wrong, save it as UTF-8"
    try:
        return data.decode("cp1252"), [note]
    except UnicodeDecodeError:
        return data.decode("latin-1"), [note]


def _column(cell: str) -> str:
    """A column name without case, spaces, quotes and underscores."""
    return re.sub(r"[\W_]+", "", cell.casefold())


def _fitness(columns: Sequence[str]) -> tuple[bool, int]:
    """A score of a line as header: whether it has a file column, and its number of columns."""
    return any(_column(cell) in FILE_COLUMNS for cell in columns), len(columns)


def _places(named: Sequence[str], wanted: Sequence[str], but: int) -> list[int]:
    return [i for name in wanted for i, column in enumerate(named) if column == name and i != but]


def _cell(row: Sequence[str], places: Sequence[int]) -> str:
    """The first non-empty cell."""
    return next((row[place] for place in places if place < len(row) and row[place]), "")


NOTE = re.compile(r"([a-g])((?:#|♯|𝄪|b|♭|𝄫|x)*)[ _]?(-?\d{1,2})", re.IGNORECASE)
STEPS = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}
SHIFTS = {"#": 1, "♯": 1, "x": 2, "𝄪": 2, "b": -1, "♭": -1, "𝄫": -2}


def midi_number(value: Any) -> float | None:
    """A pitch as MIDI number; None if it is invalid.

    Args:
        value: A number, also as text with a point or a comma, or a note name: C4 is 60, A4 is 69, C#4 and Db4 are 61.
    """
    text = str(value).strip().replace("−", "-")  # the minus sign of typographers
    if note := NOTE.fullmatch(text):
        shift = sum(SHIFTS[sign] for sign in note[2].casefold())
        return float(12 * (int(note[3]) + 1) + STEPS[note[1].casefold()] + shift)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        return float(text.replace(",", ".", 1) if text.count(",") == 1 and "." not in text else text)
    except ValueError:
        return None
