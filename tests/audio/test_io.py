"""Reading and writing: every container, mono mixing, rates, broken headers, and errors of one line."""

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch

from audio_gen.audio import io as audio_io
from audio_gen.audio.io import info, read_blocks, read_wav, write_wav, write_wav_blocks
from audio_gen.audio.resample import resample, resample_blocks, resampled_length
from audio_gen.errors import AudioFileError, CheckpointError, OutputError
from tests import sounds
from tests.sounds import RATE

KINDS = [
    ("a.wav", "WAV", "PCM_U8", 0.01),
    ("a.wav", "WAV", "PCM_16", 1e-4),
    ("a.wav", "WAV", "PCM_24", 1e-6),
    ("a.wav", "WAV", "PCM_32", 1e-6),
    ("a.wav", "WAV", "FLOAT", 1e-7),
    ("a.wav", "WAV", "DOUBLE", 1e-7),
    ("a.wav", "WAV", "ULAW", 0.02),
    ("a.wav", "WAVEX", "PCM_24", 1e-6),
    ("a.wav", "RF64", "PCM_16", 1e-4),
    ("a.aiff", "AIFF", "PCM_16", 1e-4),
    ("a.flac", "FLAC", "PCM_24", 1e-6),
    ("a.ogg", "OGG", "VORBIS", 0.05),
    ("a.mp3", "MP3", "MPEG_LAYER_III", 0.05),
    ("flac inside.wav", "FLAC", "PCM_16", 1e-4),
    ("mp3 inside.wav", "MP3", "MPEG_LAYER_III", 0.05),
]


@pytest.mark.parametrize(("name", "kind", "subtype", "tolerance"), KINDS)
def test_reads_every_kind(tmp_path: Path, name: str, kind: str, subtype: str, tolerance: float) -> None:
    x = sounds.sine()
    path = sounds.write(tmp_path / name, x, format=kind, subtype=subtype)
    about = info(path)
    assert (about.sample_rate, about.channels, about.frames, about.format) == (RATE, 1, len(x), kind)
    assert about.duration_sec == pytest.approx(0.5)
    wav, sample_rate = read_wav(path)
    assert wav.shape == (1, len(x)) and wav.dtype == torch.float32 and sample_rate == RATE
    assert np.abs(wav[0].numpy() - x).max() < tolerance


def test_mono_is_the_mean_of_all_channels(tmp_path: Path) -> None:
    channels = np.stack([sounds.noise(seed=i) for i in range(6)], axis=1)
    path = sounds.write(tmp_path / "a.wav", channels, subtype="FLOAT")
    assert np.allclose(read_wav(path)[0][0].numpy(), channels.mean(axis=1), atol=1e-6)


def test_antiphase_stereo_falls_back_to_the_louder_channel(tmp_path: Path) -> None:
    x = sounds.sine()
    path = sounds.write(tmp_path / "a.wav", np.stack([0.999 * x, -x], axis=1), subtype="FLOAT")
    assert np.array_equal(read_wav(path)[0][0].numpy(), -x)


def test_nan_and_infinity_become_silence(tmp_path: Path) -> None:
    x = sounds.sine()
    x[[10, 20, 30]] = np.nan, np.inf, -np.inf
    wav, _ = read_wav(sounds.write(tmp_path / "a.wav", x, subtype="FLOAT"))
    assert torch.isfinite(wav).all() and (wav[0, [10, 20, 30]] == 0).all() and wav[0, 11] == x[11]


def test_blocks_are_the_whole_file(tmp_path: Path) -> None:
    x = np.stack([sounds.noise(), sounds.sine()], axis=1)
    path = sounds.write(tmp_path / "a.wav", x, subtype="FLOAT")
    blocks = list(read_blocks(path, 1000))
    assert [len(b) for b in blocks[:-1]] == [1000] * (len(blocks) - 1)
    assert np.array_equal(np.concatenate(blocks), x)


