"""`vocode` of what is too long to be in memory: read, checked, turned into sound and written block by block."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import torch
import torch.nn.functional as F

from audio_gen.artefacts.sidecar import read_sidecar
from audio_gen.audio.io import read_wav, write_wav
from audio_gen.audio.mel import MelFrontEnd, MelSpec
from audio_gen.audio.onset import onset
from audio_gen.audio.stereo import STEREO_BANDS
from audio_gen.data.index import inspect_folder
from audio_gen.generation.mel_sources import MelFile, MelOfSound
from audio_gen.generation.operations import vocode as operation
from audio_gen.vocoding import long
from audio_gen.vocoding import vocoder as contract
from audio_gen.vocoding.load import load_vocoder
from audio_gen.vocoding.long import vocode_long
from audio_gen.vocoding.silence import LEAD_SEC, silent_frames
from tests import sounds
from tests.cli.conftest import Run

SPEC = MelSpec.preset("22khz_80band_256x")
STEREO, RATE = SPEC.with_stereo(STEREO_BANDS), SPEC.sample_rate
FAST = ["--mel", "22khz_80band_256x", "--vocoder", "griffinlim:1", "--device", "cpu"]
CPU = torch.device("cpu")
FRAMES = 300


@pytest.fixture(autouse=True)
def short_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """300 frames are five blocks."""
    monkeypatch.setattr(contract, "CHECKED_FRAMES", 64)
    monkeypatch.setattr(long.vocode_blocks, "__defaults__", (64, None))


def log_mel(dtype: Any = np.float32) -> np.ndarray:
    noise = 0.1 * torch.randn(1, 1, SPEC.samples(FRAMES), generator=torch.Generator().manual_seed(0))
    return MelFrontEnd(SPEC)(noise)[0].numpy().astype(dtype)


@pytest.mark.parametrize("dtype", ["float16", "float32", ">f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_file_is_the_whole(run: Run, dtype: str, order: Any) -> None:
    mel = log_mel(dtype)
    np.save("mel.npy", np.array(mel, order=order))
    run("vocode", "mel.npy", "--out", "v", *FAST)
    whole = vocode_long(load_vocoder("griffinlim:1", SPEC), torch.from_numpy(mel.astype(np.float32)), 64)
    write_wav("whole.wav", whole, SPEC.sample_rate)
    assert len(sf.read("whole.wav")[0]) == SPEC.samples(FRAMES)
    made, expected = (sf.read(path)[0] for path in ("v/mel.vocoded.wav", "whole.wav"))
    np.testing.assert_allclose(made, expected, atol=2 / 32768)


def test_parts_of_a_file(tmp_path: Path) -> None:
    mel = log_mel()
    np.save(tmp_path / "mel.npy", mel[None])
    file = MelFile(tmp_path / "mel.npy", SPEC, CPU)
    assert file.shape == mel.shape
    for part in (np.s_[:, 3:70], np.s_[5:9, 299:400]):
        np.testing.assert_array_equal(file[part].numpy(), mel[part])


@pytest.mark.parametrize("frame", [0, 63, 64, 299])
def test_the_frame_is_counted_from_the_start(run: Run, frame: int) -> None:
    mel = log_mel()
    mel[7, frame:] = np.nan
    mel[3, frame] = np.inf
    np.save("mel.npy", mel)
    _, error = run("vocode", "mel.npy", "--out", "v", *FAST, status=2)
    seconds = frame / SPEC.frame_rate
    assert f"mel.npy: holds inf in band 3 of frame {frame} ({seconds:.2f} s)" in error
    assert not Path("v").exists()


def test_levels_are_those_of_the_whole(run: Run) -> None:
    mel = log_mel()
    mel[:, :64] = -0.05  # a block alone would be taken for amplitudes, the whole is not
    np.save("mel.npy", mel)
    run("vocode", "mel.npy", "--out", "v", *FAST)
    mel[2, 290] = 80
    np.save("mel.npy", mel)
    assert "unlike a natural-log mel of a sound" in run("vocode", "mel.npy", "--out", "w", *FAST, status=2)[1]


def test_nothing_is_left_where_a_vocoder_fails_midway(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing:
        name, spec = "failing", SPEC
        calls = 0

        def __call__(self, mel: torch.Tensor, onset: float | None = None) -> torch.Tensor:
            self.calls += 1
            wav = torch.zeros(1, 1, SPEC.samples(mel.shape[-1]))
            return wav / 0 if self.calls == 3 else wav

    vocoder = Failing()
    monkeypatch.setattr(operation, "load_vocoder", lambda *_: vocoder)
    np.save("mel.npy", log_mel())
    out, error = run("vocode", "mel.npy", "--out", "v", *FAST, status=2)
    assert out == "" and error == "error: mel.npy: the vocoder failing produced NaN; use griffinlim\n"
    assert vocoder.calls == 3 and list(Path("v").iterdir()) == []


@pytest.mark.parametrize("sec", [0.001, 0.02, 0.3, 3.48, 4.0])
def test_the_mel_of_a_sound_in_parts(tmp_path: Path, sec: float) -> None:
    file = sounds.write(tmp_path / "a.wav", sounds.noise(sec))
    wav = read_wav(file)[0]
    lead = SPEC.samples(silent_frames(SPEC))
    whole = MelFrontEnd(SPEC)(F.pad(wav, (lead, lead))[None])[0]  # between silences
    mel = MelOfSound(file, SPEC, CPU)
    assert tuple(mel.shape) == tuple(whole.shape)
    assert (mel.lead, mel.length) == (lead, wav.shape[-1])
    for size in (1, 2, 64, 1000):
        parts = [mel[:, start : start + size] for start in range(0, whole.shape[1], size)]
        # The same frames; only the product with the filters may round differently.
        torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=1e-4, rtol=0)


def test_a_long_sound_is_written_whole(run: Run) -> None:
    tone = sounds.write(Path("tone.wav"), sounds.sine(sec=4.0))
    run("vocode", tone, "--out", "v", *FAST)
    made, rate = sf.read("v/tone.vocoded.wav")
    assert rate == SPEC.sample_rate and len(made) == 4 * rate
    loud = np.sqrt((made[: len(made) // 1024 * 1024].reshape(-1, 1024) ** 2).mean(axis=1))
    assert loud[2:-2].min() > 0.2 and [path.name for path in sorted(Path("v").iterdir())] == [
        "tone.vocoded.json",
        "tone.vocoded.wav",
    ]


@pytest.mark.parametrize("before", [0, 2205, 50_000])
def test_a_sound_keeps_its_length_and_its_time(run: Run, before: int) -> None:
    samples = np.arange(3001)
    hit = np.where(samples % 2, -0.5, 0.5) * np.exp(-samples / 500)
    sounds.write(Path("hit.wav"), np.concatenate([np.zeros(before), hit]))
    run("vocode", "hit.wav", "--out", "v", *FAST)
    made, rate = sf.read("v/hit.vocoded.wav")
    assert len(made) == before + 3001
    assert abs(onset(made, rate) - before) <= LEAD_SEC * rate
    assert not made[: max(0, before - round(0.001 * rate))].any()


def test_a_mel_has_no_onset(tmp_path: Path) -> None:
    np.save(tmp_path / "mel.npy", log_mel())
    assert MelFile(tmp_path / "mel.npy", SPEC, CPU).onset is None


def test_a_folder_is_its_sounds_and_each_has_a_sidecar(run: Run) -> None:
    for name in ("b/x.wav", "a.wav"):
        sounds.write(Path("in") / name, sounds.sine(sec=0.2, sample_rate=16000), 16000)
    Path("in/notes.txt").write_text("x")
    out, _ = run("vocode", "in", "--out", "v", *FAST)
    assert sorted(path.name for path in Path("v").iterdir()) == [
        "a.vocoded.json", "a.vocoded.wav", "x.vocoded.json", "x.vocoded.wav",
    ]  # fmt: skip
    assert "2 files resampled from 16000 to 22050 Hz" in out
    about = json.loads(Path("v/a.vocoded.json").read_text())
    assert about["source"] == str(Path("in/a.wav")) and about["vocoder"].startswith("griffinlim")
    assert read_sidecar(Path("v/a.vocoded.wav")) is None
    assert not inspect_folder(Path("v")).usable
    Path("empty").mkdir()
    _, error = run("vocode", "empty", "--out", "w", *FAST, status=2)
    assert "empty: is a folder without audio files" in error


# Stereo.


def hard_left(sec: float = 1.0) -> np.ndarray:
    """Noise (T, 2) that is 20 dB louder on the left."""
    left, right = sounds.noise(sec), sounds.noise(sec, seed=1)
    return np.stack([left, 0.1 * right], axis=1)


def level_difference_db(wav: np.ndarray) -> float:
    energy = np.square(wav).sum(0)
    return float(10 * np.log10(energy[0] / energy[1]))


def test_files_keep_their_channels(run: Run) -> None:
    sounds.write(Path("in/left.wav"), hard_left())
    equal = sounds.noise(0.5)
    sounds.write(Path("in/mono.wav"), equal)
    sounds.write(Path("in/equal.wav"), np.stack([equal, equal], axis=1))
    run("vocode", "in", "--out", "v", *FAST)
    left, _ = sf.read("v/left.vocoded.wav")
    assert left.shape == (RATE, 2) and 17 < level_difference_db(left) < 23
    assert Path("v/equal.vocoded.wav").read_bytes() == Path("v/mono.vocoded.wav").read_bytes()
    about, mono = (json.loads(Path(f"v/{name}.vocoded.json").read_text()) for name in ("left", "mono"))
    assert about["channels"] == 2 and MelSpec.from_dict(about["mel"]) == STEREO
    assert "channels" not in mono and MelSpec.from_dict(mono["mel"]) == SPEC


def test_channels_can_be_chosen(run: Run) -> None:
    file = sounds.write(Path("left.wav"), hard_left(), subtype="FLOAT")
    middle = sounds.write(Path("in/left.wav"), sum(hard_left().T) * np.float32(0.5), subtype="FLOAT")
    run("vocode", file, "--channels", "1", "--out", "one", *FAST)
    run("vocode", middle, "--out", "middle", *FAST)
    one, _ = sf.read("one/left.vocoded.wav")
    np.testing.assert_allclose(one, sf.read("middle/left.vocoded.wav")[0], atol=1e-3)
    run("vocode", middle, "--channels", "2", "--out", "two", *FAST)
    two, _ = sf.read("two/left.vocoded.wav")
    np.testing.assert_array_equal(two, np.stack(2 * [sf.read("middle/left.vocoded.wav")[0]], axis=1))
    _, error = run("vocode", file, "--channels", "3", "--out", "three", status=2)
    assert "--channels" in error


def test_an_image_of_stereo_is_vocoded_in_stereo(run: Run) -> None:
    image = MelFrontEnd(STEREO)(torch.from_numpy(hard_left().T.copy()).float()[None])[0].numpy()
    np.save("image.npy", image)
    np.save("mel.npy", image[: SPEC.n_mels])
    np.save("other.npy", image[:-1])
    run("vocode", "image.npy", "mel.npy", "--out", "v", *FAST)
    stereo, mono = (sf.read(f"v/{name}.vocoded.wav")[0] for name in ("image", "mel"))
    assert level_difference_db(stereo) > 15 and mono.ndim == 1
    np.testing.assert_allclose(stereo.mean(1), mono, atol=1e-4)  # the mid
    run("vocode", "image.npy", "--channels", "1", "--out", "one", *FAST)
    np.testing.assert_allclose(sf.read("one/image.vocoded.wav")[0], mono, atol=1e-4)
    _, error = run("vocode", "other.npy", "--out", "o", *FAST, status=2)
    assert f"{STEREO.rows - 1}x" in error and f"takes {SPEC.n_mels} bands" in error


def test_parts_of_a_stereo_file(tmp_path: Path) -> None:
    moving = (
        hard_left(4.0) * np.linspace(1, 0, 4 * RATE)[:, None]
        + hard_left(4.0)[:, ::-1] * np.linspace(0, 1, 4 * RATE)[:, None]
    )
    wav = torch.from_numpy(moving.T[:, :-77].astype(np.float32))
    file = sounds.write(tmp_path / "x.wav", wav.T.numpy(), subtype="FLOAT")
    mel = MelOfSound(file, SPEC, CPU)
    whole = MelFrontEnd(STEREO)(F.pad(wav, (mel.lead, mel.lead))[None])[0]
    assert mel.spec == STEREO and tuple(mel.shape) == tuple(whole.shape)
    for size in (4, 64, 1000):
        parts = [mel[:, start : start + size] for start in range(0, whole.shape[1], size)]
        torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=1e-3, rtol=0)
    torch.testing.assert_close(mel[:, 8:21], whole[:, 8:21], atol=1e-3, rtol=0)  # the last group is cut


def test_blocks_of_a_stereo_sound_have_no_seams(tmp_path: Path) -> None:
    pan = 0.5 + 0.4 * np.sin(2 * np.pi * np.arange(6 * RATE) / RATE / 3)
    x = sounds.noise(6.0)
    file = sounds.write(tmp_path / "x.wav", np.stack([pan * x, (1 - pan) * x], axis=1).astype(np.float32))
    vocoder, mel = load_vocoder("griffinlim:4", STEREO), MelOfSound(file, SPEC, CPU)
    whole, blocks = (vocode_long(vocoder, mel, frames, mel.onset)[:, mel.lead :] for frames in (1 << 16, 128))
    at = np.arange(2048, 6 * RATE - 4096, 1024)

    def place_db(wav: torch.Tensor) -> torch.Tensor:
        energy = wav.unfold(1, 2048, 1)[:, at].square().sum(2)
        return 10 * (energy[0] / energy[1]).log10()

    wanted = 20 * torch.from_numpy(pan / (1 - pan)).log10()[at + 1024]
    errors = [(place_db(wav) - wanted).abs() for wav in (whole, blocks)]
    assert float(errors[1].mean()) < float(errors[0].mean()) + 0.1
    assert float(errors[1].max()) < float(errors[0].max()) + 1.0
