"""What this package generated is left out of training, and nothing else is."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import soundfile as sf
import torch

from audio_gen.audio.io import GENERATED, write_wav
from audio_gen.data import cache, index
from audio_gen.data.cache import build_cache
from audio_gen.data.generated import is_marked
from audio_gen.data.index import inspect_folder
from audio_gen.data.measurement import Measurement
from audio_gen.data.scan import scan_folder
from tests import sounds
from tests.sounds import RATE


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_every_wav_that_is_written_is_marked(tmp_path: Path, subtype: str) -> None:
    wav = torch.from_numpy(sounds.pluck())[None]
    write_wav(tmp_path / "a.wav", wav, RATE, subtype)
    write_wav(tmp_path / "b.wav", wav, RATE, subtype)
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()
    (tmp_path / "a.wav").rename(tmp_path / "my kick.WAV")
    assert {f.path for f in inspect_folder(tmp_path).left_out} == {"my kick.WAV", "b.wav"}
    assert not inspect_folder(tmp_path, generated=True).left_out


@pytest.mark.parametrize("container", ["FLAC", "OGG", "AIFF", "RF64", "WAV"])
def test_the_comment_counts_and_no_other_does(tmp_path: Path, container: str) -> None:
    comments = [GENERATED, f"{GENERATED}, or not", f"not {GENERATED}", "mine", "x"]
    for i, comment in enumerate(comments):
        with sf.SoundFile(tmp_path / f"{i}.x", "w", RATE, 1, format=container) as f:
            f.comment = comment
            f.artist = "audio_gen"
            f.write(sounds.pluck())
    assert [is_marked(tmp_path / f"{i}.x") for i in range(len(comments))] == [True, False, False, False, False]


def test_a_comment_behind_the_samples_counts(tmp_path: Path) -> None:
    entry = GENERATED.encode() + b"\0"
    info = b"INFOICMT" + len(entry).to_bytes(4, "little") + entry + b"\0" * (len(entry) % 2)
    raw = sounds.wav_bytes(sounds.pluck(), after=b"LIST" + len(info).to_bytes(4, "little") + info)
    (tmp_path / "a.wav").write_bytes(raw)
    assert is_marked(tmp_path / "a.wav")


@pytest.mark.parametrize(
    "raw", [b"", b"RIFF", b"RIFF\0\0\0\0WAVELIST\xff\xff\xff\xffINFOICMT\xff\xff\xff\xff", b"fLaC", b"FORM" * 9]
)
def test_broken_files_are_no_matter(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "a.wav").write_bytes(raw)
    assert not is_marked(tmp_path / "a.wav")


def test_folders_of_ours_are_left_out_and_namesakes_are_not(tmp_path: Path) -> None:
    sounds.write_notes(tmp_path / "kick", 3)
    for name in ("run", "cache", "bundle", "checkpoints"):
        sounds.write(tmp_path / name / "mine.wav", sounds.noise(seed=len(name)))
    (tmp_path / "cache" / "index.json").write_text('{"version": 3}')
    (tmp_path / "run" / "config.yaml").write_text("model: theirs\n")
    build_cache(tmp_path / "kick", tmp_path / "built", sample_rate=RATE)
    for name in ("trained", "early"):
        sounds.write(tmp_path / "deep" / name / "previews" / "step-1" / "a.wav", sounds.pluck())
        (tmp_path / "deep" / name / "config.yaml").write_text("model: vae\n")
    (tmp_path / "deep" / "trained" / "run.json").write_text(json.dumps({"source": "x", "sounds": "y", "version": "0"}))
    (tmp_path / "deep" / "early" / "checkpoints").mkdir()
    (tmp_path / "deep" / "early" / "checkpoints" / "step-00000010.pt").write_bytes(b"")
    report = inspect_folder(tmp_path)
    assert sorted(f.path for f in report.files if not f.path.startswith("kick/")) == [
        "bundle/mine.wav", "cache/mine.wav", "checkpoints/mine.wav", "run/mine.wav",
    ]  # fmt: skip
    assert report.notes == [
        "1 cache and 2 training runs of audio_gen, skipped (2 sounds): built/, deep/early/, deep/trained/"
    ]
    shutil.rmtree(tmp_path / "deep" / "early")
    shutil.rmtree(tmp_path / "built")
    (alone,) = inspect_folder(tmp_path).notes
    assert alone == "deep/trained/: a training run of audio_gen, skipped (1 sound)"
    assert scan_folder(tmp_path / "deep" / "trained").found  # named by itself, it is searched
    assert set(build_cache(tmp_path, tmp_path / "built", sample_rate=RATE).notes) >= {alone}


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are decoded."""
    names: list[str] = []
    real = index.measure

    def measure(path: Path, pulse: index.Pulse) -> Measurement:
        names.append(path.name)
        return real(path, pulse)

    monkeypatch.setattr(index, "measure", measure)
    return names