@pytest.mark.parametrize(("from_rate", "to_rate"), [(48000, 44100), (8000, 44100), (96000, 22050), (44100, 44101)])
def test_resampling_keeps_frequency_level_and_length(from_rate: int, to_rate: int) -> None:
    x = sounds.sine(1000, sec=1, sample_rate=from_rate)
    y = resample(torch.from_numpy(x)[None], from_rate, to_rate)[0].numpy()
    assert len(y) == to_rate
    expected = sounds.sine(1000, sec=1, sample_rate=to_rate)
    inner = slice(to_rate // 20, -to_rate // 20)
    assert np.abs(y[inner] - expected[inner]).max() < 1e-3


def test_resampling_in_blocks_is_resampling_at_once() -> None:
    x = sounds.noise(sec=2)
    whole = np.concatenate(list(resample_blocks([x], RATE, 44100)))
    pieces = np.concatenate(list(resample_blocks(np.split(x, [1, 500, 30_000]), RATE, 44100)))
    assert np.array_equal(whole, pieces)


@pytest.mark.parametrize("samples", [0, 1, 2, 7, 1000])
def test_resampled_length_is_kept(samples: int) -> None:
    for to_rate in (8000, 22050, 96000):
        y = list(resample_blocks([np.ones(samples, np.float32)], 44100, to_rate))
        assert sum(map(len, y)) == resampled_length(samples, 44100, to_rate)


@pytest.mark.parametrize("data_size", [0, 0xFFFFFFFF, 0x7FFFFFFF, 1_000_000])
def test_unfinished_headers_are_read_to_the_end(tmp_path: Path, data_size: int) -> None:
    x = sounds.sine()
    (tmp_path / "a.wav").write_bytes(sounds.wav_bytes(x, data_size=data_size))
    wav, _ = read_wav(tmp_path / "a.wav")
    assert info(tmp_path / "a.wav").frames == len(x)
    assert np.abs(wav[0].numpy() - x).max() < 1e-4


def test_data_that_is_empty_in_truth_is_not_filled_from_other_chunks(tmp_path: Path) -> None:
    tags = b"LIST" + (4).to_bytes(4, "little") + b"INFO"
    (tmp_path / "a.wav").write_bytes(sounds.wav_bytes(np.zeros(0, np.float32), after=tags))
    assert info(tmp_path / "a.wav").frames == 0


def broken_files(folder: Path) -> list[Path]:
    x = sounds.noise(sec=1)
    whole = sounds.wav_bytes(x)
    flac = sounds.write(folder / "whole.flac", x).read_bytes()
    hole = bytearray(flac)
    hole[len(hole) // 2 : len(hole) // 2 + 400] = bytes(400)
    contents = {
        "zero bytes.wav": b"",
        "header cut.wav": whole[:20],
        "no data.wav": whole[:36],
        "random.wav": np.random.default_rng(0).bytes(5000),
        "text.wav": b"Session notes: take 3 is the good one.\n" * 9,
        "page.mp3": b"<!DOCTYPE html><title>404</title>\n" * 20,
        "rate 0.wav": sounds.wav_bytes(x, 0),
        "no channels.wav": sounds.wav_bytes(x, channels=0),
        "no samples.wav": whole[:44],
        "cut off.flac": flac[: len(flac) // 3],
        "hole.flac": bytes(hole),
        "._a.wav": b"\0\x05\x16\x07\0\x02\0\0Mac OS X        " + bytes(120),
        "clip.m4a": bytes(4) + b"ftypM4A " + bytes(100),
        "new\nline.wav": b"",
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return [*(folder / name for name in contents), folder / "missing.wav", folder]


def test_whatever_cannot_be_read_is_one_line_with_the_name(tmp_path: Path) -> None:
    for path in broken_files(tmp_path):
        with pytest.raises(AudioFileError) as caught:
            read_wav(path)
        message = str(caught.value)
        assert "\n" not in message and path.name.split("\n")[0] in message and "; " in message, message


@pytest.mark.skipif(os.name != "posix" or sys.platform == "darwin", reason="names need not be UTF-8 on Linux only")
def test_names_that_are_no_utf8_can_be_read(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav"))
    path.write_bytes(sounds.wav_bytes(sounds.sine()))
    assert read_wav(path)[0].shape[1] == RATE // 2
    path.write_bytes(b"")
    with pytest.raises(AudioFileError, match=r"caf\\xe9\.wav: is empty"):
        read_wav(path)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_writing_and_reading_back(tmp_path: Path, subtype: str) -> None:
    wav = torch.from_numpy(np.stack([sounds.sine(), sounds.noise()]))
    assert write_wav(tmp_path / "new" / "a.wav", wav, RATE, subtype) == 1.0
    back, sample_rate = sf.read(tmp_path / "new" / "a.wav", dtype="float32")
    assert sample_rate == RATE and np.abs(back.T - wav.numpy()).max() < 1e-4
    assert info(tmp_path / "new" / "a.wav").subtype == subtype
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.wav"]


def test_too_loud_is_scaled_and_never_clipped(tmp_path: Path) -> None:
    wav = torch.from_numpy(sounds.sine(amplitude=4.0))[None]
    gain = write_wav(tmp_path / "a.wav", wav, RATE)
    assert gain == pytest.approx(0.999 / wav.abs().max().item())
    back = read_wav(tmp_path / "a.wav")[0]
    assert back.abs().max() <= 1 and torch.allclose(back, wav * gain, atol=1e-4)


def test_the_same_samples_give_the_same_bytes_at_another_time(tmp_path: Path) -> None:
    script = (
        "import sys, time, torch; time.sleep(1.1); from audio_gen.audio.io import write_wav; "
        "write_wav(sys.argv[1], torch.linspace(-1, 1, 999)[None], 8000, 'FLOAT')"
    )
    write_wav(tmp_path / "a.wav", torch.linspace(-1, 1, 999)[None], 8000, "FLOAT")
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "b.wav")], check=True)
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()


def test_what_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(AudioFileError, match="NaN"):
        write_wav(tmp_path / "a.wav", torch.tensor([[0.0, float("nan")]]), RATE)
    with pytest.raises(AudioFileError, match="shape"):
        write_wav(tmp_path / "a.wav", torch.zeros(10), RATE)
    with pytest.raises(AudioFileError, match="try PCM_16"):
        write_wav(tmp_path / "a.wav", torch.zeros(1, 10), RATE, "NONSENSE")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError):
        write_wav(tmp_path / "file" / "a.wav", torch.zeros(1, 10), RATE)
    assert not (tmp_path / "a.wav").exists()


@pytest.mark.parametrize("in_memory", [1 << 24, 1000])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_blocks_are_the_whole(tmp_path: Path, subtype: str, in_memory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio_io, "IN_MEMORY_BYTES", in_memory)
    monkeypatch.setattr(audio_io, "BLOCK_FRAMES", 777)
    wav = torch.from_numpy(np.stack([sounds.sine(), sounds.noise(amplitude=3.0)]))
    blocks = wav.split([5, 0, 4000, wav.shape[1] - 4005], dim=1)
    gain = write_wav_blocks(tmp_path / "new" / "a.wav", iter(blocks), RATE, subtype)
    assert gain == pytest.approx(0.999 / float(wav.abs().max()))  # one for all blocks
    whole = io.BytesIO()
    with sf.SoundFile(whole, "w", RATE, 2, subtype, format="WAV") as f:
        f.comment = audio_io.GENERATED
        f.write((wav * gain).T.numpy())
    made = (tmp_path / "new" / "a.wav").read_bytes()
    assert len(made) == len(whole.getvalue())
    # A float file has libsndfile's time of writing, which is skipped.
    at = made.find(b"PEAK") + 12 if subtype == "FLOAT" else 0
    assert made[:at] == whole.getvalue()[:at] and made[at + 4 :] == whole.getvalue()[at + 4 :]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.wav"]


def test_nothing_is_left_when_a_block_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio_io, "IN_MEMORY_BYTES", 1000)

    def failing() -> Iterator[torch.Tensor]:
        yield torch.zeros(1, 5000)
        raise CheckpointError("made NaN")

    with pytest.raises(CheckpointError, match="made NaN"):
        write_wav_blocks(tmp_path / "a.wav", failing(), RATE)
    with pytest.raises(AudioFileError, match="NaN"):
        write_wav_blocks(tmp_path / "a.wav", [torch.zeros(1, 5000), torch.full((1, 2), float("inf"))], RATE)
    with pytest.raises(AudioFileError, match="no samples"):
        write_wav_blocks(tmp_path / "a.wav", [], RATE)
    with pytest.raises(AudioFileError, match="cannot hold VORBIS; try PCM_16"):
        write_wav_blocks(tmp_path / "a.wav", failing(), RATE, "VORBIS")
    assert list(tmp_path.iterdir()) == []


def test_what_a_wav_cannot_count_is_an_rf64(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wav = torch.from_numpy(sounds.sine())[None]
    monkeypatch.setattr(audio_io, "WAV_BYTES", 2 * wav.shape[1] + 1)
    for subtype, container in (("PCM_16", "WAV"), ("PCM_24", "RF64"), ("FLOAT", "RF64"), ("ULAW", "RF64")):
        write_wav(tmp_path / "a.wav", wav, RATE, subtype)
        about = info(tmp_path / "a.wav")
        assert (about.format, about.subtype, about.frames) == (container, subtype, wav.shape[1])
        torch.testing.assert_close(read_wav(tmp_path / "a.wav")[0], wav, atol=0.02, rtol=0)


@pytest.mark.skipif(os.name != "posix", reason="limits of a file's size")
@pytest.mark.parametrize("in_memory", [1 << 24, 1000])
def test_a_full_disk_is_told(
    tmp_path: Path, in_memory: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import resource

    monkeypatch.setattr(audio_io, "IN_MEMORY_BYTES", in_memory)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(OutputError, match=r"a\.wav: cannot be written"):
            write_wav(tmp_path / "a.wav", torch.zeros(1, 100_000), RATE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == [] and capfd.readouterr() == ("", "")
