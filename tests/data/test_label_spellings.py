"""Label sources times spellings: however the same names are written, the same classes come of it."""

import csv
import io
import itertools
import json
import unicodedata
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audio_gen.data.labels import Label, read_labels

# Files as they are on disk, with their classes: accents, spaces, separators in names, one file name in two folders.
TRUTH = {
    "Kicks/Trömmel 1.wav": "kick",
    "Kicks/a,b;c.flac": "kick",
    "Perc/Trömmel 1.wav": "djembé",
    "Perc/sub/x.y.WAV": "djembé",
    "loose.aif": "C#",
}
KEYS: dict[str, Callable[[str], str]] = {
    "plain": lambda n: n,
    "dot": lambda n: f"./{n}",
    "double slash": lambda n: n.replace("/", "//"),
    "up and down": lambda n: f"gone/../{n}",
    "backslash": lambda n: n.replace("/", "\\"),
    "foreign root": lambda n: f"/content/drive/My Drive/pack/{n}",
    "foreign folder": lambda n: f"../pack/{n}",
    "Windows": lambda n: "C:\\Users\\me\\pack\\" + n.replace("/", "\\"),
    "URL": lambda n: "file:///home/me/" + quote(n),
    "case": str.upper,
    "no suffix": lambda n: n.rpartition(".")[0],
    "other suffix": lambda n: n.rpartition(".")[0] + ".mp3",
    "spaces around": lambda n: f"  {n} ",
}
CLASSES: dict[str, Callable[[str], str]] = {
    "plain": str,
    "spaces around": lambda c: f" {c}  ",
    "decomposed": lambda c: unicodedata.normalize("NFD", c),
}
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"]
COLUMNS = list(
    itertools.product(
        ["file", "file_name", "Filename", " Path ", "AUDIO"], ["class", "Label", "category", "INSTRUMENT"]
    )
)


def write_csv(
    folder: Path, key: str, class_name: str, *, separator: str = ",", encoding: str = "utf-8", newline: str = "\n",
    columns: tuple[str, str] = ("file", "class"), name: str = "labels.csv", quoting: int = csv.QUOTE_MINIMAL,
    before: str = "",
) -> None:  # fmt: skip
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=separator, lineterminator=newline, quoting=quoting)  # type: ignore[arg-type]
    writer.writerow([*columns, "comment"])
    for number, (file, which) in enumerate(TRUTH.items()):
        writer.writerow([KEYS[key](file), CLASSES[class_name](which), f"take {number}"])
        text.write(newline if number == 2 else "")  # an empty line
    (folder / name).write_bytes((before + text.getvalue()).encode(encoding))


def classes(folder: Path, on_disk: Callable[[str], str]) -> tuple[dict[str, str | None], list[str]]:
    found, notes = read_labels(folder, [on_disk(name) for name in TRUTH])
    return {name: found[on_disk(name)].class_name for name in TRUTH}, notes


