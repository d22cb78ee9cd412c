"""Samples in shards are the samples: across their borders, on a disk, and from afar, with blocks kept."""

from collections.abc import Callable
from pathlib import Path

import fsspec
import numpy as np
import pytest

from audio_gen.data import shards
from audio_gen.data.cache import build_cache
from audio_gen.data.dataset import ClipDataset
from audio_gen.data.sharding import shard_cache, write_shards
from audio_gen.data.shards import OneFile, Shards, allowed_place, shard_name
from audio_gen.data.store import Cache
from audio_gen.errors import DataError, OutputError
from tests import sounds
from tests.sounds import RATE


class Stored:
    """Samples in memory."""

    def __init__(self, count: int) -> None:
        self.samples = np.arange(count).astype("<i2")

    def __len__(self) -> int:
        return len(self.samples)

    def read(self, first: int, count: int) -> np.ndarray:
        return self.samples[first : first + count]


@pytest.mark.parametrize("remote", [False, True])
def test_any_part_is_read_whatever_the_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, remote: bool) -> None:
    monkeypatch.setenv(shards.STORE, str(tmp_path / "blocks"))
    monkeypatch.setattr(shards, "OPEN_SHARDS", 2)
    monkeypatch.setattr(shards, "BLOCK", 24)
    stored, place = Stored(1000), "memory://sounds" if remote else str(tmp_path / "shards")
    assert write_shards(stored, place, 64) == 16
    found = Shards(place, 1000, 64)
    for first, count in ((0, 1000), (0, 64), (63, 2), (60, 140), (999, 1), (5, 0), (0, 1000)):
        assert np.array_equal(found.read(first, count), stored.samples[first : first + count])
    assert len(found) == 1000


def test_what_has_been_fetched_is_not_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(shards.STORE, str(tmp_path / "blocks"))
    stored = Stored(500)
    write_shards(stored, "memory://kept", 100)
    monkeypatch.setattr(shards, "BLOCK", 24)
    assert np.array_equal(Shards("memory://kept", 500, 100).read(150, 20), stored.samples[150:170])
    assert sorted(path.name for path in (tmp_path / "blocks").rglob("*") if path.is_file()) == ["000002"]
    fsspec.filesystem("memory").store["/kept/000001.int16"].truncate(0)
    assert np.array_equal(Shards("memory://kept", 500, 100).read(150, 20), stored.samples[150:170])


def test_a_shard_that_is_missing_or_short_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(shards.STORE, str(tmp_path / "blocks"))
    for place in (str(tmp_path / "shards"), "memory://broken"):
        write_shards(Stored(300), place, 100)
        with fsspec.open(shard_name(place, 1), "wb") as file:
            file.write(b"abcd")
        with fsspec.open(shard_name(place, 2), "rb") as file:
            path = file.path if hasattr(file, "path") else file.name
        fsspec.filesystem("memory" if "://" in place else "file").rm(path)
        found = Shards(place, 300, 100)
        with pytest.raises(DataError, match=r"000001.int16: is too short; write the shards"):
            found.read(150, 10)
        with pytest.raises(DataError, match=r"000002.int16: cannot be read .*; write the shards"):
            found.read(250, 10)
        assert len(found.read(0, 100)) == 100
    (tmp_path / "one").write_bytes(b"abcd")
    with pytest.raises(DataError, match="holds 4 of 6 bytes"):
        OneFile(tmp_path / "one", 3)


def sharded(folder: Path, place: str | None = None) -> Cache:
    """A cache of six notes, which lies in shards in `folder / "sharded"` too."""
    whole = build_cache(sounds.write_notes(folder / "in", 6), folder / "cache", sample_rate=RATE)
    assert shard_cache(folder / "cache", folder / "sharded", place or "shards", shard_mb=0.01) > 2
    return whole


@pytest.mark.parametrize("place", [None, "memory://cache"])
def test_a_sharded_cache_trains_as_the_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str | None
) -> None:
    monkeypatch.setenv(shards.STORE, str(tmp_path / "blocks"))
    whole = sharded(tmp_path, place)
    if place is not None:
        with pytest.raises(DataError, match=f"set {shards.PLACE} to it"):
            Cache.open(tmp_path / "sharded")
        monkeypatch.setenv(shards.PLACE, place)
    cache = Cache.open(tmp_path / "sharded")
    assert cache.clips == whole.clips and cache.sounds == whole.sounds and cache.report == whole.report
    assert (cache.stored_samples is not whole.stored_samples) and not list((tmp_path / "sharded").glob("pcm*"))
    datasets = [ClipDataset(c, split="train", segment_samples=5000, seed=1) for c in (whole, cache)]
    for step in range(4):
        a, b = (data.batch(step, 4) for data in datasets)
        assert np.array_equal(a.wav, b.wav) and a.index.tolist() == b.index.tolist()


