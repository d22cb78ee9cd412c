"""The report of a quickstart: latents of real sounds are those that `reconstruct` finds."""

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from audio_gen.config import DataSettings
from audio_gen.data.cache import build_cache
from audio_gen.generation.inputs import encode_file
from audio_gen.generation.inversion import log_mel_l1
from audio_gen.generation.pipeline import Pipeline
from audio_gen.generation.search import sound_frames
from audio_gen.studio.showcase import _encoded, _players, _reconstructions
from tests import sounds
from tests.generation.models import SPEC, write_bundle, write_gan_bundle
from tests.sounds import write_notes


def test_latents_of_a_gan_are_searched(tmp_path: Path) -> None:
    pipeline = Pipeline.load(write_gan_bundle(tmp_path / "gan"), vocoder="griffinlim:1", device="cpu")
    folder = write_notes(tmp_path / "notes", count=3, sec=0.3)
    cache = build_cache(folder, tmp_path / "cache", sample_rate=SPEC.sample_rate)
    for clip in cache.clips:
        shown, file = _encoded(pipeline, cache, clip), encode_file(pipeline, folder / clip.path)
        assert file.search is not None
        mel = pipeline.mel(shown.wav)
        error = log_mel_l1(mel, pipeline.decode(shown.latents)[0], sound_frames(pipeline, shown.wav))
        assert error <= 1.02 * file.search.mel_l1
        assert error < 0.95 * file.search.mel_l1_start  # of the first guess


def test_a_stereo_model_shows_both_channels(tmp_path: Path) -> None:
    pipeline = Pipeline.load(write_bundle(tmp_path / "vae", stereo=True), vocoder="griffinlim:1", device="cpu")
    for i in range(4):
        hit = sounds.pluck(110.0 + i, 0.3)
        sounds.write(tmp_path / "hits" / f"{i}.wav", np.stack([hit, 0.3 * hit], axis=1))
    cache = build_cache(
        tmp_path / "hits", tmp_path / "cache", sample_rate=SPEC.sample_rate, data=DataSettings(channels=2)
    )
    shown = [_encoded(pipeline, cache, clip) for clip in cache.clips]
    for one in shown:
        left, right = one.wav.square().sum(1)
        assert float(left / right) == pytest.approx(1 / 0.3**2, rel=0.05)
    section, error = _reconstructions(pipeline, shown, tmp_path / "out", lambda amount: None)
    assert error >= 0 and all(len(sound.wav) == 2 for sound in section.sounds)
    assert {sf.info(path).channels for path in (tmp_path / "out").glob("*.wav")} == {2}
    assert all(len(sound.wav) == 2 for sound in _players(["a"], [tmp_path / "hits/0.wav"]))
