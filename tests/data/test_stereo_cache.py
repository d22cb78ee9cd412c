"""Stereo folders: left and right are stored where they were, and mono sounds and caches stay mono."""

import json
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf

from audio_gen.audio.channels import mono
from audio_gen.audio.onset import lead_samples
from audio_gen.config import DataSettings
from audio_gen.data import encode, pcm, table
from audio_gen.data.cache import Cache, build_cache
from audio_gen.data.checksums import digest_of_json
from audio_gen.data.dataset import ClipDataset
from audio_gen.data.index import inspect_folder
from audio_gen.data.measure import measure
from audio_gen.data.measurement import measurement_from
from audio_gen.data.sharding import shard_cache
from audio_gen.data.table import Clip, ClipTable
from audio_gen.errors import DataError
from audio_gen.files import MalformedError
from tests import sounds
from tests.sounds import RATE

CLICK = np.zeros(RATE // 4, np.float32)
CLICK[1000:1040] = np.hanning(40)
A, B, SINE = sounds.noise(seed=1), sounds.noise(seed=2), sounds.sine(330)
PAIRS = {
    "left.wav": (CLICK, 0 * CLICK),
    "right.wav": (0 * CLICK, CLICK),
    "pad.wav": (A, B),
    "antiphase.wav": (SINE, -SINE),
    "mono.wav": (sounds.pluck(),) * 2,
}


def write(path: Path, *channels: np.ndarray, rate: int = RATE) -> Path:
    return sounds.write(path, np.stack(channels, axis=1), rate, subtype="FLOAT")


def by_hand(folder: Path) -> Path:
    """A click left, a click right, a wide pad, an antiphase sine, a mono file."""
    for name, (left, right) in PAIRS.items():
        write(folder / name, *((left,) if name == "mono.wav" else (left, right)))
    return folder


def build(folder: Path, out: Path, **data: Any) -> Cache:
    return build_cache(folder, out, sample_rate=RATE, data=DataSettings(**data))


def clips_of(cache: Cache) -> dict[str, Clip]:
    return {clip.path: clip for clip in cache.clips}


def files_of(cache: Cache) -> dict[str, dict[str, Any]]:
    return {file["path"]: file for file in cache.report["files"]}


def test_sounds_are_stored_where_they_were(tmp_path: Path) -> None:
    cache = build(by_hand(tmp_path / "in"), tmp_path / "cache")
    assert (
        cache.channels == 2 and cache.notes[-1] == "4 of 5 files are stereo (median width 0 dB), so data.channels is 2"
    )
    assert {file["action"] for file in files_of(cache).values()} == {"use"}
    told = {name: file["reasons"] for name, file in files_of(cache).items() if file["reasons"]}
    assert told.keys() == {"right.wav"} and told["right.wav"][0].startswith("same mono mix as left.wav")
    for name, clip in clips_of(cache).items():
        wav = cache.read_channels(clip)
        assert clip.channels == (1 if name == "mono.wav" else 2)
        assert np.abs(wav - PAIRS[name]).max() < 1e-4, name
        assert np.array_equal(cache.read(clip), mono(wav))
        assert clip.mono_channel == (0 if name == "antiphase.wav" else None)
    widths = {name: file.get("width_db") for name, file in files_of(cache).items()}
    assert widths["left.wav"] == widths["right.wav"] == 0 and abs(widths["pad.wav"]) < 0.2
    assert widths["antiphase.wav"] == 60 and widths["mono.wav"] is None


@pytest.mark.parametrize("rate", [16000, 44100])
def test_each_channel_is_resampled_as_if_alone(tmp_path: Path, rate: int) -> None:
    write(tmp_path / "in" / "pad.wav", A, B)
    write(tmp_path / "alone" / "a.wav", A)
    pair, alone = (build_cache(tmp_path / name, tmp_path / f"{name}-c", sample_rate=rate) for name in ("in", "alone"))
    assert pair.clips[0].samples == alone.clips[0].samples
    assert np.abs(pair.read_channels(pair.clips[0])[0] - alone.read(alone.clips[0])).max() < 1e-4


def test_parts_of_clips_have_the_channels_of_the_whole(tmp_path: Path) -> None:
    x = sounds.pluck()
    write(tmp_path / "in" / "half.wav", np.concatenate([x, 0.02 * x]), np.concatenate([-x, 0.1 * x]))
    cache = build(tmp_path / "in", tmp_path / "cache")
    clip = cache.clips[0]
    whole, both = cache.read(clip), cache.read_channels(clip)
    assert clip.mono_channel is not None and np.array_equal(whole, both[clip.mono_channel])
    for start, count in ((0, 50), (len(x) - 20, 60), (clip.samples - 5, 10), (clip.samples + 5, 10)):
        expected = np.pad(whole, (0, 100))[start : start + count]
        assert np.array_equal(cache.read(clip, start, count), expected)
        assert np.array_equal(cache.read_channels(clip, start, count)[clip.mono_channel], expected)


@pytest.mark.parametrize(("wide", "channels"), [(0, 1), (1, 1), (2, 2), (5, 2)])
def test_more_than_a_fifth_of_the_files_make_a_folder_stereo(tmp_path: Path, wide: int, channels: int) -> None:
    for i in range(5):
        x = sounds.noise(seed=i)
        write(tmp_path / "in" / f"{i}.wav", x, sounds.noise(seed=9) if i < wide else 0.95 * x)  # 0.45 dB apart
    assert build(tmp_path / "in", tmp_path / "cache").channels == channels
    assert inspect_folder(tmp_path / "in", channels="auto").channels == channels
    assert inspect_folder(tmp_path / "in").channels == 1


def everything(cache: Cache) -> list[Any]:
    """All that a training learns from a cache, wherever it lies in the file."""
    clips = [replace(clip, offset=0) for clip in cache.clips]
    wavs = [cache.read_channels(clip).tobytes() for clip in cache.clips]
    return [cache.channels, cache.sounds, clips, wavs, *(cache.numbers(side).tolist() for side in ("train", "val"))]


def test_the_channels_of_a_cache_stay_until_they_are_set(tmp_path: Path) -> None:
    folder = by_hand(tmp_path / "in")
    fresh = {n: everything(build(folder, tmp_path / f"fresh-{n}", channels=n)) for n in (1, 2)}
    for wanted, now in ((1, 1), ("auto", 1), (2, 2), ("auto", 2), (1, 1), (2, 2)):
        cache = build(folder, tmp_path / "cache", channels=wanted)
        assert everything(cache) == fresh[now], (wanted, now)
        kept = [note for note in cache.notes if "stays so: `preprocess --channels 2` rebuilds" in note]
        assert len(kept) == (wanted == "auto" and now == 1)


def test_a_mono_cache_has_no_word_of_stereo(tmp_path: Path) -> None:
    cache = build(by_hand(tmp_path / "in"), tmp_path / "cache", channels=1)
    index = json.loads((tmp_path / "cache" / "index.json").read_text())
    assert index["version"] == 3 and "channels" not in index and not [n for n in cache.notes if "stereo" in n]
    assert not [path for name in table.STEREO for path in tmp_path.rglob(f"{name}.npy")]
    assert "cancel each other" in files_of(cache)["antiphase.wav"]["reasons"][0]
    assert cache.read_channels(cache.clips[0]).shape == (1, cache.clips[0].samples)


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are encoded."""
    names: list[str] = []
    real = pcm.encode
    monkeypatch.setattr(pcm, "encode", lambda job, *pulse: names.append(job.path.name) or real(job, *pulse))
    return names


def test_only_what_is_new_is_stored(tmp_path: Path, encoded: list[str]) -> None:
    folder = by_hand(tmp_path / "in")
    build(folder, tmp_path / "cache")
    write(folder / "new.wav", B, SINE)
    shutil.copy(folder / "pad.wav", folder / "copy.wav")
    encoded.clear()
    cache = build(folder, tmp_path / "cache")
    assert encoded == ["new.wav"] and len(cache.clips) == 7
    assert clips_of(cache)["copy.wav"].offset == clips_of(cache)["pad.wav"].offset
    fresh = build(folder, tmp_path / "fresh")
    assert everything(cache) == everything(fresh)
    for name in ("pad.wav", "copy.wav", "left.wav", "mono.wav", "new.wav"):
        (folder / name).unlink()
    less = build(folder, tmp_path / "cache")
    assert less.pcm_name != cache.pcm_name and less.pcm_samples == sum(clip.stored_samples for clip in less.clips)
    for name in ("antiphase.wav", "right.wav"):
        assert np.array_equal(less.read_channels(clips_of(less)[name]), fresh.read_channels(clips_of(fresh)[name]))


def test_swapped_channels_are_another_sound_on_the_same_side(tmp_path: Path) -> None:
    for i in range(8):
        x, y = sounds.noise(seed=i), sounds.noise(seed=i + 50)
        write(tmp_path / "in" / f"{i}.wav", x, y)
        write(tmp_path / "in" / f"{i}-swapped.wav", y, x)
        write(tmp_path / "in" / f"{i}-mono.wav", (x + y) * np.float32(0.5))
        shutil.copy(tmp_path / "in" / f"{i}.wav", tmp_path / "in" / f"{i}-again.wav")
    cache = build(tmp_path / "in", tmp_path / "cache", val_fraction=0.4)
    clips, files = clips_of(cache), files_of(cache)
    assert {len({c.split for c in cache.clips if c.path[0] == str(i)}) for i in range(8)} == {1}
    assert {clip.split for clip in cache.clips} == {"train", "val"}
    assert len(cache.numbers("train")) + len(cache.numbers("val")) == 3 * 8
    assert clips["0.wav"].offset == clips["0-again.wav"].offset
    assert len({clips[name].offset for name in ("0.wav", "0-swapped.wav", "0-mono.wav")}) == 3
    swapped, plain = (cache.read_channels(clips[name]) for name in ("0-swapped.wav", "0.wav"))
    assert np.abs(swapped - plain[::-1]).max() < 1e-4
    told = {name: [note for note in files[f"0-{name}.wav"]["reasons"]] for name in ("swapped", "mono", "again")}
    assert "both count, on one side of the split" in told["swapped"][0] and told["swapped"] == told["mono"]
    assert files["0.wav"]["reasons"][0].startswith("same sound as 0-again.wav") or "same mono mix" in told["again"][0]
    assert cache.report["summary"]["duplicates"] == 8


def test_repairs_by_channel(tmp_path: Path) -> None:
    x, y = sounds.pluck(220, 1.0), sounds.pluck(330, 1.0)
    write(tmp_path / "in" / "dc.wav", 0.4 * x + 0.3, 0.4 * y)
    nan = np.stack([x, y])
    nan[1, 5] = np.nan
    write(tmp_path / "in" / "nan.wav", *nan)
    write(tmp_path / "in" / "loud.wav", x, 4 * y)
    early, late = np.pad(A, (RATE, 4 * RATE)), np.pad(B, (2 * RATE, 3 * RATE))
    write(tmp_path / "in" / "padded.wav", early, late)
    cache = build(tmp_path / "in", tmp_path / "cache")
    clips, files = clips_of(cache), files_of(cache)
    assert {file["action"] for file in files.values()} == {"repair"}
    assert "DC offset of +0.3 (left) and +0 (right) removed" in files["dc.wav"]["reasons"][0]
    assert np.abs(cache.read_channels(clips["dc.wav"]) - 0.4 * np.stack([x, y])).max() < 0.01
    assert np.abs(cache.read_channels(clips["nan.wav"]) - np.nan_to_num(nan)).max() < 1e-4
    loud = cache.read_channels(clips["loud.wav"])
    assert np.abs(loud).max() == pytest.approx(1, abs=1e-3)
    assert np.abs(loud - np.stack([x, 4 * y]) / abs(4 * y).max()).max() < 1e-3  # one gain for both
    padded = cache.read_channels(clips["padded.wav"])
    starts = [int(np.argmax(np.abs(row) > 0.01)) for row in padded]
    assert starts[0] == pytest.approx(0.05 * RATE, abs=260) and starts[1] - starts[0] == pytest.approx(RATE, abs=9)
    assert padded.shape[1] == pytest.approx(0.05 * RATE + RATE + len(B) + 0.25 * RATE, abs=600)


def test_the_width_is_that_of_the_repaired_sound(tmp_path: Path) -> None:
    for offset in (0, 0.2):
        m = measure(write(tmp_path / "a.wav", A + np.float32(offset), 0.5 * A))
        assert m.stereo is not None and m.stereo.width_db == pytest.approx(20 * np.log10(0.25 / 0.75), abs=0.1)


def test_equal_channels_are_mono(tmp_path: Path) -> None:
    write(tmp_path / "in" / "two.wav", A, A)
    write(tmp_path / "in" / "pad.wav", A, B)
    cache = build(tmp_path / "in", tmp_path / "cache")
    clip = clips_of(cache)["two.wav"]
    assert clip.channels == 1 and not clip.reasons
    assert np.abs(cache.read_channels(clip) - A).max() < 1e-4


def test_other_numbers_of_channels(tmp_path: Path) -> None:
    six = [0.1 * sounds.noise(seed=i) for i in range(6)]
    write(tmp_path / "in" / "six.wav", *six)
    write(tmp_path / "in" / "four.wav", *six[:4])
    write(tmp_path / "in" / "pad.wav", A, B)
    cache = build(tmp_path / "in", tmp_path / "cache")
    clips, files = clips_of(cache), files_of(cache)
    gain = 2**-0.5
    folded = [six[0] + gain * (six[2] + six[4]), six[1] + gain * (six[2] + six[5])]
    assert np.abs(cache.read_channels(clips["six.wav"]) - folded).max() < 1e-4
    assert np.abs(cache.read_channels(clips["four.wav"]) - np.mean(six[:4], axis=0)).max() < 1e-4
    assert files["six.wav"]["reasons"] == ["5.1 folded to stereo: centre and surrounds at -3 dB, no LFE"]
    assert files["four.wav"]["reasons"] == ["4 channels mixed to mono"]


@pytest.mark.parametrize("cut", [1, 3, 5, 4001])
def test_a_file_that_ends_within_a_frame(tmp_path: Path, cut: int) -> None:
    whole = sounds.write(tmp_path / "in" / "a.wav", np.stack([A, B], axis=1))
    whole.write_bytes(whole.read_bytes()[:-cut])
    cache = build(tmp_path / "in", tmp_path / "cache")
    wav = cache.read_channels(cache.clips[0])
    frames = len(A) - -(-cut // 4)
    assert wav.shape == (2, frames) and np.abs(wav - np.stack([A, B])[:, :frames]).max() < 1e-3


def test_a_cancelling_part_does_not_choose_a_channel(tmp_path: Path) -> None:
    x = sounds.pluck()
    write(tmp_path / "in" / "tail.wav", np.concatenate([x, 0.5 * x]), np.concatenate([x, -0.5 * x]))
    write(tmp_path / "in" / "dc.wav", SINE + np.float32(0.4), -SINE + np.float32(0.4))  # DC alone is not a sound
    cache = build(tmp_path / "in", tmp_path / "cache")
    for clip in cache.clips:
        assert np.array_equal(cache.read(clip), mono(cache.read_channels(clip))), clip
    assert clips_of(cache)["dc.wav"].mono_channel == 0 and clips_of(cache)["tail.wav"].mono_channel is None


def test_trimmed_onsets_begin_where_either_channel_does(tmp_path: Path) -> None:
    write(tmp_path / "in" / "a.wav", np.pad(A, (RATE // 4, 0)), np.pad(B, (RATE // 8, RATE // 8)))
    cache = build(tmp_path / "in", tmp_path / "cache", trim_onset=True)
    wav = cache.read_channels(cache.clips[0])
    assert np.abs(wav[1, :300]).max() > 0.1 and not wav[0, : RATE // 8 - 300].any()


def test_pitches_of_a_stereo_cache(tmp_path: Path) -> None:
    x = sounds.pluck(440)
    write(tmp_path / "in" / "antiphase.wav", x, -0.9 * x)
    write(tmp_path / "in" / "left.wav", sounds.pluck(220), 0 * x)
    clips = clips_of(build(tmp_path / "in", tmp_path / "cache", pitch="auto"))
    assert clips["antiphase.wav"].pitch == pytest.approx(69, abs=0.2)
    assert clips["left.wav"].pitch == pytest.approx(57, abs=0.2)


def dataset(cache: Cache, **how: Any) -> ClipDataset:
    return ClipDataset(cache, split="train", seed=0, **{"segment_samples": 2048, **how})


def test_batches_in_stereo_and_in_mono(tmp_path: Path) -> None:
    cache = build(by_hand(tmp_path / "in"), tmp_path / "cache", val_fraction=0)
    both, mixed = (next(dataset(cache, channels=channels).fixed_batches(9)) for channels in (None, 1))
    assert both.wav.shape == (5, 2, 2048) and mixed.wav.shape == (5, 1, 2048)
    for clip, wav, mix in zip(cache.clips, both.wav.numpy(), mixed.wav.numpy(), strict=True):
        assert np.array_equal(wav, cache.read_channels(clip, 0, 2048))
        assert np.array_equal(mix[0], cache.read(clip, 0, 2048))
    (tmp_path / "in" / "right.wav").unlink()  # in mono it is the same as the left one
    in_mono = build(tmp_path / "in", tmp_path / "mono", val_fraction=0, channels=1)
    repeated, once = (next(dataset(in_mono, channels=channels).fixed_batches(9)).wav for channels in (2, None))
    assert repeated.shape == (4, 2, 2048) and once.shape == (4, 1, 2048)
    assert np.array_equal(repeated, once.expand(-1, 2, -1))


def test_the_earlier_channel_is_aligned(tmp_path: Path) -> None:
    click = np.zeros(4000, np.float32)
    click[500:] = 0.5 * sounds.noise(0.2, seed=3)[:3500]
    write(tmp_path / "in" / "a.wav", np.pad(click[:-900], (900, 0)), click)
    cache = build(tmp_path / "in", tmp_path / "cache")
    wav = dataset(cache, preroll=256, crop="start").batch(0, 1).wav[0].numpy()
    assert not wav[:, :256].any()
    starts = [int(np.argmax(np.abs(row) > 0.01)) for row in wav]
    assert starts[1] == pytest.approx(256 + lead_samples(RATE), abs=4) and starts[0] - starts[1] == pytest.approx(
        900, abs=4
    )


def test_shards_of_a_stereo_cache(tmp_path: Path) -> None:
    cache = build(by_hand(tmp_path / "in"), tmp_path / "cache")
    assert shard_cache(tmp_path / "cache", tmp_path / "out", "parts", shard_mb=0.01) > 3
    found = Cache.open(tmp_path / "out")
    assert everything(found) == everything(cache)


@pytest.mark.parametrize("mapped", [False, True])
def test_a_flipped_bit_never_gives_other_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mapped: bool) -> None:
    if mapped:
        monkeypatch.setattr(table, "IN_MEMORY", 0)
    right = everything(build(by_hand(tmp_path / "in"), tmp_path / "cache"))
    rng, refused = random.Random(0), 0
    names = ("index.json", "channels.npy", "mono_channel.npy", "stereo_hash.npy", "offset.npy", "rows.npy")
    for file in [path for path in (tmp_path / "cache").rglob("*") if path.name in names]:
        whole = file.read_bytes()
        for bit in rng.sample(range(8 * len(whole)), 100):
            data = bytearray(whole)
            data[bit // 8] ^= 1 << bit % 8
            file.write_bytes(data)
            try:
                assert everything(Cache.open(tmp_path / "cache")) == right, (file, bit)
            except DataError:
                refused += 1
        file.write_bytes(whole)
    assert refused > 300


def test_wrong_columns_with_right_checksums_are_refused(tmp_path: Path) -> None:
    clips = list(build(by_hand(tmp_path / "in"), tmp_path / "cache").clips)
    end = sum(clip.stored_samples for clip in clips)
    for wrong, message in (
        ({"channels": 3}, "numbers of channels"), ({"channels": 0}, "numbers of channels"),
        ({"mono_channel": 2}, "channels that do not exist"), ({"mono_channel": -2}, "channels that do not exist"),
        ({"offset": end - clips[0].samples}, "past the end"),
    ):  # fmt: skip
        ClipTable.of([replace(clips[0], **wrong)], channels=2).write(tmp_path / "t")
        with pytest.raises(DataError, match=message):
            ClipTable.open(tmp_path / "t", end, summed=True, channels=2)


@pytest.mark.parametrize("change", [{"version": 3}, {"channels": 1}, {"channels": 3}])
def test_version_and_channels_fit_together(tmp_path: Path, change: dict[str, int]) -> None:
    build(by_hand(tmp_path / "in"), tmp_path / "cache")
    path = tmp_path / "cache" / "index.json"
    index = json.loads(path.read_text())
    assert index["version"] == 4 and index["channels"] == 2  # earlier versions of the package refuse version 4
    index |= change
    path.write_text(json.dumps({**index, "digest": digest_of_json(index, without=("digest",))}))
    with pytest.raises(DataError, match=r"index.json: is damaged \(version"):
        Cache.open(tmp_path / "cache")
    assert build(tmp_path / "in", tmp_path / "cache").channels == 2


def test_a_measurement_is_read_as_it_was_written(tmp_path: Path) -> None:
    m = measure(write(tmp_path / "a.wav", A + np.float32(0.2), 0.5 * A))
    written = json.loads(json.dumps(m.as_json()))
    assert measurement_from(written) == m and m.stereo is not None
    for name, value in (
        ("width_db", None), ("peak", -1), ("dc", [0.1]), ("dc", ["a", 0]), ("dc", 1), ("start", 0.5), ("hash", "0"),
        ("hash", "g" * 16), ("hash", 7), ("mono_channel", 2), ("mono_channel", -1), ("new", 1),
    ):  # fmt: skip
        with pytest.raises((MalformedError, TypeError)):
            measurement_from({**written, "stereo": {**written["stereo"], name: value}})
    for stereo in (7, [], "a"):
        with pytest.raises((MalformedError, TypeError)):
            measurement_from({**written, "stereo": stereo})


def test_overshoot_is_stored_again_in_both_channels(tmp_path: Path) -> None:
    bits = np.random.default_rng(0).choice([-1.0, 1.0], (2, 20_000)).astype(np.float32)
    write(tmp_path / "in" / "a.wav", *bits)
    cache = build_cache(tmp_path / "in", tmp_path / "cache", sample_rate=4 * RATE)
    wav = cache.read_channels(cache.clips[0])
    assert np.abs(cache.stored(cache.clips[0])).max() < encode.FULL
    assert np.abs(wav).max() > 1 / encode.HEADROOM


def test_the_commands_tell_the_channels(tmp_path: Path, run_cli: Callable[..., Any]) -> None:
    folder = by_hand(tmp_path / "in")
    done = run_cli("inspect", folder)
    assert "4 of 5 files are stereo (median width 0 dB), so data.channels is 2" in done.stdout
    told = json.loads(run_cli("inspect", folder, "--json").stdout)["summary"]
    assert (told["stereo_files"], told["median_width_db"], told["data_channels"]) == (4, 0, 2)
    done = run_cli("preprocess", folder, "--out", tmp_path / "cache")
    assert "5 stereo clips at 44100 Hz" in done.stdout and "so data.channels is 2" in done.stdout
    done = run_cli("preprocess", folder, "--out", tmp_path / "cache", "--channels", "1")
    assert "5 clips at 44100 Hz" in done.stdout and Cache.open(tmp_path / "cache").channels == 1
    for command in (
        ["preprocess", folder, "--out", tmp_path / "cache", "--channels", "3"],
        ["train", folder, "--run", tmp_path / "run", "--set", "data.channels=3"],
    ):
        done = run_cli(*command)
        lines = done.stderr.strip().splitlines()
        assert done.returncode == 2 and len(lines) == 1 and "channels (3): input should be 'auto', 1 or 2" in lines[0]


def test_few_stereo_files_are_told_by_inspect_alone(tmp_path: Path, run_cli: Callable[..., Any]) -> None:
    for i in range(5):
        write(tmp_path / "in" / f"{i}.wav", sounds.noise(seed=i))
    write(tmp_path / "in" / "pad.wav", A, B)
    done = run_cli("inspect", tmp_path / "in")
    note = "1 of 6 files is stereo (width 0 dB), so data.channels is 1 and they are mixed to mono; --set data.channels"
    assert note in done.stdout
    assert not build(tmp_path / "in", tmp_path / "cache").notes
    assert sf.info(tmp_path / "in" / "pad.wav").channels == 2
