"""A rate below the model's band is told, with the mel that suits."""

import re
import shlex
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from audio_gen.audio.mel import DEFAULT_PRESET, PRESETS, MelSpec
from audio_gen.config import build, parse_overrides
from audio_gen.data.cache import build_cache
from audio_gen.data.index import inspect_folder
from audio_gen.data.rates import DEFAULT_SAMPLE_RATE, note_of_rates, rate_notes, suited_mel
from audio_gen.errors import MelMismatchError
from audio_gen.training.tasks.run import train_run
from audio_gen.training.tasks.source import mel_of_rate
from audio_gen.training.tasks.vae_settings import VAEConfig
from tests import sounds


@pytest.mark.parametrize("rate", [1000, 2000, 4000, 8000, 11025, 12000, 16000, 22050, 24000, 32000])
def test_the_mel_that_is_named_is_valid_and_covers_the_sounds(rate: int) -> None:
    mel = yaml.safe_load(suited_mel(rate))
    spec = MelSpec.preset(mel) if isinstance(mel, str) else MelSpec.from_dict(mel)
    assert spec.n_fft == 4 * spec.hop_length and 0.9 * rate <= spec.sample_rate <= 1.35 * rate
    assert not note_of_rates([rate], spec.sample_rate)  # the advice is not repeated when it is followed


def test_what_is_told() -> None:
    assert PRESETS[DEFAULT_PRESET].sample_rate == DEFAULT_SAMPLE_RATE
    (note,) = note_of_rates([8000] * 8, 44100)
    assert "all 8 sounds are stored at 8 kHz: nothing above 4 kHz, and the mel goes up to 22.05 kHz" in note
    words = shlex.split(re.findall("`(.*)`", note)[0])
    assert words[-1] == f"mel={suited_mel(8000)}"
    assert "3 of 4 sounds are stored at 16 kHz or less" in note_of_rates([8000, 16000, 8000, 44100], 44100)[0]
    assert note_of_rates([8000], 44100)[0].startswith("the only sound is stored at 8 kHz")
    assert not note_of_rates([48000, 44100, 8000], 44100) and not note_of_rates([], 44100)
    assert not note_of_rates([8000], 8000) and not note_of_rates([44100], 48000)


def test_inspect_and_the_cache_tell_it(tmp_path: Path) -> None:
    for i in range(4):
        sounds.write(tmp_path / "in" / f"{i}.wav", sounds.pluck(200 + 30 * i, sample_rate=8000), 8000)
    (told,) = rate_notes(inspect_folder(tmp_path / "in"))
    assert told in build_cache(tmp_path / "in", tmp_path / "cache", sample_rate=44100).notes
    assert not any("kHz" in note for note in build_cache(tmp_path / "in", tmp_path / "cache", sample_rate=8000).notes)


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 24000, 44100, 48000])
def test_a_mel_of_a_rate_is_a_setting_that_works(rate: int) -> None:
    settings = parse_overrides([f"mel={mel_of_rate(rate)}"])
    assert build(VAEConfig, settings).mel.sample_rate == rate


def test_a_cache_of_another_rate_is_refused_with_the_setting_that_suits(tmp_path: Path) -> None:
    sounds.write_notes(tmp_path / "in", 6)
    build_cache(tmp_path / "in", tmp_path / "cache", sample_rate=8000)
    with pytest.raises(MelMismatchError) as caught:
        train_run(tmp_path / "cache", tmp_path / "run", model="vae", steps=1, device="cpu")
    assert "the cache has 8000 Hz, the mel 44100 Hz" in str(caught.value) and "{'" not in str(caught.value)
    words = shlex.split(str(caught.value))
    (setting,) = [after for before, after in pairwise(words) if before == "--set"]
    tiny = ["train.batch_size=2", "train.previews=0", "data.segment_sec=0.5", "net.channels=[8,8]", setting]
    assert train_run(tmp_path / "cache", tmp_path / "run", model="vae", steps=1, device="cpu", overrides=tiny)
