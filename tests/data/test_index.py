"""Every file of a messy folder is told of, and what can be used is used."""

import csv
import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from audio_gen.data import index
from audio_gen.data.index import inspect_folder
from audio_gen.data.measure import measure
from audio_gen.data.report import DatasetReport, FileReport, NothingUsableError, sound_extent
from audio_gen.errors import DataError
from tests import sounds
from tests.sounds import RATE

X = sounds.pluck()
DEEP = "/".join(f"level {i}" for i in range(1, 13)) + "/deep.wav"
ODD_NAMES = [
    "Ünïcödé 録音 🎹.wav",
    "-rf.wav",
    " spaces .wav",
    "two\nlines.wav",
    "q'\"$HOME`x`;*.wav",
    "x" * 240 + ".wav",
    DEEP,
]


def by_path(report: DatasetReport) -> dict[str, FileReport]:
    return {f.path: f for f in report.files}


def one(folder: Path, x: np.ndarray, **how: str) -> FileReport:
    sounds.write(folder / "a.wav", x, **how)
    return inspect_folder(folder).files[0]


def test_plain_files_are_used_without_a_word(tmp_path: Path) -> None:
    report = inspect_folder(sounds.write_notes(tmp_path, 5))
    assert [(f.action, f.reasons) for f in report.files] == [("use", [])] * 5
    assert report.summary()["clips"] == 5 and report.summary()["duration_sec"] == pytest.approx(2.0)


def test_odd_names_are_no_matter(tmp_path: Path) -> None:
    for i, name in enumerate(ODD_NAMES):
        sounds.write(tmp_path / name, sounds.noise(seed=i))
    report = inspect_folder(tmp_path)
    assert sorted(f.path for f in report.usable) == sorted(ODD_NAMES)


REPAIRS = [
    ("nan", lambda x: np.where(np.arange(len(x)) == 99, np.nan, x), "1 NaN or infinite"),
    ("infinity", lambda x: np.where(np.arange(len(x)) < 2, np.inf, x), "2 NaN or infinite"),
    ("dc", lambda x: 0.4 * x + 0.4, "DC offset of +0.4"),
    ("loud", lambda x: 4 * x / abs(x).max(), "peak 4"),
    ("antiphase", lambda x: np.stack([x, -x], axis=1), "cancel each other"),
    ("silent ends", lambda x: np.pad(x, 2 * RATE), "at its start cut"),
]


@pytest.mark.parametrize(("name", "spoil", "reason"), REPAIRS, ids=[r[0] for r in REPAIRS])
def test_repairs(tmp_path: Path, name: str, spoil, reason: str) -> None:  # type: ignore[no-untyped-def]
    f = one(tmp_path, spoil(X).astype(np.float32), subtype="FLOAT")
    assert f.action == "repair" and any(reason in r for r in f.reasons), f.reasons


NOTES = [
    ("clipped", lambda x: (20 * x).clip(-1, 1), "clipped in"),
    ("quiet", lambda x: 1e-3 * x, "very quiet"),
    ("one side", lambda x: np.stack([x, 0 * x], axis=1), "1 of 2 channels silent"),
    ("stereo", lambda x: np.stack([x, 0.5 * x], axis=1), "stereo mixed to mono"),
    ("long", lambda x: np.tile(x, 80), "crops of it at random"),
]


@pytest.mark.parametrize(("name", "spoil", "note"), NOTES, ids=[n[0] for n in NOTES])
def test_notes(tmp_path: Path, name: str, spoil, note: str) -> None:  # type: ignore[no-untyped-def]
    f = one(tmp_path, spoil(X).astype(np.float32))
    assert f.action == "use" and any(note in r for r in f.reasons), f.reasons


