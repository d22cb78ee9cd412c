"""What comes of inputs that went wrong once, by the commands that a user types."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audio_gen.audio.io import read_wav
from audio_gen.data.store import Cache
from tests.cli.conftest import Run
from tests.integration import cases
from tests.sounds import write

TINY = Path(__file__).parents[2] / "configs" / "vae" / "tiny.yaml"
TRAIN = ("--config", TINY, "--steps", "2", "--device", "cpu")


def cached(run: Run, folder: Path) -> Cache:
    run("preprocess", folder, "--out", "cache", "--mel", "22khz_80band_256x")
    return Cache.open(Path("cache"))


def counts(cache: Cache) -> dict[str | None, int]:
    names = [clip.class_name for clip in cache.clips]
    return {name: names.count(name) for name in names}


def files_of(run: Run, folder: Path) -> dict[str, dict[str, Any]]:
    told = json.loads(run("inspect", folder, "--json")[0])
    return {Path(file["path"]).name: file for file in told["files"]}


@pytest.mark.parametrize("way", cases.LABELLED)
def test_names_that_mean_the_same_file_label_it(way: str, tmp_path: Path, run: Run) -> None:
    folder = cases.LABELLED[way](tmp_path / "pack")
    assert counts(cached(run, folder)) == {"kick": 3, "snare": 3}
    out, _ = run("inspect", folder)
    assert "kick (3)" in out or "kick 3" in out, out
    assert "name no usable file" not in out


def test_train_says_the_classes(tmp_path: Path, run: Run) -> None:
    folder = cases.LABELLED["foreign_prefix"](tmp_path / "pack")
    out, err = run("train", folder, "--run", "run", *TRAIN)
    assert "2 classes" in out + err


def test_splits_are_no_classes(tmp_path: Path, run: Run) -> None:
    folder = cases.kick_and_snare(tmp_path / "pack", "train", "test")
    cache = cached(run, folder)
    assert counts(cache) == {"kick": 8, "snare": 8}
    assert {clip.path for clip in cache.clips if clip.split == "val"} == {
        clip.path for clip in cache.clips if clip.path.startswith("test/")
    }
    for out in (run("inspect", folder)[0], *run("train", folder, "--run", "run", *TRAIN)[:1]):
        assert [line for line in out.splitlines() if "train" in line and "test" in line and "split" in line], out


def test_an_outer_folder_is_passed_through(tmp_path: Path, run: Run) -> None:
    folder = cases.kick_and_snare(tmp_path / "pack" / "My Pack").parent
    assert counts(cached(run, folder)) == {"kick": 4, "snare": 4}
    (folder / "My Pack" / "readme.txt").write_text("thanks for buying")
    (folder / "__MACOSX" / "My Pack" / "kick").mkdir(parents=True)
    (folder / "__MACOSX" / "My Pack" / "kick" / "._00.wav").write_bytes(b"\x00\x05\x16\x07" + bytes(60))
    assert counts(cached(run, folder)) == {"kick": 4, "snare": 4}


def test_splits_below_an_outer_folder(tmp_path: Path, run: Run) -> None:
    folder = cases.kick_and_snare(tmp_path / "pack" / "Outer", "Train", "Valid").parent
    assert counts(cached(run, folder)) == {"kick": 8, "snare": 8}


def pitch_of(cache: Cache, class_name: str) -> float:
    """Where most of a class lies, in Hz."""
    hz = []
    for clip in cache.clips:
        if clip.class_name == class_name:
            spectrum = np.abs(np.fft.rfft(cache.read(clip)))
            hz.append(float(spectrum.argmax()) * cache.sample_rate / max(1, clip.samples))
    return float(np.median(hz))


def test_exchanged_folders_are_noticed(tmp_path: Path, run: Run) -> None:
    folder = cases.kick_and_bell(tmp_path / "pack")
    run("train", folder, "--run", "run", *TRAIN)
    assert pitch_of(Cache.open(Path("run/cache")), "kick") < 100
    (folder / "kick").rename(folder / "other")
    (folder / "bell").rename(folder / "kick")
    (folder / "other").rename(folder / "bell")
    out, err = run("train", folder, "--run", "run", "--steps", "3")
    assert pitch_of(Cache.open(Path("run/cache")), "kick") > 1500
    assert "12" in out + err and "changed" in out + err, out + err


def test_headers_that_promise_less(tmp_path: Path, run: Run) -> None:
    pcm, folder = cases.second_of_pcm(), tmp_path / "pack"
    folder.mkdir()
    (folder / "power_lost.wav").write_bytes(cases.wav_bytes(pcm, 22050))
    file = files_of(run, folder)["power_lost.wav"]
    assert file["duration_sec"] == 1.0 and file["action"] != "leave_out"
    assert any("header" in reason for reason in file["reasons"])


@pytest.mark.long
def test_a_file_beyond_4_gib_is_read_to_its_end(tmp_path: Path, run: Run) -> None:
    pcm, big = cases.second_of_pcm(), tmp_path / "pack" / "over_4_GiB.wav"
    big.parent.mkdir()
    big.write_bytes(cases.wav_bytes(pcm, (1 << 32) + len(pcm)))
    os.truncate(big, 44 + (1 << 32) + len(pcm))  # sparse: it takes no room
    file = files_of(run, big.parent)[big.name]
    assert file["duration_sec"] == pytest.approx(((1 << 32) + len(pcm)) / 2 / cases.RATE, abs=0.01)
    assert any("header" in reason for reason in file["reasons"])


def test_rf64_and_bw64(tmp_path: Path, run: Run) -> None:
    pcm, folder = cases.second_of_pcm(), tmp_path / "pack"
    folder.mkdir()
    (folder / "crashed_rf64.wav").write_bytes(cases.rf64_bytes(pcm, 0, b"RF64"))
    (folder / "adm_bw64.wav").write_bytes(cases.rf64_bytes(pcm, len(pcm), b"BW64"))
    files = files_of(run, folder)
    assert [file["duration_sec"] for file in files.values()] == [1.0, 1.0]
    assert any("header" in reason for reason in files["crashed_rf64.wav"]["reasons"])
    assert not any("header" in reason for reason in files["adm_bw64.wav"]["reasons"])


def test_a_flac_of_unknown_length(tmp_path: Path, run: Run) -> None:
    (tmp_path / "pack").mkdir()
    path = cases.flac_of_unknown_length(tmp_path / "pack" / "take.flac")
    assert files_of(run, path.parent)["take.flac"]["duration_sec"] == 1.0


def level_db(x: np.ndarray) -> float:
    return float(10 * np.log10(np.square(x).mean() + 1e-20))


def test_stereo_that_cancels_keeps_its_sound(tmp_path: Path, run: Run) -> None:
    x, folder = cases.tone(220, 1.0, decay=2.0), tmp_path / "pack"
    write(folder / "wide.wav", np.stack([x, -0.9 * x], 1), cases.RATE)
    inverted = np.concatenate([np.stack([x, x], 1), np.stack([x, -x], 1)])
    write(folder / "tail_inverted.wav", inverted, cases.RATE)
    wide, _ = read_wav(folder / "wide.wav")
    assert level_db(wide[0].numpy()) == pytest.approx(level_db(x), abs=3)
    tail, _ = read_wav(folder / "tail_inverted.wav")
    loudness = [level_db(part) for part in np.array_split(tail[0].numpy(), 40)]
    whole = [level_db(part) for part in np.array_split(inverted[:, 0], 40)]
    assert np.abs(np.subtract(loudness, whole)).max() < 3
    for channels in ("auto", "1"):  # in stereo, then mixed to mono
        run("preprocess", folder, "--out", "cache", "--mel", "22khz_80band_256x", "--channels", channels)
        cache = Cache.open(Path("cache"))
        assert cache.channels == (1 if channels == "1" else 2)
        stored = next(cache.read_channels(clip) for clip in cache.clips if clip.path == "tail_inverted.wav")
        for wav in stored:
            parts = np.abs(np.subtract([level_db(part) for part in np.array_split(wav, 40)], whole))
            assert parts.max() < 3
    for file in cache.report["files"]:
        assert [reason for reason in file["reasons"] if "dB" in reason], file
    assert not any(file["reasons"] for file in files_of(run, folder).values())  # in stereo they are what they are


def test_a_run_inside_its_source_learns_from_nothing_of_its_own(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(cases.some_samples(tmp_path / "pack"))
    tiny = ("--config", TINY, "--device", "cpu")
    run("train", ".", "--run", "run", *tiny, "--steps", "2")
    run("sample", "run", "-n", "2", "--out", "new", "--vocoder", "griffinlim:2")
    sound = next(Path("kick").glob("*.wav"))
    run("vocode", sound, "--out", "vocoded", "--vocoder", "griffinlim:2")
    run("reconstruct", "run", sound, "--out", "back", "--vocoder", "griffinlim:2")
    run("preprocess", ".", "--out", "cache", "--mel", "22khz_80band_256x")
    run("train", ".", "--run", "run", "--steps", "3", "--device", "cpu")
    run("train", ".", "--run", "run2", *tiny, "--steps", "2")
    for cache in (Cache.open(Path("run/cache")), Cache.open(Path("run2/cache"))):
        assert counts(cache) == {"kick": 6, "snare": 6}
    out, _ = run("inspect", ".")
    assert [line for line in out.splitlines() if "run2" in line]


def test_generated_files_are_known_wherever_they_are_copied(tmp_path: Path, run: Run) -> None:
    pack = cases.some_samples(tmp_path / "pack")
    run("train", pack, "--run", "run", *TRAIN)
    run("sample", "run", "-n", "2", "--out", "new", "--vocoder", "griffinlim:2")
    run("vocode", next((pack / "kick").glob("*.wav")), "--out", "vocoded", "--vocoder", "griffinlim:2")
    made = [path for folder in ("new", "vocoded", "run/previews") for path in sorted(Path(folder).rglob("*.wav"))]
    assert len(made) >= 5
    for number, path in enumerate(made):
        (pack / "kick" / f"renamed {number}.wav").write_bytes(path.read_bytes())
    assert counts(cached(run, pack)) == {"kick": 6, "snare": 6}


def test_a_low_rate_is_named(tmp_path: Path, run: Run) -> None:
    for i in range(8):
        write(tmp_path / "pack" / f"{i}.wav", cases.tone(200 + 40 * i, 0.5, 8000), 8000)
    out, _ = run("inspect", tmp_path / "pack")
    assert [line for line in out.splitlines() if "4 kHz" in line and "mel" in line], out
    out, err = run("train", tmp_path / "pack", "--run", "run", *TRAIN)
    assert [line for line in (out + err).splitlines() if "4 kHz" in line and "mel" in line], out + err
