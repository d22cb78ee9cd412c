"""Files that users bring: length, class and pitch."""

import math
from pathlib import Path

import numpy as np
import pytest

from audio_gen.data.labels import Label
from audio_gen.errors import AudioFileError, ConfigError
from audio_gen.generation.inputs import class_names, encode_file, file_label, read_start
from audio_gen.generation.pipeline import Pipeline
from tests import sounds
from tests.given import one


def test_class_and_pitch_from_names_folders_and_label_files(tmp_path: Path) -> None:
    x = sounds.sine()
    named = sounds.write(tmp_path / "flute-060-100.wav", x)
    assert file_label(named) == Label("flute", 60.0, 100)
    labelled = sounds.write(tmp_path / "set" / "audio" / "x.wav", x)
    (tmp_path / "set" / "metadata.csv").write_text("file,class,pitch\naudio/x.wav,bell,62\n")
    assert file_label(labelled) == Label("bell", 62.0)
    (tmp_path / "set" / "audio" / "labels.csv").write_text("no such column\n")
    assert file_label(labelled) == Label("bell", 62.0)


def test_a_json_of_another_kind_beside_a_sound_is_no_sidecar(tmp_path: Path) -> None:
    path = sounds.write(tmp_path / "drum" / "x.wav", sounds.sine())
    for text in ("[1, 2]", "{broken", '{"z": "no"}'):
        path.with_suffix(".json").write_text(text)
        assert class_names(path) == [None, None, "drum", None]


def test_an_encoded_file(pipeline: Pipeline, tmp_path: Path) -> None:
    path = sounds.write(tmp_path / "drum" / "flute-060-100.wav", sounds.sine(sec=1))
    encoded = encode_file(pipeline, path, class_name="bell", pitch=50)
    assert encoded.latents.conditions.same(one(2, 60.0))
    assert encoded.frames == pipeline.frames and "only its first" in str(encoded.note)
    short = sounds.write(tmp_path / "drum" / "x-127-100.wav", sounds.sine(sec=0.1))
    encoded = encode_file(pipeline, short, pitch=50)  # the folder tells the class; the model never heard pitch 127
    assert encoded.latents.conditions.same(one(1, 50.0))
    assert encoded.frames == math.ceil(0.1 * 22050 / 256) and "silence is added" in str(encoded.note)
    with pytest.raises(ConfigError, match="class"):
        encode_file(pipeline, path, class_name="tuba")


def test_pitch_is_heard_where_nothing_tells_it(pipeline: Pipeline, plain: Pipeline, tmp_path: Path) -> None:
    path = sounds.write(tmp_path / "a.wav", sounds.pluck(261.63, 1.0))
    assert float(encode_file(pipeline, path, pitch=50).latents.conditions.pitch) == pytest.approx(60, abs=0.3)
    noise = sounds.write(tmp_path / "noise.wav", sounds.noise(0.5))
    assert float(encode_file(pipeline, noise, pitch=50).latents.conditions.pitch) == 50
    assert math.isnan(float(encode_file(pipeline, noise).latents.conditions.pitch))
    assert math.isnan(float(encode_file(plain, path).latents.conditions.pitch))


def test_reading_as_training_does(tmp_path: Path) -> None:
    late = np.concatenate([np.zeros(2 * 22050, np.float32), sounds.sine(sec=1)])
    wav, start, length = read_start(sounds.write(tmp_path / "late.wav", late), 22050, 4096)
    assert wav.shape == (1, 4096) and float(wav.abs().max()) > 0.3  # the silence before it is cut to 50 ms
    assert length == pytest.approx(1.05 * 22050, rel=0.02) and start + length == len(late)
    loud, start, _ = read_start(sounds.write(tmp_path / "loud.wav", 4 * sounds.sine(), subtype="FLOAT"), 22050, 4096)
    assert float(loud.abs().max()) == pytest.approx(1, abs=0.01) and start == 0
    fast, _, length = read_start(
        sounds.write(tmp_path / "fast.wav", sounds.sine(sample_rate=48000), 48000), 22050, 4096
    )
    assert fast.shape == (1, 4096) and length == 11025
    with pytest.raises(AudioFileError):
        read_start(tmp_path / "none.wav", 22050, 4096)
    with pytest.raises(AudioFileError, match="has no samples"):
        read_start(sounds.write(tmp_path / "empty.wav", np.zeros(0, np.float32)), 22050, 4096)
