"""The report of a quickstart: latents of real sounds are those that `reconstruct` finds."""

from pathlib import Path

from audio_gen.data.cache import build_cache
from audio_gen.generation.inputs import encode_file
from audio_gen.generation.inversion import log_mel_l1
from audio_gen.generation.pipeline import Pipeline
from audio_gen.generation.search import sound_frames
from audio_gen.studio.showcase import _encoded
from tests.generation.models import SPEC, write_gan_bundle
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
