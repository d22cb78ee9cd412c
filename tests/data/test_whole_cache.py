"""A cache is whole or its damage is told: flips, cuts, foreign names and links; nothing outside is touched."""

import json
import os
import random
import shutil
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audio_gen.data import pcm, table
from audio_gen.data.cache import build_cache
from audio_gen.data.checksums import BLOCK, digest, digest_of_json
from audio_gen.data.store import Cache, stamp_of
from audio_gen.errors import DataError, OutputError
from tests import sounds
from tests.sounds import RATE


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder of two classes, and its cache."""
    place = tmp_path_factory.mktemp("built")
    for i in range(4):
        sounds.write(
            place / "in" / ("kick" if i % 2 else "snare") / f"k-{50 + i:03d}-100.wav", sounds.pluck(90 + 30 * i)
        )
    build_cache(place / "in", place / "cache", sample_rate=RATE)
    return place / "in", place / "cache"


def everything(cache: Cache) -> list[Any]:
    """All that a training learns from a cache."""
    told = [cache.sample_rate, cache.classes, cache.pitch_range, cache.sounds, cache.notes]
    clips = list(cache.clips)
    return [*told, clips, [cache.read(clip).tobytes() for clip in clips], cache.numbers("train").tolist()]


def flip(file: Path, bit: int) -> None:
    data = bytearray(file.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    file.write_bytes(data)


@pytest.mark.parametrize("mapped", [False, True])
def test_a_flipped_bit_never_gives_other_clips(
    built: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mapped: bool
) -> None:
    if mapped:
        monkeypatch.setattr(table, "IN_MEMORY", 0)
    _, cache = built
    right = everything(Cache.open(cache))
    files = [path for path in sorted(cache.rglob("*")) if path.is_file() and path.name != "dataset_report.json"]
    assert {"pcm.int16", "index.json", "offset.npy", "blocks.npy", "rows.npy"} <= {path.name for path in files}
    rng, refused = random.Random(0), 0
    for file in files:
        size, whole = file.stat().st_size, file.read_bytes()
        bits = [*range(64), *rng.sample(range(8 * size), 900 if file.name == "index.json" else 60)] if size else []
        for bit in bits:
            flip(file, bit)
            try:
                assert everything(Cache.open(cache)) == right, (file, bit)
            except DataError:
                refused += 1
        file.write_bytes(whole)
    assert refused > 1000 and everything(Cache.open(cache)) == right


def test_a_build_over_damage_says_so_and_gives_the_same_sounds(built: tuple[Path, Path], tmp_path: Path) -> None:
    folder, cache = built
    right = everything(Cache.open(cache))
    rng = random.Random(1)
    for name in ("pcm.int16", "index.json", "clips/offset.npy", "clips/names.npy", "clips/texts.json", "clips/rows.npy",
                 "clips/blocks.npy", "clips/files.json"):  # fmt: skip
        for _ in range(3):
            shutil.rmtree(tmp_path / "c", ignore_errors=True)
            shutil.copytree(cache, tmp_path / "c")
            flip(tmp_path / "c" / name, rng.randrange(8 * (tmp_path / "c" / name).stat().st_size))
            again = build_cache(folder, tmp_path / "c", sample_rate=RATE)
            assert [c.path for c in again.clips] == [c.path for c in right[5]]
            assert [again.read(c).tobytes() for c in again.clips] == right[6], name
            damage = [note for note in again.notes if "damaged" in note]
            assert len(damage) == 1 or everything(again) == right, name
            after = build_cache(folder, tmp_path / "c", sample_rate=RATE)
            assert not [note for note in after.notes if "damaged" in note]


def test_damage_that_a_reader_finds_is_mended_by_the_next_build(built: tuple[Path, Path], tmp_path: Path) -> None:
    folder, cache = built
    out = tmp_path / "c"
    shutil.copytree(cache, out)
    build_cache(folder, out, sample_rate=RATE)
    clip = Cache.open(out).clips[1]
    flip(out / "pcm.int16", 16 * clip.offset + 5)
    # As a disk that loses bits does, which changes no time.
    stamp = out / Cache.open(out).table_name / "stamp.json"
    stamp.write_text(json.dumps(stamp_of((out / "pcm.int16").stat())))
    assert Cache.open(out).samples_untouched()
    damaged = Cache.open(out)
    with pytest.raises(
        DataError, match=r"pcm.int16: is damaged in the 64 KiB from byte \d+ on; rebuild .*audio-gen prepr"
    ):
        damaged.read(clip)
    again = build_cache(folder, out, sample_rate=RATE)
    assert np.array_equal(again.read(again.clips[1]), Cache.open(cache).read(Cache.open(cache).clips[1]))
    assert [note for note in again.notes if "damaged" in note]


def test_checksums_stay_right_while_a_cache_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audio_gen.data.checksums.BLOCK", 1000)
    monkeypatch.setattr(pcm, "BLOCK", 1000)
    for count in (3, 5, 8, 8):
        sounds.write_notes(tmp_path / "in", count)
        cache = build_cache(tmp_path / "in", tmp_path / "cache", sample_rate=RATE)
        fresh = build_cache(tmp_path / "in", tmp_path / f"fresh-{count}", sample_rate=RATE)
        assert cache.stored_samples.sums is not None and fresh.stored_samples.sums is not None
        assert len(cache.stored_samples.sums) == -(-cache.pcm_samples // 1000)
        assert [cache.read(c).tobytes() for c in cache.clips] == [fresh.read(c).tobytes() for c in fresh.clips]


def test_a_file_that_is_cut_while_it_is_read_is_named(built: tuple[Path, Path], tmp_path: Path) -> None:
    shutil.copytree(built[1], tmp_path / "c")
    cache = Cache.open(tmp_path / "c")
    for clip in cache.clips:
        cache.read(clip)
    for file in (tmp_path / "c").rglob("*"):
        if file.is_file():
            os.truncate(file, 20)
    clips = list(cache.clips)
    with pytest.raises(DataError, match=r"pcm\.int16: was truncated while in use"):
        cache.read(clips[-1])
    assert clips == list(Cache.open(built[1]).clips)


def test_reading_checks_each_block_once(built: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    cache = Cache.open(built[1])
    checked: list[int] = []
    import zlib

    real = zlib.crc32
    monkeypatch.setattr(zlib, "crc32", lambda data: checked.append(len(data)) or real(data))
    for _ in range(3):
        for clip in cache.clips:
            cache.read(clip, 100, 500)
    assert 0 < len(checked) <= -(-cache.pcm_samples // BLOCK)


HOSTILE: list[tuple[str, Any]] = [
    *(("pcm", value) for value in ("../victim.db", "/tmp/victim.db", "pcm.int16\0", "clips/../../victim.db", "", None,
                                   3, ["pcm.int16"], {"a": 1}, "index.json", "PCM.INT16", "..\\victim.db")),
    *(("table", value) for value in ("..", "../victim", "/", "", None, 1, ["clips"], "clips/", "./clips", "clips\0")),
    *(("pcm_samples", value) for value in (-1, 2**70, 1.5, True, "9", None, [])),
    *(("sample_rate", value) for value in (0, -1, 10**30, "a", None, 1.5)),
    *(("version", value) for value in ("3", None, 2.0, True, [3])),
    *(("shards", value) for value in (5, [], "x", {}, {"place": "x"}, {"place": "x", "samples": 0},
                                      {"place": 1, "samples": 9})),
    ("notes", "abc"), ("notes", [1]), ("options", []), ("options", {}), ("digests", None), ("sounds", 5),
]  # fmt: skip


@pytest.mark.parametrize("version", [2, 3])
def test_an_index_names_nothing_outside(built: tuple[Path, Path], tmp_path: Path, version: int) -> None:
    folder, cache = built
    victim = tmp_path / "victim.db"
    victim.write_bytes(b"precious" * 99_999)
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "kept").write_bytes(b"kept")
    for key, value in HOSTILE:
        out = tmp_path / "c"
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(cache, out)
        index = {**json.loads((out / "index.json").read_text()), "version": version, key: value}
        if version == 2:
            del index["digest"]
        else:
            index["digest"] = digest_of_json(index, without=("digest",))
        (out / "index.json").write_text(json.dumps(index))
        if version == 3 or key != "digests":
            with pytest.raises(DataError) as caught:
                Cache.open(out).read(Cache.open(out).clips[0])
            assert len(str(caught.value)) < 600 and "\n" not in str(caught.value), (key, value)
        assert len(build_cache(folder, out, sample_rate=RATE).clips) == 4
        assert victim.read_bytes() == b"precious" * 99_999 and (tmp_path / "victim" / "kept").read_bytes() == b"kept"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["c", "victim", "victim.db"]


@pytest.mark.posix
@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("name", ["pcm.int16", "pcm-2.int16", "index.json", "dataset_report.json", "clips/offset.npy"])
@pytest.mark.parametrize("grown", [False, True])
def test_a_build_writes_through_no_link_to_a_file(
    built: tuple[Path, Path], tmp_path: Path, name: str, hard: bool, grown: bool
) -> None:
    shutil.copytree(built[0], tmp_path / "in")
    shutil.copytree(built[1], tmp_path / "c")
    place, victim = tmp_path / "c" / name, tmp_path / "victim"
    content = place.read_bytes() if place.exists() else b"precious" * 9999
    victim.write_bytes(content)
    place.unlink(missing_ok=True)
    os.link(victim, place) if hard else place.symlink_to(victim)
    if grown:
        sounds.write(tmp_path / "in" / "new.wav", sounds.pluck(500))
    assert len(build_cache(tmp_path / "in", tmp_path / "c", sample_rate=RATE).clips) == 4 + grown
    assert victim.read_bytes() == content


@pytest.mark.posix
def test_a_build_writes_through_no_link_to_a_folder_and_no_lock(built: tuple[Path, Path], tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "kept").write_bytes(b"kept")
    for name in ("clips", "clips-2"):
        out = tmp_path / f"c-{name}"
        shutil.copytree(built[1], out)
        shutil.rmtree(out / name, ignore_errors=True)
        (out / name).symlink_to(victim)
        assert len(build_cache(built[0], out, sample_rate=RATE).clips) == 4
        assert [path.name for path in victim.iterdir()] == ["kept"]
    shutil.copytree(built[1], tmp_path / "c")
    (tmp_path / "c" / ".lock").unlink()
    (tmp_path / "c" / ".lock").symlink_to(victim / "kept")
    with pytest.raises(OutputError, match="it is a link"):
        build_cache(built[0], tmp_path / "c", sample_rate=RATE)
    assert (victim / "kept").read_bytes() == b"kept"


def test_what_someone_else_put_there_is_left_alone(built: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "mine.wav").write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"mine\.wav: is not a file of a cache"):
        build_cache(built[0], tmp_path, sample_rate=RATE)
    assert (tmp_path / "clips" / "mine.wav").read_bytes() == b"mine"
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.json").write_text('{"pages": []}')
    with pytest.raises(OutputError, match=r"index\.json: is not the index of a cache"):
        build_cache(built[0], tmp_path / "site", sample_rate=RATE)
    assert (tmp_path / "site" / "index.json").read_text() == '{"pages": []}'


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_no_part_that_is_a_pipe_is_waited_for(built: tuple[Path, Path], tmp_path: Path) -> None:
    shutil.copytree(built[1], tmp_path / "cache")
    parts = [path for path in (tmp_path / "cache").rglob("*") if path.suffix in (".npy", ".json", ".int16")]
    assert len(parts) > 10
    for path in parts:
        whole = path.read_bytes()
        path.unlink()
        os.mkfifo(path)
        with ThreadPoolExecutor(1) as threads:
            reading = threads.submit(lambda: everything(Cache.open(tmp_path / "cache")))
            waits = not wait([reading], timeout=20).done
            if waits:
                path.write_bytes(b"")  # lets it go
            assert not waits, path.name
            assert (reading.exception() is None) == (path.name in ("stamp.json", "files.json", "dataset_report.json"))
            assert isinstance(reading.exception(), DataError | None)
        path.unlink()
        path.write_bytes(whole)


REPORTS: list[Any] = [
    5, [], {}, {"summary": 1}, {"summary": {}, "files": []}, {"summary": {"files": "x"}}, {"files": [1]},
    {"files": [{"path": 1, "action": "use", "reasons": []}]}, {"files": [{"path": "a", "action": "x", "reasons": []}]},
    {"files": [{"path": "a", "action": "use", "reasons": [{}]}]}, {"summary": {"notes": 3}}, {"summary": {"clips": -1}},
]  # fmt: skip


@pytest.mark.parametrize("wrong", REPORTS)
def test_a_stranger_s_report_is_checked(built: tuple[Path, Path], tmp_path: Path, wrong: Any) -> None:
    shutil.copytree(built[1], tmp_path / "c")
    path = tmp_path / "c" / "dataset_report.json"
    whole = json.loads(path.read_text())
    assert Cache.open(tmp_path / "c").report == whole
    if wrong and isinstance(wrong, dict) and wrong != {"summary": {}, "files": []} and wrong != {"summary": 1}:
        wrong = {**whole, **{k: {**whole[k], **v} if isinstance(v, dict) else v for k, v in wrong.items()}}
    path.write_text(json.dumps(wrong))
    with pytest.raises(DataError, match="dataset_report"):
        _ = Cache.open(tmp_path / "c").report


def test_a_stranger_s_files_are_measured_again(built: tuple[Path, Path], tmp_path: Path) -> None:
    folder, cache = built
    right = everything(Cache.open(cache))
    known = json.loads((cache / "clips" / "files.json").read_text())
    fields = known["files"][0]["measurement"]
    assert len(fields) > 15
    for name, value in fields.items():
        for wrong in ("x" if not isinstance(value, str) else 3, [1], 10**18 * 9 if name != "rules" else True, {}):
            shutil.rmtree(tmp_path / "c", ignore_errors=True)
            shutil.copytree(cache, tmp_path / "c")
            files = [{**f, "measurement": {**f["measurement"], name: wrong}} for f in known["files"]]
            data = json.dumps({**known, "files": files}).encode()
            (tmp_path / "c" / "clips" / "files.json").write_bytes(data)
            resign(tmp_path / "c" / "index.json", digests={"files.json": digest(data)})
            again = build_cache(folder, tmp_path / "c", sample_rate=RATE)
            assert [again.read(c).tobytes() for c in again.clips] == right[6], (name, wrong)


def resign(path: Path, digests: dict[str, str]) -> None:
    """Let an index be one that names these digests, as a stranger can."""
    index = json.loads(path.read_text())
    index["digests"] |= digests
    del index["digest"]
    path.write_text(json.dumps({**index, "digest": digest_of_json(index)}))


def test_a_stranger_s_table_is_checked(built: tuple[Path, Path], tmp_path: Path) -> None:
    values: dict[str, list[Any]] = {
        "offset": [-1, 2**62], "samples": [-5, 2**62], "scale": [0.0, np.nan, np.inf, -1.0], "class_id": [-2, 99],
        "side": [2, 255], "reasons_id": [-1, 99], "name_end": [-1, 2**40], "hash_end": [-7, 2**40],
    }  # fmt: skip
    for name, wrong in values.items():
        for value in wrong:
            shutil.rmtree(tmp_path / "c", ignore_errors=True)
            shutil.copytree(built[1], tmp_path / "c")
            file = tmp_path / "c" / "clips" / f"{name}.npy"
            column = np.load(file)
            column[1] = value
            np.save(file, column)
            index = json.loads((tmp_path / "c" / "index.json").read_text())
            old = {key: index[key] for key in index if key not in ("digest", "digests")}
            (tmp_path / "c" / "index.json").write_text(json.dumps({**old, "version": 2}))
            with pytest.raises(DataError, match="names|_end" if "end" in name else name):
                Cache.open(tmp_path / "c")
