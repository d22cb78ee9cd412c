"""Every note that `preprocess` knows is in `inspect`, `train`, dataset_report.json and the report."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from audio_gen.data.cache import Cache
from audio_gen.studio.showcase import _dataset
from tests.cli.conftest import Run
from tests.sounds import pluck, write

TINY = Path(__file__).parents[2] / "configs" / "vae" / "tiny.yaml"


def split_set(folder: Path) -> None:
    """Two classes, A spelled in two ways, in two splits; a sound that is in both; a label file of every fault."""
    for number in range(8):
        for part, name in (("train", "A"), ("test", "a")):
            write(folder / part / name / f"{part}{number}.wav", pluck(100 + 20 * number + 7 * (part == "test")))
        write(folder / "train" / "b" / f"{number}.wav", pluck(300 + 11 * number))
    write(folder / "test" / "b" / "copy.wav", pluck(300))
    write(folder / "test" / "A copy.wav", pluck(311))
    rows = [
        "file;class;comment", "gone.wav;x;", "0.wav;y;",
        "train/b/1.wav;p;", "train/b/1.wav;q;", "train/b/2.wav;caf\xe9;",
        "train0.wav;;", ";;nothing",
    ]  # fmt: skip
    write(folder / "train" / "A" / "0.wav", pluck(501))
    (folder / "labels.csv").write_bytes("\n".join(rows).encode("cp1252"))
    (folder / "metadata.csv").write_text("title,class\nno file,x\n")
    (folder / "examples.json").write_text("[]")


def plain_set(folder: Path) -> None:
    """An outer folder, classes that differ in case, splits that are no splits, and few sounds."""
    for name, hz in (("Kick", 90), ("kick", 120), ("train", 150), ("test", 180)):
        write(folder / "Pack" / name / "1.wav", pluck(hz))
    (folder / "Pack" / "labels.csv").write_text("file,velocity\n1.wav,\nKick/1.wav,\n")


# At the rate of the cache that `preprocess` makes: a note says what lies above the sounds' own.
MEL = "mel={sample_rate: 44100, n_fft: 512, hop_length: 256, n_mels: 40}"

TRAIN = ("--config", TINY, "--set", MEL, "--steps", "1", "--device", "cpu")

SETS: list[tuple[Callable[[Path], None], list[str]]] = [
    (
        split_set,
        [
            "used as splits", "splits of the folders are kept", "not trained on",
            "metadata.csv: has no column 'file'",
            "labels.csv: is not in UTF-8", "match no usable file", "several files", "nothing above",
            "contradict", "rows name no file",
            "examples.json: is not in NSynth's form", "spelled in 2 ways", "copies of a sound",
        ],
    ),
    (
        plain_set,
        ["holds all others", "lower case", "not splits", "too few to hold any out", "gives no class", "several"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("make", "kinds"), SETS)
def test_all_notes_are_told_everywhere(
    run: Run, tmp_path: Path, make: Callable[[Path], None], kinds: list[str]
) -> None:
    make(tmp_path / "set")
    run("preprocess", "set", "--out", "cache")
    cache = Cache.open(tmp_path / "cache")
    notes = cache.notes
    assert [kind for kind in kinds if not any(kind in note for note in notes)] == []
    assert all(note == note.strip() and note.isprintable() for note in notes)
    out, _ = run("preprocess", "set", "--out", "cache")
    assert [line for line in notes if line not in out.splitlines()] == []
    assert json.loads((tmp_path / "cache" / "dataset_report.json").read_text())["summary"]["notes"] == notes
    assert json.loads(run("preprocess", "set", "--out", "cache", "--json")[0])["notes"] == notes
    out, _ = run("inspect", "set")
    assert [line for line in notes if line not in out.splitlines()] == []
    assert json.loads(run("inspect", "set", "--json")[0])["summary"]["notes"] == notes
    (section,) = _dataset(cache)
    assert [note for note in notes if note not in section.text] == []
    for source, name in (("set", "first"), ("first/cache", "second")):
        out, error = run(
            "train", source, "--run", name, "--config", TINY, "--set", MEL, "--steps", "1", "--device", "cpu"
        )
        assert [note for note in notes if note not in out + error] == []
        assert json.loads((tmp_path / name / "dataset_report.json").read_text())["summary"]["notes"] == notes


def test_inspect_tells_a_wrong_label_file_in_json_too(run: Run, tmp_path: Path) -> None:
    write(tmp_path / "set" / "a.wav", pluck())
    (tmp_path / "set" / "labels.csv").write_text("file,pitch\na.wav,high\n")
    (note,) = json.loads(run("inspect", "set", "--json")[0])["summary"]["notes"]
    assert "labels.csv, line 2: pitch (high) is not a number" in note
