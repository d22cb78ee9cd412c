"""Tables of labels as data sets publish them: JSON Lines, columns of splits, names of their own, titles, links."""

import json
from pathlib import Path

import pytest

from audio_gen.config import DataSettings
from audio_gen.data.index import inspect_folder
from audio_gen.data.labels import read_labels
from audio_gen.data.plan import plan_clips
from tests import sounds

WHICH = ["kick"] * 3 + ["snare"] * 3


def classes(folder: Path, names: list[str]) -> tuple[list[str | None], list[str]]:
    found, notes = read_labels(folder, names)
    return [label.class_name for label in found.values()], notes


@pytest.mark.parametrize("place", ["", "train/"])
@pytest.mark.parametrize("key", ["file_name", "audio"])
def test_json_lines(tmp_path: Path, place: str, key: str) -> None:
    (tmp_path / place).mkdir(exist_ok=True)
    rows = [{key: f"{i}.wav", "label": which, "more": [1]} for i, which in enumerate(WHICH)]
    text = "\n".join(json.dumps(row) for row in rows) + "\n\n"
    (tmp_path / place / "metadata.jsonl").write_text(text, encoding="utf-8-sig")
    assert classes(tmp_path, [f"{place}{i}.wav" for i in range(6)]) == (WHICH, [])


@pytest.mark.parametrize("text", ["", '{"file": "0.wav", "label": "kick"}\n{"file', "[1]\n", '{"a": 1}\n'])
def test_other_json_lines_are_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "metadata.jsonl").write_text(text)
    found, notes = classes(tmp_path, ["0.wav"])
    assert found == [None] and len(notes) == 1 and notes[0].startswith("metadata.jsonl: ")


@pytest.mark.parametrize(
    ("file", "header", "row"),
    [
        ("meta/esc50.csv", "filename,fold,target,category,take", "{},1,0,{},A"),
        ("metadata/UrbanSound8K.csv", "slice_file_name,fsID,fold,classID,class", "{},7,1,0,{}"),
        ("train.csv", "fname,label,manually_verified", "{},{},1"),
    ],
)
def test_tables_with_names_of_their_own(tmp_path: Path, file: str, header: str, row: str) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    lines = [header, *(row.format(f"{i}.wav", which) for i, which in enumerate(WHICH))]
    (tmp_path / file).write_text("\n".join(lines))
    names = [f"audio/fold{i % 2}/{i}.wav" for i in range(6)]
    assert classes(tmp_path, names) == (WHICH, [f"labels are read from {file}"])
    (tmp_path / "labels.csv").write_text("file,class\n0.wav,tom\n")  # what has the usual name goes first
    assert classes(tmp_path, names)[0] == ["tom", "fold1", "fold0", "fold1", "fold0", "fold1"]


def test_a_table_of_other_files_is_no_label_file(tmp_path: Path) -> None:
    (tmp_path / "sales.csv").write_text("file,class\n0.wav,kick\nbill.pdf,paid\nletter.pdf,open\n")
    (tmp_path / "wrong.csv").write_text("file,pitch\n0.wav,loud\n")
    assert classes(tmp_path, ["0.wav"]) == ([None], [])


@pytest.mark.parametrize("before", ["# exported in May\n", "Table 1\n\n", "My pack;;\n"])
def test_titles_stand_before_the_header(tmp_path: Path, before: str) -> None:
    (tmp_path / "labels.csv").write_text(f"{before}file;class\n0.wav;kick\n")
    found, notes = classes(tmp_path, ["0.wav"])
    assert found == ["kick"] and notes == ["labels.csv: lines before the column names are ignored"]


def test_a_column_of_splits_is_kept(tmp_path: Path) -> None:
    rows = ["file,class,split"]
    for i in range(12):
        sounds.write(tmp_path / f"{i}.wav", sounds.pluck(100 + 9 * i))
        rows.append(f"{i}.wav,kick,{'validation' if i in (3, 7) else 'train'}")
    (tmp_path / "metadata.csv").write_text("\n".join(rows))
    plan = plan_clips(inspect_folder(tmp_path), DataSettings())
    assert sorted(path for path, side in plan.sides.items() if side == "val") == ["3.wav", "7.wav"]
    assert "the splits of the label file are kept: 10 files to train on, 2 to validate on" in plan.notes


@pytest.mark.parametrize("name", ["lib/1.wav", "1.wav", "pool/1.wav"])
def test_a_row_of_a_link_labels_what_it_leads_to(tmp_path: Path, name: str) -> None:
    (tmp_path / "labels.csv").write_text(f"file,class\n{name},kick\n")
    found, notes = read_labels(tmp_path, ["pool/1.wav"], unusable=["lib/1.wav"], links={"lib/1.wav": "pool/1.wav"})
    assert (found["pool/1.wav"].class_name, notes) == ("kick", [])