@settings(max_examples=150, deadline=None)
@given(
    key=st.sampled_from(sorted(KEYS)), class_name=st.sampled_from(sorted(CLASSES)), separator=st.sampled_from(",;\t|"),
    encoding=st.sampled_from(ENCODINGS), newline=st.sampled_from(["\n", "\r\n", "\r"]),
    columns=st.sampled_from(COLUMNS), name=st.sampled_from(["labels.csv", "Metadata.CSV", "metadata.tsv"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    form=st.sampled_from(["NFC", "NFD"]), outer=st.sampled_from(["", "My Pack/", "download/My Pack/"]),
    inside=st.booleans(),
)  # fmt: skip
def test_the_same_names_give_the_same_classes(
    tmp_path_factory: pytest.TempPathFactory, key: str, class_name: str, separator: str, encoding: str, newline: str,
    columns: tuple[str, str], name: str, quoting: int, form: str, outer: str, inside: bool,
) -> None:  # fmt: skip
    folder = tmp_path_factory.mktemp("set")
    place = folder / outer if inside else folder
    place.mkdir(parents=True, exist_ok=True)
    if encoding == "cp1252":
        class_name = "plain"  # it has no combining accents
    write_csv(
        place, key, class_name, separator=separator, encoding=encoding, newline=newline, columns=columns, name=name,
        quoting=quoting,
    )  # fmt: skip
    found, notes = classes(folder, lambda n: outer + unicodedata.normalize(form, n))  # type: ignore[arg-type]
    assert found == TRUTH
    assert [("UTF-8" in note) for note in notes] == [True] * (encoding == "cp1252")


@pytest.mark.parametrize("key", sorted(KEYS))
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_the_same_names_in_nsynth_json(tmp_path: Path, key: str, form: str) -> None:
    examples = {KEYS[key](name): {"instrument_family_str": which} for name, which in TRUTH.items()}
    (tmp_path / "examples.json").write_text(json.dumps(examples))
    found, notes = classes(tmp_path, lambda n: unicodedata.normalize(form, n))  # type: ignore[arg-type]
    assert (found, notes) == (TRUTH, [])


def test_the_separator_that_a_spreadsheet_names(tmp_path: Path) -> None:
    write_csv(tmp_path, "plain", "plain", separator=";", before="sep=;\n")
    assert classes(tmp_path, str) == (TRUTH, [])


PITCHES = [
    ("60", 60), ("60.5", 60.5), ("60,5", 60.5), ("C4", 60), ("c-1", 0), ("A4", 69), ("C#4", 61), ("Db4", 61),
    ("D♭4", 61), ("c♯4", 61), ("Cb4", 59), ("B#3", 60), ("b3", 59), ("bb3", 58), ("F##2", 43), ("G9", 127), ("C −1", 0),
]  # fmt: skip


@pytest.mark.parametrize(("text", "midi"), PITCHES)
def test_pitches_as_numbers_and_notes(tmp_path: Path, text: str, midi: float) -> None:
    (tmp_path / "labels.csv").write_text(f"file;pitch;velocity\na.wav;{text};64,0\n", encoding="utf-8")
    assert read_labels(tmp_path, ["a.wav"])[0]["a.wav"] == Label(None, midi, 64)


@pytest.mark.parametrize("text", ["H4", "C", "G#9", "high", "nan", "C4#", "1,2,3"])
def test_what_is_no_pitch_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "labels.csv").write_text(f"file;pitch\na.wav;{text}\n")
    with pytest.raises(Exception, match="line 2: pitch"):
        read_labels(tmp_path, ["a.wav"])


@pytest.mark.parametrize(
    ("rows", "names", "expected", "said"),
    [
        (["3.wav,kick"], ["x/3.wav", "y/3.wav"], {}, ["3.wav (x/3.wav, y/3.wav)"]),
        (["/p/3.wav,a", "/p/x/4.wav,b"], ["x/3.wav", "y/3.wav", "x/4.wav"], {"x/4.wav": "b"}, ["1 of 2 rows"]),
        (["KICK.wav,a"], ["Kick.wav", "kick.wav"], {}, ["KICK.wav (Kick.wav, kick.wav)"]),
        (["kick.wav,a"], ["Kick.wav", "kick.wav"], {"kick.wav": "a"}, []),
        (["a,kick"], ["a.wav", "a.flac"], {"a.wav": "kick", "a.flac": "kick"}, []),
        (["a.wav,kick"], ["a.wav", "a.flac"], {"a.wav": "kick"}, []),
        (["a.wav,kick", "./a.wav,snare"], ["a.wav"], {}, ["contradict", "a.wav (class kick or class snare)"]),
        (["a.wav,kick", "a.wav,snare"], ["a.wav"], {"a.wav": "snare"}, ["contradict"]),
        (["a.wav,kick", "a.wav,Kick"], ["a.wav"], {"a.wav": "kick"}, []),
        (["a.wav,kick", "old/a.wav,snare"], ["a.wav"], {"a.wav": "kick"}, ["1 of 2 rows", "old/a.wav"]),
        # A row of a file that is not here is not taken for one of the same name in another folder.
        (["kick/1.wav,a", "snare/2.wav,b"], ["kick/1.wav", "kick/2.wav"], {"kick/1.wav": "a"}, ["as snare/2.wav"]),
        (["/p/kick/1.wav,a", "/p/snare/2.wav,b"], ["kick/1.wav", "kick/2.wav"], {"kick/1.wav": "a"}, ["snare/2.wav"]),
        (["train/1.wav,a", "train/2.wav,b"], ["test/1.wav", "test/2.wav"], {}, ["2 of 2 rows"]),
        (["/p/1.wav,a", "/p/2.wav,b"], ["low/1.wav", "high/2.wav"], {"low/1.wav": "a", "high/2.wav": "b"}, []),
        (["pack/x/1.wav,a"], ["My Pack/x/1.wav"], {"My Pack/x/1.wav": "a"}, []),
    ],
)  # fmt: skip
def test_which_file_a_row_means(
    tmp_path: Path, rows: list[str], names: list[str], expected: dict[str, str], said: list[str]
) -> None:
    file = tmp_path / "labels.csv"
    file.write_text("\n".join(["file,class", *rows]))
    found, notes = read_labels(tmp_path, names, source=str(file))
    assert {name: label.class_name for name, label in found.items() if label != Label()} == expected
    assert all(text in " ".join(notes) for text in said)
    assert bool(notes) == bool(said)


SAYS_NOTHING = [
    ("", "labels.csv: is empty"),
    ("name,class\na.wav,x\n", "no column 'file' but name, class"),
    ("file,comment\na.wav,x\n", "no column 'class', 'pitch' or 'velocity' but file, comment"),
    ("file,class\n", "labels.csv: holds no rows"),
    ("file,class\na.wav,\n", "gives no class, pitch or velocity"),
    ("file,class\n,kick\n", "1 of 1 rows name no file"),
    ("file,class\nb.wav,kick\n", "1 of 1 rows match no usable file, such as b.wav"),
]


@pytest.mark.parametrize(("text", "note"), SAYS_NOTHING)
def test_every_source_that_yields_nothing_is_told(tmp_path: Path, text: str, note: str) -> None:
    (tmp_path / "labels.csv").write_text(text)
    found, notes = read_labels(tmp_path, ["a.wav"])
    assert found == {"a.wav": Label()}
    assert len(notes) == 1 and note in notes[0]


def test_a_pattern_that_fits_no_name_is_told(tmp_path: Path) -> None:
    _, notes = read_labels(tmp_path, ["a.wav"], pattern=r"(?P<class>\w+)_\d+")
    assert len(notes) == 1 and "matches no file name, such as a" in notes[0]


def test_classes_by_name_go_before_their_numbers(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("file,label,category\na.wav,0,dog\nb.wav,1,cat\n")
    found, _ = read_labels(tmp_path, ["a.wav", "b.wav"])
    assert [label.class_name for label in found.values()] == ["dog", "cat"]


def test_rows_of_files_that_cannot_be_used_label_no_others(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("file,class\n/p/x/1.wav,kick\n/p/y/1.wav,snare\n")
    found, notes = read_labels(tmp_path, ["x/1.wav"], unusable=["y/1.wav"])
    assert found == {"x/1.wav": Label("kick")} and "1 of 2 rows match no usable file, such as /p/y/1.wav" in notes[0]