def test_the_command_shards_a_cache_once(tmp_path: Path, run_cli: Callable) -> None:  # type: ignore[type-arg]
    whole = build_cache(sounds.write_notes(tmp_path / "in", 6), tmp_path / "cache", sample_rate=RATE)
    command = ("preprocess", tmp_path / "cache", "--out", tmp_path / "sharded", "--shards", "parts")
    done = run_cli(*command)
    assert done.returncode == 0 and "1 shards at parts" in done.stdout
    assert Cache.open(tmp_path / "sharded").clips == whole.clips
    again = run_cli(*command)
    assert again.returncode == 2 and "already holds a cache" in again.stderr
    with pytest.raises(OutputError, match="shards cannot be written"):
        shard_cache(tmp_path / "cache", tmp_path / "other", "nowhere://x")


def test_a_folder_built_over_a_sharded_cache_is_stored_anew(tmp_path: Path) -> None:
    whole = sharded(tmp_path)
    again = build_cache(tmp_path / "in", tmp_path / "sharded", sample_rate=RATE)
    assert isinstance(again.stored_samples.source, OneFile)
    for a, b in zip(again.clips, whole.clips, strict=True):
        assert np.array_equal(again.read(a), whole.read(b)) and again.read(a).any()


@pytest.mark.parametrize(
    "place",
    [
        "memory://x", "file:///etc", "ftp://host/x", "http://host/x", "local://x", "reference://x", "s3://a::file:///etc",
        "https://host/{{env}}", "https://host/$HOME", "https://user:pass@host/x", "https://host/x?y", "s3://a/../b",
        "simplecache::s3://a/b", "/etc", "../outside", "a/../../b", "a\\..\\b", "C:\\x", "c:x", "\\\\host\\x", "a\0b",
        "", None, 3, ["a"], {"a": 1}, "s3://a\nb", "S3://a/b", "filecache::x", "https:/x",
    ],
)  # fmt: skip
def test_an_index_names_no_other_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: object) -> None:
    monkeypatch.delenv(shards.PLACE, raising=False)
    with pytest.raises(DataError, match=f"set {shards.PLACE} to it"):
        allowed_place(place, tmp_path)
    monkeypatch.setenv(shards.PLACE, "ftp://mine/x")
    assert allowed_place(place, tmp_path) == "ftp://mine/x"


@pytest.mark.parametrize("place", ["s3://bucket/sounds", "gs://b.c-d/e f/\u00e9", "https://host.org:8443/a/b"])
def test_an_index_names_a_bucket_or_a_folder_inside(tmp_path: Path, place: str) -> None:
    assert allowed_place(place, tmp_path) == place
    assert allowed_place("shards/two", tmp_path) == str(tmp_path / "shards" / "two")


@pytest.mark.parametrize("place", [None, "memory://flips"])
def test_a_damaged_shard_is_named_and_a_damaged_copy_of_it_fetched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str | None
) -> None:
    monkeypatch.setenv(shards.STORE, str(tmp_path / "blocks"))
    whole = sharded(tmp_path, place)
    if place:
        monkeypatch.setenv(shards.PLACE, place)
        Cache.open(tmp_path / "sharded").stored(whole.clips[0])
        for file in (tmp_path / "blocks").rglob("0*"):
            if file.is_file():
                file.write_bytes(bytes(file.stat().st_size))
    cache = Cache.open(tmp_path / "sharded")
    if place:
        assert np.array_equal(cache.stored(whole.clips[0]), whole.stored(whole.clips[0]))
        return
    shard = tmp_path / "sharded" / "shards" / "000001.int16"
    shard.write_bytes(bytes(shard.stat().st_size))
    with pytest.raises(DataError, match=r"00000\d.int16: is damaged .*; write the shards"):
        cache.stored_samples.read(0, len(cache.stored_samples))