def test_content_tells_where_size_and_time_do_not(tmp_path: Path, read: list[str]) -> None:
    folder = tmp_path / "in"
    for i, hz in enumerate((60, 2000)):
        sounds.write(folder / f"{i}.wav", sounds.pluck(hz))
        os.utime(folder / f"{i}.wav", (1.7e9, 1.7e9))
    before = {c.path: c.content_hash for c in build_cache(folder, tmp_path / "cache", sample_rate=RATE).clips}
    (folder / "0.wav").rename(folder / "x")
    (folder / "1.wav").rename(folder / "0.wav")
    (folder / "x").rename(folder / "1.wav")
    after = {c.path: c.content_hash for c in build_cache(folder, tmp_path / "cache", sample_rate=RATE).clips}
    assert after == {"0.wav": before["1.wav"], "1.wav": before["0.wav"]} and len(read) == 2
    inode = (folder / "0.wav").stat().st_ino
    raw = bytearray((folder / "0.wav").read_bytes())
    raw[-1000:] = bytes(1000)
    with open(folder / "0.wav", "r+b") as f:  # in place: the same inode, size and time
        f.write(raw)
    os.utime(folder / "0.wav", (1.7e9, 1.7e9))
    last = {c.path: c.content_hash for c in build_cache(folder, tmp_path / "cache", sample_rate=RATE).clips}
    assert (folder / "0.wav").stat().st_ino == inode and read[2:] == ["0.wav"]
    assert last["0.wav"] not in before.values() and last["1.wav"] == after["1.wav"]


def test_copied_moved_and_touched_files_are_not_decoded_again(tmp_path: Path, read: list[str]) -> None:
    first = build_cache(sounds.write_notes(tmp_path / "a", 3), tmp_path / "cache", sample_rate=RATE)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    for path in (tmp_path / "b").iterdir():
        os.utime(path)
    (tmp_path / "b" / "note-00.wav").rename(tmp_path / "b" / "new.wav")
    again = build_cache(tmp_path / "b", tmp_path / "cache", sample_rate=RATE)
    assert len(read) == 3 and again.sounds == first.sounds


def test_settled_files_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sounds.write_notes(tmp_path / "in", 3)
    monkeypatch.setattr(index, "RECENT_NS", 0)
    build_cache(tmp_path / "in", tmp_path / "cache", sample_rate=RATE)
    monkeypatch.setattr(index, "_bytes_hash", lambda path: pytest.fail(f"{path} is read"))
    build_cache(tmp_path / "in", tmp_path / "cache", sample_rate=RATE)


def test_a_file_that_is_exchanged_while_it_is_stored_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = sounds.write_notes(tmp_path / "in", 3)
    other = sounds.write(tmp_path / "other.wav", sounds.pluck(555.0, 0.4))
    assert other.stat().st_size == (folder / "note-01.wav").stat().st_size

    def inspect_then_exchange(*args: Any, **more: Any) -> Any:
        report = index.inspect_folder(*args, **more)
        if other.exists():
            other.replace(folder / "note-01.wav")
        return report

    monkeypatch.setattr(cache, "inspect_folder", inspect_then_exchange)
    first = build_cache(folder, tmp_path / "cache", sample_rate=RATE)
    assert [clip.path for clip in first.clips] == ["note-00.wav", "note-02.wav"]
    (lost,) = [file for file in first.report["files"] if file["action"] == "leave_out"]
    assert lost["path"] == "note-01.wav" and "changed while it was read" in lost["reasons"][0]
    second = build_cache(folder, tmp_path / "cache", sample_rate=RATE)
    assert len(second.clips) == 3 and len({clip.content_hash for clip in second.clips}) == 3


def test_generated_clips_are_used_on_request(tmp_path: Path, run_cli: Any) -> None:
    write_wav(tmp_path / "in" / "a.wav", torch.from_numpy(sounds.pluck())[None], sounds.RATE)
    assert run_cli("inspect", "in").returncode == 1 and run_cli("preprocess", "in", "--out", "c").returncode == 1
    assert "1 used" in run_cli("inspect", "in", "--generated").stdout
    assert run_cli("preprocess", "in", "--out", "c", "--generated").returncode == 0
