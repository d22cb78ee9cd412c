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
