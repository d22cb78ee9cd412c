"""A run says what has changed in its sounds since it began, and which folder brought a class."""

import json
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from audio_gen.artefacts.folders import RunFolder
from audio_gen.data.cache import Cache, build_cache
from audio_gen.errors import CheckpointError, ConfigError
from audio_gen.training.tasks.changes import changes, check_classes, counted, keep_clips
from audio_gen.training.tasks.source import check_apart
from tests import sounds
from tests.sounds import RATE


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """A run with a checkpoint on four sounds of two classes."""
    for i, name in enumerate(("kick", "bell")):
        sounds.write(tmp_path / "in" / name / "0.wav", sounds.pluck(100 + i))
        sounds.write(tmp_path / "in" / name / "1.wav", sounds.pluck(200 + i))
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    (run / "checkpoints" / "step-00000001.pt").write_bytes(b"")
    keep_clips(run, cache_of(tmp_path))
    return run


def decomposed(text: str) -> str:
    return unicodedata.normalize("NFD", text)


def cache_of(tmp_path: Path) -> Cache:
    return build_cache(tmp_path / "in", tmp_path / "run" / "cache", sample_rate=RATE)


def swap(folder: Path) -> None:
    (folder / "kick").rename(folder / "x")
    (folder / "bell").rename(folder / "kick")
    (folder / "x").rename(folder / "bell")


CHANGES: list[tuple[Callable[[Path], object], str | None]] = [
    (lambda folder: None, None),
    (lambda folder: (folder / "kick" / "0.wav").touch(), None),
    (swap, "4 with another sound (bell/0.wav)"),
    (lambda folder: sounds.write(folder / "kick" / "2.wav", sounds.noise()), "1 added (kick/2.wav)"),
    (lambda folder: (folder / "bell" / "1.wav").unlink(), "1 removed (bell/1.wav)"),
    (
        lambda folder: (folder / "bell" / "1.wav").rename(folder / "bell" / "b.wav"),
        "1 renamed (bell/1.wav to bell/b.wav)",
    ),
    (
        lambda folder: (folder / "bell" / "1.wav").rename(folder / "kick" / "b.wav"),
        "1 renamed (bell/1.wav to kick/b.wav), 1 of another class (kick/b.wav)",
    ),
    (
        lambda folder: (folder / "labels.csv").write_text(
            "file,class,pitch\nkick/0.wav,bell,60\nkick/1.wav,kick,\nbell/0.wav,bell,\nbell/1.wav,bell,\n"
        ),
        "1 of another class (kick/0.wav), 1 of another pitch (kick/0.wav)",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("change", "expected"), CHANGES)
def test_what_has_changed(tmp_path: Path, begun: Path, change: Callable[[Path], object], expected: str | None) -> None:
    change(tmp_path / "in")
    cache = cache_of(tmp_path)
    assert (counted(changes(begun, cache)) or None) == expected
    keep_clips(begun, cache)
    assert (counted(changes(begun, cache)) or None) == expected  # since it began, not since last time
    check_classes(begun, tmp_path / "in", cache)


def test_runs_of_earlier_versions_and_damaged_records_go_on(tmp_path: Path, begun: Path) -> None:
    sounds.write(tmp_path / "in" / "new" / "a.wav", sounds.noise())
    for record in (None, b"", b"[1, 2]\n", b"\xff[", b'["a"', b'["a", "h", ["x"], 1]', b'["a", {}, "x", 1]', b"1"):
        RunFolder(begun).clips.unlink(missing_ok=True)
        if record:
            RunFolder(begun).clips.write_bytes(record)
        assert changes(begun, cache_of(tmp_path)) == {}
        check_classes(begun, tmp_path / "in", cache_of(tmp_path))


def test_a_new_class_is_told_with_its_folder(tmp_path: Path, begun: Path) -> None:
    sounds.write(tmp_path / "in" / "vocode-out" / "a.wav", sounds.noise())
    with pytest.raises(CheckpointError, match=r"'vocode-out' is new, since the folder vocode-out/ in .* was not there"):
        check_classes(begun, tmp_path / "in", cache_of(tmp_path))
    shutil.rmtree(begun / "checkpoints")
    check_classes(begun, tmp_path / "in", cache_of(tmp_path))  # nothing is trained yet


def test_classes_are_the_same_however_their_accents_are_stored(tmp_path: Path, begun: Path) -> None:
    """Earlier versions kept class names as the folders have them, which on macOS is decomposed."""
    for name in ("kick", "bell"):
        (tmp_path / "in" / name).rename(tmp_path / "in" / decomposed(f"{name}é"))
    RunFolder(begun).clips.unlink()
    keep_clips(begun, cache_of(tmp_path))
    rows = [json.loads(line) for line in RunFolder(begun).clips.read_text().splitlines()]
    rows = [[path, content, decomposed(name), pitch] for path, content, name, pitch in rows]
    RunFolder(begun).clips.write_text("".join(json.dumps(row) + "\n" for row in rows))
    check_classes(begun, tmp_path / "in", cache_of(tmp_path))
    assert changes(begun, cache_of(tmp_path)) == {}


def test_a_class_that_is_gone_is_told(tmp_path: Path, begun: Path) -> None:
    sounds.write(tmp_path / "in" / "snare" / "a.wav", sounds.noise())
    shutil.rmtree(tmp_path / "in" / "bell")
    with pytest.raises(CheckpointError, match=r"'snare' is new.*and 1 more"):
        check_classes(begun, tmp_path / "in", cache_of(tmp_path))


def test_a_run_does_not_hold_its_sounds(tmp_path: Path) -> None:
    source = sounds.write_notes(tmp_path / "a" / "in", 1)
    check_apart(source, source / "run", force=True)
    check_apart(source, tmp_path / "a" / "run", force=True)
    for run in (source, tmp_path / "a"):
        with pytest.raises(ConfigError, match="contains the sounds"):
            check_apart(source, run, force=False)
        (run / "run.json").write_text("{}")
        check_apart(source, run, force=False)
        with pytest.raises(ConfigError, match="contains the sounds"):
            check_apart(source, run, force=True)