EMPTY = [
    ("silence", np.zeros(RATE), "silence"),
    ("constant", np.full(RATE, 0.5), "silence at a constant +0.5"),
    ("dither", np.random.default_rng(0).integers(-1, 2, RATE) / 32768, "silence (peak -90 dBFS)"),
    ("all nan", np.full(RATE, np.nan), "every sample"),
    ("3 ms", X[: 3 * RATE // 1000], "ms long"),
    ("one sample", X[100:101], "ms long"),
    ("no samples", X[:0], "no samples"),
]


@pytest.mark.parametrize(("name", "x", "reason"), EMPTY, ids=[e[0] for e in EMPTY])
def test_nothing_to_learn_from(tmp_path: Path, name: str, x: np.ndarray, reason: str) -> None:
    f = one(tmp_path, x.astype(np.float32), subtype="FLOAT")
    assert f.action == "leave_out" and reason in f.reasons[0], f.reasons


def test_short_clicks_and_one_sided_drums_are_used_as_they_are(tmp_path: Path) -> None:
    click = sounds.noise(sec=0.05)
    drum = abs(X) * np.exp(-np.arange(len(X)) / 500).astype(np.float32)
    sounds.write(tmp_path / "click.wav", click)
    sounds.write(tmp_path / "drum.wav", drum)
    assert [(f.action, f.reasons) for f in inspect_folder(tmp_path).files] == [("use", [])] * 2


def test_long_silences_are_cut_and_short_ones_kept(tmp_path: Path) -> None:
    m = measure(sounds.write(tmp_path / "a.wav", np.pad(sounds.noise(sec=1), (2 * RATE, 3 * RATE))))
    start, stop = sound_extent(m)
    assert start / RATE == pytest.approx(1.95, abs=0.02) and stop / RATE == pytest.approx(3.25, abs=0.02)
    m = measure(sounds.write(tmp_path / "b.wav", np.pad(sounds.noise(sec=1), RATE // 4)))
    assert sound_extent(m) == (0, m.frames)
    assert sound_extent(m, trim_onset=True)[0] / RATE == pytest.approx(0.25, abs=0.02)


def test_broken_files_are_left_out_by_name(tmp_path: Path) -> None:
    from tests.audio.test_io import broken_files

    (tmp_path / "m").mkdir()
    names = {f"m/{path.name}" for path in broken_files(tmp_path / "m")} - {"m/m", "m/missing.wav"}
    files = by_path(inspect_folder(tmp_path))
    assert names <= set(files)
    for name in names:
        f = files[name]
        assert f.action == "leave_out" and f.reasons and "\n" not in f.reasons[0] and str(tmp_path) not in f.reasons[0]


def test_headers_that_lie_are_noted(tmp_path: Path) -> None:
    (tmp_path / "streamed.wav").write_bytes(sounds.wav_bytes(X, data_size=0xFFFFFFFF))
    (tmp_path / "unfinished.wav").write_bytes(sounds.wav_bytes(X, data_size=0))
    (tmp_path / "cut.wav").write_bytes(sounds.wav_bytes(X, data_size=4 * len(X)))
    sounds.write(tmp_path / "other.wav", X, format="FLAC")
    files = by_path(inspect_folder(tmp_path))
    assert {f.action for f in files.values()} == {"use"}
    assert "has no length" in files["streamed.wav"].reasons[0] and "has no length" in files["unfinished.wav"].reasons[0]
    assert "50% of its samples are missing" in files["cut.wav"].reasons[0]
    assert "FLAC named .wav" in files["other.wav"].reasons


def test_an_mp3_that_is_cut_off_is_used_with_a_word(tmp_path: Path) -> None:
    path = sounds.write(tmp_path / "a.mp3", sounds.sine(sec=3.0), format="MP3")
    assert inspect_folder(tmp_path).files[0].reasons == []
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    file = inspect_folder(tmp_path).files[0]
    assert file.action != "leave_out" and "states 3.00 s" in file.reasons[0] and "truncated" in file.reasons[0]


def test_same_sound_in_any_container_is_noted(tmp_path: Path) -> None:
    for name in ("a.wav", "b.flac", "c.aiff"):
        sounds.write(tmp_path / name, (32767 * X).astype(np.int16))
    report = inspect_folder(tmp_path)
    assert len({f.measurement.content_hash for f in report.usable if f.measurement}) == 1
    assert report.files[0].reasons == [] and all("same sound as a.wav" in f.reasons[0] for f in report.files[1:])


def test_other_files_and_folders_are_passed_over(tmp_path: Path) -> None:
    sounds.write(tmp_path / "a.wav", X)
    for name in (".DS_Store", "Thumbs.db", "readme.txt", "a.asd", "no extension"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "folder.wav").mkdir()
    report = inspect_folder(tmp_path)
    assert [f.path for f in report.files] == ["a.wav"] and report.ignored == 5


def test_hidden_files_are_told_of(tmp_path: Path) -> None:
    for name in ("a.wav", ".hidden/b.wav", ".c.wav"):
        sounds.write(tmp_path / name, X)
    files = by_path(inspect_folder(tmp_path))
    assert {name for name, f in files.items() if f.action == "leave_out"} == {".hidden/b.wav", ".c.wav"}
    assert "hidden folder" in files[".hidden/b.wav"].reasons[0]


@pytest.mark.posix
def test_links_are_followed_once(tmp_path: Path) -> None:
    outside = sounds.write(tmp_path / "outside" / "o.wav", sounds.noise()).parent
    root = tmp_path / "in"
    sounds.write(root / "drums" / "a.wav", X)
    links = root / "links"
    links.mkdir()
    targets = {
        "drums": "../drums",
        "loop": "..",
        "up": "/",
        "self": "self",
        "gone.wav": "no.wav",
        "a.wav": "../drums/a.wav",
    }
    for name, target in {**targets, "outside": str(outside), "again": str(outside), "me.wav": "me.wav"}.items():
        os.symlink(target, links / name)
    report = inspect_folder(root)
    files = by_path(report)
    assert sorted(f.path for f in report.usable) == ["drums/a.wav", "links/again/o.wav"]
    assert files["links/a.wav"].action == "use" and "used once" in files["links/a.wav"].reasons[0]
    assert {n for n, f in files.items() if f.action == "leave_out"} == {"links/gone.wav", "links/me.wav"}


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root reads every file")
def test_locked_files_are_left_out(tmp_path: Path) -> None:
    sounds.write(tmp_path / "a.wav", X).chmod(0)
    assert inspect_folder(tmp_path).files[0].action == "leave_out"


def test_folders_without_audio(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        inspect_folder(tmp_path / "missing")
    with pytest.raises(NothingUsableError, match="no audio files"):
        inspect_folder(tmp_path)
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(NothingUsableError, match="1 other file"):
        inspect_folder(tmp_path)
    with pytest.raises(DataError, match="not a folder"):
        inspect_folder(tmp_path / "a.txt")


def test_the_report_does_not_depend_on_the_number_of_workers(tmp_path: Path) -> None:
    sounds.write_notes(tmp_path, 12)
    assert inspect_folder(tmp_path, workers=1).to_json() == inspect_folder(tmp_path, workers=8).to_json()


def test_progress_counts_all_files(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    inspect_folder(sounds.write_notes(tmp_path, 3), progress=lambda *args: told.append(args))
    assert told == [("inspect", 1, 3), ("inspect", 2, 3), ("inspect", 3, 3)]


def test_a_long_file_shows_progress_and_can_be_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "PROGRESS_SEC", 0.01)
    sounds.write(tmp_path / "a.flac", np.zeros((RATE * 3600, 2), np.int16))
    told: list[float] = []

    def interrupt(stage: str, done: float, total: int) -> None:
        told.append(done)
        if done > 0:
            raise KeyboardInterrupt

    start = time.monotonic()
    inspect_folder(tmp_path)
    whole_sec, start = time.monotonic() - start, time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        inspect_folder(tmp_path, progress=interrupt)
    assert 0 < told[-1] < 1 and time.monotonic() - start < max(0.2, whole_sec / 2)


def test_the_command(tmp_path: Path, run_cli: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    sounds.write_notes(tmp_path / "in", 2)
    (tmp_path / "in" / "broken\n.wav").write_bytes(b"")
    done = run_cli("inspect", tmp_path / "in", "--json")
    told = json.loads(done.stdout)
    assert done.returncode == 0 and told["summary"]["use"] == 2 and told["summary"]["leave_out"] == 1
    assert {f["path"]: f["action"] for f in told["files"]}["broken\n.wav"] == "leave_out"
    assert run_cli("inspect", tmp_path / "in", "--strict").returncode == 1
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.wav").write_bytes(b"")
    done = run_cli("inspect", tmp_path / "bad")
    assert done.returncode == 1 and "0 bytes" in done.stderr and done.stderr.count("\n") == 1
    assert run_cli("inspect", tmp_path / "missing").returncode == 2


@pytest.mark.long
@pytest.mark.skipif("AUDIO_GEN_DIRTY" not in os.environ, reason="AUDIO_GEN_DIRTY names no folder")
def test_a_folder_with_a_manifest() -> None:
    """AUDIO_GEN_DIRTY: a messy folder; beside it FOLDER.csv with the columns path and expect."""
    folder = Path(os.environ["AUDIO_GEN_DIRTY"])
    actions = {"ok": {"use", "repair"}, "usable": {"use", "repair"}, "empty": {"leave_out"}, "reject": {"leave_out"}}
    files = by_path(inspect_folder(folder))
    with open(folder.with_name(folder.name + ".csv"), newline="") as f:
        rows = list(csv.DictReader(f))
    wrong = []
    for row in rows:
        got = files.pop(row["path"], None)
        hidden = row["path"].startswith(".hidden/") and got is not None and got.action == "leave_out"
        locked = row["path"] == "locked.wav" and os.geteuid() == 0
        if row["expect"] == "ignore":
            right = got is None or got.action == "leave_out"
        else:
            right = got is not None and got.action in actions[row["expect"]]
            right &= row["expect"] == "ok" or locked or bool(got and got.reasons)
        if not (right or hidden or locked):
            wrong.append((row, got))
    assert rows and not wrong and not files


def test_what_a_model_made_is_not_learned_from(tmp_path: Path) -> None:
    for name in ("mine.wav", "told.wav", "odd.wav", "made.wav"):
        sounds.write(tmp_path / name, X)
    (tmp_path / "told.json").write_text('{"velocity": 3, "bundle": "of sticks"}')  # a user's own
    (tmp_path / "odd.json").write_bytes(b"\xff[")
    (tmp_path / "made.json").write_text('{"seed": 1, "z": [0.5], "bundle": "af12", "version": "0.1"}')
    left_out = inspect_folder(tmp_path).left_out
    assert [f.path for f in left_out] == ["made.wav"] and "generated by audio_gen" in left_out[0].reasons[0]
    assert not inspect_folder(tmp_path, generated=True).left_out
