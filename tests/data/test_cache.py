"""The cache holds the sounds as they are, touches only what has changed, and survives whatever stops a build."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audio_gen.audio.io import read_wav
from audio_gen.config import DataSettings, build
from audio_gen.data import encode, pcm
from audio_gen.data.cache import Cache, Clip, build_cache
from audio_gen.data.report import NothingUsableError
from audio_gen.data.table import ClipTable
from audio_gen.errors import AudioFileError, ConfigError, DataError, OutputError
from tests import sounds
from tests.sounds import RATE


def clips_by_path(cache: Cache) -> dict[str, Clip]:
    return {clip.path: clip for clip in cache.clips}


def places(cache: Cache) -> dict[str, tuple[int, int, float]]:
    return {clip.path: (clip.offset, clip.samples, clip.scale) for clip in cache.clips}


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are encoded."""
    names: list[str] = []
    real = pcm.encode

    def spy(job: encode.Job, *pulse: Any) -> float:
        names.append(job.path.name)
        return real(job, *pulse)

    monkeypatch.setattr(pcm, "encode", spy)
    return names


@pytest.mark.parametrize("sample_rate", [RATE, 44100, 16000])
def test_reading_gives_the_sounds_at_their_level(tmp_path: Path, sample_rate: int) -> None:
    loudness = {"loud": 1.0, "normal": 0.3, "quiet": 1e-3}
    for name, gain in loudness.items():
        sounds.write(tmp_path / "in" / f"{name}.wav", gain * sounds.pluck(), subtype="FLOAT")
    cache = build_cache(tmp_path / "in", tmp_path / "cache", sample_rate=sample_rate)
    for clip in cache.clips:
        expected = read_wav(tmp_path / "in" / clip.path, sample_rate=sample_rate)[0][0].numpy()
        assert clip.samples == len(expected)
        assert np.abs(cache.read(clip) - expected).max() < 1e-4 * loudness[Path(clip.path).stem]


def test_parts_of_clips_and_what_lies_beyond(tmp_path: Path) -> None:
    sounds.write_notes(tmp_path / "in", 3)
    cache = build_cache(tmp_path / "in", tmp_path / "cache", sample_rate=RATE)
    clip = cache.clips[1]
    whole = cache.read(clip)
    assert np.array_equal(cache.read(clip, 100, 50), whole[100:150])
    assert np.array_equal(cache.read(clip, clip.samples - 5, 10), np.pad(whole[-5:], (0, 5)))
    assert not cache.read(clip, clip.samples + 5, 10).any()


def test_repairs_are_made(tmp_path: Path) -> None:
    x = sounds.pluck()
    sounds.write(tmp_path / "in" / "dc.wav", 0.4 * x + 0.4, subtype="FLOAT")
    sounds.write(tmp_path / "in" / "loud.wav", 4 * x / abs(x).max(), subtype="FLOAT")
    sounds.write(tmp_path / "in" / "padded.wav", np.pad(sounds.noise(sec=1), 5 * RATE))
    cache = build_cache(tmp_path / "in", tmp_path / "cache", sample_rate=RATE)
    clips = clips_by_path(cache)
    assert np.abs(cache.read(clips["dc.wav"]) - 0.4 * x).max() < 0.02
    assert np.abs(cache.read(clips["loud.wav"])).max() == pytest.approx(1, abs=1e-3)
    assert clips["padded.wav"].samples == pytest.approx(1.3 * RATE, abs=600)


def test_overshoot_beyond_the_headroom_is_not_clipped(tmp_path: Path) -> None:
    bits = np.random.default_rng(0).choice([-1.0, 1.0], 20_000).astype(np.float32)
    sounds.write(tmp_path / "in" / "bits.wav", bits, subtype="FLOAT")
    cache = build_cache(tmp_path / "in", tmp_path / "cache", sample_rate=4 * RATE)
    expected = read_wav(tmp_path / "in" / "bits.wav", sample_rate=4 * RATE)[0][0].numpy()
    assert np.abs(expected).max() > 1 / encode.HEADROOM
    assert np.abs(cache.read(cache.clips[0]) - expected).max() < 1e-3


def test_a_second_build_reads_only_what_has_changed(tmp_path: Path, encoded: list[str]) -> None:
    sounds.write_notes(tmp_path / "in", 6)
    before = build_cache(tmp_path / "in", tmp_path / "cache", sample_rate=RATE)
    assert len(encoded) == 6
    again = build_cache(tmp_path / "in", tmp_path / "cache", sample_rate=RATE)
    assert len(encoded) == 6 and places(again) == places(before)
    sounds.write(tmp_path / "in" / "note-03.wav", sounds.noise())
    changed = build_cache(tmp_path / "in", tmp_path / "cache", sample_rate=RATE)
    assert encoded[6:] == ["note-03.wav"]
    assert {k for k, v in places(changed).items() if v != places(before)[k]} == {"note-03.wav"}
    assert places(changed)["note-03.wav"][0] == before.pcm_samples


def test_unchanged_files_are_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sounds.write_notes(tmp_path / "in", 3)
    build_cache(tmp_path / "in", tmp_path / "cache", sample_rate=RATE)
    monkeypatch.setattr("audio_gen.data.index.measure", lambda path: pytest.fail(f"{path} is read"))
    build_cache(tmp_path / "in", tmp_path / "cache", sample_rate=RATE)


def test_renamed_and_copied_files_are_not_stored_again(tmp_path: Path, encoded: list[str]) -> None:
    sounds.write_notes(tmp_path / "in", 3)
    build_cache(tmp_path / "in", tmp_path / "cache", sample_rate=RATE)
    (tmp_path / "in" / "note-00.wav").rename(tmp_path / "in" / "new.wav")
    shutil.copyfile(tmp_path / "in" / "note-01.wav", tmp_path / "in" / "copy.wav")
    cache = build_cache(tmp_path / "in", tmp_path / "cache", sample_rate=RATE)
    assert len(encoded) == 3 and len(cache.clips) == 4
    assert places(cache)["copy.wav"] == places(cache)["note-01.wav"]


def test_a_file_that_is_mostly_dead_is_written_anew(tmp_path: Path) -> None:
    sounds.write_notes(tmp_path / "in", 6)
    before = build_cache(tmp_path / "in", tmp_path / "cache", sample_rate=RATE)
    heard = {c.path: before.read(c) for c in before.clips}
    for i in range(5):
        (tmp_path / "in" / f"note-{i:02d}.wav").unlink()
    after = build_cache(tmp_path / "in", tmp_path / "cache", sample_rate=RATE)
    assert after.pcm_samples == after.clips[0].samples and after.pcm_name != before.pcm_name
    assert not (tmp_path / "cache" / before.pcm_name).exists()
    assert np.array_equal(after.read(after.clips[0]), heard["note-05.wav"])
    assert np.array_equal(before.read(before.clips[0]), heard["note-00.wav"])  # readers keep what they opened


@pytest.mark.parametrize("sample_rate", [RATE, 16000])
def test_an_interrupted_build_leaves_the_old_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sample_rate: int
) -> None:
    sounds.write_notes(tmp_path / "in", 4)
    before = build_cache(tmp_path / "in", tmp_path / "cache", sample_rate=RATE)
    heard = [before.read(c) for c in before.clips]
    sounds.write_notes(tmp_path / "in", 8)
    real, count = pcm.encode, iter(range(99))

    def stopped(job: encode.Job, *pulse: Any) -> float:
        if next(count) == 2:
            raise KeyboardInterrupt
        return real(job, *pulse)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(pcm, "encode", stopped)
        build_cache(tmp_path / "in", tmp_path / "cache", sample_rate=sample_rate)
    for cache in (before, Cache.open(tmp_path / "cache")):
        assert all(np.array_equal(cache.read(c), x) for c, x in zip(cache.clips, heard, strict=True))
    whole = build_cache(tmp_path / "in", tmp_path / "cache", sample_rate=sample_rate)
    fresh = build_cache(tmp_path / "in", tmp_path / "fresh", sample_rate=sample_rate)
    assert len(whole.clips) == 8
    for a, b in zip(whole.clips, fresh.clips, strict=True):
        assert np.array_equal(whole.read(a), fresh.read(b))


def test_a_full_disk_is_told_and_leaves_the_old_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sounds.write_notes(tmp_path / "in", 4)
    build_cache(tmp_path / "in", tmp_path / "cache", sample_rate=RATE)
    sounds.write_notes(tmp_path / "in", 6)

    def full(path: Path, size: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pcm, "_set_size", full)
    with pytest.raises(OutputError, match="No space left"):
        build_cache(tmp_path / "in", tmp_path / "cache", sample_rate=RATE)
    assert len(Cache.open(tmp_path / "cache").clips) == 4


def test_a_file_that_vanishes_in_between_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sounds.write_notes(tmp_path / "in", 3)
    real = pcm.encode

    def gone(job: encode.Job, *pulse: Any) -> float:
        if job.path.name == "note-01.wav":
            raise AudioFileError(f"{job.path}: cannot be opened (gone); check that it is there")
        return real(job, *pulse)

    monkeypatch.setattr(pcm, "encode", gone)
    cache = build_cache(tmp_path / "in", tmp_path / "cache", sample_rate=RATE)
    assert [c.path for c in cache.clips] == ["note-00.wav", "note-02.wav"]
    told = {f["path"]: f for f in cache.report["files"]}["note-01.wav"]
    assert told["action"] == "leave_out" and told["reasons"] == ["cannot be opened (gone); check that it is there"]


def test_the_same_folder_gives_the_same_cache(tmp_path: Path) -> None:
    sounds.write_notes(tmp_path / "in", 9)
    for name, workers in (("a", 1), ("b", 4)):
        build_cache(tmp_path / "in", tmp_path / name, sample_rate=44100, workers=workers)
    for file in ("pcm.int16", "index.json", "dataset_report.json", "clips/offset.npy", "clips/names.npy"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_labels_split_and_pitches(tmp_path: Path) -> None:
    for i in range(6):
        sounds.write(tmp_path / "in" / "pluck" / f"p-{48 + i:03d}-100.wav", sounds.pluck(130.8 * 2 ** (i / 12)))
        sounds.write(tmp_path / "in" / "noise" / f"{i}.wav", sounds.noise(seed=i))
    sounds.write(tmp_path / "in" / "pluck" / "a.wav", sounds.pluck(440))
    cache = build_cache(tmp_path / "in", tmp_path / "cache", sample_rate=RATE)
    assert cache.classes == ["noise", "pluck"] and cache.pitch_range == (48, 53)
    assert {c.velocity for c in cache.clips if "-" in c.path} == {100}
    assert len(cache.split("train")) + len(cache.split("val")) == 13 and cache.split("val")
    auto = build_cache(
        tmp_path / "in", tmp_path / "cache", sample_rate=RATE, data=DataSettings(pitch="auto", val_fraction=0)
    )
    clips = clips_by_path(auto)
    assert clips["pluck/a.wav"].pitch == pytest.approx(69, abs=0.2) and clips["noise/0.wav"].pitch is None
    assert auto.split("val") == auto.split("train") == auto.clips
    none = build_cache(tmp_path / "in", tmp_path / "cache", sample_rate=RATE, data=DataSettings(pitch="none"))
    assert none.pitch_range is None


def test_few_clips_are_all_trained_and_validated_on(tmp_path: Path) -> None:
    cache = build_cache(sounds.write_notes(tmp_path / "in", 4), tmp_path / "cache", sample_rate=RATE)
    assert cache.split("train") == cache.split("val") == cache.clips and "too few" in cache.notes[0]
    assert cache.report["summary"]["notes"] == cache.notes


def test_trimmed_onsets(tmp_path: Path) -> None:
    sounds.write(tmp_path / "in" / "a.wav", np.pad(sounds.noise(sec=1), (RATE // 4, 0)))
    plain = build_cache(tmp_path / "in", tmp_path / "cache", sample_rate=RATE)
    assert not plain.read(plain.clips[0], 0, 1000).any()
    cut = build_cache(tmp_path / "in", tmp_path / "cache", sample_rate=RATE, data=DataSettings(trim_onset=True))
    assert cut.read(cut.clips[0], 0, 1000).any() and cut.clips[0].samples < plain.clips[0].samples


def damage_index(cache: Path) -> None:
    (cache / "index.json").write_text("{")


def damage_fields(cache: Path) -> None:
    (cache / "index.json").write_text('{"version": 2}')


def change_version(cache: Path) -> None:
    (cache / "index.json").write_text('{"version": 99}')


def damage_column(cache: Path) -> None:
    np.save(cache / "clips" / "offset.npy", np.zeros(2, np.int64))


def lose_names(cache: Path) -> None:
    (cache / "clips" / "names.npy").unlink()


def cut_samples(cache: Path) -> None:
    os.truncate(cache / "pcm.int16", 100)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (shutil.rmtree, "is not a cache"),
        (damage_index, "index.json: is damaged"),
        (damage_fields, "index.json: is damaged"),
        (change_version, "version 99"),
        (damage_column, "clips: is damaged .its columns do not match"),
        (lose_names, "names.npy: cannot be read"),
        (cut_samples, "pcm.int16: holds 100 of"),
    ],
)
def test_damage_is_told_and_mended_by_a_build(tmp_path: Path, damage: Callable[[Path], None], message: str) -> None:
    folder, out = sounds.write_notes(tmp_path / "in", 3), tmp_path / "cache"
    build_cache(folder, out, sample_rate=RATE)
    damage(out)
    with pytest.raises(DataError, match=message) as caught:
        Cache.open(out)
    assert "audio-gen preprocess" in str(caught.value)
    assert len(build_cache(folder, out, sample_rate=RATE).clips) == 3


def test_what_cannot_be_built(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.wav").write_bytes(b"")
    with pytest.raises(NothingUsableError, match="0 bytes"):
        build_cache(tmp_path / "in", tmp_path / "cache", sample_rate=RATE)
    sounds.write_notes(tmp_path / "in", 1)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError):
        build_cache(tmp_path / "in", tmp_path / "file", sample_rate=RATE)
    for wrong in ({"pitch": "loud"}, {"val_fraction": 1.0}, {"pattern": "("}, {"group_pattern": "abc"}):
        with pytest.raises(ConfigError):
            build_cache(tmp_path / "in", tmp_path / "new", sample_rate=RATE, data=build(DataSettings, wrong))


def test_the_command(tmp_path: Path, run_cli: Callable) -> None:  # type: ignore[type-arg]
    sounds.write_notes(tmp_path / "in", 6)
    done = run_cli("preprocess", tmp_path / "in", "--out", tmp_path / "cache")
    assert done.returncode == 0 and "6 clips at 44100 Hz" in done.stdout
    assert len(Cache.open(tmp_path / "cache").clips) == 6


def test_a_cache_of_the_first_version_is_refused_by_name_and_made_anew(tmp_path: Path) -> None:
    new = build_cache(sounds.write_notes(tmp_path / "in", 6), tmp_path / "cache", sample_rate=RATE)
    index = json.loads((tmp_path / "cache" / "index.json").read_text())
    kept = {key: value for key, value in index.items() if key not in ("table", "sounds", "digest", "digests")}
    (tmp_path / "cache" / "index.json").write_text(json.dumps({**kept, "version": 1, "clips": []}))
    with pytest.raises(DataError, match=r"is of version 1, not 3; rebuild it with `audio-gen preprocess FOLDER"):
        Cache.open(tmp_path / "cache")
    assert build_cache(tmp_path / "in", tmp_path / "cache", sample_rate=RATE).clips == new.clips


def test_a_table_gives_back_what_went_in(tmp_path: Path) -> None:
    odd = Clip("b/\udce9.wav", 7, 5, 0.5, None, None, None, "val", "ab", ("clipped",))
    clips = [Clip("a.wav", 0, 7, 2.0, "kick", 60.5, 100, "train", "0123", ()), odd]
    ClipTable.of(clips).write(tmp_path)
    for table in (ClipTable.of(clips), ClipTable.open(tmp_path, 12, summed=True)):
        assert table == clips and table[-1] == odd and table[:1] == clips[:1] and list(table) == clips
        assert table.only(np.array([1])) == [odd] and table.only(np.array([1]))[0].path == odd.path
        assert table.on_side("val").tolist() == [1]
        with pytest.raises(IndexError):
            table[2]
    assert list(ClipTable.of([])) == []


def folder_with_copies(folder: Path) -> Path:
    """Seven sounds; of one there are two more copies of the same class, of another one of another class."""
    for i in range(7):
        sounds.write(folder / ("kick" if i < 4 else "snare") / f"{i}.wav", sounds.pluck(100.0 + 30 * i))
    shutil.copy(folder / "kick" / "0.wav", folder / "kick" / "0 (copy).wav")
    shutil.copy(folder / "kick" / "0.wav", folder / "kick" / "0 (another copy).wav")
    shutil.copy(folder / "kick" / "1.wav", folder / "snare" / "1.wav")
    return folder


def test_copies_count_once_for_each_label(tmp_path: Path) -> None:
    cache = build_cache(folder_with_copies(tmp_path / "in"), tmp_path / "cache", sample_rate=RATE)
    assert len(cache.clips) == 10
    counted = [*cache.split("train"), *cache.split("val")]
    assert len(counted) == 8
    assert len({(clip.content_hash, clip.class_name) for clip in counted}) == 8
    assert sum(clip.content_hash == clips_by_path(cache)["kick/0.wav"].content_hash for clip in counted) == 1


def test_a_copy_with_another_label_is_told(tmp_path: Path) -> None:
    cache = build_cache(folder_with_copies(tmp_path / "in"), tmp_path / "cache", sample_rate=RATE)
    notes = [note for note in cache.notes if "different classes" in note]
    assert len(notes) == 1
    assert "kick/1.wav = snare/1.wav" in notes[0]
    (tmp_path / "in" / "snare" / "1.wav").unlink()
    cache = build_cache(tmp_path / "in", tmp_path / "cache", sample_rate=RATE)
    assert not [note for note in cache.notes if "different" in note]


def test_clips_without_copies_keep_their_numbers(tmp_path: Path) -> None:
    sounds.write_notes(tmp_path / "in", 8)
    cache = build_cache(tmp_path / "in", tmp_path / "cache", sample_rate=RATE)
    for side in ("train", "val"):
        assert cache.numbers(side).tolist() == cache.clips.on_side(side).tolist()
        assert cache.numbers(side).dtype == np.int32
